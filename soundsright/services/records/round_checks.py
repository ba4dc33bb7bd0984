"""Check a bundle without its audio: that its files are those of the document, and that they agree with each other.

A round document and its files can be wrong in two ways. Somebody changed them after they were signed: then a digest
or the signature is wrong. Or the signer wrote a document that contradicts itself. The first thing that is wrong is
raised as one sentence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from soundsright.core.audio import digest_of_digests
from soundsright.core.canonical import canonical_json
from soundsright.core.errors import BundleRefused, UsageError
from soundsright.core.schedule import seed_of_round
from soundsright.core.text_files import shortened
from soundsright.services.records.round_bundle import RoundBundle, recipe_of
from soundsright.services.records.round_document import EntryFacts, RoundDocument, SetFacts
from soundsright.services.records.round_leaves import answer_leaf, clip_leaf, recipes_digest, root_of, score_leaf
from soundsright.services.records.round_making import COMMITTED
from soundsright.services.records.round_part import check_index
from soundsright.services.records.round_steps import snapshot_facts
from soundsright.services.records.round_store import LOG_PROOF
from soundsright.services.rounds import recipe_sha256, steps

Line = Mapping[str, Any]


@dataclass(frozen=True)
class CheckedBundle:
    """The checked parts. `hidden` are the digests of clean and degraded signals that are still private."""

    files: int
    clips: int
    answers: int
    scores: int
    disclosed: int
    hidden: frozenset[str] = field(repr=False)
    signals: frozenset[str] = field(repr=False)


def check_bundle(bundle: RoundBundle) -> CheckedBundle:
    """Check everything but the signature, the chain and the audio.

    Raises:
        BundleRefused: something is wrong.
    """
    document = bundle.document
    _check_names(bundle)
    clips = _checked_clips(bundle)
    answers = _checked_answers(bundle, clips)
    scores = _checked_scores(bundle, clips, answers)
    _check_plan(bundle)
    _check_steps(bundle)
    _check_results(bundle)
    check_index(bundle)
    disclosed = _checked_disclosed(bundle, clips)
    return CheckedBundle(
        files=len(document.files),
        clips=sum(map(len, clips.values())),
        answers=sum(map(len, answers.values())),
        scores=scores,
        disclosed=len(disclosed),
        hidden=frozenset(_hidden(bundle, clips, disclosed)),
        signals=frozenset(_signals(clips, answers)),
    )


def check_audio(bundle: RoundBundle, checked: CheckedBundle) -> int:
    """Check that all audio that is not hidden is there and has its digest. Returns the number of signals.

    Raises:
        BundleRefused: a signal is missing, or has other content.
    """
    count = 0
    for digest in sorted(checked.signals):
        if digest in checked.hidden and not bundle.has_audio(digest):
            continue
        bundle.wav(digest)
        count += 1
    return count


def _check_names(bundle: RoundBundle) -> None:
    """Every file that the document names is there, and no other one but audio and what is checked against it."""
    named = bundle.document.files
    for name in named:
        if name not in bundle.store.sizes:
            raise BundleRefused(f"{name} is missing")
    sets = {c.id for c in bundle.document.competitions}
    for name in bundle.store.sizes:
        disclosed = name.startswith("disclosed/") and name[len("disclosed/") : -len(".jsonl")] in sets
        if name in named or name in ("round.json", COMMITTED, LOG_PROOF) or disclosed or name.startswith("audio/"):
            continue
        raise BundleRefused(f"{name} is not named in the round document")


def _checked_clips(bundle: RoundBundle) -> dict[str, dict[str, Line]]:
    """The lines of clips.jsonl by competition and clip."""
    by_set: dict[str, dict[str, Line]] = {c.id: {} for c in bundle.document.competitions}
    if len(by_set) != len(bundle.document.competitions):
        raise BundleRefused("round.json: a competition is there twice")
    for line in bundle.clips():
        own = by_set.get(line["competition"])
        if own is None:
            raise BundleRefused(f"clips.jsonl: the round has no competition {line['competition'][:60]}")
        if line["clip"] in own:
            raise BundleRefused(
                f"clips.jsonl: the clip {line['clip'][:60]} of {line['competition']} is there twice"
            )
        own[line["clip"]] = line
    for facts in bundle.document.competitions:
        lines = list(by_set[facts.id].values())
        if len(lines) != facts.clips:
            raise BundleRefused(f"{facts.id} has {len(lines)} clips, and the round document says {facts.clips}")
        _same(root_of(map(clip_leaf, lines)), facts.clips_root, f"the root of the clips of {facts.id}")
        _same(recipes_digest(lines), facts.recipes_digest, f"the digest of the recipes of {facts.id}")
        _check_manifest(facts, list(bundle.manifest(facts.id)), by_set[facts.id])
        expected = seed_of_round(bundle.document.round.seed_block_hash, facts.id)
        _same(facts.seed, expected, f"the seed of {facts.id}, which follows from the seed block,")
    return by_set


def _check_manifest(facts: SetFacts, lines: Sequence[Line], clips: Mapping[str, Line]) -> None:
    digests = {str(line.get("id")): str(line.get("digest")) for line in lines}
    if len(digests) != len(lines) or digests.keys() != clips.keys():
        raise BundleRefused(f"The manifest of {facts.id} has other clips than clips.jsonl")
    _same(digest_of_digests(digests), facts.set_digest, f"the digest of the set of {facts.id}")
    for line in lines:
        recipe = line.get("recipe_sha256") or recipe_sha256(recipe_of(line), "")
        _same(recipe, clips[line["id"]]["recipe"], f"the recipe of clip {line['id']} of {facts.id}")


def _checked_answers(bundle: RoundBundle, clips: Mapping[str, Mapping[str, Line]]) -> dict[str, dict[str, Line]]:
    """The lines of answers.jsonl by entry and clip."""
    entries = _entries(bundle.document)
    by_entry: dict[str, dict[str, Line]] = {name: {} for name in entries}
    for line in bundle.answers():
        entry = entries.get(line["entry"])
        if entry is None or entry.competition != line["competition"]:
            raise BundleRefused(f"answers.jsonl: {line['competition'][:60]} has no entry {line['entry'][:60]}")
        if line["clip"] not in clips[entry.competition] or line["clip"] in by_entry[entry.entry]:
            raise BundleRefused(
                f"answers.jsonl: {entry.entry} answers {line['clip'][:60]}, which is no clip, or twice"
            )
        by_entry[entry.entry][line["clip"]] = line
    for name, entry in entries.items():
        own = by_entry[name]
        if len(own) != entry.answers_count:
            raise BundleRefused(f"{name} has {len(own)} answers, and the round document says {entry.answers_count}")
        root = root_of(map(answer_leaf, own.values())) if own else None
        _same(root, entry.answers_root, f"the root of the answers of {name}")
    return by_entry


def _checked_scores(
    bundle: RoundBundle,
    clips: Mapping[str, Mapping[str, Line]],
    answers: Mapping[str, Mapping[str, Line]],
) -> int:
    """The number of lines of scores.jsonl."""
    by_owner: dict[tuple[str, str], list[Line]] = {}
    count = 0
    for count, row in enumerate(bundle.lines("scores.jsonl"), 1):
        owner = (str(row.get("competition")), str(row.get("entry")))
        if str(row.get("id")) not in clips.get(owner[0], {}):
            raise BundleRefused(
                f"scores.jsonl, line {count}: {owner[0][:60]} has no clip {str(row.get('id'))[:60]}"
            )
        by_owner.setdefault(owner, []).append(row)
    for entry in bundle.document.entries:
        lines = by_owner.pop((entry.competition, entry.hotkey), [])
        root = root_of(map(score_leaf, lines)) if lines else None
        _same(root, entry.scores_root, f"the root of the scores of {entry.entry}")
        given = answers[entry.entry]
        for line in lines:
            answer = given.get(line["id"])
            if answer is None or (answer.get("sha256") is None) != (line.get("scores") is None):
                raise BundleRefused(
                    f"scores.jsonl: the scores of {entry.entry} on {line['id']} do not fit its answer"
                )
    roots = {c.id: c.unprocessed_root for c in bundle.document.competitions if c.unprocessed_root is not None}
    for (competition, name), lines in by_owner.items():
        if roots.pop(competition, None) != root_of(map(score_leaf, lines)):
            raise BundleRefused(f"scores.jsonl: {competition} has no entry of {name[:60]}")
    if roots:
        raise BundleRefused(f"scores.jsonl: the scores of the unprocessed input of {min(roots)} are missing")
    return count


def _check_plan(bundle: RoundBundle) -> None:
    document, plan = bundle.document, bundle.plan
    begun, ruleset, registered = plan.get("plan"), plan.get("ruleset"), plan.get("registrations")
    if not isinstance(begun, dict) or not isinstance(ruleset, dict) or not isinstance(registered, dict):
        raise BundleRefused("plan.json has no plan, ruleset or registrations")
    _same(_sha256(canonical_json(begun)), document.plan, "the digest of the plan")
    _same(_sha256(canonical_json(ruleset)), document.ruleset.digest, "the digest of the ruleset")
    _same(ruleset.get("name"), document.ruleset.name, "the name of the ruleset in plan.json")
    blocks = {
        "id": document.round.id,
        "entries_close_block": document.round.entries_close_block,
        "seed_block": document.round.seed_block,
    }
    planned = begun.get("round")
    found = {name: planned.get(name) for name in blocks} if isinstance(planned, dict) else None
    _same(found, blocks, "the round in plan.json")
    _same(begun.get("ruleset_digest"), document.ruleset.digest, "the ruleset in plan.json")
    snapshot = _sha256(snapshot_facts(document.round.entries_close_block, registered)) if registered else None
    _same(snapshot, document.snapshot, "the digest of the registrations at the close")


def _check_steps(bundle: RoundBundle) -> None:
    try:
        _check_known_steps(bundle)
    except (AttributeError, KeyError, TypeError, ValueError):
        # Steps are the facts of a stranger, and their fields can have any type.
        raise BundleRefused("steps.jsonl: a step has a field of another type") from None


def _check_known_steps(bundle: RoundBundle) -> None:
    document = bundle.document
    try:
        done = steps.RoundSteps(document.round.id, bundle.steps())
        seed, entries, duplicates = done.get(steps.SEED), done.get(steps.ENTRIES), done.get(steps.DUPLICATES)
        weights = done.get(steps.WEIGHTS)
        recorded = {} if entries is None else {e.entry_id: e for e in entries.submissions}
        fetched = {name: done.get(steps.fetch(name)) for name in recorded}
        images = {name: done.get(steps.image(name)) for name in recorded}
        sets = {c.id: done.get(steps.set_of(c.id)) for c in document.competitions}
        decided = {name: done.get(steps.decide(name)) for name in document.shares}
    except UsageError as error:
        raise BundleRefused(f"steps.jsonl: {error.problem}") from error
    if seed is None or weights is None:
        raise BundleRefused("steps.jsonl: the step seed or weights is missing")
    _same((seed.block, seed.hash), (document.round.seed_block, document.round.seed_block_hash), "the seed block")
    _same(set(recorded), {e.entry for e in document.entries}, "the entries in steps.jsonl")
    for entry in document.entries:
        own, fetch = recorded[entry.entry], fetched[entry.entry]
        said = (entry.hotkey, entry.uid, entry.competition, entry.reference, entry.block)
        _same(
            (own.hotkey, own.uid, own.competition_id, str(own.source), own.block), said, f"the entry {entry.entry}"
        )
        _same(fetch.content_hash if fetch else None, entry.content_hash, f"the content of {entry.entry}")
        built = images[entry.entry]
        image = (built.content, built.repeatable) if built else (entry.image, None)
        _same(image, (entry.image, entry.image_reproducible), f"the image of {entry.entry}")
        sketch = duplicates.sketches.get(entry.entry) if duplicates else None
        _same(_sha256(sketch) if sketch else None, entry.tensors, f"the tensors of {entry.entry}")
    for facts in document.competitions:
        drawn = sets[facts.id]
        _same(
            (drawn.seed, drawn.digest) if drawn else None, (facts.seed, facts.set_digest), f"the set of {facts.id}"
        )
    for name, shares in document.shares.items():
        decision = decided[name]
        _same(dict(decision.shares) if decision else {}, shares, f"the shares of {name}")
    _same({str(uid): weight for uid, weight in weights.by_uid.items()}, document.weights, "the weights")


def _check_results(bundle: RoundBundle) -> None:
    document, results = bundle.document, bundle.results
    shown = {(c.id, d.metric): (d.winner, d.evidence) for c in results.competitions for d in c.decisions}
    said = {(d.competition, d.metric): (d.winner, d.evidence) for d in document.decisions}
    _same(shown, said, "the decisions in results.json")
    _same(results.weights, document.weights, "the weights in results.json")
    _same(results.versions, document.versions, "the versions in results.json")
    begun = document.round
    blocks = (results.round.id, results.round.entries_close_block, results.round.seed_block_hash)
    _same(blocks, (begun.id, begun.entries_close_block, begun.seed_block_hash), "the round in results.json")


def _checked_disclosed(bundle: RoundBundle, clips: Mapping[str, Mapping[str, Line]]) -> set[tuple[str, str]]:
    """The clips that were hidden in the record, and whose recipes were published after."""
    disclosed: set[tuple[str, str]] = set()
    for competition in clips:
        disclosed |= {(competition, clip) for clip in bundle.disclosed(competition)}
    return disclosed


def _hidden(
    bundle: RoundBundle, clips: Mapping[str, Mapping[str, Line]], disclosed: set[tuple[str, str]]
) -> Iterator[str]:
    for competition, own in clips.items():
        hidden = [line["id"] for line in bundle.manifest(competition) if "recipe_sha256" in line]
        for clip in hidden:
            if (competition, clip) not in disclosed:
                yield from (own[clip]["clean"], own[clip]["degraded"])
        if any((competition, clip) not in disclosed for clip in hidden):
            entries = {e.entry for e in bundle.document.entries if e.competition == competition}
            yield from (
                line["sha256"] for line in bundle.answers() if line["entry"] in entries and line.get("sha256")
            )


def _signals(clips: Mapping[str, Mapping[str, Line]], answers: Mapping[str, Mapping[str, Line]]) -> Iterator[str]:
    for own in clips.values():
        for line in own.values():
            yield from (line["clean"], line["degraded"])
    for lines in answers.values():
        yield from (line["sha256"] for line in lines.values() if line.get("sha256") is not None)


def _entries(document: RoundDocument) -> dict[str, EntryFacts]:
    entries = {entry.entry: entry for entry in document.entries}
    if len(entries) != len(document.entries):
        raise BundleRefused("round.json: an entry is there twice")
    unknown = [e.entry for e in document.entries if e.competition not in {c.id for c in document.competitions}]
    # A competition without a set has entries that were all refused.
    if any(entries[name].answers_count for name in unknown):
        raise BundleRefused(f"round.json: {unknown[0]} has answers in a competition without a set")
    return entries


def _same(found: object, expected: object, what: str) -> None:
    if found != expected:
        told = f"{shortened(found, 80)}, and the round document says {shortened(expected, 80)}"
        raise BundleRefused(f"{what[0].upper()}{what[1:]} is {told}")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
