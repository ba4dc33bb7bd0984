"""The rules of soundsright-v4: nobody is paid without being better."""

import dataclasses
from functools import partial

import numpy as np
from numpy.typing import NDArray

from soundsright.core.competition import Competition, Task
from soundsright.core.results import Apart, ApartReason, Evaluation, Leaderboard, PrizeReason
from soundsright.core.rulesets import SOUNDSRIGHT_V3, SOUNDSRIGHT_V4, Reference
from soundsright.ranking.champions import Champion, champions_after
from soundsright.ranking.examined import Examined, TitleModel
from tests.ranking import builders
from tests.ranking.builders import ONE_METRIC, entry, evaluation, spread

STUDIO = Competition(Task.DENOISING, 48_000, {"ESTOI": 0.4, "SI_SDR": 0.2, "SI_SIR": 0.2, "SI_SAR": 0.2}, 45.0, 5.0)
AGED = 201_600


board = partial(builders.board, ruleset=SOUNDSRIGHT_V4)


def studio(uid: int, *, estoi: float, si_sdr: float, si_sir: float, si_sar: float) -> Evaluation:
    def around(mean: float, seed: int, sd: float) -> NDArray[np.float64]:
        own = np.random.default_rng([uid, seed]).normal(0.0, 0.1 * sd, 40)
        return np.asarray(spread(mean, seed=seed, sd=sd) + own - own.mean())

    return evaluation(
        entry(uid, STUDIO),
        {
            "ESTOI": around(estoi, 1, 0.1),
            "SI_SDR": around(si_sdr, 2, 3.0),
            "SI_SIR": around(si_sir, 3, 3.0),
            "SI_SAR": around(si_sar, 4, 3.0),
        },
    )


NOISY = studio(900, estoi=0.6, si_sdr=5.0, si_sir=5.0, si_sar=60.0)
GOOD = studio(1, estoi=0.77, si_sdr=12.0, si_sir=28.3, si_sar=14.4)
SUBTRACTED = studio(2, estoi=0.73, si_sdr=11.0, si_sir=36.3, si_sar=13.0)
"""The champion's output minus a part of what it removed: SI-SIR rises, the speech suffers."""
AVERAGED = studio(3, estoi=0.72, si_sdr=9.8, si_sir=15.0, si_sar=21.1)
"""The mean of the champion's output and the input: SI-SAR rises, the speech suffers."""


def titles(uid: int, competition: Competition = STUDIO, *, since_block: int = 9_000) -> dict[str, Champion]:
    holder = Champion(entry(uid, competition), 2.0, since_block)
    return dict.fromkeys(competition.metric_weights, holder)


def winners(leaderboard: Leaderboard) -> dict[str, str | None]:
    return {d.metric: d.winner.hotkey if d.winner else None for d in leaderboard.decisions}


def shares(leaderboard: Leaderboard, metric: str | None = None) -> dict[int, float]:
    paid: dict[int, float] = {}
    for s in leaderboard.standings:
        if metric in (None, s.metric):
            paid[s.submission.uid] = paid.get(s.submission.uid, 0.0) + s.share
    return paid


def reason(leaderboard: Leaderboard, uid: int, metric: str) -> str:
    return next(s.reason for s in leaderboard.standings if (s.submission.uid, s.metric) == (uid, metric))


def pesq(uid: int, mean: float, *, block: int | None = None, name: str | None = None) -> Evaluation:
    return evaluation(entry(uid, block=block, name=name), {"PESQ_WB": spread(mean)})


