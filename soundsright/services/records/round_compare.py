"""Compare two bundles of one round: the first step at which two validators part.

A round is a chain of steps, and each follows from the ones before: the plan, the seed, the entries, their content,
the sets, the answers, the scores, the decisions, the weights. So the first difference is the cause, and the later
ones follow from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from soundsright.core.errors import BundleRefused, UsageError
from soundsright.core.text_files import shortened
from soundsright.services.records.results import ScoreLine
from soundsright.services.records.round_bundle import RoundBundle
from soundsright.services.records.round_document import RoundDocument


@dataclass(frozen=True)
class BundleDifference:
    """The first step at which two bundles differ, what differs, and its value in each."""

    step: str
    what: str
    first: str
    second: str

    @property
    def sentence(self) -> str:
        return f"{self.step}: {self.what} is {self.first} in the first bundle and {self.second} in the second"


def first_difference(first: RoundBundle, second: RoundBundle) -> BundleDifference | None:
    """The first step at which two bundles of a round part; None if they decide the same from the same.

    Raises:
        UsageError: they are of different rounds.
        BundleRefused: a file of one of them is missing or damaged.
    """
    one, other = first.document, second.document
    if one.round.id != other.round.id:
        raise UsageError(
            f"The bundles are of different rounds, {one.round.id} and {other.round.id}", "Give two of one round."
        )
    for step, differences in _STEPS.items():
        for what, mine, yours in differences(first, second):
            if mine != yours:
                return BundleDifference(step, what, _value(mine), _value(yours))
    return None


def check_not_two_of_one_signer(first: RoundBundle, second: RoundBundle) -> None:
    """Check that the bundles are not two different documents that one signer signed for one round.

    Both signatures must have been verified.

    Raises:
        BundleRefused: they are. The message has what proves it.
    """
    one, other = first.opened, second.opened
    if one.signer is None or one.signer != other.signer or one.document.round.id != other.document.round.id:
        return
    if one.sha256 != other.sha256:
        raise BundleRefused(
            f"{one.signer} signed two documents for round {one.document.round.id}: {one.sha256} and {other.sha256}",
            "Keep both bundles: the two signatures prove it.",
        )


_Values = Iterator[tuple[str, object, object]]


def _plan(first: RoundBundle, second: RoundBundle) -> _Values:
    one, other = first.document, second.document
    yield "the ruleset", one.ruleset.digest, other.ruleset.digest
    yield "the close of entries", one.round.entries_close_block, other.round.entries_close_block
    if one.plan != other.plan:
        mine, yours = first.plan["plan"], second.plan["plan"]
        yield from ((f"the setting {name}", a, b) for name, a, b in _paired(mine, yours))


def _seed(first: RoundBundle, second: RoundBundle) -> _Values:
    one, other = first.document.round, second.document.round
    yield "the seed block", one.seed_block, other.seed_block
    yield "the hash of the seed block", one.seed_block_hash, other.seed_block_hash
    for name, a, b in _paired(_by_id(first.document), _by_id(second.document)):
        yield f"the seed of {name}", a and a.seed, b and b.seed


def _entries(first: RoundBundle, second: RoundBundle) -> _Values:
    for name, a, b in _paired(_by_hotkey(first.document), _by_hotkey(second.document)):
        if a is None or b is None:
            yield f"the entry of {name}", _presence(first.document, name), _presence(second.document, name)
            continue
        for field in ("uid", "competition", "reference", "block"):
            yield f"the {field} of {name}", getattr(a, field), getattr(b, field)
    one, other = first.document.snapshot, second.document.snapshot
    yield "the digest of the registrations at the close", one, other


def _presence(document: RoundDocument, hotkey: str) -> str:
    """Whether a hotkey has an entry, or the code with which it was refused."""
    if any(e.hotkey == hotkey for e in document.entries):
        return "admitted"
    return next((f"refused ({r.code})" for r in document.refusals if r.hotkey == hotkey), "absent")


def _content(first: RoundBundle, second: RoundBundle) -> _Values:
    for name, a, b in _paired(_by_hotkey(first.document), _by_hotkey(second.document)):
        yield f"the content of {name}", a.content_hash, b.content_hash
        yield f"the digest of the tensors of {name}", a.tensors, b.tensors
        # A validator that runs models without containers builds none, and not every build can be repeated.
        if a.image and b.image and False not in (a.image_reproducible, b.image_reproducible):
            yield f"the image of {name}", a.image, b.image


def _set(first: RoundBundle, second: RoundBundle) -> _Values:
    for name, a, b in _paired(_by_id(first.document), _by_id(second.document)):
        if a is None or b is None:
            yield f"the set of {name}", a and a.set_digest, b and b.set_digest
            continue
        yield f"the number of clips of {name}", a.clips, b.clips
        if a.clips_root != b.clips_root:
            mine, yours = _clips(first, name), _clips(second, name)
            for (clip, part), c, d in _paired(mine, yours):
                yield f"the {part} of clip {clip} of {name}", c, d
            yield f"the order of the clips of {name}", _order(mine), _order(yours)
        yield f"the digest of the set of {name}", a.set_digest, b.set_digest


def _answer(first: RoundBundle, second: RoundBundle) -> _Values:
    for name, a, b in _paired(_by_hotkey(first.document), _by_hotkey(second.document)):
        if a.answers_root != b.answers_root:
            mine, yours = _answers(first, a.entry), _answers(second, b.entry)
            for clip, c, d in _paired(mine, yours):
                yield f"the answer {clip} of {name}", c, d
            yield f"the order of the answers of {name}", list(mine), list(yours)


def _score(first: RoundBundle, second: RoundBundle) -> _Values:
    rows: list[Mapping[tuple[str, str], Mapping[str, Any]]] = []
    owners = [_by_hotkey(first.document), _by_hotkey(second.document)]
    # An entry without scores was refused after it had run, which is a decision.
    parted = {
        (a.competition, name)
        for name, a, b in _paired(*owners)
        if a.scores_root != b.scores_root and a.scores_root is not None and b.scores_root is not None
    }
    baselines = {
        name
        for name, a, b in _paired(_by_id(first.document), _by_id(second.document))
        if a.unprocessed_root != b.unprocessed_root
    }
    if not parted and not baselines:
        return
    for bundle, entries in zip((first, second), owners, strict=True):
        rows.append(
            {
                (f"{line.competition}/{line.entry}", line.id): line.scores or _failure(line)
                for line in bundle.scores()
                if (line.competition, line.entry) in parted
                or (line.competition in baselines and line.entry not in entries)
            }
        )
    for (owner, clip), a, b in _paired(*rows):
        for metric, mine, yours in _paired(a or {}, b or {}):
            yield f"{metric} of {owner} on clip {clip}", mine, yours


def _failure(line: ScoreLine) -> Mapping[str, Any]:
    return {} if line.failure is None else line.failure.model_dump(mode="json")


def _decision(first: RoundBundle, second: RoundBundle) -> _Values:
    one, other = first.document, second.document
    mine = {(r.hotkey, r.competition or ""): r.code for r in one.refusals}
    yours = {(r.hotkey, r.competition or ""): r.code for r in other.refusals}
    for (hotkey, _), a, b in _paired(mine, yours):
        yield f"the refusal of {hotkey}", a, b
    decided = [{(d.competition, d.metric): d for d in each.decisions} for each in (one, other)]
    for (competition, metric), d, e in _paired(*decided):
        what = f"the winner of {metric} in {competition}"
        yield what, d and d.winner, e and e.winner
        if d is not None and e is not None:
            for name, a, b in _paired(d.evidence, e.evidence):
                yield f"{name} of {metric} in {competition}", a, b
    for competition, shares, others in _paired(one.shares, other.shares):
        for hotkey, a, b in _paired(shares or {}, others or {}):
            yield f"the share of {hotkey} in {competition}", a, b


def _weight(first: RoundBundle, second: RoundBundle) -> _Values:
    for uid, a, b in _paired(first.document.weights, second.document.weights):
        yield f"the weight of uid {uid}", a, b


_STEPS: Mapping[str, Callable[[RoundBundle, RoundBundle], _Values]] = {
    "plan": _plan,
    "seed": _seed,
    "entries": _entries,
    "content": _content,
    "set": _set,
    "answer": _answer,
    "score": _score,
    "decision": _decision,
    "weight": _weight,
}


def _clips(bundle: RoundBundle, competition: str) -> dict[tuple[str, str], Any]:
    """The digests of a competition's clips, by clip and part of it."""
    parts = {"clean": "clean signal", "degraded": "degraded signal", "recipe": "recipe"}
    return {
        (line["clip"], words): line[part]
        for line in bundle.clips()
        if line["competition"] == competition
        for part, words in parts.items()
    }


def _order(clips: Mapping[tuple[str, str], Any]) -> list[str]:
    return list(dict.fromkeys(clip for clip, _ in clips))


def _answers(bundle: RoundBundle, entry: str) -> dict[str, Any]:
    return {
        line["clip"]: line.get("sha256") or line.get("failure")
        for line in bundle.answers()
        if line["entry"] == entry
    }


def _by_id(document: RoundDocument) -> dict[str, Any]:
    return {c.id: c for c in document.competitions}


def _by_hotkey(document: RoundDocument) -> dict[str, Any]:
    return {e.hotkey: e for e in document.entries}


def _paired(first: Mapping[Any, Any], second: Mapping[Any, Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Each key of either with its value in both, in order; None where there is none."""
    for key in sorted(first.keys() | second.keys()):
        yield key, first.get(key), second.get(key)


def _value(value: object) -> str:
    return "nothing" if value is None else shortened(value)
