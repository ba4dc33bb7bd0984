"""From evaluations to weights: copies by behaviour, signs of tuning, prizes, and what is set on the chain."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict, replace
from typing import Any

from soundsright.copies import DuplicateRule, Unique, without_duplicates
from soundsright.core.competition import Competition
from soundsright.core.errors import InfrastructureFault, ModelFault
from soundsright.core.results import Evaluation, Leaderboard, Refusal, Weights
from soundsright.metrics import ClipEvidence
from soundsright.ranking import Champion, Flag, champions_after, decide, flags, shipped_honest_systems, weights_of
from soundsright.services.rounds.answers import start_evidence
from soundsright.services.rounds.chain_weights import set_weights
from soundsright.services.rounds.context import RoundContext
from soundsright.services.rounds.evaluate import Evaluated
from soundsright.services.rounds.fingerprints import near_copy_pairs
from soundsright.services.rounds.jobs import result_on
from soundsright.services.rounds.types import Event, likenesses, scores_of


def without_near_copies(context: RoundContext, unique: Unique, found: Evaluated) -> tuple[Unique, Evaluated]:
    """Entries that answer as an earlier one does: reported, or refused where the organiser asks for that."""

    def compute() -> dict[str, Any]:
        pairs: list[dict[str, Any]] = []
        for competition in context.plan.competitions:
            evaluations = found.evaluations[competition.id]
            pairs += map(asdict, near_copy_pairs(found.sets[competition.id], context.enhanced, evaluations))
        return {"near_copies": pairs}

    with context.busy.measured("decide"):
        pairs = context.step("near_copies", compute)["near_copies"]
    reported_only = () if context.plan.exclude_near_copies else (DuplicateRule.NEAR_COPY,)
    evaluated = {e.submission.entry_id for entries in found.evaluations.values() for e in entries}
    models = [model for model in unique.kept if model.submission.entry_id in evaluated]
    checked = without_duplicates(models, likenesses=likenesses(pairs), reported_only=reported_only)
    kept = {model.submission.entry_id for model in checked.kept}
    return (
        Unique(checked.kept, (*unique.duplicates, *checked.duplicates), checked.suspected),
        replace(
            found,
            evaluations={
                k: tuple(e for e in v if e.submission.entry_id in kept) for k, v in found.evaluations.items()
            },
        ),
    )


def signs_of_tuning(context: RoundContext, found: Evaluated) -> dict[str, tuple[Flag, ...]]:
    """Signs that an entry was tuned to a measure, by entry id: shown, and of no influence on its rank."""

    def compute() -> dict[str, Any]:
        jobs = [
            (e, *start_evidence(found.sets[c], e, context.enhanced / e.submission.entry_id, context.pool))
            for c, entries in found.evaluations.items()
            for e in entries
        ]
        recorded: dict[str, Any] = {}
        for evaluation, answered, futures in jobs:
            if not answered:
                continue
            competition = evaluation.submission.competition
            noisy_row = found.unprocessed[competition.id]
            own, noisy = (scores_of(e, answered) for e in (evaluation, noisy_row))
            signs = flags(own, noisy, _seen(futures), honest=shipped_honest_systems(competition.task))
            if signs:
                recorded[evaluation.submission.entry_id] = [asdict(sign) for sign in signs]
        return recorded

    with context.busy.measured("decide"):
        recorded = context.step("flags", compute)
    return {entry: tuple(Flag(**sign) for sign in signs) for entry, signs in recorded.items()}


def decide_all(
    context: RoundContext, found: Evaluated, unique: Unique, refusals: Sequence[Refusal]
) -> tuple[Leaderboard, ...]:
    """Every competition's leaderboard, with the titles that follow from it recorded.

    Raises:
        InfrastructureFault: it was decided otherwise before.
    """
    context.observe(Event("decide"))
    with context.busy.measured("decide"):
        return tuple(_decided(context, c, found, unique, refusals) for c in context.plan.competitions)


def _decided(
    context: RoundContext, competition: Competition, found: Evaluated, unique: Unique, refusals: Sequence[Refusal]
) -> Leaderboard:
    plan = context.plan
    entries = found.evaluations[competition.id]
    champions = _champions(context, competition, entries)
    board = decide(
        competition,
        context.round_id,
        entries,
        champions,
        plan.ruleset,
        found.unprocessed[competition.id],
        floors=plan.floors,
        at_block=plan.round.seed_block,
        copies={e.submission.hotkey: unique.copies_of(e.submission) for e in entries},
        refusals=[r for r in refusals if r.competition_id in (competition.id, None)],
    )
    after = champions_after(board, champions, at_block=plan.round.seed_block)
    shares: dict[str, float] = {}
    for standing in board.standings:
        hotkey = standing.submission.hotkey
        shares[hotkey] = shares.get(hotkey, 0.0) + standing.share
    facts = {
        "champions": {metric: champion.facts() for metric, champion in after.items()},
        "shares": shares,
        "decisions": {d.metric: d.sentence for d in board.decisions},
    }
    recorded = context.step(f"decide:{competition.id}", lambda: facts)
    if recorded["shares"] != shares:
        raise InfrastructureFault(
            f"{competition.id} was decided otherwise before", "The program has changed: start a new round."
        )
    return board


def _champions(
    context: RoundContext, competition: Competition, entries: Sequence[Evaluation]
) -> dict[str, Champion]:
    """Who holds each metric's title: from the round before, else the incumbents."""
    plan = context.plan
    found = context.chain.snapshot(plan.round.entries_close_block)
    uids = {neuron.hotkey: neuron.uid for neuron in found.neurons}
    rounds = context.state.rounds()
    before = rounds[: rounds.index(context.round_id)]
    for round_id in reversed(before):
        facts = context.state.step_done(round_id, f"decide:{competition.id}")
        if facts is not None:
            champions = {m: Champion.from_facts(f, competition) for m, f in facts["champions"].items()}
            # A hotkey may have come back under another uid: the present one is paid.
            return {
                m: replace(c, submission=replace(c.submission, uid=uids[c.submission.hotkey]))
                for m, c in champions.items()
                if c.submission.hotkey in uids
            }
    hotkey = plan.incumbents.get(competition.id)
    incumbent = next((e.submission for e in entries if e.submission.hotkey == hotkey), None)
    if incumbent is None:
        return {}
    return {m: Champion(incumbent, plan.floors[m], incumbent.block) for m in competition.metric_weights}