class TestNoLoss:
    def test_v3_paid_an_entry_that_trades_speech_for_one_ratio(self) -> None:
        result = board([GOOD, SUBTRACTED, AVERAGED], titles(1), ruleset=SOUNDSRIGHT_V3, baseline=NOISY)
        assert winners(result)["SI_SIR"] == "hk002"
        assert winners(result)["SI_SAR"] == "hk003"

    def test_v4_pays_it_neither_the_prize_nor_a_share_of_the_remainder(self) -> None:
        result = board([GOOD, SUBTRACTED, AVERAGED], titles(1), baseline=NOISY)
        assert set(winners(result).values()) == {"hk001"}
        assert shares(result, "SI_SIR")[2] == shares(result, "SI_SAR")[3] == 0.0
        assert reason(result, 2, "SI_SIR").startswith("Is not paid: it loses 1.0000 of SI-SDR against the champion")
        assert "every other entry loses on another metric" in result.decisions[2].sentence

    def test_without_a_champion_the_median_of_the_honest_entries_is_the_reference(self) -> None:
        honest = [studio(uid, estoi=0.77, si_sdr=12.0, si_sir=28.0, si_sar=14.0) for uid in (1, 4, 5)]
        result = board([*honest, SUBTRACTED, AVERAGED], baseline=NOISY)
        assert {winners(result)["SI_SIR"], winners(result)["SI_SAR"]} <= {"hk001", "hk004", "hk005"}
        assert "against the median of the honest entries" in reason(result, 2, "SI_SIR")

    def test_an_entry_must_beat_the_unprocessed_input_on_each_protected_metric(self) -> None:
        worse = studio(2, estoi=0.59, si_sdr=12.5, si_sir=36.3, si_sar=13.0)
        result = board([worse], baseline=NOISY)
        assert winners(result)["SI_SIR"] is None
        assert "does not beat the unprocessed input on ESTOI" in reason(result, 2, "SI_SIR")

    def test_an_entry_that_loses_nothing_takes_the_title(self) -> None:
        better = studio(2, estoi=0.78, si_sdr=12.3, si_sir=36.3, si_sar=13.0)
        result = board([GOOD, better], titles(1), baseline=NOISY)
        assert winners(result)["SI_SIR"] == "hk002"

    def test_suspected_copies_do_not_move_the_median(self) -> None:
        honest = studio(1, estoi=0.77, si_sdr=12.0, si_sir=28.0, si_sar=14.0)
        other = studio(4, estoi=0.77, si_sdr=12.0, si_sir=28.2, si_sar=14.0)
        weak = [studio(uid, estoi=0.65, si_sdr=6.0, si_sir=40.0, si_sar=13.0) for uid in range(10, 16)]
        suspected = {e.submission.hotkey: ("hk010",) for e in weak[1:]}
        result = board([honest, other, *weak], baseline=NOISY, examined=Examined(suspected))
        assert winners(result)["SI_SIR"] in {"hk001", "hk004"}
        assert winners(board([honest, other, *weak], baseline=NOISY))["SI_SIR"] not in {"hk001", "hk004"}

    def test_a_metric_that_was_not_measured_shows_no_gain(self) -> None:
        competition = dataclasses.replace(STUDIO, metric_weights={"SI_SIR": 1.0}, name="ONLY_SI_SIR")
        rows = [
            evaluation(entry(uid, competition), {"SI_SIR": spread(mean)}) for uid, mean in ((900, 5.0), (1, 9.0))
        ]
        result = board(rows[1:], baseline=rows[0])
        assert winners(result) == {"SI_SIR": None}


class TestReferences:
    """Every gate rests on the champion or on the median, never on the best score of an unexamined entry."""

    def test_an_extreme_entry_does_not_close_the_gate_for_others(self) -> None:
        parrot = studio(7, estoi=0.99, si_sdr=73.0, si_sir=80.0, si_sar=74.0)
        runner_up = studio(4, estoi=0.77, si_sdr=12.0, si_sir=28.0, si_sar=14.0)
        before = board([GOOD, runner_up, parrot], titles(1), ruleset=SOUNDSRIGHT_V3, baseline=NOISY)
        assert shares(before, "SI_SAR")[1] == 0.0
        after = board([GOOD, runner_up, parrot], titles(1), baseline=NOISY)
        assert shares(after, "SI_SAR")[1] > 0
        assert shares(after, "SI_SAR")[4] > 0

    def test_the_reference_is_in_the_reason(self) -> None:
        idle = studio(4, estoi=0.61, si_sdr=5.6, si_sir=6.0, si_sar=50.0)
        result = board([GOOD, idle], titles(1), baseline=NOISY)
        assert "needs at least 50% of the gain of the champion, or of the median honest entry, there" in reason(
            result, 4, "SI_SAR"
        )


