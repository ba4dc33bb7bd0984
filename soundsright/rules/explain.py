"""Rules and leaderboards in words, for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from soundsright.core.competition import Competition
from soundsright.core.results import Leaderboard, Standing
from soundsright.core.rulesets import Age, Remainder, Ruleset
from soundsright.core.schedule import Schedule
from soundsright.rules.organiser import Organiser

BLOCK_S = 12
WIDTH = 96


def explained(ruleset: Ruleset) -> str:
    """Every rule as a sentence, under the name and the digest."""
    lines = [f"{ruleset.name}  {ruleset.digest}", ruleset.summary, ""]
    indent = " " * 6
    for title, sentence in _sentences(ruleset):
        lines += [f"  {title}", *textwrap.wrap(sentence, WIDTH, initial_indent=indent, subsequent_indent=indent)]
    return "\n".join(lines)


def _sentences(ruleset: Ruleset) -> list[tuple[str, str]]:
    margin = ruleset.margin
    falls = f"falling linearly to {margin.end:.2%} over {margin.over_blocks} blocks ({_days(margin.over_blocks)})"
    age = {
        Age.COMMITMENT: "between the champion's commitment and the challenger's",
        Age.TITLE: "since the champion took the title",
    }[ruleset.age]
    sentences = [("Margin", f"A challenger must exceed the champion by {margin.start:.2%}, {falls} {age}.")]
    if ruleset.additive_db is not None:
        db = ruleset.additive_db
        names = ", ".join(ruleset.additive_metrics)
        sentences.append(
            (
                "Margin in dB",
                f"For {names} it is {db.start:g} dB, falling to {db.end:g} dB: a ratio of dB means nothing.",
            )
        )
    if ruleset.copy_tightening:
        limit = f"at most {ruleset.copy_tightening_limit:g} times"
        sentences.append(
            (
                "Copies",
                f"Each copy of the champion widens the margin by {ruleset.copy_tightening:.0%} of itself, {limit}.",
            )
        )
    if ruleset.alpha is None:
        sentences.append(("Test", "None: the means decide, and only the best challenger is tried."))
    else:
        sentences.append(
            (
                "Test",
                "The challenger must also win a paired one-sided test over the clips, p at most"
                f" {ruleset.alpha:g} after Holm's correction over all challengers.",
            )
        )
    if ruleset.must_beat_unprocessed:
        how = f"in a paired test, p at most {ruleset.alpha:g}," if ruleset.alpha is not None else "on average"
        sentences.append(("Unprocessed input", f"Who does not beat it {how} is not paid for that metric."))
    for gate in ruleset.gates:
        sentences.append(
            (
                f"{gate.metric}",
                f"It rises without enhancement, so {gate.by} stands in where the unprocessed input must be beaten"
                + (f", and an entry needs {gate.fraction:.0%} of the best gain there." if gate.fraction else "."),
            )
        )
    parts = {Remainder.MEAN: "their means", Remainder.GAIN: "their gains over the unprocessed input"}
    cap = "" if ruleset.remainder_cap == 1 else f"; no entry takes more than {ruleset.remainder_cap:.0%} of it"
    sentences.append(("Remainder", f"Shared by the others in proportion to {parts[ruleset.remainder]}{cap}."))
    if ruleset.emission_floor < 1:
        hold, decay = ruleset.emission_hold_blocks, ruleset.emission_decay_blocks
        sentences.append(
            (
                "Emission floor",
                f"A title is paid in full for {hold} blocks ({_days(hold)}), then less and less over {decay} blocks"
                f" ({_days(decay)}), never below {ruleset.emission_floor:.0%}. What is not paid burns.",
            )
        )
    model = (
        "A champion that enters a new model still defends with it."
        if ruleset.champion_keeps_title_with_new_model
        else "A champion that enters a new model gives its title up and may win it again, at the title's age."
    )
    sentences.append(("Champion", model + " It defends with its mean on today's set."))
    if ruleset.absent_champion_is_paid:
        sentences.append(("No entry", "Where nobody entered, the champion is paid all the same."))
    return sentences


def competitions_text(competitions: Sequence[Competition], schedule: Schedule | None) -> str:
    """Rewards and schedule, one line each."""
    lines = ["Rewards, in percent of a round's emission"]
    for c in competitions:
        weights = ", ".join(f"{name} {weight:g}" for name, weight in c.metric_weights.items())
        lines.append(f"  {c.title:<24} {c.max_score:g} to the winner, {c.remainder:g} to the others   ({weights})")
    if schedule is not None:
        hours, minutes = divmod(schedule.time_of_day_s // 60, 60)
        every = "day" if schedule.every_days == 1 else f"{schedule.every_days} days"
        lines += [
            "",
            f"A round starts every {every} at {hours:02d}:{minutes:02d} UTC.",
            "Entries close with the last block before.",
            f"The seed is the hash of the block {schedule.seed_delay_blocks} later; results are final"
            f" {schedule.final_after_blocks} blocks after that.",
        ]
    return "\n".join(lines)


def entries_text(organiser: Organiser) -> str:
    """What an entry must keep to, one line each."""
    rules, limits = organiser.entry_rules, organiser.fetch_limits
    lines = [
        "Entries",
        f"  Committed as {organiser.commitment.value}; at most {limits.max_files} files, {limits.max_bytes} bytes.",
    ]
    if limits.allowed_files:
        lines.append(
            f"  Only files named {', '.join(limits.allowed_files)}, beside the Dockerfile and the licence."
        )
    if limits.refused_files:
        lines.append(f"  No files named {', '.join(limits.refused_files)}.")
    if rules.needs_licence:
        lines.append("  A licence file lies at the root.")
    if rules.cooldown_blocks:
        wait = f"{rules.cooldown_blocks} blocks ({_days(rules.cooldown_blocks)})"
        lines.append(f"  {wait} between two commitments of a hotkey.")
    if rules.max_commitments:
        window = f"{rules.commitment_window_blocks} blocks ({_days(rules.commitment_window_blocks)})"
        lines.append(f"  At most {rules.max_commitments} commitments of a hotkey in the {window} up to the close.")
    lines += [f"  {hotkey} is banned until block {block}." for hotkey, block in rules.banned_hotkeys.items()]
    lines += [f"  Content {digest} is banned." for digest in sorted(rules.banned_content)]
    if organiser.exclude_near_copies:
        lines.append("  Who answers as an earlier entry does is refused.")
    return "\n".join(lines)


def leaderboard_text(leaderboard: Leaderboard) -> str:
    """Standings and decisions of one competition."""
    competition = leaderboard.competition
    lines = [f"{competition.title}: {competition.max_score:g} + {competition.remainder:g} percent"]
    by_hotkey: dict[str, list[Standing]] = {}
    for standing in leaderboard.standings:
        by_hotkey.setdefault(standing.submission.hotkey, []).append(standing)
    header = "".join(f"{metric:>24}" for metric in competition.metric_weights)
    lines += ["", f"{'entry':<14}{header}{'share %':>10}"]
    for hotkey, own in by_hotkey.items():
        lines.append(_row(hotkey, own) + f"{sum(s.share for s in own):>10.3f}")
    if leaderboard.unprocessed:
        lines.append(_row("unprocessed", leaderboard.unprocessed) + f"{'-':>10}")
    for decision in leaderboard.decisions:
        lines += ["", f"{decision.metric}: {decision.sentence}"]
        lines += [f"    {name}: {_value(value)}" for name, value in _told(decision.evidence).items()]
    return "\n".join(lines)


def _row(name: str, standings: Sequence[Standing]) -> str:
    cells = (f"{s.estimate.mean:.4f} ± {(s.estimate.high - s.estimate.low) / 2:.4f}" for s in standings)
    return f"{name:<14}" + "".join(f"{cell:>24}" for cell in cells)


def _told(evidence: Mapping[str, float | str | bool]) -> dict[str, float | str | bool]:
    return {name: value for name, value in evidence.items() if not name.startswith("ruleset")}


def _value(value: float | str | bool) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _days(blocks: int) -> str:
    days = blocks * BLOCK_S / 86_400
    return "1 day" if days == 1 else f"{days:.3g} days"
