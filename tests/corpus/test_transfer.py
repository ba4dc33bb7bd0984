from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soundsright.adapters.peers import Hotkey, valid_signature
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import UsageError
from soundsright.corpus import (
    CorpusKey,
    KeyCard,
    PrivateCorpus,
    export_corpus,
    import_corpus,
    new_card,
    publish_retired,
    read_card,
)
from soundsright.data import draw_clip
from tests.corpus.conftest import ChangeByte

BOB = Hotkey.of_seed("bob")


@pytest.fixture
def card(tmp_path: Path) -> KeyCard:
    return new_card(BOB.address, BOB.sign, tmp_path / "bob.key")


@pytest.fixture
def archive(corpus: PrivateCorpus, card: KeyCard, tmp_path: Path) -> Path:
    export_corpus(corpus, card, tmp_path / "for-bob.zip")
    return tmp_path / "for-bob.zip"


def rewritten(archive: Path, out: Path, changes: dict[str, bytes], leave_out: str = "") -> Path:
    """The archive with some files changed or added."""
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            if name != leave_out and name not in changes:
                target.writestr(name, source.read(name))
        for name, content in changes.items():
            target.writestr(name, content)
    return out


def test_the_owner_of_the_hotkey_gets_the_same_rounds(corpus: PrivateCorpus, archive: Path, tmp_path: Path) -> None:
    received = import_corpus(
        archive, tmp_path / "bob.key", tmp_path / "got", tmp_path / "got.key", root=corpus.root
    )
    assert received.root == corpus.root
    opened = PrivateCorpus.open(tmp_path / "got", tmp_path / "got.key")
    for number in range(corpus.last_round + 1):
        assert [r.sha256 for r in opened.at(number).speech] == [r.sha256 for r in corpus.at(number).speech]
    assert (tmp_path / "got.key").stat().st_mode & 0o777 == 0o600
    # One validator ran every round, and the other joins in round 4: they draw the same clips.
    competition = next(c for c in PUBLISHED if c.sample_rate_hz == 16_000)
    pools = ([corpus.at(number) for number in range(5)][-1], opened.at(4))
    first, second = (draw_clip(competition, 7, 3, corpus=pool) for pool in pools)
    assert (first.digest, first.recipe) == (second.digest, second.recipe)
    assert import_corpus(archive, tmp_path / "bob.key", tmp_path / "got", tmp_path / "got.key").root == corpus.root


def test_nobody_else_can_open_it(archive: Path, corpus: PrivateCorpus, tmp_path: Path) -> None:
    eve = Hotkey.of_seed("eve")
    new_card(eve.address, eve.sign, tmp_path / "eve.key")
    with pytest.raises(
        UsageError, match=f"was not sealed to the key in .*eve.key, or was changed. It is for {BOB.address}"
    ):
        import_corpus(archive, tmp_path / "eve.key", tmp_path / "got", tmp_path / "got.key")
    assert not (tmp_path / "got").exists()
    assert not (tmp_path / "got.key").exists()
    content = archive.read_bytes()
    for secret in (corpus.key.secret, corpus.key.secret.hex().encode(), b"fLaC", b"Secret sentence"):
        assert secret not in content


def test_a_card_must_be_signed_by_the_hotkey_that_it_names(card: KeyCard, tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(card.as_json)
    assert read_card(path, BOB.address, valid_signature) == card
    eve = new_card(Hotkey.of_seed("eve").address, Hotkey.of_seed("eve").sign, tmp_path / "eve.key")
    with pytest.raises(UsageError, match=r"is the card of .*, not of"):
        read_card(path, eve.hotkey, valid_signature)
    # Eve puts her own key into Bob's card.
    path.write_text(KeyCard(BOB.address, eve.x25519, card.signature).as_json)
    with pytest.raises(UsageError, match=f"was not signed by {BOB.address}"):
        read_card(path, BOB.address, valid_signature)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"hotkey": 1, "x25519": 2, "signature": 3}', "[" * 5_000])
def test_a_damaged_card_is_one_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(UsageError, match="is not a key card"):
        read_card(tmp_path / "card.json", BOB.address, valid_signature)


def test_another_root_than_that_of_the_chain_is_refused(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"has a corpus with the root .*, not {'0' * 64}"):
        import_corpus(archive, tmp_path / "bob.key", tmp_path / "got", tmp_path / "got.key", root="0" * 64)
    assert not list(tmp_path.glob("got*"))


def test_a_changed_file_is_refused(archive: Path, tmp_path: Path, change_byte: ChangeByte) -> None:
    change_byte(archive)
    with pytest.raises(UsageError, match=r"for-bob\.zip"):
        import_corpus(archive, tmp_path / "bob.key", tmp_path / "got", tmp_path / "got.key")
    assert not list(tmp_path.glob("got*"))