class TestTitleFollowsTheModel:
    def test_the_same_model_under_a_second_hotkey_keeps_the_age(self) -> None:
        """v3 paid it in full again."""
        old = titles(1, ONE_METRIC, since_block=0)
        copy = [pesq(2, 2.0)]
        paid_again = board(copy, old, ruleset=SOUNDSRIGHT_V3, at_block=AGED)
        assert shares(paid_again)[2] == 10.0
        same = Examined(title_models={"PESQ_WB": TitleModel(frozenset({"hk002"}))})
        kept = board(copy, old, at_block=AGED, examined=same)
        assert shares(kept)[2] == 5.0
        assert kept.decisions[0].champion_took_part
        after = champions_after(kept, old, at_block=AGED)["PESQ_WB"]
        assert (after.submission, after.since_block) == (entry(2), 0)

    def test_the_model_defends_the_title_under_its_second_hotkey(self) -> None:
        old = titles(1, ONE_METRIC)
        same = Examined(title_models={"PESQ_WB": TitleModel(frozenset({"hk002"}))})
        assert winners(board([pesq(2, 2.0), pesq(3, 2.002)], old, examined=same)) == {"PESQ_WB": "hk002"}
        assert winners(board([pesq(2, 2.0), pesq(3, 2.02)], old, examined=same)) == {"PESQ_WB": "hk003"}

    def test_a_disguised_copy_that_beats_its_original_keeps_the_age(self) -> None:
        old = titles(1, ONE_METRIC, since_block=0)
        alike = Examined(title_models={"PESQ_WB": TitleModel(frozenset({"hk001", "hk002"}))})
        taken = board([pesq(1, 2.0), pesq(2, 2.1)], old, at_block=AGED, examined=alike)
        assert taken.decisions[0].reason is PrizeReason.TAKEN
        assert shares(taken)[2] == 5.0

    def test_a_better_model_is_paid_in_full(self) -> None:
        old = titles(1, ONE_METRIC, since_block=0)
        taken = board([pesq(1, 2.0), pesq(2, 2.1)], old, at_block=AGED)
        assert shares(taken)[2] == 10.0
        assert champions_after(taken, old, at_block=AGED)["PESQ_WB"].since_block == AGED

    def test_a_title_that_nobody_defends_keeps_its_age(self) -> None:
        """A disguised copy cannot be compared with a model that is not there."""
        old = titles(1, ONE_METRIC, since_block=0)
        open_title = board([pesq(2, 2.0)], old, at_block=AGED)
        assert shares(open_title)[2] == 5.0
        assert "so the title keeps its age" in open_title.decisions[0].sentence
        assert champions_after(open_title, old, at_block=AGED)["PESQ_WB"].since_block == 0

    def test_the_title_of_a_champion_that_is_ranked_apart_begins_again(self) -> None:
        old = titles(1, ONE_METRIC, since_block=0)
        apart = Apart(entry(1), ApartReason.MEMORISED, "It memorised.")
        examined = Examined(title_models={"PESQ_WB": TitleModel(apart=True)}, apart=(apart,))
        result = board([pesq(1, 3.0), pesq(2, 2.0)], old, at_block=AGED, examined=examined)
        assert shares(result) == {2: 10.0}
        assert result.apart == (apart,)

    def test_a_model_that_was_champion_before_returns_with_the_age_of_its_first_title(self) -> None:
        """Two models of one owner that take the title by turns would stay young."""
        weaker = titles(1, ONE_METRIC, since_block=AGED - 100)
        before = Examined(title_models={"PESQ_WB": TitleModel(reigns={"hk002": 0})})
        returned = board([pesq(1, 2.0), pesq(2, 2.1)], weaker, at_block=AGED, examined=before)
        assert returned.decisions[0].reason is PrizeReason.TAKEN
        assert shares(returned)[2] == 5.0
        assert champions_after(returned, weaker, at_block=AGED)["PESQ_WB"].since_block == 0
        under_v3 = board(
            [pesq(1, 2.0), pesq(2, 2.1)], weaker, at_block=AGED, examined=before, ruleset=SOUNDSRIGHT_V3
        )
        assert shares(under_v3)[2] == 10.0

    def test_beating_an_entry_that_only_resembles_the_champion_does_not_make_a_title_young(self) -> None:
        """Such an entry can have the champion's tensors as a decoy, and be weak on purpose."""
        old = titles(1, ONE_METRIC, since_block=0)
        decoy = TitleModel(frozenset({"hk003"}))
        taken = board(
            [pesq(2, 2.1), pesq(3, 1.5)], old, at_block=AGED, examined=Examined(title_models={"PESQ_WB": decoy})
        )
        assert taken.decisions[0].reason is PrizeReason.TAKEN
        assert champions_after(taken, old, at_block=AGED)["PESQ_WB"].since_block == 0
        same_files = TitleModel(frozenset({"hk003"}), exact=frozenset({"hk003"}))
        examined = Examined(title_models={"PESQ_WB": same_files})
        beaten = board([pesq(2, 2.1), pesq(3, 1.5)], old, at_block=AGED, examined=examined)
        assert champions_after(beaten, old, at_block=AGED)["PESQ_WB"].since_block == AGED


