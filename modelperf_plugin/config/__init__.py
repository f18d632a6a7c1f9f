"""Configuration: from TOML files, environment and flags to frozen models."""

from modelperf_plugin.config.describe import Setting, describe, strategies
from modelperf_plugin.config.json_schema import json_schema
from modelperf_plugin.config.load import ConfigSource, LoadedConfig, load
from modelperf_plugin.config.models import ModelConfig
from modelperf_plugin.config.schema import POLICY_SECTIONS, Config, TaskTypeConfig, naming_key
from modelperf_plugin.config.sections import LogConfig, StoreConfig
from modelperf_plugin.config.template import SCHEMA_FILE, template
from modelperf_plugin.config.watch import ConfigWatch

__all__ = [
    "POLICY_SECTIONS", "SCHEMA_FILE", "Config", "ConfigSource", "ConfigWatch", "LoadedConfig", "LogConfig",
    "ModelConfig", "Setting", "StoreConfig", "TaskTypeConfig", "describe", "json_schema", "load", "naming_key",
    "strategies", "template",
]  # fmt: skip
