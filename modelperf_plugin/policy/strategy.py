"""The base class of strategies: a configuration that can be called."""

from pydantic import BaseModel, ConfigDict


class Strategy(BaseModel):
    """A frozen set of TOML keys with a ``__call__``; unknown keys are rejected.

    A new strategy takes one file with a subclass whose field ``strategy`` is a ``Literal`` of its name, one member in
    the union of its folder, and one section in the docs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
