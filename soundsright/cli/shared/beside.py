"""The settings of a system that runs beside the rounds of `soundsright validator`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from soundsright.config import FederationSettings, TiersSettings, read_settings

if TYPE_CHECKING:
    from soundsright.config import ValidatorSettings

S = TypeVar("S", FederationSettings, TiersSettings)


def settings_beside(kind: type[S], settings: ValidatorSettings, flags: dict[str, Any], env_file: Path | None) -> S:
    """The system's settings, with the state folder of the rounds. Without `env_file`, `.env` is read if present.

    Raises:
        UsageError: a setting cannot be used.
    """
    if env_file is None and Path(".env").is_file():
        env_file = Path(".env")
    own = read_settings(kind, flags=flags, env_file=env_file)
    return own.model_copy(update={"state_folder": settings.state_folder})