def pay(context: RoundContext, boards: Sequence[Leaderboard]) -> tuple[Weights, int | None]:
    """The weights that follow from the leaderboards, and the block in which they were set.

    Raises:
        InfrastructureFault: the chain refused them, or does not say whether it took them.
    """
    context.observe(Event("weights"))
    weights = weights_of(boards, burn_uid=context.plan.burn_uid)

    def compute() -> dict[str, Any]:
        by_uid = {str(uid): weight for uid, weight in weights.by_uid.items()}
        if not weights.by_uid:
            return {"by_uid": by_uid, "block": None}
        hotkeys = {neuron.uid: neuron.hotkey for neuron in context.chain.snapshot().neurons}
        by_hotkey = {hotkeys[uid]: weight for uid, weight in weights.by_uid.items()}
        result = set_weights(context.chain, context.validator, by_hotkey, pause=context.pause)
        if not result.ok:
            raise InfrastructureFault(
                f"The chain refused the weights: {result.message or result.code}",
                "See that the validator is registered and has a permit.",
            )
        return {"by_uid": by_uid, "block": result.block}

    return weights, context.step("weights", compute)["block"]


def _seen(futures: Sequence[Future[ClipEvidence]]) -> list[ClipEvidence]:
    """The evidence that could be taken; a clip that no job can look at leaves none."""
    found = []
    for future in futures:
        try:
            found.append(result_on(future))
        except ModelFault:
            continue
    return found
