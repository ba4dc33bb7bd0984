"""The numbers behind one metric's decision, by name, as `results.json` shows them.

Means are in the metric's unit, higher is better; blocks are counted.
"""

from __future__ import annotations

from soundsright.ranking.awards import Award, Contender, Title
from soundsright.ranking.contest import Contest, MetricContest, counted_with
from soundsright.ranking.failures import failure_lead, unseen_failures
from soundsright.ranking.leads import estimate
from soundsright.ranking.needed import mean_to_win

Evidence = dict[str, float | str | bool]


def decision_evidence(contest: Contest, subcontest: MetricContest, award: Award) -> Evidence:
    """The numbers behind the decision, by name."""
    ruleset, clips = contest.ruleset, len(contest.table.clip_ids)
    evidence: Evidence = {
        "ruleset": ruleset.name,
        "ruleset_digest": ruleset.digest,
        "clips": float(clips),
        "entries": float(len(subcontest.contenders)),
        "dethroned": award.dethroned,
        "emission_fraction": award.emission_fraction,
        "champion_took_part": subcontest.champion_row is not None,
    }
    unprocessed_mean = subcontest.means[-1] if contest.baseline is not None else None
    if unprocessed_mean is not None:
        evidence["unprocessed_mean"] = unprocessed_mean
    to_win = mean_to_win(
        ruleset,
        subcontest.metric,
        subcontest.contenders,
        subcontest.title,
        award,
        unprocessed_mean=unprocessed_mean,
        at_block=contest.at_block,
        unseen_failures=unseen_failures(ruleset.failures_unseen, clips),
    )
    if to_win is not None:
        evidence["mean_to_win"] = to_win
    if subcontest.title is not None:
        evidence |= _of_title(subcontest.title)
    if ruleset.alpha is not None and clips:
        evidence["test"] = contest.gain_test.name(clips)
        evidence |= _of_material(contest)
    # The winner's p-value. If nobody wins, the smallest of all.
    compared = [c for c in subcontest.contenders if c.hotkey == award.winner] or subcontest.contenders
    if p_values := [c.unprocessed_p_value for c in compared if c.unprocessed_p_value is not None]:
        evidence["p_value_unprocessed"] = min(p_values)
    rival = award.winning_entry if award.dethroned else award.challenger
    if ruleset.tests_count_able_only and subcontest.champion_row is not None:
        evidence["challengers_tested"] = float(_tested_with(subcontest, rival))
    if ruleset.serious_p is not None and subcontest.champion_row is not None:
        counted = counted_with(contest, subcontest, rival)
        evidence |= {
            "challengers_counted": float(len(counted.numbers)),
            "p_value_factor": counted.factor,
        }
    return evidence if rival is None else evidence | _of_rival(contest, subcontest, award, rival)


def _of_material(contest: Contest) -> Evidence:
    """The numbers of the groups at which the rules look."""
    if not contest.ruleset.tests_new_material:
        return {}
    evidence: Evidence = {"material": "new" if contest.lead_test.groups else "these clips: groups unknown"}
    for factor, labels in contest.lead_test.groups.items():
        evidence[f"{factor}_groups"] = float(len(set(labels)))
    if contest.scarce is not None:
        evidence["material"] = f"these clips: too few groups of {contest.scarce.factor}"
    return evidence


def _tested_with(subcontest: MetricContest, rival: Contender | None) -> int:
    """The number of tests for which the rival's p-value is adjusted. Suspected copies count only for each other."""
    tested = [contender for contender in subcontest.contenders if contender.p_value is not None]
    if rival is not None and rival.copy_of:
        return len(tested)
    return sum(not contender.copy_of for contender in tested)


def _of_title(title: Title) -> Evidence:
    return {
        "champion": title.hotkey,
        "champion_mean": title.mean,
        "champion_block": float(title.block),
        "champion_since_block": float(title.since_block),
        "champion_copies": float(title.copies),
    }


def _of_rival(contest: Contest, subcontest: MetricContest, award: Award, rival: Contender) -> Evidence:
    """The champion's rival: the winner that dethroned it, or the best challenger."""
    row = [contender.hotkey for contender in subcontest.contenders].index(rival.hotkey)
    evidence: Evidence = {"challenger": rival.hotkey, "challenger_mean": subcontest.means[row]}
    if rival.hotkey in award.needed:
        evidence["needed"] = award.needed[rival.hotkey]
    if subcontest.champion_row is not None:
        differences = (subcontest.scores[row] - subcontest.scores[subcontest.champion_row]).tolist()
        evidence |= _of_differences(contest, differences)
        if rival.p_value is not None:
            evidence["p_value_holm"] = rival.p_value
    if contest.ruleset.failures_unseen and subcontest.title is not None:
        evidence["failed_clips"] = float(contest.entries[row].failed)
        evidence["lead_for_failures"] = failure_lead(
            subcontest.title.floor, subcontest.title.mean, rival.unseen_failures
        )
    return evidence


def _of_differences(contest: Contest, differences: list[float]) -> Evidence:
    """The mean lead over the champion with its interval: for new material if the rules ask for it.

    On too few groups there is no such interval.
    """
    difference = estimate(differences, contest.lead_test.groups)
    evidence: Evidence = {"difference": difference.mean}
    if difference.effective_n is not None:
        evidence["effective_clips"] = difference.effective_n
    if difference.low is not None and difference.high is not None:
        evidence |= {"difference_low": difference.low, "difference_high": difference.high}
    return evidence
