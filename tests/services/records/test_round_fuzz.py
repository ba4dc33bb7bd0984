"""Changed bundles are refused, whatever was changed: `make fuzz` tries 10 000.

A change of an archive that leaves every file as it was, such as that of a date, is no change of the bundle. Neither
is one of a FLAC file that decodes to the same WAV file, such as bytes that the decoder skips.
"""

from __future__ import annotations

import io
import json
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.peers import Hotkey, valid_signature
from soundsright.core.errors import BundleRefused
from soundsright.services.records import check_audio, check_bundle, open_bundle, write_bundle
from soundsright.services.records.round_audio import wav_of
from tests.services.records.bundles import recorded_run

COUNT = int(os.environ.get("SOUNDSRIGHT_FUZZ", "300"))
Files = dict[str, bytes]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    run = recorded_run(tmp_path_factory.mktemp("round"), Hotkey.of_seed("vera"))
    buffer = io.BytesIO()
    write_bundle(run.folder, buffer)
    return buffer.getvalue()


def content(path: Path) -> Files:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def meaning(name: str, raw: bytes) -> bytes:
    """The bytes of a file, and of a FLAC file the WAV file that it decodes to."""
    path = Path(name)
    return wav_of(raw, "flac", path.stem) if path.suffix == ".flac" else raw


def packed(files: Files) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, raw in files.items():
            archive.writestr(name, raw)
    return buffer.getvalue()


def flipped(rng: random.Random, raw: bytes) -> bytes:
    changed = bytearray(raw)
    for _ in range(rng.choice((1, 1, 1, 4, 40))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(rng: random.Random, raw: bytes) -> bytes:
    first, second = sorted(rng.randrange(len(raw) + 1) for _ in range(2))
    return rng.choice((raw[:first], raw[:first] + raw[second:], raw[:second] + raw[first:]))


def of_the_archive(rng: random.Random, archive: bytes, _files: Files) -> bytes:
    return rng.choice((flipped, cut))(rng, archive)


def of_a_file(rng: random.Random, _archive: bytes, files: Files) -> bytes:
    # A third of the changes are of a large file, and the audio is most of the files.
    named = [name for name in files if not name.startswith("audio/")]
    name = rng.choice(named if rng.random() < 0.7 else sorted(files))
    return packed(files | {name: rng.choice((flipped, cut))(rng, files[name])})


def of_the_list(rng: random.Random, _archive: bytes, files: Files) -> bytes:
    changed = dict(files)
    name, other = rng.sample(sorted(files), 2)
    match rng.randrange(3):
        case 0:
            del changed[name]
        case 1:
            changed[name], changed[other] = changed[other], changed[name]
        case _:
            changed[rng.choice(("extra.json", "sets/X/manifest.jsonl", f"{name}.x", f"./{name}"))] = files[name]
    return packed(changed)


def of_a_value(rng: random.Random, _archive: bytes, files: Files) -> bytes:
    """Another value somewhere in the document, in a text that is canonical JSON again."""
    envelope = json.loads(files["round.json"])
    document = json.loads(envelope["document"])
    here: Any = document
    key: Any = None
    while isinstance(here, dict | list) and here:
        above, key = here, rng.choice(sorted(here) if isinstance(here, dict) else range(len(here)))
        here = here[key]
    above[key] = rng.choice((None, 0, -1, 1e300, "", "x" * 70, [], {}, True, "0" * 64))
    if above[key] == here and type(above[key]) is type(here):
        above[key] = "changed"
    envelope["document"] = json.dumps(document, sort_keys=True, separators=(",", ":"))
    if rng.random() < 0.3:
        envelope[rng.choice(("schema", "signer", "signature"))] = rng.choice(("", "x", None, 7))
    return packed(files | {"round.json": json.dumps(envelope).encode()})


CHANGES: tuple[Callable[[random.Random, bytes, Files], bytes], ...] = (
    of_the_archive,
    of_a_file,
    of_the_list,
    of_a_value,
)


def test_no_changed_bundle_is_accepted(archive: bytes, tmp_path: Path) -> None:
    rng = random.Random(20)
    path = tmp_path / "round.zip"
    path.write_bytes(archive)
    files = content(path)
    refused = 0
    for number in range(COUNT):
        change = CHANGES[number % len(CHANGES)]
        changed = change(rng, archive, files)
        path.write_bytes(changed)
        try:
            with open_bundle(path, valid_signature=valid_signature) as bundle:
                assert bundle.opened.signer is not None
                check_audio(bundle, check_bundle(bundle))
                same = {name: meaning(name, bundle.store.read(name)) for name in bundle.store.sizes}
        except BundleRefused:
            refused += 1
            continue
        assert same == {name: meaning(name, raw) for name, raw in files.items()}, (
            f"change {number}, {change.__name__}, was accepted"
        )
    assert refused > 0.8 * COUNT
