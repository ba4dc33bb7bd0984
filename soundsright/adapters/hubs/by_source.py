"""One hub for all kinds of sources: each is fetched by the hub for its type."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from soundsright.core.errors import EntryRefused
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.ports import ModelHub
from soundsright.core.sources import ImageRef, SourceRef
from soundsright.core.submission import FetchedModel, Submission


class HubBySource:
    """The `ModelHub` port over other hubs, by the type of a submission's source.

    A source without a hub is refused by the code of its own type.

    >>> from pathlib import Path
    >>> from soundsright.adapters.hubs import FolderHub, ImageFolders
    >>> from soundsright.core.sources import ModelRef
    >>> hub = HubBySource({ModelRef: FolderHub(Path("hub"), Path("cache")), ImageRef: ImageFolders(Path("cache"))})
    """

    def __init__(self, hubs: Mapping[type, ModelHub]) -> None:
        self._hubs = dict(hubs)

    def fetch(self, submission: Submission, *, limits: FetchLimits) -> FetchedModel:
        """The submission's files, from the hub for its source.

        Raises:
            EntryRefused: as that hub; or `bad_reference`, `bad_image_ref` or `bad_source`, if there is none.
            HubUnavailable: that hub does not answer.
            InfrastructureFault: this machine cannot store it.
        """
        hub = self._hubs.get(type(submission.source))
        if hub is None:
            raise _no_hub(submission)
        return hub.fetch(submission, limits=limits)

    def cached(self, submission: Submission, content_hash: str) -> FetchedModel | None:
        """The model from the cache, or None if the cache does not have all of it."""
        hub = self._hubs.get(type(submission.source))
        return None if hub is None else hub.cached(submission, content_hash)

    def forget(self, keep: Collection[str]) -> int:
        """Remove all fetched models except those with these content hashes. Returns how many were removed."""
        return sum(hub.forget(keep) for hub in self._hubs.values())


def _no_hub(submission: Submission) -> EntryRefused:
    shown = str(submission.source)[:200]
    if isinstance(submission.source, ImageRef):
        return EntryRefused("bad_image_ref", f"{shown!r} is an image, and this round takes none")
    if isinstance(submission.source, SourceRef):
        return EntryRefused("bad_source", f"{shown!r} is source code, and this round takes none")
    return EntryRefused("bad_reference", f"{shown!r} is on a model hub, and this round takes no such models")
