"""Validators with the same commitments agree on a federation's tasks, or know that they cannot decide yet."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundsright.core.federation import View, allowlist_digest
from soundsright.core.federation_rules import FederationRules
from soundsright.ranking import (
    CanonicalVerdict,
    Settled,
    Undecided,
    UndecidedReason,
    Unusable,
    failover_order,
    majority,
    settle,
)

RULES = FederationRules(window_tasks=3, settle_margin=1, competitions=("DENOISING_16000HZ",))
COMPETITION = RULES.competitions[0]
DIGEST = RULES.digest
EPOCH = 1_800
A, B, PROOF = "a" * 64, "b" * 64, "e" * 64
FIVE = ("va", "vb", "vc", "vd", "ve")
Listed = Mapping[int, Mapping[str, str]]
Views = dict[str, View | Unusable | None]


def view(
    hotkey: str, verdicts: Listed, *, evidence: Listed | None = None, winner: str = "", of: tuple[str, ...] = FIVE
) -> View:
    winners = {COMPETITION: winner} if winner else {}
    allowlist = allowlist_digest(of, RULES.interval_blocks)
    return View(EPOCH, hotkey, allowlist, DIGEST, verdicts, evidence or {}, winners)


def settled(views: Mapping[str, View | Unusable | None], rules: FederationRules = RULES) -> Settled:
    result = settle(rules, DIGEST, FIVE, EPOCH, views)
    assert isinstance(result, Settled)
    return result


def undecided(views: Mapping[str, View | Unusable | None]) -> Undecided:
    result = settle(RULES, DIGEST, FIVE, EPOCH, views)
    assert isinstance(result, Undecided)
    return result


def same_views(verdicts: Listed, *, readers: tuple[str, ...] = FIVE, winner: str = "") -> Views:
    return {hotkey: view(hotkey, verdicts, winner=winner) for hotkey in readers}


def test_verdicts_that_a_majority_has_read_are_settled() -> None:
    verdicts = {task: {FIVE[task % 5]: A} for task in range(10, 16)}
    result = settled(same_views(verdicts, winner="miner"))
    assert list(result.window) == [12, 13, 14]
    assert result.window[12] == CanonicalVerdict("vc", A)
    assert result.digests == (A, A, A)
    assert result.incumbents == {COMPETITION: "miner"}
    few = same_views(verdicts, readers=FIVE[:2]) | same_views({}, readers=FIVE[2:])
    assert settled(few).window == {}


def test_the_earliest_of_the_settled_verdicts_counts() -> None:
    first, second = (FIVE[number] for number in failover_order(12, 5)[:2])
    both = {12: {first: A, second: B}, 13: {first: A}}
    assert settled(same_views(both)).window == {12: CanonicalVerdict(first, A)}
    split = same_views({12: {second: B}, 13: {first: A}}, readers=FIVE[:3]) | same_views(both, readers=FIVE[3:])
    assert settled(split).window == {12: CanonicalVerdict(second, B)}


def test_a_view_of_other_rules_epochs_or_validators_counts_for_nothing() -> None:
    good = same_views({12: {"va": A}, 13: {"va": A}})
    for other in (
        {"rules": "0" * 64},
        {"allowlist": "0" * 64},
        {"epoch_block": EPOCH + 180},
        {"validator": "vx"},
    ):
        bad = {hotkey: replace(each, **other) for hotkey, each in good.items() if isinstance(each, View)}
        assert settled(good | {key: bad[key] for key in FIVE[:2]}).window == settled(good).window
        assert undecided(good | {key: bad[key] for key in FIVE[:3]}) == Undecided(
            EPOCH, UndecidedReason.FEW_VIEWS, 3, 2, ()
        )


def test_views_of_strangers_count_for_nothing() -> None:
    strangers = {f"x{number}": view(f"x{number}", {12: {"va": A}, 13: {"va": A}}) for number in range(9)}
    assert settled(same_views({}) | strangers).window == {}


def test_nobody_decides_without_a_majority_of_views() -> None:
    two: Views = {**same_views({}, readers=FIVE[:2])}
    assert undecided(two) == Undecided(EPOCH, UndecidedReason.FEW_VIEWS, 3, 2, ())
    unread: Views = {**two, "vc": Unusable.MISSING}
    assert undecided(unread) == Undecided(EPOCH, UndecidedReason.UNREAD_VIEWS, 3, 2, ("vc",))
    assert undecided({**two, "vc": Unusable.MALFORMED}).reason is UndecidedReason.FEW_VIEWS


def test_a_view_that_nobody_can_read_stops_nobody() -> None:
    verdicts = {task: {FIVE[task % 5]: A} for task in range(10, 16)}
    views = same_views(verdicts, readers=FIVE[:4], winner="miner")
    hidden: Views = {**views, "ve": Unusable.MISSING}
    assert settled(hidden) == settled({**views, "ve": view("ve", {12: {"vc": B}}, evidence={13: {"vd": PROOF}})})


def test_a_view_that_could_decide_is_waited_for() -> None:
    verdicts = {12: {"vc": A}, 13: {"vd": A}}
    views = {**same_views(verdicts, readers=FIVE[:2]), **same_views({}, readers=FIVE[2:4])}
    assert undecided({**views, "ve": Unusable.MISSING}).unread == ("ve",)
    assert settled({**views, "ve": view("ve", verdicts)}).window == {12: CanonicalVerdict("vc", A)}
    assert settled({**views, "ve": None}).window == {}


def test_a_task_stays_open_after_a_newer_one_that_may_or_may_not_be_produced() -> None:
    """Whether task 15 is produced decides which task is the newest of the window, and task 14 changes nothing."""
    sure = {task: {FIVE[task % 5]: A} for task in range(11, 15)}
    rules = replace(RULES, settle_margin=2)
    digest = rules.digest
    views = {
        hotkey: replace(each, rules=digest)
        for hotkey, each in (
            {**same_views(sure | {15: {"va": A}}, readers=FIVE[:2]), **same_views(sure, readers=FIVE[2:4])}
        ).items()
        if isinstance(each, View)
    }
    result = settle(rules, digest, FIVE, EPOCH, {**views, "ve": Unusable.MISSING})
    assert isinstance(result, Undecided)
    assert result.reason is UndecidedReason.UNREAD_VIEWS
    for fifth, expected in ((sure | {15: {"va": A}}, [11, 12, 13]), (sure, [11, 12])):
        last = replace(view("ve", fifth), rules=digest)
        result = settle(rules, digest, FIVE, EPOCH, {**views, "ve": last})
        assert isinstance(result, Settled)
        assert list(result.window) == expected


def test_a_proof_of_equivocation_counts_once_a_majority_has_it() -> None:
    verdicts = {task: {FIVE[task % 5]: A} for task in range(10, 16)}
    proven: Views = {
        **{
            hotkey: view(hotkey, verdicts, evidence={13: {"vd": c * 64}})
            for hotkey, c in zip(FIVE, "012", strict=False)
        },
        **same_views(verdicts, readers=FIVE[3:]),
    }
    result = settled(proven)
    assert result.window == {**settled(same_views(verdicts)).window, 13: CanonicalVerdict("vd", None)}
    assert result.digests == (A, A)
    assert settled({**proven, "va": view("va", verdicts)}).window == settled(same_views(verdicts)).window


def test_an_incumbent_needs_a_majority_of_the_committed_views() -> None:
    three: Views = {**same_views({}, readers=FIVE[:2], winner="miner"), **same_views({}, readers=("vc",))}
    assert settled(three).incumbents == {COMPETITION: "miner"}
    assert settled({**three, "vd": view("vd", {})}).incumbents == {}
    assert settled({**three, "vd": Unusable.MALFORMED}).incumbents == {}
    assert undecided({**three, "vd": Unusable.MISSING}).reason is UndecidedReason.UNREAD_VIEWS


@pytest.mark.parametrize("allowlist", [(), ("va", "va")])
def test_an_impossible_allowlist_is_refused(allowlist: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="each once"):
        settle(RULES, DIGEST, allowlist, EPOCH, {})


# Small federations in which everything that an unread view could say can be tried.
THREE = FIVE[:3]
PAIRS = ((16, "vb"), (16, "vc"), (17, "vc"))
_digests = st.sampled_from((A, A, B, None))


def _view_of(hotkey: str, listed: tuple[str | None, ...], proofs: tuple[bool, ...], winner: str) -> View:
    verdicts: dict[int, dict[str, str]] = {}
    evidence: dict[int, dict[str, str]] = {}
    for (task, producer), digest, proven in zip(PAIRS, listed, proofs, strict=True):
        if digest is not None:
            verdicts.setdefault(task, {})[producer] = digest
        if proven:
            evidence.setdefault(task, {})[producer] = PROOF
    return view(hotkey, verdicts, evidence=evidence, winner=winner, of=THREE)


def _contents(hotkey: str) -> Iterator[View | Unusable]:
    """Everything that a committed view could be, as far as it can matter."""
    yield Unusable.MALFORMED
    for listed in itertools.product((None, A, B, "f" * 64), repeat=len(PAIRS)):
        for proofs in itertools.product((False, True), repeat=len(PAIRS)):
            for winner in ("", "m1", "m2"):
                yield _view_of(hotkey, listed, proofs, winner)


CONTENTS = {hotkey: tuple(_contents(hotkey)) for hotkey in THREE}


@st.composite
def _known(draw: st.DrawFn, hotkeys: tuple[str, ...]) -> Views:
    """Views that mostly agree, so that single differences decide."""
    common = [draw(_digests) for _ in PAIRS]
    proven = [draw(st.integers(0, 3)) == 3 for _ in PAIRS]
    winner = draw(st.sampled_from(("", "m1")))
    differs = st.integers(0, 3).map(lambda number: number == 3)
    return {
        hotkey: _view_of(
            hotkey,
            tuple(draw(_digests) if draw(differs) else digest for digest in common),
            tuple(proof ^ draw(differs) for proof in proven),
            draw(st.sampled_from(("", "m1", "m2"))) if draw(differs) else winner,
        )
        for hotkey in hotkeys
    }


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(THREE), st.integers(0, 2), st.integers(1, 2))
def test_an_unread_view_stops_a_decision_exactly_if_its_content_could_change_it(
    data: st.DataObject, unread: str, margin: int, length: int
) -> None:
    rules = replace(RULES, settle_margin=margin, window_tasks=length)
    known = data.draw(_known(tuple(hotkey for hotkey in THREE if hotkey != unread)))
    results = {
        repr(settle(rules, DIGEST, THREE, EPOCH, {**known, unread: content})) for content in CONTENTS[unread]
    }
    here = settle(rules, DIGEST, THREE, EPOCH, {**known, unread: Unusable.MISSING})
    if isinstance(here, Settled):
        assert results == {repr(here)}
    else:
        assert here.reason is UndecidedReason.UNREAD_VIEWS
        assert len(results) > 1


@settings(max_examples=60, deadline=None)
@given(st.data(), st.permutations(FIVE))
def test_the_order_of_validators_and_views_does_not_matter(data: st.DataObject, order: list[str]) -> None:
    drawn = data.draw(_known(FIVE))
    views: Views = {
        hotkey: replace(each, allowlist=view("va", {}).allowlist)
        for hotkey, each in drawn.items()
        if isinstance(each, View)
    }
    shuffled = {hotkey: views[hotkey] for hotkey in order}
    assert settle(RULES, DIGEST, FIVE, EPOCH, views) == settle(RULES, DIGEST, order, EPOCH, shuffled)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.integers(0, 18), st.sets(st.sampled_from(FIVE), min_size=1), min_size=1),
    st.sampled_from(FIVE),
    st.sets(st.integers(0, 18)),
    st.integers(0, 5),
)
def test_proofs_against_one_validator_change_no_task_of_another(
    produced: Mapping[int, set[str]], liar: str, tasks: set[int], observers: int
) -> None:
    verdicts = {task: dict.fromkeys(hotkeys, A) for task, hotkeys in produced.items()}
    evidence = {task: {liar: PROOF} for task in tasks}
    honest = settled(same_views(verdicts)).window
    accused = settled(
        {
            hotkey: view(hotkey, verdicts, evidence=evidence if number < observers else {})
            for number, hotkey in enumerate(FIVE)
        }
    ).window
    assert list(accused) == list(honest)
    for task, canonical in honest.items():
        void = canonical.validator == liar and task in tasks and observers >= majority(len(FIVE))
        assert accused[task] == (CanonicalVerdict(liar, None) if void else canonical)


def test_a_task_keeps_the_order_of_turns_that_its_own_list_gave() -> None:
    """Also a validator that is no longer on the list keeps its turn."""
    first, second = (FIVE[number] for number in failover_order(12, 5)[:2])
    views = same_views({12: {first: A, second: B, "gone": PROOF}, 13: {"va": A}})
    for order in ((second, first), ("gone", first, second), (first, second)):
        result = settle(RULES, DIGEST, FIVE, EPOCH, views, {12: order})
        assert isinstance(result, Settled)
        assert result.window[12].validator == order[0]
