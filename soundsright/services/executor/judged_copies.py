"""Decides which suspected copies count: those with a certain lead over the image that they resemble.

A faster export of a public model is better, and its output is that of every other export. So it is not refused like
an image with the same content. Without a certain lead it is refused for the round, as the copy that it may be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from soundsright.copies import DuplicateRule
from soundsright.core.images import ImageMetrics, MeasuredImage
from soundsright.ranking import ImageLead
from soundsright.services.executor.context import Judge
from soundsright.services.executor.results import MeasuredEntry, RoundResults


def with_copies_judged(results: RoundResults, judge: Judge) -> RoundResults:
    """The results with what follows for suspected copies. The metrics of the rows are those of the images alone.

    The images are decided in the order in which they came. A copy without a certain lead over each original is
    refused, and a refused image is nobody's original. An original that was replaced during the round has no
    measurement in the results, so nothing has a certain lead over it.

    Raises:
        ValueError: a suspected copy was not measured, or on other clips than its original.
    """
    decided = _decided(results, judge)
    return replace(
        results,
        entries=tuple(
            replace(entry, row=replace(entry.row, metrics=decided.get(entry_id, entry.row.metrics)))
            for entry_id, entry in _by_id(results).items()
        ),
    )


def _by_id(results: RoundResults) -> dict[str, MeasuredEntry]:
    return {entry.row.submission.entry_id: entry for entry in results.entries}


def _decided(results: RoundResults, judge: Judge) -> dict[str, ImageMetrics]:
    """The metrics of suspected copies, by entry id."""
    suspects, entries = results.suspects, _by_id(results)
    measured = dict(_measured(results, entries))
    leads: dict[int, Mapping[str, ImageLead]] = {}
    counts: set[int] = set()
    decided: dict[str, ImageMetrics] = {}
    for place, entry_id in enumerate(suspects.entries):
        originals = [original for original in suspects.originals(place) if original in counts]
        for original in originals:
            if original not in leads and suspects.entries[original] in measured:
                copies = [suspects.entries[copy] for copy in suspects.copies(original)]
                own = {copy: measured[copy] for copy in copies if copy in measured}
                leads[original] = judge.copy_leads(measured[suspects.entries[original]], own)
        uncertain = next((o for o in originals if not _is_certain(leads.get(o), entry_id)), None)
        if uncertain is None:
            counts.add(place)
        if originals and entry_id in measured:
            original = originals[0] if uncertain is None else uncertain
            lead = leads.get(original, {}).get(entry_id)
            metrics = entries[entry_id].row.metrics
            decided[entry_id] = _metrics(metrics, suspects.entries[original], lead, counts=uncertain is None)
    return decided


def _measured(results: RoundResults, entries: Mapping[str, MeasuredEntry]) -> Iterator[tuple[str, MeasuredImage]]:
    """The measurements of the images that are alike.

    Raises:
        ValueError: one has none and was not replaced during the round, or has failed.
    """
    for entry_id in results.suspects.entries:
        entry = entries.get(entry_id)
        if entry is None and entry_id in results.dropped:
            continue
        if entry is None or entry.measured is None or entry.measured.failure is not None:
            raise ValueError(f"{entry_id[:80]} is like another image, and has no measurement")
        yield entry_id, entry.measured


def _is_certain(leads: Mapping[str, ImageLead] | None, entry_id: str) -> bool:
    return leads is not None and entry_id in leads and leads[entry_id].is_certain


def _metrics(metrics: ImageMetrics, original: str, lead: ImageLead | None, *, counts: bool) -> ImageMetrics:
    hotkey, _, submitted_s = original.rpartition("-")
    if counts:
        return replace(metrics, copy_of=hotkey)
    shown = "has no measurement to compare" if lead is None else f"has a lead of {lead.difference:.4f}, not certain"
    detail = (
        f"Copy of {hotkey}: the output on probe clips is nearly that of its image, which was submitted first, at"
        f" {submitted_s}. It counts only with a certain lead over it, and {shown}."
    )
    return replace(metrics, final_score=0.0, error=DuplicateRule.NEAR_COPY.value, detail=detail, copy_of=hotkey)
