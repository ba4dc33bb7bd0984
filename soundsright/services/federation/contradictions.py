"""Equivocations that show when views are compared: one validator, one task, and two digests.

A bucket can serve one verdict to one peer and another verdict to the next. Each peer lists what it has read, so the
views differ, and both verdicts are fetched from whoever lists them. Only two signed verdicts are an equivocation. A
digest that nobody can show may be made up.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from soundsright.core.errors import RequestRefused
from soundsright.core.federation import View
from soundsright.services.federation.mirror import Mirror, Sought
from soundsright.services.federation.verdict import MAX_VERDICT_BYTES
from soundsright.services.federation.verdict_reader import Equivocation, VerdictReader

MAX_PER_VIEW = 32
"""So many digests of one view that no majority lists are looked into at a time.

So made-up views take little time, also if two validators list the same digests.
"""

Place = tuple[int, str]


class Contradictions:
    """Compares views with each other and with what `verdicts` has read. Use one thread."""

    def __init__(self, verdicts: VerdictReader, mirror: Mirror) -> None:
        self._verdicts = verdicts
        self._mirror = mirror
        self._tries: Counter[str] = Counter()

    def equivocations(self, views: Mapping[str, View]) -> tuple[Equivocation, ...]:
        """The equivocations that the views show. Both verdicts of each are on this machine's disk then.

        Raises:
            InfrastructureFault: this machine's disk or state fails.
        """
        places = self._chosen(_digests_in(views, self._verdicts), len(views))
        missing = {
            digest: Sought(digest, MAX_VERDICT_BYTES, None, tuple(holders))
            for by_digest in places.values()
            for digest, holders in by_digest.items()
            if self._verdicts.of_digest(digest) is None
        }
        self._tries.update(missing.keys())
        self._mirror.fetch(tuple(missing.values()), self._accept)
        shown = {place: self._shown(place, by_digest) for place, by_digest in places.items()}
        return tuple(
            Equivocation(*place, *digests[:2]) for place, digests in sorted(shown.items()) if len(digests) > 1
        )

    def _chosen(self, places: dict[Place, dict[str, list[str]]], views: int) -> dict[Place, dict[str, list[str]]]:
        """The places that are looked into now: of each of the views a few, those tried least first."""

        def tries(place: Place) -> int:
            return max(self._tries[digest] for digest in places[place])

        taken: Counter[str] = Counter()
        chosen: dict[Place, dict[str, list[str]]] = {}
        for place in sorted(places, key=lambda place: (tries(place), place)):
            few = [hotkey for hotkeys in places[place].values() if 2 * len(hotkeys) <= views for hotkey in hotkeys]
            if all(taken[hotkey] < MAX_PER_VIEW for hotkey in few):
                taken.update(few)
                chosen[place] = places[place]
        return chosen

    def _accept(self, digest: str, raw: bytes) -> bool:
        try:
            return self._verdicts.take(raw).digest == digest
        except RequestRefused:
            return False

    def _shown(self, place: Place, digests: Iterable[str]) -> list[str]:
        """Those of the digests of which this validator's signed verdict on this task is here."""
        found = {digest: self._verdicts.of_digest(digest) for digest in digests}
        return sorted(
            digest
            for digest, each in found.items()
            if each is not None and (each.verdict.task, each.verdict.validator) == place
        )


def _digests_in(views: Mapping[str, View], verdicts: VerdictReader) -> dict[Place, dict[str, list[str]]]:
    """By task and validator, the digests of which there are several, each with the validators that list it."""
    places: dict[Place, dict[str, list[str]]] = defaultdict(dict)
    for hotkey, view in sorted(views.items()):
        for place, digest in _listed(view):
            places[place].setdefault(digest, []).append(hotkey)
    for place, by_digest in places.items():
        first = verdicts.first_digest(*place)
        if first is not None:
            by_digest.setdefault(first, [])
    return {place: by_digest for place, by_digest in places.items() if len(by_digest) > 1}


def _listed(view: View) -> Iterator[tuple[Place, str]]:
    for task, digests in view.verdicts.items():
        for validator, digest in digests.items():
            yield (task, validator), digest