class TestCopiesShareOnce:
    @staticmethod
    def crowd(copies: int) -> tuple[list[Evaluation], Examined]:
        honest = [pesq(1, 3.0), pesq(2, 2.2), pesq(3, 2.2), pesq(4, 2.2)]
        disguised = [pesq(uid, 2.2) for uid in range(10, 10 + copies)]
        suspected = {f"hk{uid:03d}": ("hk002", *(f"hk{n:03d}" for n in range(10, uid))) for uid in range(10, 30)}
        return [*honest, *disguised], Examined(suspected)

    def test_twenty_disguised_copies_are_worth_no_more_than_none(self) -> None:
        alone, _ = self.crowd(0)
        rows, examined = self.crowd(20)
        paid = shares(board(rows, examined=examined))
        expected = shares(board(alone))
        assert {uid: paid[uid] for uid in (1, 2, 3, 4)} == expected
        assert sum(paid[uid] for uid in range(10, 30)) == 0.0
        assert "suspected to copy hk002, which came first" in reason(board(rows, examined=examined), 12, "PESQ_WB")
        assert shares(board(rows, ruleset=SOUNDSRIGHT_V3))[3] < expected[3] / 5

    def test_if_the_original_earns_nothing_the_earliest_copy_keeps_the_share(self) -> None:
        rows = [pesq(1, 3.0), pesq(2, 1.0), pesq(10, 2.2), pesq(11, 2.2)]
        _, examined = self.crowd(2)
        paid = shares(board(rows, examined=examined))
        assert paid[10] > 0
        assert paid[11] == 0.0

    def test_a_suspected_copy_can_win_and_its_original_keeps_its_share(self) -> None:
        rows = [pesq(2, 2.0), pesq(3, 1.9), pesq(10, 2.5)]
        paid = shares(board(rows, examined=Examined({"hk010": ("hk002",)})))
        assert paid[10] == 10.0
        assert paid[2] == 2.0


