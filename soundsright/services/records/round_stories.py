"""The story of a round and of one entry, from its commitment to its weight: each line with what proves it.

Scores are in their metric's unit, shares in percent of the emission.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from soundsright.core.errors import UsageError
from soundsright.services.records.round_bundle import RoundBundle
from soundsright.services.records.round_document import EntryFacts
from soundsright.services.rounds import steps


@dataclass(frozen=True)
class StoryLine:
    """One line: the step of the round, what happened, and the digest or block that proves it. It can be empty."""

    step: str
    sentence: str
    proof: str


def round_story(bundle: RoundBundle) -> Iterator[StoryLine]:
    """The round in lines: its document, its sets, its entries and its weights.

    Raises:
        BundleRefused: a file is missing or damaged.
    """
    document, opened = bundle.document, bundle.opened
    begun = document.round
    yield StoryLine("Round", f"{begun.id}, signed by {opened.signer or 'nobody'}", f"document {opened.sha256}")
    yield StoryLine("Rules", document.ruleset.name, f"ruleset {document.ruleset.digest}, plan {document.plan}")
    yield StoryLine("Seed", f"block {begun.seed_block}", f"block hash {begun.seed_block_hash}")
    closed = f"entries closed with block {begun.entries_close_block}"
    yield StoryLine("Close", closed, f"registrations {document.snapshot}" if document.snapshot else "")
    for c in document.competitions:
        yield StoryLine("Set", f"{c.id}: {c.clips} clips from seed {c.seed}", f"clips {c.clips_root}")
    for e in document.entries:
        yield StoryLine("Entry", f"{e.entry} in {e.competition}: {e.reference}", f"content {e.content_hash}")
    for r in document.refusals:
        yield StoryLine("Refused", f"{r.hotkey} ({r.code}): {r.sentence}", "")
    for d in document.decisions:
        yield StoryLine("Decision", f"{d.metric} in {d.competition}: {d.winner or 'nobody wins'}", "")
    for uid, weight in sorted(document.weights.items(), key=lambda item: -item[1]):
        yield StoryLine("Weight", f"uid {uid}: {weight:.6f}", "")
    yield StoryLine("Measured", ", ".join(f"{name} {version}" for name, version in document.versions.items()), "")


def entry_story(bundle: RoundBundle, name: str) -> Iterator[StoryLine]:
    """One entry in lines. `name` is its id or its hotkey.

    Raises:
        UsageError: the round has no such entry.
        BundleRefused: a file is missing or damaged.
    """
    document = bundle.document
    entry = next((e for e in document.entries if name in (e.entry, e.hotkey)), None)
    refusals = [r for r in document.refusals if r.hotkey == (entry.hotkey if entry else name)]
    if entry is None and not refusals:
        shown = ", ".join(e.entry for e in document.entries[:5])
        raise UsageError(
            f"The round has no entry {name[:60]!r}", f"Give one of {shown}." if shown else "It has none."
        )
    if entry is not None:
        yield from _entered(bundle, entry)
        yield from _judged(bundle, entry)
    for r in refusals:
        yield StoryLine("Refused", f"{r.code}: {r.sentence}", _said(bundle))
        for what, value in r.evidence.items():
            yield StoryLine("", f"{what}: {value}", "")
    if entry is not None:
        yield from _paid(bundle, entry)


def _entered(bundle: RoundBundle, entry: EntryFacts) -> Iterator[StoryLine]:
    document = bundle.document
    block = f"{entry.hotkey} (uid {entry.uid}) committed in block {entry.block}"
    yield StoryLine("Commitment", block, f"the chain at block {document.round.entries_close_block}")
    yield StoryLine("Model", entry.reference, f"content {entry.content_hash}" if entry.content_hash else "")
    if entry.tensors:
        yield StoryLine("Tensors", "compared with those of all other entries", f"sketch {entry.tensors}")
    yield from _image(bundle, entry)
    seed = document.round.seed_block_hash
    for c in document.competitions:
        if c.id == entry.competition:
            drawn = (
                f"{c.clips} clips of {c.id}, drawn from seed {c.seed} of block {document.round.seed_block} ({seed})"
            )
            yield StoryLine("Set", drawn, f"clips {c.clips_root}, recipes {c.recipes_digest}")


def _image(bundle: RoundBundle, entry: EntryFacts) -> Iterator[StoryLine]:
    """The image that ran. Old rounds do not record one that was built."""
    built = steps.RoundSteps(bundle.document.round.id, bundle.steps()).get(steps.image(entry.entry))
    if built is not None:
        repeats = "reproducible: yes" if built.repeatable else f"reproducible: no ({built.reason})"
        unread = f"; its content could not be read ({built.unread})" if built.unread else ""
        yield StoryLine("Image", repeats + unread, f"content {entry.image}" if entry.image else "")
    elif entry.image:
        yield StoryLine("Image", "pulled by its digest", f"image {entry.image}")


def _judged(bundle: RoundBundle, entry: EntryFacts) -> Iterator[StoryLine]:
    if entry.answers_root is not None:
        answers = [line for line in bundle.answers() if line["entry"] == entry.entry]
        failed = sum(line.get("sha256") is None for line in answers)
        yield StoryLine(
            "Answers", f"{len(answers) - failed} answers, {failed} failures", f"answers {entry.answers_root}"
        )
    if entry.scores_root is None:
        return
    rows = [c for c in bundle.results.competitions if c.id == entry.competition]
    for c in rows:
        for row in c.entries:
            if row.hotkey == entry.hotkey:
                means = ", ".join(f"{metric} {e.mean:.6f}" for metric, e in row.metrics.items())
                rank = f"rank {row.rank}, " if row.rank else ""
                yield StoryLine("Scores", f"{rank}{means}", f"scores {entry.scores_root}")


def _paid(bundle: RoundBundle, entry: EntryFacts) -> Iterator[StoryLine]:
    document = bundle.document
    for d in document.decisions:
        if d.competition == entry.competition:
            outcome = "it wins" if d.winner == entry.hotkey else f"{d.winner or 'nobody'} wins"
            evidence = ", ".join(f"{what} {value}" for what, value in list(d.evidence.items())[:6])
            yield StoryLine(
                "Decision", f"{d.metric}: {outcome}", f"{evidence}; {_said(bundle)}" if evidence else _said(bundle)
            )
    share = document.shares.get(entry.competition, {}).get(entry.hotkey, 0.0)
    yield StoryLine("Share", f"{share:.4f} % of the emission", _said(bundle))
    weight = document.weights.get(str(entry.uid), 0.0)
    yield StoryLine("Weight", f"{weight:.6f} for uid {entry.uid}", _said(bundle))


def _said(bundle: RoundBundle) -> str:
    return f"document {bundle.opened.sha256}"
