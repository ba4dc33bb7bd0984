"""The loop of a validator: it looks at the chain again and again, and no failure ends it. Times are in seconds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from soundsright.core.errors import InfrastructureFault
from soundsright.services.http import Health

MAX_PAUSE_S = 300.0

_log = logging.getLogger(__name__)


def keep_ticking(
    tick: Callable[[], None],
    stop: threading.Event,
    health: Health,
    *,
    poll_s: float,
    is_done: Callable[[], bool] = lambda: False,
) -> None:
    """Call `tick` every `poll_s` until `stop` is set or `is_done`. After a failure the pauses grow."""
    health.set("neuron_running", True)
    pause_s = poll_s
    try:
        while not stop.is_set():
            try:
                tick()
                health.problem("service", None)
                pause_s = poll_s
            except InfrastructureFault as error:
                health.add("chain.failures")
                health.problem("service", str(error))
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
            except Exception as error:  # noqa: BLE001 - reported below, with its trace
                # A service that ends sets no weights, so it continues and reports the error.
                _log.exception("a tick failed", extra={"action": "tick_failed"})
                health.problem("service", f"{type(error).__name__}: {error}. The log has the traceback.")
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
            health.problem("start", None)
            if is_done():
                return
            stop.wait(pause_s)
    finally:
        health.set("neuron_running", False)
