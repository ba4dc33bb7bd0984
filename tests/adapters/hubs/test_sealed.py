"""Sealed archives: what is opened is what was sealed, and a hostile archive costs only its own entry."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.hubs.folder import FolderHub, folder_hash
from soundsright.adapters.hubs.huggingface import HuggingFaceHub
from soundsright.adapters.hubs.sealed import (
    MAGIC,
    MAX_INDEX_BYTES,
    PIECE_BYTES,
    SealedArchives,
    _cipher,
    _Sealing,
    open_archive,
    seal_folder,
)
from soundsright.adapters.hubs.visibility import make_public
from soundsright.core.competition import PUBLISHED
from soundsright.core.content import SEALED_FILE
from soundsright.core.entry_rules import EntryRules
from soundsright.core.errors import EntryRefused, HubUnavailable, UsageError
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.ports import ModelHub
from soundsright.core.sources import ModelRef
from soundsright.core.submission import Submission
from soundsright.services.rounds.screening import check_fetched
from soundsright.testing.hub.repositories import HubRepository, HubServer
from soundsright.testing.hub.server import served_hub

REVISION = "a" * 40
KEY = "5" * 64


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "app" / "deep").mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / "empty").write_bytes(b"")
    (folder / "app" / "main.py").write_text("print()\n")
    (folder / "app" / "deep" / "weights.onnx").write_bytes(bytes(range(256)) * 10_000)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def opened(archive: Path, key: str, limits: FetchLimits | None = None) -> Path:
    target = archive.parent / "opened"
    target.mkdir()
    open_archive(archive, key, target, repository="alice/gate", limits=limits or FetchLimits())
    return target


def test_what_is_opened_is_what_was_sealed(source: Path, tmp_path: Path) -> None:
    key = seal_folder(source, tmp_path / SEALED_FILE)
    assert contents(opened(tmp_path / SEALED_FILE, key)) == contents(source)
    sealed = (tmp_path / SEALED_FILE).read_bytes()
    for name, data in contents(source).items():
        assert name.encode() not in sealed
        assert not data or data not in sealed


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_model_that_ends_with_a_piece_is_opened(tmp_path: Path, extra: int) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "Dockerfile").write_bytes(b"")
    index = len(json.dumps([["Dockerfile", 0], ["weights.bin", PIECE_BYTES]])) + 4
    (source / "weights.bin").write_bytes(b"x" * (PIECE_BYTES - index + extra))
    key = seal_folder(source, tmp_path / SEALED_FILE)
    assert contents(opened(tmp_path / SEALED_FILE, key)) == contents(source)


def test_each_archive_has_its_own_key(source: Path, tmp_path: Path) -> None:
    keys = {seal_folder(source, tmp_path / str(number)) for number in range(3)}
    assert len(keys) == 3
    assert len({(tmp_path / str(number)).read_bytes() for number in range(3)}) == 3


def sealed_by_hand(path: Path, index: Any, data: bytes = b"", *, index_bytes: int | None = None) -> None:
    raw = index if isinstance(index, bytes) else json.dumps(index).encode()
    stream = io.BytesIO()
    sealing = _Sealing(_cipher(bytes.fromhex(KEY)), stream)  # type: ignore[arg-type]
    sealing.write((len(raw) if index_bytes is None else index_bytes).to_bytes(4, "big") + raw + data)
    sealing.finish()
    path.write_bytes(stream.getvalue())


@pytest.mark.parametrize(
    ("index", "data", "code"),
    [
        (b"{", b"", "bad_archive"),
        (b"[" * 100_000, b"", "bad_archive"),
        ([["a"]], b"", "bad_archive"),
        ([["a", -1]], b"", "bad_archive"),
        ([["a", True]], b"x", "bad_archive"),
        ([["a", 1.5]], b"xx", "bad_archive"),
        ([[7, 1]], b"x", "bad_archive"),
        ([["a", 5]], b"xx", "bad_archive"),
        ([["a", 1]], b"xx", "bad_archive"),
        ([["../a", 1]], b"x", "bad_path"),
        ([["/a", 1]], b"x", "bad_path"),
        ([["a//b", 1]], b"x", "bad_path"),
        ([["a\\b", 1]], b"x", "bad_path"),
        ([["a\nb", 1]], b"x", "bad_path"),
        ([["", 1]], b"x", "bad_path"),
        ([["a" * 241, 1]], b"x", "bad_path"),
        ([["a", 1], ["a", 1]], b"xx", "bad_path"),
        ([["a", 1], ["a/b", 1]], b"xx", "bad_path"),
        ([["a/b", 1], ["a", 1]], b"xx", "bad_path"),
        ([["virus.iso", 1]], b"x", "file_type"),
        ([[f"f{n}", 0] for n in range(11)], b"", "too_many_files"),
        ([["a", 10**15]], b"x", "too_large"),
        # Their sum has more digits than Python prints.
        (f'[["a", {"9" * 4300}], ["b", {"9" * 4300}]]'.encode(), b"x", "too_large"),
    ],
)
def test_a_hostile_archive_is_refused(tmp_path: Path, index: Any, data: bytes, code: str) -> None:
    sealed_by_hand(tmp_path / SEALED_FILE, index, data)
    with pytest.raises(EntryRefused) as refused:
        opened(tmp_path / SEALED_FILE, KEY, FetchLimits(max_files=10, max_bytes=1_000))
    assert refused.value.code == code


def test_the_length_of_the_index_is_bounded(tmp_path: Path) -> None:
    sealed_by_hand(tmp_path / SEALED_FILE, b"[]", index_bytes=MAX_INDEX_BYTES + 1)
    with pytest.raises(EntryRefused, match="index"):
        opened(tmp_path / SEALED_FILE, KEY)


def damage(archive: bytes) -> Iterator[bytes]:
    piece = PIECE_BYTES + 16
    body = archive[len(MAGIC) :]
    yield b""
    yield archive[: len(MAGIC)]
    yield b"other format\n" + archive
    yield archive[:-1]
    yield archive + b"x"
    yield archive[: len(MAGIC) + piece]  # The last pieces are cut off.
    yield MAGIC + body[piece:]  # The first piece is cut off.
    yield MAGIC + body[piece : 2 * piece] + body[:piece] + body[2 * piece :]
    for position in (len(MAGIC), len(MAGIC) + piece, len(archive) - 1):
        yield archive[:position] + bytes([archive[position] ^ 1]) + archive[position + 1 :]


def test_an_archive_that_is_changed_anywhere_is_refused(source: Path, tmp_path: Path) -> None:
    path = tmp_path / SEALED_FILE
    key = seal_folder(source, path)
    for number, damaged in enumerate(damage(path.read_bytes())):
        folder = tmp_path / f"damaged-{number}"
        folder.mkdir()
        (folder / SEALED_FILE).write_bytes(damaged)
        with pytest.raises(EntryRefused) as refused:
            opened(folder / SEALED_FILE, key)
        assert refused.value.code == "bad_archive", number
    with pytest.raises(EntryRefused, match="key is wrong"):
        opened(path, KEY)


def submission(model: ModelRef, key: str, content: str) -> Submission:
    return Submission(1, "hk", PUBLISHED[0], model, 5, content, key)


@pytest.fixture
def hub_server() -> Iterator[HubServer]:
    with served_hub() as server:
        yield server


def hubs(source: Path, tmp_path: Path, server: HubServer) -> Iterator[tuple[SealedArchives, ModelRef, str]]:
    """Each hub with the sealed model, its reference, and its key."""
    cache = tmp_path / "cache"
    folder = tmp_path / "sealed"
    folder.mkdir()
    key = seal_folder(source, folder / SEALED_FILE)
    own = FolderHub(tmp_path / "hub", cache)
    plain: list[tuple[ModelHub, ModelRef]] = [(own, own.publish("alice", "gate", folder))]
    server.repositories["alice/gate"] = HubRepository({REVISION: contents(folder)})
    plain.append((HuggingFaceHub(server.url, cache), ModelRef("alice", "gate", REVISION)))
    for hub, model in plain:
        yield SealedArchives(hub, cache), model, key


def test_a_sealed_model_is_fetched_from_any_hub_as_its_plain_files(
    source: Path, tmp_path: Path, hub_server: HubServer
) -> None:
    content = folder_hash(source)
    for hub, model, key in hubs(source, tmp_path, hub_server):
        fetched = hub.fetch(submission(model, key, content), limits=FetchLimits())
        assert contents(fetched.path) == contents(source)
        assert fetched.content_hash == content
        assert len(fetched.checkpoint_hashes) == 1
        check_fetched(fetched, EntryRules())
        again = hub.cached(fetched.submission, content)
        assert again is not None
        assert again.path == fetched.path
        assert not list((tmp_path / "cache").glob(".fetch-*"))
        # The plain files in the cache do not let a wrong key pass, or validators would disagree.
        with pytest.raises(EntryRefused) as refused:
            hub.fetch(submission(model, KEY, content), limits=FetchLimits())
        assert refused.value.code == "bad_archive"


def test_an_archive_with_other_content_than_the_committed_one_is_refused(
    source: Path, tmp_path: Path, hub_server: HubServer
) -> None:
    for hub, model, key in hubs(source, tmp_path, hub_server):
        fetched = hub.fetch(submission(model, key, "e" * 64), limits=FetchLimits())
        with pytest.raises(EntryRefused) as refused:
            check_fetched(fetched, EntryRules())
        assert refused.value.code == "content_mismatch"


def test_a_key_without_an_archive_is_refused(source: Path, tmp_path: Path) -> None:
    own = FolderHub(tmp_path / "hub", tmp_path / "cache")
    model = own.publish("alice", "gate", source)
    with pytest.raises(EntryRefused) as refused:
        SealedArchives(own, tmp_path / "cache").fetch(submission(model, KEY, "e" * 64), limits=FetchLimits())
    assert refused.value.code == "bad_archive"


def test_a_private_repository_is_made_public(hub_server: HubServer) -> None:
    hub_server.repositories["alice/gate"] = HubRepository({REVISION: {"Dockerfile": b""}}, private=True)
    model = ModelRef("alice", "gate", REVISION)
    for token in (None, "hf_wrong"):
        with pytest.raises(UsageError, match="HF_TOKEN"):
            make_public(hub_server.url, model, token=token)
    assert hub_server.repositories["alice/gate"].private
    make_public(hub_server.url, model, token=hub_server.token)
    assert not hub_server.repositories["alice/gate"].private
    hub_server.failing["/settings"] = [503]
    with pytest.raises(HubUnavailable):
        make_public(hub_server.url, model, token=hub_server.token)
