"""The rules of entry."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

import soundsright
from soundsright.copies.duplicates import DuplicateRule
from soundsright.core.competition import PUBLISHED
from soundsright.core.entry_rules import REFUSAL_REASONS, EntryRules
from soundsright.core.errors import EntryRefused
from soundsright.core.ports import Neuron
from soundsright.core.sources import ModelRef
from soundsright.core.submission import (
    Commitment,
    FetchedModel,
    Reveal,
    Submission,
    commitment_text,
)
from soundsright.services.rounds.screening import (
    Screened,
    check_fetched,
    checked_dockerfile,
    screened,
)
from soundsright.testing import salted_reveal

RULES = Path(__file__).resolve().parents[3] / "docs" / "reference" / "error-codes.md"
COMPETITION = PUBLISHED[0].id
MODEL = ModelRef("alice", "model", "1" * 40)
REVEAL = salted_reveal(MODEL, "alice", COMPETITION, "c" * 64)
OLD = Reveal(MODEL, COMPETITION)
NEURON = Neuron(uid=3, hotkey="alice", registered_at=10)


def commitment(block: int = 20, digest: str | None = None, earlier: tuple[int, ...] = ()) -> Commitment:
    return Commitment("alice", digest or REVEAL.digest("alice"), block, earlier)


def screen(
    committed: Commitment,
    *,
    reveal: Reveal | None = REVEAL,
    neurons: tuple[Neuron, ...] = (NEURON,),
    rules: EntryRules = EntryRules(),
) -> Screened:
    return screened(
        [committed], {"alice": reveal} if reveal else {}, neurons, PUBLISHED, entries_close_block=100, rules=rules
    )


def test_a_revealed_commitment_made_in_time_is_admitted() -> None:
    result = screen(commitment())
    assert result.refusals == ()
    (entry,) = result.submissions
    assert (entry.uid, entry.source, entry.block, entry.competition.id) == (3, MODEL, 20, COMPETITION)


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (lambda: screen(commitment(block=101)), "too_late"),
        (lambda: screen(commitment(), neurons=()), "not_registered"),
        (lambda: screen(commitment(block=9)), "stale_commitment"),
        (lambda: screen(commitment(), reveal=None), "not_revealed"),
        (lambda: screen(commitment(digest="0" * 64)), "digest_mismatch"),
        (
            lambda: screen(commitment(), reveal=replace(REVEAL, competition_id=PUBLISHED[1].id)),
            "digest_mismatch",
        ),
        (
            lambda: screen(commitment(), reveal=replace(REVEAL, competition_id="SINGING_8000HZ")),
            "unknown_competition",
        ),
        (lambda: screen(commitment(), reveal=replace(REVEAL, salt="6" * 32)), "digest_mismatch"),
        (lambda: screen(commitment(digest=OLD.digest("alice")), reveal=OLD), "unsalted"),
        (lambda: screen(commitment(), rules=EntryRules(banned_hotkeys={"alice": 101})), "banned"),
        (lambda: screen(commitment(earlier=(2, 5)), rules=EntryRules(cooldown_blocks=16)), "cooldown"),
        (lambda: screen(commitment(earlier=(2, 5)), rules=EntryRules(max_commitments=2)), "too_many_commitments"),
    ],
)
def test_each_broken_rule_is_named(result: object, code: str) -> None:
    assert callable(result)
    outcome = result()
    assert outcome.submissions == ()
    (refusal,) = outcome.refusals
    assert refusal.code == code
    assert refusal.sentence
    assert "commitment_block" in refusal.evidence
    # A refusal of an unknown competition would be on no leaderboard.
    assert refusal.competition_id in (None, *(c.id for c in PUBLISHED))


@pytest.mark.parametrize("text", ["soundsright:rules:" + "ab" * 32, "leoma:1", "leoma:", "corpus:1:ab"])
def test_a_commitment_of_another_system_is_no_entry_and_no_refusal(text: str) -> None:
    for neurons in ((NEURON,), ()):
        for reveal in (REVEAL, None):
            assert screen(commitment(digest=text), neurons=neurons, reveal=reveal) == Screened((), ())


def test_a_plain_entry_from_a_namespace_with_the_name_of_a_system_is_an_entry() -> None:
    for namespace in ("soundsright", "leoma"):
        text = commitment_text(ModelRef(namespace, "gate", "1" * 40), "alice", COMPETITION)
        (refusal,) = screen(commitment(digest=text), reveal=None).refusals
        assert refusal.code == "not_revealed"


def test_a_refusal_has_the_compared_values_as_evidence() -> None:
    rules = EntryRules(banned_hotkeys={"alice": 200}, cooldown_blocks=50, max_commitments=2)
    expected = {
        "banned": {"until_block": "200", "entries_close_block": "100"},
        "cooldown": {"previous_block": "5", "cooldown_blocks": "50"},
        "too_many_commitments": {"limit": "2", "blocks": "2, 5, 20"},
    }
    for code, evidence in expected.items():
        (refusal,) = screen(commitment(earlier=(2, 5)), rules=rules).refusals
        assert (refusal.code, refusal.evidence) == (code, {"commitment_block": "20", **evidence})
        rules = replace(rules, banned_hotkeys={}) if code == "banned" else replace(rules, cooldown_blocks=0)


def test_a_commitment_after_the_cool_down_is_admitted() -> None:
    assert screen(commitment(earlier=(5,)), rules=EntryRules(cooldown_blocks=15)).submissions


def test_commitments_before_the_window_do_not_count() -> None:
    rules = EntryRules(max_commitments=1, commitment_window_blocks=81)
    assert screen(commitment(earlier=(18, 19)), rules=rules).submissions
    assert screen(commitment(earlier=(18, 20)), rules=rules).submissions  # The same block is the same commitment.
    assert screen(commitment(block=21, earlier=(18, 20)), rules=rules).refusals


def test_an_organiser_can_accept_commitments_without_salt() -> None:
    committed = commitment(digest=OLD.digest("alice"))
    assert screen(committed, reveal=OLD, rules=EntryRules(unsalted=True)).submissions


def test_the_same_content_at_another_place_is_still_the_committed_one() -> None:
    moved = replace(REVEAL, model=ModelRef("alice", "renamed", "2" * 40))
    (entry,) = screen(commitment(), reveal=moved).submissions
    assert (entry.source, entry.content_hash) == (moved.model, "c" * 64)


@pytest.mark.parametrize(("first", "block"), [(12, 12), (9, 20), (None, 20), (25, 20)])
def test_the_block_of_an_entry_is_that_of_the_first_commitment_of_its_content(
    first: int | None, block: int
) -> None:
    """The hotkey was registered in block 10, so a commitment before it belongs to an earlier owner."""
    (entry,) = screen(replace(commitment(), first_block=first)).submissions
    assert entry.block == block


def test_a_commitment_in_the_closing_block_is_in_time() -> None:
    assert screen(commitment(block=100)).submissions


def test_a_ban_ends() -> None:
    assert screen(commitment(), rules=EntryRules(banned_hotkeys={"alice": 100})).submissions


def test_another_hotkeys_digest_does_not_fit() -> None:
    stolen = REVEAL.digest("bob")
    assert screen(commitment(digest=stolen)).refusals[0].code == "digest_mismatch"


@pytest.fixture
def fetched(tmp_path: Path) -> FetchedModel:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nUSER 10001\n")
    entry = Submission(3, "alice", PUBLISHED[0], MODEL, 20)
    return FetchedModel(entry, tmp_path, "c" * 64, ("d" * 64,))


def test_content_that_was_not_committed_is_refused(fetched: FetchedModel) -> None:
    committed = replace(fetched, submission=replace(fetched.submission, content_hash="e" * 64))
    with pytest.raises(EntryRefused) as refused:
        check_fetched(committed, EntryRules())
    assert refused.value.code == "content_mismatch"
    check_fetched(replace(committed, content_hash="e" * 64), EntryRules())


@pytest.mark.parametrize(
    ("digest", "evidence"),
    [("c" * 64, {"content_hash": "c" * 64}), ("d" * 64, {"checkpoint_hash": "d" * 64})],
)
def test_banned_content_is_refused_whole_or_by_one_file_of_weights(
    fetched: FetchedModel, digest: str, evidence: dict[str, str]
) -> None:
    with pytest.raises(EntryRefused) as refused:
        check_fetched(fetched, EntryRules(banned_content=frozenset({digest})))
    assert (refused.value.code, refused.value.evidence) == ("banned_content", evidence)


@pytest.mark.parametrize("name", ["LICENSE", "Licence.md", "COPYING", "LICENSE-MIT", "UNLICENSE", "license.txt"])
def test_a_licence_file_may_have_any_of_its_usual_names(fetched: FetchedModel, name: str) -> None:
    with pytest.raises(EntryRefused) as refused:
        check_fetched(fetched, EntryRules(needs_licence=True))
    assert (refused.value.code, refused.value.evidence) == ("no_licence", {"files": "Dockerfile"})
    (fetched.path / name).write_text("All may use it.")
    check_fetched(fetched, EntryRules(needs_licence=True))


@pytest.mark.parametrize(("name", "text"), [("LICENSE", ""), ("licensed.md", "x"), ("docs/LICENSE", "x")])
def test_a_file_that_is_no_licence_does_not_count_as_one(fetched: FetchedModel, name: str, text: str) -> None:
    (fetched.path / name).parent.mkdir(exist_ok=True)
    (fetched.path / name).write_text(text)
    with pytest.raises(EntryRefused, match="no licence file"):
        check_fetched(fetched, EntryRules(needs_licence=True))


def test_a_repository_without_a_dockerfile_is_refused(fetched: FetchedModel) -> None:
    (fetched.path / "Dockerfile").rename(fetched.path / "Dokerfile")
    with pytest.raises(EntryRefused) as refused:
        check_fetched(fetched, EntryRules())
    assert (refused.value.code, refused.value.evidence) == ("no_dockerfile", {"files": "Dokerfile"})


@pytest.mark.parametrize(("text", "named"), [("FROM base\nVOLUME /data\n", "line 2"), ("# \x80", "cannot be read")])
def test_a_dockerfile_that_asks_for_too_much_is_refused_with_its_lines(
    fetched: FetchedModel, text: str, named: str
) -> None:
    (fetched.path / "Dockerfile").write_bytes(text.encode("latin-1"))
    with pytest.raises(EntryRefused, match=named) as refused:
        checked_dockerfile(fetched)
    assert refused.value.code == "dockerfile"
    assert refused.value.evidence


def codes_in_the_source() -> set[str]:
    """The first argument of every `EntryRefused(...)`, and the rules of duplicates."""
    codes = {rule.value for rule in DuplicateRule}
    for path in Path(soundsright.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "EntryRefused":
                code = node.args[0]
                assert isinstance(code, ast.Constant), f"{path}:{node.lineno}: a code is a literal"
                codes.add(str(code.value))
    return codes


def test_every_code_of_a_refusal_is_explained() -> None:
    assert codes_in_the_source() == set(REFUSAL_REASONS)


def test_the_rules_document_lists_every_code_as_it_is() -> None:
    rows = [f"| `{code}` | {r.when} | {r.remedy} |" for code, r in REFUSAL_REASONS.items()]
    listed = [line for line in RULES.read_text().splitlines() if line.startswith("| `") and line.count("|") == 4]
    assert [line for line in listed if line.split("`")[1] in REFUSAL_REASONS] == rows
