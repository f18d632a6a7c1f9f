"""What litellm says of a request: its model group and deployments, its metadata, its cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelperf_plugin.recorder.usage import field

try:
    from litellm.router_attempt import for_requested_model
except ImportError:  # before 1.110, deployments with wildcards reach callbacks with the name that was asked for

    def for_requested_model(deployment: Any, requested: str | None) -> Any:  # noqa: ARG001
        """Return a deployment as it is."""
        return deployment


def requested_group(group: str, kwargs: Mapping[str, Any]) -> str:
    """Return the model group of a request; one with a wildcard, such as ``openai/*``, is a group for each name."""
    return str(kwargs.get("model") or group) if "*" in group else group


def deployment_id(model_info: Any) -> str:
    """Return litellm's id of a deployment."""
    return str(field(model_info, "id") or "")


def model_of(deployment: Mapping[str, Any], group: str) -> str:
    """Return the model behind a deployment; behind one of Azure, whose name is the user's, the ``base_model``."""
    served = for_requested_model(deployment, group)
    return str(field(served.get("model_info"), "base_model") or served["litellm_params"]["model"])


def is_behind_wildcard(kwargs: Mapping[str, Any]) -> bool:
    """Return whether the deployment of a call serves whatever model a request names."""
    return "*" in str(metadata_of(kwargs).get("deployment_model_name"))


def metadata_of(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of a request, with those that a client has sent to the proxy."""
    found: dict[str, Any] = {}
    for bucket in (kwargs.get("litellm_metadata"), kwargs.get("metadata")):
        if isinstance(bucket, Mapping):
            sent = bucket.get("requester_metadata")
            found |= {**(sent if isinstance(sent, Mapping) else {}), **bucket}
    return found


def cost_of_answer(request_data: Mapping[str, Any], response: Any) -> Any:
    """Return what an answer has cost, as litellm will tell the caller; None if it does not know."""
    try:
        return request_data["litellm_logging_obj"].response_cost_calculator(
            result=response,
            litellm_model_name=request_data.get("model"),
            router_model_id=deployment_id(request_data.get("model_info")) or None,
        )
    except Exception:  # noqa: BLE001 - litellm raises for models without a price
        return None
