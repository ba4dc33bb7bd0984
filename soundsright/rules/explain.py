"""Rules and leaderboards in words, for a terminal. Shares and rewards are percent of a round's emission."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from soundsright.core.competition import Competition
from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.material import RECORDED_NOISE
from soundsright.core.results import Estimate, Leaderboard, Standing
from soundsright.core.rulesets import Age, Reference, Remainder, Ruleset
from soundsright.core.schedule import Schedule
from soundsright.core.stopping import EARLY_PART, HOPELESS_ALPHA, Stopping

BLOCK_S = 12
WIDTH = 96

Rule = tuple[str, str]
"""The title of a rule, and the sentences that explain it."""


def explained(ruleset: Ruleset) -> str:
    """Every rule of a ruleset in sentences, after its name and its digest."""
    lines = [f"{ruleset.name}  {ruleset.digest}", ruleset.summary, ""]
    indent = " " * 6
    for title, sentence in (*_rules_of_winning(ruleset), *_rules_of_payment(ruleset)):
        lines += [f"  {title}", *textwrap.wrap(sentence, WIDTH, initial_indent=indent, subsequent_indent=indent)]
    return "\n".join(lines)


def _rules_of_winning(ruleset: Ruleset) -> Iterator[Rule]:
    margin = ruleset.margin
    age = {
        Age.COMMITMENT: "The age is the number of blocks from the champion's commitment to the challenger's.",
        Age.TITLE: "The age is the number of blocks since the champion took the title.",
    }[ruleset.age]
    yield (
        "Margin",
        f"To win, a challenger must exceed the champion's mean by {margin.start:.2%}. The margin falls steadily"
        f" to {margin.end:.2%} at an age of {margin.over_blocks} blocks ({_days(margin.over_blocks)}). {age}",
    )
    if ruleset.additive_db is not None:
        db = ruleset.additive_db
        yield (
            "Margin in dB",
            f"For {', '.join(ruleset.additive_metrics)} the margin is {db.start:g} dB and falls to {db.end:g} dB,"
            " because a percentage of a value in dB has no meaning.",
        )
    if ruleset.copy_tightening:
        yield (
            "Copies",
            f"Each entry that copies the champion widens the margin by {ruleset.copy_tightening:.0%} of itself,"
            f" to at most {ruleset.copy_tightening_limit:g} times its size.",
        )
    if ruleset.alpha is None:
        yield ("Test", "There is no statistical test. The means decide, and only the best challenger can win.")
    else:
        yield from _rules_of_tests(ruleset, ruleset.alpha)
    model = (
        "A champion that enters a new model defends the title with it."
        if ruleset.champion_keeps_title_with_new_model
        else "A champion that enters a new model gives up the title. It can win it again, with the age unchanged."
    )
    yield ("Champion", f"The champion defends with its mean on today's clips. {model}")
    if ruleset.title_follows_model:
        yield (
            "Age of a title",
            "The age belongs to the model. Another hotkey with the champion's model (the same files or tensors, or"
            " nearly the same output) defends the title at its age. A title that nobody defends keeps its age too."
            " A model that was champion before returns with the age of its first title."
            " Only a better model makes it young.",
        )


def _rules_of_tests(ruleset: Ruleset, alpha: float) -> Iterator[Rule]:
    counted = ""
    if ruleset.tests_count_able_only:
        counted = " that beat the unprocessed input; suspected copies count only for each other"
    yield (
        "Test",
        "The challenger must also win a paired one-sided test over the clips, with p at most"
        f" {alpha:g} after Holm's correction for the number of challengers{counted}.",
    )
    if ruleset.tests_new_material:
        least = math.ceil(-math.log2(alpha))
        yield (
            "New material",
            "A test in which clips that share a noise, a prompt or a room count together is made too, here and"
            " against the unprocessed input. The larger p-value decides. If the clips form fewer than"
            f" {least} groups by one of these, no lead can be shown: the champion keeps the title, and gains over"
            " the unprocessed input are tested over the clips alone. If the groups are unknown, clips count as"
            " independent, and the evidence says so.",
        )
    if ruleset.corrects_small_sets:
        yield (
            "Small sets",
            "Up to 12 clips, the larger of two p-values decides: the exact sign-flip test's, and that of the t test"
            " with Hall's correction for skewness.",
        )
    if ruleset.serious_p is not None:
        yield (
            "Challengers that count",
            f"In Holm's correction, a challenger with p above {ruleset.hopeless_p:g} does not count. If more than"
            f" two are left, only those with p up to {ruleset.serious_p:g} count. Their p-values are divided by"
            " that limit. A challenger that is alone is not corrected.",
        )
    if more := ruleset.failures_unseen:
        count = "one more failed clip" if more == 1 else f"{more} more failed clips"
        distance = "the distance" if more == 1 else f"{more} times the distance"
        yield (
            "Rare failures",
            f"The lead must survive {count}: it must be at least {distance} from the champion's mean to the"
            " metric's floor, divided by the number of clips.",
        )


def _rules_of_payment(ruleset: Ruleset) -> Iterator[Rule]:
    if ruleset.must_beat_unprocessed:
        how = "on average" if ruleset.alpha is None else f"in a paired test with p at most {ruleset.alpha:g}"
        yield (
            "Unprocessed input",
            f"An entry is paid for a metric only if it beats the unprocessed input {how}.",
        )
    for stand_in in ruleset.gates:
        of = {
            Reference.BEST: "the best gain there",
            Reference.CHAMPION_OR_MEDIAN: "the champion's gain there, or without a champion of the median gain of"
            " the entries that beat the unprocessed input and copy nobody",
        }[ruleset.reference]
        least = f" An entry needs at least {stand_in.fraction:.0%} of {of}."
        yield (
            stand_in.metric,
            "This metric can rise without enhancement. So an entry must beat the unprocessed input on"
            f" {stand_in.by} instead.{least if stand_in.fraction else ''}",
        )
    for no_loss in ruleset.no_loss:
        least_clips = ""
        if no_loss.least_clips:
            least_clips = f" On fewer than {no_loss.least_clips} clips, only the champion is paid for it."
        yield (
            f"No loss for {no_loss.metric}",
            "An entry is paid for this metric only if it beats the unprocessed input on"
            f" {' and '.join(no_loss.on)}, and is worse than the champion on none of them, in a paired test with p"
            f" at most {no_loss.alpha:g}."
            f" Without a champion, the median of the honest entries takes its place.{least_clips}",
        )
    parts = {Remainder.MEAN: "their means", Remainder.GAIN: "their gains over the unprocessed input"}
    cap = ruleset.remainder_cap
    most = "" if cap == 1 else f" No entry gets more than {cap:.0%} of it."
    yield ("Remainder", f"The other entries share the remainder in proportion to {parts[ruleset.remainder]}.{most}")
    yield from _rules_of_suspicion(ruleset)
    if ruleset.emission_floor < 1:
        hold, decay = ruleset.emission_hold_blocks, ruleset.emission_decay_blocks
        yield (
            "Emission floor",
            f"A champion gets the full prize for {hold} blocks ({_days(hold)}). Then the prize falls over {decay}"
            f" blocks ({_days(decay)}) to {ruleset.emission_floor:.0%}. The rest burns.",
        )
    if ruleset.absent_champion_is_paid:
        yield ("No entry", "If nobody enters, the champion is still paid.")


def _rules_of_suspicion(ruleset: Ruleset) -> Iterator[Rule]:
    if ruleset.copies_share_once:
        yield (
            "Suspected copies",
            "An entry that is suspected to copy an earlier one has no share of the remainder beside it. The"
            " earliest keeps one share for all of them.",
        )
    if ruleset.memorised_alpha is not None:
        yield (
            "Memorised recordings",
            "An entry that gains more on recordings of earlier rounds than on new ones, compared with the other"
            f" entries, is not paid. The test needs p at most {ruleset.memorised_alpha:g} after Holm's correction.",
        )
    if ruleset.holds_impossible:
        yield (
            "Impossible scores",
            "An entry with scores that no enhancer reaches is not paid until the organiser releases it. The others"
            " are ranked as if it were absent.",
        )


def competitions_text(competitions: Sequence[Competition], schedule: Schedule | None) -> str:
    """The rewards of each competition, one line each, and the schedule."""
    lines = ["Rewards, in percent of a round's emission"]
    width = max(24, *(len(competition.title) for competition in competitions))
    for c in competitions:
        weights = ", ".join(f"{name} {weight:g}" for name, weight in c.metric_weights.items())
        lines.append(
            f"  {c.title:<{width}} {c.max_score:g} to the winner, {c.remainder:g} to the others   ({weights})"
        )
    if early := [c.title for c in competitions if c.stopping is Stopping.SEQUENTIAL]:
        lines += [
            "",
            f"Entries that can no longer win stop before the end of the set: {', '.join(early)}.",
            f"  A lead is ruled out at {HOPELESS_ALPHA:.0%}. Wins before the end use {EARLY_PART:.0%} of the test's"
            " level.",
        ]
    if schedule is not None:
        hours, minutes = divmod(schedule.time_of_day_s // 60, 60)
        every = "day" if schedule.every_days == 1 else f"{schedule.every_days} days"
        lines += [
            "",
            f"A round starts every {every} at {hours:02d}:{minutes:02d} UTC.",
            "Entries close with the last block before the start.",
            f"The hash of the block {schedule.seed_delay_blocks} blocks later is the seed of the clips."
            f" Results are final {schedule.final_after_blocks} blocks after that block.",
        ]
    return "\n".join(lines)


def entries_text(rules: CompetitionRules) -> str:
    """The rules for entries, one line each."""
    entry_rules, limits = rules.entry_rules, rules.fetch_limits
    lines = [
        "Entries",
        f"  Committed as {rules.commitment.value}; at most {limits.max_files} files, {limits.max_bytes} bytes.",
    ]
    if limits.allowed_files:
        lines.append(f"  Only files named {', '.join(limits.allowed_files)}, the Dockerfile and the licence.")
    if limits.refused_files:
        lines.append(f"  No files named {', '.join(limits.refused_files)}.")
    if entry_rules.unsalted:
        lines.append("  A commitment needs no salt.")
    if entry_rules.needs_licence:
        lines.append("  The root of the repository contains a licence file.")
    if entry_rules.cooldown_blocks:
        wait = f"{entry_rules.cooldown_blocks} blocks ({_days(entry_rules.cooldown_blocks)})"
        lines.append(f"  At least {wait} between two commitments of a hotkey.")
    if entry_rules.max_commitments:
        window = f"{entry_rules.commitment_window_blocks} blocks ({_days(entry_rules.commitment_window_blocks)})"
        lines.append(
            f"  At most {entry_rules.max_commitments} commitments of a hotkey in the {window} before entries close."
        )
    lines += [f"  {hotkey} is banned until block {block}." for hotkey, block in entry_rules.banned_hotkeys.items()]
    lines += [f"  Content {digest} is banned." for digest in sorted(entry_rules.banned_content)]
    lines += [f"  {name} is released: its scores are not held." for name in sorted(entry_rules.released)]
    lines += [f"  {name} is refused: it is not paid." for name in sorted(entry_rules.refused)]
    if rules.exclude_near_copies:
        lines.append("  An entry whose output is nearly the same as an earlier entry's is refused.")
    if rules.speech:
        lines.append(f"  The speech of every set: {_SPEECH[rules.speech]}.")
    if rules.noise == RECORDED_NOISE:
        lines.append("  The noise of every set: recordings.")
    return "\n".join(lines)


_SPEECH = {
    "recordings": "recordings",
    "espeak-ng": "new sentences in each round, spoken by espeak-ng",
    "flite": "new sentences in each round, spoken by flite",
    "openai": "new sentences in each round, spoken by OpenAI's service",
}


def leaderboard_text(leaderboard: Leaderboard) -> str:
    """The standings and decisions of one competition."""
    competition = leaderboard.competition
    lines = [f"{competition.title}: {competition.max_score:g} + {competition.remainder:g} percent"]
    by_hotkey: dict[str, list[Standing]] = {}
    for standing in leaderboard.standings:
        by_hotkey.setdefault(standing.submission.hotkey, []).append(standing)
    header = "".join(f"{metric:>24}" for metric in competition.metric_weights)
    lines += ["", f"{'entry':<14}{header}{'share %':>10}"]
    for hotkey, standings in by_hotkey.items():
        lines.append(_row(hotkey, standings) + f"{sum(s.share for s in standings):>10.3f}")
    if leaderboard.unprocessed:
        lines.append(_row("unprocessed", leaderboard.unprocessed) + f"{'-':>10}")
    for decision in leaderboard.decisions:
        lines += ["", f"{decision.metric}: {decision.sentence}"]
        lines += [f"    {name}: {_value(value)}" for name, value in _without_ruleset(decision.evidence).items()]
    return "\n".join(lines)


def _row(name: str, standings: Sequence[Standing]) -> str:
    return f"{name:<14}" + "".join(f"{_mean_and_interval(s.estimate):>24}" for s in standings)


def _mean_and_interval(estimate: Estimate) -> str:
    half = estimate.half_width
    return f"{estimate.mean:.4f} ± {'-' if half is None else f'{half:.4f}'}"


def _without_ruleset(evidence: Mapping[str, float | str | bool]) -> dict[str, float | str | bool]:
    """The evidence without the ruleset's name and digest, which the text shows once at its start."""
    return {name: value for name, value in evidence.items() if not name.startswith("ruleset")}


def _value(value: float | str | bool) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _days(blocks: int) -> str:
    days = blocks * BLOCK_S / 86_400
    return "1 day" if days == 1 else f"{days:.3g} days"
