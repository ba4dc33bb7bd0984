"""One clip of a bundle is fetched with its proof, from a folder, an archive or a web server."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.peers import WebFolder, valid_signature
from soundsright.cli.commands.bundle import command
from soundsright.cli.main import run as run_command
from soundsright.core.errors import BundleRefused, PeerUnavailable, UsageError
from soundsright.services.records import (
    StorePlace,
    check_part,
    fetched_part,
    open_store,
    write_part,
)
from tests.services.records.bundles import SIGNER, RecordedRun

CLIP = "clip-0001"


@pytest.fixture
def part(whole: Path, tmp_path: Path) -> Path:
    with open_store(whole) as store:
        fetched = fetched_part(StorePlace(store), CLIP, entry="carol", valid_signature=valid_signature)
    write_part(fetched, tmp_path / "part")
    return tmp_path / "part"


def check(folder: Path) -> None:
    with open_store(folder) as store:
        check_part(store, valid_signature)


@pytest.fixture
def served(whole: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            """Print nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(whole)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_part_has_the_clip_the_answer_and_their_proofs(run: RecordedRun, part: Path) -> None:
    check(part)
    with open_store(part) as store:
        opened, proof = check_part(store, valid_signature)
        names = set(store.sizes)
    assert opened.sha256 == run.sha256
    assert proof.clip.leaf["clip"] == CLIP
    assert proof.answer is not None
    assert len([name for name in names if name.startswith("audio/")]) == 3


def test_a_part_over_http_is_the_same(served: str, part: Path, tmp_path: Path) -> None:
    """This server sends whole files, as it does not know ranges."""
    words = ["fetch", served, "--clip", CLIP, "--entry", "carol", "--signer", SIGNER.address]
    assert run_command(command, [*words, "--out", str(tmp_path / "web")]) == 0
    files = {p.relative_to(part): p.read_bytes() for p in part.rglob("*") if p.is_file()}
    web = {p.relative_to(tmp_path / "web"): p.read_bytes() for p in (tmp_path / "web").rglob("*") if p.is_file()}
    assert web == files
    assert run_command(command, ["verify", str(tmp_path / "web")]) == 0


def test_a_server_that_is_away_or_has_no_bundle_is_named(served: str, tmp_path: Path) -> None:
    place = WebFolder(f"{served}/nothing")
    with pytest.raises(BundleRefused, match=r"There is no round\.json"):
        fetched_part(place, CLIP)
    place.close()
    away = WebFolder("http://127.0.0.1:1")
    with pytest.raises(PeerUnavailable, match="does not answer"):
        fetched_part(away, CLIP)
    away.close()
    with pytest.raises(UsageError, match="is not an address"):
        WebFolder("file:///etc")


def test_every_byte_of_a_part_counts(part: Path, tmp_path: Path) -> None:
    for number, path in enumerate(sorted(p for p in part.rglob("*") if p.is_file())):
        copy = Path(shutil.copytree(part, tmp_path / str(number)))
        target = copy / path.relative_to(part)
        raw = bytearray(target.read_bytes())
        raw[len(raw) // 2] ^= 1
        target.write_bytes(raw)
        with pytest.raises(BundleRefused):
            check(copy)


def test_a_part_without_its_audio_is_said_and_refused_with_audio(
    part: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["verify", str(part), "--signer", SIGNER.address]
    assert run_command(command, [*words, "--audio"]) == 0
    assert "Audio      3 of 3 signals" in capsys.readouterr().out
    next((part / "audio").rglob("*.flac")).unlink()
    assert run_command(command, words) == 0
    assert "Audio      2 of 3 signals" in capsys.readouterr().out
    assert run_command(command, [*words, "--audio"]) == 3
    assert "of the clip is missing" in capsys.readouterr().err


def changed(part: Path, change: dict[str, Any], **clip: Any) -> None:
    proof = json.loads((part / "proof.json").read_text())
    proof |= change
    proof["clip"] |= clip
    (part / "proof.json").write_text(json.dumps(proof))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"document": "0" * 64}, "is for the document"),
        ({"competition": "OTHER"}, "does not have"),
        ({"entry": None}, "does not have"),
        ({"clip": {"leaf": {}, "index": 0, "size": 1, "path": []}}, "not all of its fields|does not prove"),
        ({"schema": "soundsright.part/2"}, "schema"),
    ],
)
def test_a_proof_for_something_else_is_refused(part: Path, change: dict[str, Any], words: str) -> None:
    changed(part, change)
    with pytest.raises(BundleRefused, match=words):
        check(part)


def test_a_proof_of_another_tree_is_refused(part: Path) -> None:
    proof = json.loads((part / "proof.json").read_text())
    changed(part, {}, path=proof["answer"]["path"])
    with pytest.raises(BundleRefused, match="it is of another tree"):
        check(part)


def test_an_answer_to_another_clip_is_refused(whole: Path, part: Path) -> None:
    with open_store(whole) as store:
        other = fetched_part(StorePlace(store), "clip-0002", entry="carol")
    assert other.proof.answer is not None
    changed(part, {"answer": other.proof.answer.model_dump(mode="json")})
    with pytest.raises(BundleRefused, match="an answer to another clip"):
        check(part)


def test_a_clip_an_entry_or_a_competition_that_does_not_exist_is_misuse(whole: Path) -> None:
    with open_store(whole) as store:
        for words in ({"clip": "clip-9999"}, {"entry": "nobody"}, {"competition": "OTHER"}):
            with pytest.raises(UsageError) as caught:
                fetched_part(StorePlace(store), **({"clip": CLIP} | words))  # type: ignore[arg-type]
            assert caught.value.exit_code == 2


def test_an_index_that_points_elsewhere_gives_nothing(whole: Path, tmp_path: Path) -> None:
    class Lying(StorePlace):
        def part(self, name: str, start: int, end: int) -> bytes | None:
            return super().part(name, start, end) if name != "answers.jsonl" else super().part(name, 0, end - start)

    with open_store(whole) as store, pytest.raises(BundleRefused, match="The root of the answers"):
        fetched_part(Lying(store), CLIP, entry="carol")


def test_a_part_without_audio_says_what_is_missing(run: RecordedRun) -> None:
    with open_store(run.record) as store:
        part = fetched_part(StorePlace(store), CLIP, entry="carol")
    assert len(part.missing) == 3


def test_nothing_is_written_over(part: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command, ["fetch", str(whole), "--clip", CLIP, "--out", str(part)]) == 2
    assert "exists" in capsys.readouterr().err