def test_another_corpus_under_the_same_root_is_refused(archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive) as source:
        facts = json.loads(source.read("corpus.json"))
    facts["uses"] = 2
    other = rewritten(archive, tmp_path / "other.zip", {"corpus.json": json.dumps(facts).encode()})
    with pytest.raises(UsageError, match="has other files than those that were sealed"):
        import_corpus(other, tmp_path / "bob.key", tmp_path / "got", tmp_path / "got.key")


@pytest.mark.parametrize(
    "name",
    ["../escape.bin", "/etc/passwd", "batches/0000/../../x.bin", "batches/0000/link", "batches/00/manifest.bin"],
)
def test_only_files_of_a_corpus_are_unpacked(archive: Path, tmp_path: Path, name: str) -> None:
    hostile = rewritten(archive, tmp_path / "hostile.zip", {name: b"x"})
    with pytest.raises(UsageError, match="does not belong to a corpus"):
        import_corpus(hostile, tmp_path / "bob.key", tmp_path / "in" / "got", tmp_path / "got.key")
    assert not list(tmp_path.rglob("*escape*"))
    assert not (tmp_path / "in" / "got").exists()


def test_compressed_files_are_refused_so_that_none_can_grow(archive: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.zip"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(hostile, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("envelope.json", source.read("envelope.json"))
        target.writestr("corpus.json", b"0" * 900_000)
    with pytest.raises(UsageError, match="does not belong to a corpus, or is too large"):
        import_corpus(hostile, tmp_path / "bob.key", tmp_path / "got", tmp_path / "got.key")


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_archive_is_refused_or_gives_the_same_corpus(
    archive: Path, corpus: PrivateCorpus, tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(archive.read_bytes())
    # The structure of a zip is in its first and last bytes.
    places = st.integers(0, 800) | st.integers(len(content) - 1_500, len(content) - 1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=4)):
        content[place] = value
    damaged, got = tmp_path / "damaged.zip", tmp_path / "damaged"
    damaged.write_bytes(content)
    try:
        received = import_corpus(damaged, tmp_path / "bob.key", got, tmp_path / "damaged.key")
    except UsageError:
        assert not got.exists()
        assert not (tmp_path / "damaged.key").exists()
    else:
        assert received.root == corpus.root
        shutil.rmtree(got)
        (tmp_path / "damaged.key").unlink()


def test_the_receiver_knows_which_rounds_are_public(
    copied: tuple[Path, Path], card: KeyCard, tmp_path: Path
) -> None:
    publish_retired(PrivateCorpus.open(*copied), tmp_path / "retired", through=1)
    export_corpus(PrivateCorpus.open(*copied), card, tmp_path / "a.zip")
    received = import_corpus(tmp_path / "a.zip", tmp_path / "bob.key", tmp_path / "got", tmp_path / "got.key")
    assert [received.at(number).is_public for number in (1, 2)] == [True, False]


def test_a_second_import_tells_what_was_published_since(
    copied: tuple[Path, Path], card: KeyCard, tmp_path: Path
) -> None:
    place = (tmp_path / "bob.key", tmp_path / "got", tmp_path / "got.key")
    export_corpus(PrivateCorpus.open(*copied), card, tmp_path / "early.zip")
    assert not import_corpus(tmp_path / "early.zip", *place).at(1).is_public
    publish_retired(PrivateCorpus.open(*copied), tmp_path / "retired", through=1)
    export_corpus(PrivateCorpus.open(*copied), card, tmp_path / "late.zip")
    assert import_corpus(tmp_path / "late.zip", *place).at(1).is_public
    assert import_corpus(tmp_path / "early.zip", *place).at(1).is_public, "an old archive makes nothing private"


def test_an_import_removes_nothing_that_it_did_not_make(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "got.part").mkdir()
    (tmp_path / "got.part" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"got\.part exists, and no interrupted import left it"):
        import_corpus(archive, tmp_path / "bob.key", tmp_path / "got", tmp_path / "got.key")
    assert (tmp_path / "got.part" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip at all"])
def test_a_file_that_is_no_archive_is_one_clear_error(tmp_path: Path, card: KeyCard, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(UsageError, match=r"x\.zip is not an archive of a corpus"):
        import_corpus(tmp_path / "x.zip", tmp_path / "bob.key", tmp_path / "got", tmp_path / "got.key")


def test_the_key_of_another_corpus_is_never_replaced(
    archive: Path, tmp_path: Path, copied: tuple[Path, Path]
) -> None:
    CorpusKey.new().write(tmp_path / "got.key")
    before = (tmp_path / "got.key").read_bytes()
    with pytest.raises(UsageError, match=r"got\.key has the key of another corpus"):
        import_corpus(archive, tmp_path / "bob.key", tmp_path / "got", tmp_path / "got.key")
    assert (tmp_path / "got.key").read_bytes() == before
    assert not (tmp_path / "got").exists()
