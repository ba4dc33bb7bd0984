"""A bundle is checked as a stranger checks it: its signature, its digests, and that its files agree."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.peers import Hotkey, valid_signature
from soundsright.core.errors import BundleRefused
from soundsright.services.records import (
    RoundDocument,
    check_audio,
    check_bundle,
    open_bundle,
    open_store,
    write_bundle,
)
from soundsright.services.records.round_document import round_file
from tests.services.records.bundles import SIGNER, RecordedRun, recorded_run

Change = Callable[[Any], Any]


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def check(path: Path) -> None:
    with open_bundle(path, valid_signature=valid_signature) as bundle:
        check_audio(bundle, check_bundle(bundle))


def resign(folder: Path, change: Change = lambda facts: facts) -> None:
    """Sign the document again with the present digests of its files, as a signer who lies would."""
    with open_bundle(folder) as bundle:
        facts = bundle.document.facts()
    for name in facts["files"]:
        raw = (folder / name).read_bytes()
        facts["files"][name] = {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}
    document = RoundDocument.model_validate(change(facts) or facts)
    (folder / "round.json").write_text(round_file(document, SIGNER))


def test_a_folder_and_an_archive_are_valid_and_have_the_same_files(run: RecordedRun, whole: Path) -> None:
    archive = whole.parent / "round.zip"
    packed = write_bundle(run.folder, archive)
    check(whole)
    check(archive)
    with open_store(whole) as one, open_store(archive) as other:
        assert one.sizes == other.sizes
        assert len(one.sizes) == packed.files
        assert all(one.read(name) == other.read(name) for name in one.sizes)
    assert packed.signals > 0


def test_the_same_run_gives_the_same_archive(run: RecordedRun, tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        write_bundle(run.folder, tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_every_file_of_the_bundle_counts(whole: Path, tmp_path: Path) -> None:
    """One flipped bit anywhere, audio included, is found and named."""
    for number, path in enumerate(sorted(p for p in whole.rglob("*") if p.is_file())):
        copy = Path(shutil.copytree(whole, tmp_path / str(number)))
        target = copy / path.relative_to(whole)
        raw = bytearray(target.read_bytes())
        raw[len(raw) // 2] ^= 1
        target.write_bytes(raw)
        with pytest.raises(BundleRefused):
            check(copy)
        shutil.rmtree(copy)


def test_a_file_that_is_missing_or_not_named_is_refused(copy: Path) -> None:
    (copy / "steps.jsonl").rename(copy / "disclosed.part")
    with pytest.raises(BundleRefused, match=r"disclosed\.part is not a file that a bundle has"):
        check(copy)
    (copy / "disclosed.part").unlink()
    with pytest.raises(BundleRefused, match=r"steps\.jsonl is missing"):
        check(copy)


def test_missing_audio_is_found_only_where_audio_is_checked(copy: Path) -> None:
    next((copy / "audio").rglob("*.flac")).unlink()
    with open_bundle(copy) as bundle:
        checked = check_bundle(bundle)
        with pytest.raises(BundleRefused, match="has no audio"):
            check_audio(bundle, checked)


def test_another_signer_or_a_changed_signature_is_refused(copy: Path) -> None:
    envelope = json.loads((copy / "round.json").read_text())
    for change in ({"signer": Hotkey.of_seed("mallory").address}, {"signature": "0x" + "0" * 128}):
        (copy / "round.json").write_text(json.dumps(envelope | change))
        with pytest.raises(BundleRefused, match="The signature is wrong"):
            check(copy)


def test_a_newer_schema_says_so(copy: Path) -> None:
    envelope = json.loads((copy / "round.json").read_text())
    (copy / "round.json").write_text(json.dumps(envelope | {"schema": "soundsright.round/2"}))
    with pytest.raises(BundleRefused, match=r"soundsright\.round/2.*Update soundsright"):
        check(copy)


def first_entry(change: dict[str, Any]) -> Change:
    def changed(facts: Any) -> None:
        facts["entries"][0] |= change

    return changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.update(plan="0" * 64), "digest of the plan"),
        (lambda f: f.update(snapshot="0" * 64), "registrations at the close"),
        (lambda f: f["ruleset"].update(digest="0" * 64), "digest of the ruleset"),
        (lambda f: f["round"].update(seed_block_hash="0x0"), "seed of"),
        (lambda f: f["competitions"][0].update(clips_root="0" * 64), "root of the clips"),
        (lambda f: f["competitions"][0].update(recipes_digest="0" * 64), "digest of the recipes"),
        (lambda f: f["competitions"][0].update(set_digest="0" * 64), "digest of the set"),
        (lambda f: f["competitions"][0].update(unprocessed_root="0" * 64), "has no entry of"),
        (first_entry({"content_hash": "other"}), "content of"),
        (first_entry({"block": 999}), "The entry"),
        (first_entry({"answers_root": "0" * 64}), "root of the answers"),
        (first_entry({"scores_root": "0" * 64}), "root of the scores"),
        (lambda f: f["decisions"][0].update(winner="nobody"), "decisions in results.json"),
        (lambda f: f["weights"].update({"7": 0.5}), "weights"),
        (lambda f: f["shares"][f["competitions"][0]["id"]].update(alice=99.0), "shares of"),
        (lambda f: f["versions"].update(numpy="9"), "versions"),
        (lambda f: f["ruleset"].update(name="best-rules"), "name of the ruleset"),
    ],
)
def test_a_signer_cannot_contradict_its_own_files(copy: Path, change: Change, words: str) -> None:
    resign(copy)
    check(copy)
    resign(copy, change)
    with pytest.raises(BundleRefused, match=words):
        check(copy)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [("decide", "shares", 5), ("decide", "shares", "text"), ("entries", "submissions", [5])],
)
def test_a_step_with_a_field_of_another_type_is_refused(copy: Path, kind: str, field: str, value: Any) -> None:
    lines = [json.loads(line) for line in (copy / "steps.jsonl").read_text().splitlines()]
    for line in lines:
        if line["step"].split(":")[0] == kind:
            line["facts"][field] = value
    (copy / "steps.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    resign(copy)
    with pytest.raises(BundleRefused, match=r"steps\.jsonl"):
        check(copy)


def test_scores_of_a_clip_without_an_answer_are_refused(copy: Path) -> None:
    """The roots are right, but an entry that failed on a clip has scores on it."""
    from soundsright.core.canonical import canonical_json
    from soundsright.services.records.round_leaves import INDEX, answer_leaf, index_of, root_of

    lines = [json.loads(line) for line in (copy / "answers.jsonl").read_text().splitlines()]
    entry = lines[0]["entry"]
    lines[0] = {**lines[0], "sha256": None, "failure": "timeout"}
    (copy / "answers.jsonl").write_text("".join(canonical_json(line) + "\n" for line in lines))
    root = root_of(answer_leaf(line) for line in lines if line["entry"] == entry)
    clips = [json.loads(line) for line in (copy / "clips.jsonl").read_text().splitlines()]
    index = {
        "clips.jsonl": [(line["competition"], canonical_json(line)) for line in clips],
        "answers.jsonl": [(line["entry"], canonical_json(line)) for line in lines],
    }
    (copy / INDEX).write_text(canonical_json(index_of(index)) + "\n")

    def changed(facts: Any) -> None:
        next(e for e in facts["entries"] if e["entry"] == entry)["answers_root"] = root

    resign(copy, changed)
    with pytest.raises(BundleRefused, match="do not fit its answer"):
        check(copy)


def test_values_that_are_no_numbers_and_deep_json_are_refused(copy: Path) -> None:
    raw = (copy / "scores.jsonl").read_text().splitlines()
    for line, words in (
        ('{"a": NaN}', "the number NaN"),
        ("[" * 5000 + "]" * 5000, "deeper|not JSON"),
        ('{"a": 1, "a": 2}', "a key comes twice"),
    ):
        (copy / "scores.jsonl").write_text("\n".join([line, *raw[1:]]) + "\n")
        resign(copy)
        with pytest.raises(BundleRefused, match=words):
            check(copy)


def test_links_and_other_names_are_refused(copy: Path, tmp_path: Path) -> None:
    (copy / "results.json").unlink()
    (copy / "results.json").symlink_to("/etc/passwd")
    with pytest.raises(BundleRefused, match=r"results\.json is not a plain file"):
        open_bundle(copy)
    (copy / "results.json").unlink()
    (copy / "sets").rename(tmp_path / "sets")
    (copy / "sets").symlink_to(tmp_path / "sets")
    with pytest.raises(BundleRefused, match="sets is not a plain file"):
        open_bundle(copy)


@pytest.mark.parametrize(
    "name", ["../round.json", "/etc/passwd", "audio/../round.json", "sets/../manifest.jsonl", "round.json\0x", "a"]
)
def test_an_archive_with_other_paths_is_refused(whole: Path, tmp_path: Path, name: str) -> None:
    archive = tmp_path / "round.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("round.json", (whole / "round.json").read_bytes())
        info = zipfile.ZipInfo("a")
        info.filename = name
        file.writestr(info, b"x")
    with pytest.raises(BundleRefused):
        open_bundle(archive)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_with_a_name_twice_a_link_or_a_bomb_is_refused(whole: Path, tmp_path: Path) -> None:
    def archive(*members: tuple[str, bytes, int]) -> Path:
        path = tmp_path / "round.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("round.json", (whole / "round.json").read_bytes())
            for name, raw, mode in members:
                info = zipfile.ZipInfo(name)
                info.external_attr = mode << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                file.writestr(info, raw)
        return path

    for members, words in (
        ([("plan.json", b"{}", 0), ("plan.json", b"{}", 0)], "there twice"),
        ([("plan.json", b"/etc/passwd", 0o120777)], "not a plain file"),
        ([("results.json", bytes(30 << 20), 0)], "would unpack to"),
        ([("plan.json", bytes(33 << 20), 0)], "at most"),
    ):
        with pytest.raises(BundleRefused, match=words):
            open_bundle(archive(*members))


def test_an_archive_that_says_other_sizes_is_refused(whole: Path, tmp_path: Path) -> None:
    """The size in the list of files is smaller than what the data unpacks to."""
    path = tmp_path / "round.zip"
    raw = (whole / "round.json").read_bytes()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("round.json", raw)
    data = path.read_bytes().replace(len(raw).to_bytes(4, "little"), (len(raw) - 8).to_bytes(4, "little"))
    path.write_bytes(data)
    with pytest.raises(BundleRefused):
        open_bundle(path)
    path.write_bytes(b"PK\x05\x06" + bytes(8) + (1 << 30).to_bytes(4, "little") + bytes(6))
    with pytest.raises(BundleRefused, match="lists more than"):
        open_bundle(path)


def test_the_audio_that_the_round_used_comes_back_byte_by_byte(run: RecordedRun, whole: Path) -> None:
    with open_bundle(whole) as bundle:
        for line in bundle.clips():
            path = run.folder / "sets" / line["competition"] / "degraded" / f"{line['clip']}.wav"
            assert bundle.wav(line["degraded"]) == path.read_bytes()
    assert any(path.suffix == ".flac" for path in (whole / "audio").rglob("*"))


def test_a_run_that_was_changed_after_the_round_cannot_be_packed(tmp_path: Path) -> None:
    run = recorded_run(tmp_path)
    path = next((run.folder / "enhanced").rglob("*.wav"))
    path.write_bytes(path.read_bytes()[:-2] + b"\1\1")
    with pytest.raises(BundleRefused, match="is not the audio of the round"):
        write_bundle(run.folder, tmp_path / "round.zip")
    assert not list(tmp_path.glob("*.part"))
    assert not (tmp_path / "round.zip").exists()
