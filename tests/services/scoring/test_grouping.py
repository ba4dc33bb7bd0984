"""The groups of the clips of a scored set, by its manifest."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soundsright.core.audio import Audio, digest_of_signals, on_pcm16_grid
from soundsright.core.content import sha256_of_file
from soundsright.core.errors import UsageError
from soundsright.core.groups import ClipGroups
from soundsright.services.rounds.clipset import write_wav
from soundsright.services.scoring import found_groups, read_groups, score_set

CLIPS = ("a", "b", "c")


def manifest(folder: Path, *lines: dict[str, Any]) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def line(clip_id: str, noise: str = "rain", **more: Any) -> dict[str, Any]:
    return {"id": clip_id, "speech": f"s-{clip_id}", "speaker": "anna", "noise": noise, "rir": None, **more}


def test_the_default_is_noise_and_prompt_in_the_order_of_the_clips(tmp_path: Path) -> None:
    path = manifest(tmp_path, line("a"), line("b", "wind"), line("z"))
    assert read_groups(path, ["b", "a"]) == ClipGroups(
        ("b", "a"), {"noise": ("wind", "rain"), "prompt": ("s-b", "s-a")}
    )


def test_fields_of_the_manifest_take_the_place_of_the_default(tmp_path: Path) -> None:
    path = manifest(tmp_path, line("a", "babble:x+y", level=1), line("b", "babble:z", level=2))
    groups = read_groups(path, ["a", "b"], "speaker, noise,level")
    assert groups.factors == {"speaker": ("anna", "anna"), "noise": ("babble", "babble"), "level": ("1", "2")}


@pytest.mark.parametrize(
    ("cluster_by", "words"),
    [
        ("accent", r"no 'accent' for 2 of 2 clips; the first is a: Choose from noise, prompt, speaker"),
        ("speaker,,noise", "has an empty name"),
        ("speaker,noise,prompt,snr_db,rt60_s", "has 5 fields"),
    ],
)
def test_a_field_that_is_not_there_is_named_with_those_that_are(
    tmp_path: Path, cluster_by: str, words: str
) -> None:
    path = manifest(tmp_path, line("a"), line("b"))
    with pytest.raises(UsageError, match=words.split(":")[0]) as raised:
        read_groups(path, ["a", "b"], cluster_by)
    assert words.rpartition(": ")[2] in str(raised.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1]\n", "line 1, is not an object"),
        ('{"id": "a"}\n', "lacks 1 clips; the first is b"),
        ('{"id": "a"}\n{"id": "b"}\n', "does not say which noise, room or speech"),
        ("{" * 9 + "\n", "line 1, is not JSON"),
        ('{"no": 1}\n', "line 1, has no id"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        read_groups(path, ["a", "b"])


def test_a_manifest_of_other_clean_files_is_refused(tmp_path: Path) -> None:
    path = manifest(tmp_path, line("a", sha256={"clean": "c0", "noisy": "n0"}))
    assert read_groups(path, ["a"], "speaker", ["c0"]).counts == {"speaker": 1}
    assert read_groups(path, ["a"], "speaker", [None]).counts == {"speaker": 1}
    with pytest.raises(UsageError, match="another clean file for 1 of 1 clips; the first is a"):
        read_groups(path, ["a"], "speaker", ["c9"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The set of a round: clean and degraded clips, and a manifest with the digests of their signals."""
    lines = []
    for number, clip_id in enumerate(CLIPS):
        audio = [
            Audio(
                on_pcm16_grid(np.random.default_rng(number + seed).uniform(-0.5, 0.5, 800).astype(np.float32)),
                16_000,
            )
            for seed in (0, 9)
        ]
        for role, signal in zip(("clean", "degraded"), audio, strict=True):
            (tmp_path / role).mkdir(exist_ok=True)
            write_wav(tmp_path / role / f"{clip_id}.wav", signal)
        lines.append(line(clip_id, digest=digest_of_signals(clip_id, *audio)))
    manifest(tmp_path, *lines)
    return tmp_path


def found(folder: Path) -> ClipGroups | None:
    pair = found_groups(score_set(folder / "clean", folder / "degraded", None), folder / "clean")
    return None if pair is None else pair[1]


def test_the_manifest_above_the_clean_clips_is_found_by_their_digests(folder: Path) -> None:
    groups = found(folder)
    assert groups is not None
    assert groups.counts == {"noise": 1, "prompt": 3}


def test_the_manifest_is_found_by_the_hashes_of_clean_files(folder: Path) -> None:
    hashes = {clip_id: sha256_of_file(folder / "clean" / f"{clip_id}.wav") for clip_id in CLIPS}
    manifest(folder, *(line(clip_id, sha256={"clean": hashes[clip_id]}) for clip_id in CLIPS))
    assert found(folder) is not None


@pytest.mark.parametrize(
    "lines",
    [
        [line(clip_id, digest="0" * 64) for clip_id in CLIPS],
        [line(clip_id, sha256={"clean": "0" * 64}) for clip_id in CLIPS],
        [line(clip_id) for clip_id in "ab"],
        [line(clip_id) for clip_id in "abcd"],
        [{"id": clip_id, "digest": "0", "recipe_sha256": "1"} for clip_id in CLIPS],
        [{"name": "a"}],
    ],
    ids=["other signals", "other files", "fewer clips", "more clips", "hidden", "foreign"],
)
def test_a_manifest_that_may_be_of_another_set_is_left_alone(folder: Path, lines: list[dict[str, Any]]) -> None:
    manifest(folder, *lines)
    assert found(folder) is None


def test_a_manifest_with_a_clip_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="line 2 has the clip a again"):
        read_groups(manifest(tmp_path, line("a"), line("a", "wind")), ["a"])


def test_a_manifest_may_have_a_byte_order_mark_blank_lines_and_names_of_either_form(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    names = [unicodedata.normalize("NFD", "é"), "b"]
    rows = "".join(json.dumps({"id": name, "speaker": f"s {name}"}) + "\r\n" for name in names)
    path.write_text("\ufeff" + rows + "\n \t\n", encoding="utf-8")
    groups = read_groups(path, [unicodedata.normalize("NFC", "é"), "b"], cluster_by="speaker")
    assert groups.counts == {"speaker": 2}
