"""The log into which a service puts its signed documents, if ROUND_LOG_URL names one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.config import ValidatorSettings
    from soundsright.core.ports import StateStore
    from soundsright.services.http import Health

TIMEOUT_S = 30.0


def check_log_settings(settings: ValidatorSettings) -> None:
    """Check that a log is named with its hotkey, or no log.

    Raises:
        UsageError: one of the two settings is missing.
    """
    if settings.round_log_url and not settings.round_log_hotkey:
        raise UsageError(
            "ROUND_LOG_HOTKEY is empty", "Give the hotkey of the log at ROUND_LOG_URL: its keeper knows it."
        )
    if settings.round_log_hotkey and not settings.round_log_url:
        raise UsageError("ROUND_LOG_URL is empty", "Give the address of the log, or clear ROUND_LOG_HOTKEY.")


def kept_log(
    settings: ValidatorSettings,
    state: StateStore,
    read: Callable[[str], bytes | None],
    folder_of: Callable[[str], Path],
    health: Health,
) -> AbstractContextManager[None]:
    """Append the documents of the rounds in `state` to the log while the block runs. `read` gives a document.

    Without a log it does nothing.
    """
    if not settings.round_log_url:
        return nullcontext()
    from soundsright.adapters.machine import SystemClock
    from soundsright.adapters.peers import valid_signature
    from soundsright.cli.shared.log_source import HttpLog
    from soundsright.services.log import LogKeeper

    return LogKeeper(
        HttpLog(settings.round_log_url, timeout_s=TIMEOUT_S),
        settings.round_log_hotkey,
        state,
        read,
        folder_of,
        clock=SystemClock(),
        health=health,
        valid_signature=valid_signature,
    ).running()
