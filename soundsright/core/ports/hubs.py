"""Model hubs: miners publish models there, and validators fetch them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.sources import ModelRef
from soundsright.core.submission import FetchedModel, Submission


class ModelHub(Protocol):
    """A hub from which models are fetched."""

    def fetch(self, submission: Submission, *, limits: FetchLimits) -> FetchedModel:
        """The submission's repository at its commit, on this machine's disk.

        Raises:
            EntryRefused: the repository does not exist, or breaks a limit.
            HubUnavailable: the hub does not answer.
            InfrastructureFault: this machine cannot store it.
        """
        ...

    def cached(self, submission: Submission, content_hash: str) -> FetchedModel | None:
        """The model from this machine's cache, or None if the cache does not have all of it."""
        ...

    def forget(self, keep: Collection[str]) -> int:
        """Remove all fetched models except those with these content hashes. Returns the number of removed models.

        Do not call it while a round runs.
        """
        ...


class Publisher(Protocol):
    """A hub on which a miner publishes models."""

    def publish(self, namespace: str, name: str, folder: Path) -> ModelRef: ...
