"""The logger of this package. Handlers and filters belong to the host, and what they raise never reaches our code."""

from __future__ import annotations

import logging
from typing import Any, Final

NAME: Final = "modelperf_plugin"


class _Logger(logging.LoggerAdapter[logging.Logger]):
    """Drops a message whose handler or filter raises; an interrupt still passes."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        try:
            super().log(level, msg, *args, **{"stacklevel": 2, **kwargs})  # 2: whoever logs, not this line
        except Exception:  # noqa: BLE001 - there is no other place to report it than this one
            return


logger: Final = _Logger(logging.getLogger(NAME))
# without it, errors are printed in a host that does not configure logging
logger.logger.addHandler(logging.NullHandler())
