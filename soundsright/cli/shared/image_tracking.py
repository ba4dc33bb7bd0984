"""The tracker of an executor's rounds, if WANDB_API_KEY is set."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from soundsright.adapters.machine import Tracker
    from soundsright.config import ExecutorSettings
    from soundsright.services.executor import TrackedImage, executor_steps

TRACKER = "wandb"
PROJECT = "soundsright"


def round_tracker(settings: ExecutorSettings) -> Callable[[str, executor_steps.PublishedStep], None]:
    """A function that sends a published round to Weights & Biases; without a key, one that does nothing.

    Raises:
        UsageError: there is a key, and the package wandb is not installed.
    """
    from soundsright.adapters.machine import open_tracker
    from soundsright.services.executor import RoundTracker

    key = settings.wandb_api_key
    if key is None:
        return lambda _round_id, _published: None
    if find_spec(TRACKER) is None:
        raise UsageError(
            f"WANDB_API_KEY is set, and the Python package {TRACKER} is not installed",
            f"Run `pip install {TRACKER}`, or clear WANDB_API_KEY.",
        )
    os.environ["WANDB_API_KEY"] = key.get_secret_value()  # The key may come from the .env file; wandb reads this.

    def begin(image: TrackedImage) -> Tracker:
        return open_tracker(TRACKER, project=PROJECT, name=image.name, config=image.config)

    return RoundTracker(begin)