class TestHolm:
    @staticmethod
    def contest(junk: int) -> tuple[list[Evaluation], dict[str, Champion]]:
        rng = np.random.default_rng(5)
        lead = spread(2.02) + (noise := rng.normal(0.0, 0.06, 40)) - noise.mean()
        rows = [pesq(1, 2.0), evaluation(entry(2), {"PESQ_WB": lead})]
        rows += [
            evaluation(entry(uid), {"PESQ_WB": spread(1.1) + rng.normal(0.0, 0.01, 40)})
            for uid in range(10, 10 + junk)
        ]
        return rows, titles(1, ONE_METRIC)

    def test_junk_entries_do_not_raise_the_lead_that_a_challenger_needs(self) -> None:
        few, crowded = board(*self.contest(0)), board(*self.contest(200))
        needed = [next(s.needed for s in b.standings if s.submission.uid == 1) for b in (few, crowded)]
        assert winners(few) == winners(crowded) == {"PESQ_WB": "hk002"}
        assert needed[0] == needed[1]
        assert winners(board(*self.contest(200), ruleset=SOUNDSRIGHT_V3)) == {"PESQ_WB": "hk001"}

    def test_suspected_copies_do_not_raise_the_lead_that_a_challenger_needs(self) -> None:
        """Many near copies of any enhancer beat the unprocessed input, and would each count."""
        rows, champions = self.contest(0)
        copies = [pesq(uid, 1.5) for uid in range(20, 60)]
        suspected = Examined({f"hk{uid:03d}": ("hk020",) for uid in range(21, 60)})
        crowded = board([*rows, *copies], champions, examined=suspected)
        assert winners(crowded) == {"PESQ_WB": "hk002"}
        assert winners(board([*rows, *copies], champions)) == {"PESQ_WB": "hk001"}
        one = board([*rows, copies[0]], champions)
        needed = [next(s.needed for s in b.standings if s.submission.uid == 20) for b in (one, crowded)]
        assert needed[0] == needed[1]

    def test_many_suspected_copies_have_no_more_chances_together_than_one(self) -> None:
        rows, champions = self.contest(0)
        copies = [pesq(uid, 1.5) for uid in range(20, 60)]
        suspected = Examined({f"hk{uid:03d}": ("hk001",) for uid in (2, *range(20, 60))})
        crowded = board([*rows, *copies], champions, examined=suspected)
        assert winners(crowded) == {"PESQ_WB": "hk001"}
        needed = next(s.needed for s in crowded.standings if s.submission.uid == 2)
        assert needed is not None
        for slack, wins in ((1e-6, True), (-1e-6, False)):
            lift = needed - 2.02 + slack
            lifted = np.array([c.scores["PESQ_WB"] + lift for c in rows[1].clips if c.scores])
            lifted_rows = [rows[0], evaluation(entry(2), {"PESQ_WB": lifted}), *copies]
            decided = board(lifted_rows, champions, examined=suspected)
            assert (winners(decided)["PESQ_WB"] == "hk002") is wins

    def test_a_junk_entry_learns_the_mean_that_it_needs_as_one_more_challenger(self) -> None:
        rows, champions = self.contest(3)
        result = board(rows, champions)
        standing = next(s for s in result.standings if s.submission.uid == 11)
        assert standing.needed is not None
        for slack, wins in ((1e-6, True), (-1e-6, False)):
            lift = standing.needed - standing.estimate.mean + slack
            lifted = [
                evaluation(
                    entry(11), {"PESQ_WB": np.array([c.scores["PESQ_WB"] + lift for c in e.clips if c.scores])}
                )
                if e.submission.uid == 11
                else e
                for e in rows
            ]
            assert (winners(board(lifted, champions))["PESQ_WB"] == "hk011") is wins


def test_an_entry_that_is_ranked_apart_changes_nothing_for_the_others() -> None:
    rows = [GOOD, studio(4, estoi=0.77, si_sdr=12.0, si_sir=28.0, si_sar=14.0)]
    parrot = studio(7, estoi=0.99, si_sdr=73.0, si_sir=80.0, si_sar=74.0)
    apart = Examined(apart=(Apart(parrot.submission, ApartReason.HELD, "Held."),))
    with_it = board([*rows, parrot], titles(1), baseline=NOISY, examined=apart)
    assert with_it.standings == board(rows, titles(1), baseline=NOISY).standings


def test_fields_that_came_with_v4_change_the_digest_only_where_they_are_used() -> None:
    assert dataclasses.replace(SOUNDSRIGHT_V3, reference=Reference.BEST).digest == SOUNDSRIGHT_V3.digest
    assert "no_loss" not in SOUNDSRIGHT_V3.canonical_json
    changes = [
        {"reference": Reference.CHAMPION_OR_MEDIAN},
        {"no_loss": SOUNDSRIGHT_V4.no_loss},
        {"title_follows_model": True},
        {"copies_share_once": True},
        {"tests_count_able_only": True},
        {"memorised_alpha": 0.001},
        {"holds_impossible": True},
    ]
    digests = {dataclasses.replace(SOUNDSRIGHT_V3, **change).digest for change in changes}  # type: ignore[arg-type]
    assert len(digests | {SOUNDSRIGHT_V3.digest}) == len(changes) + 1
