"""Folders of recordings, and `score` on them, for the tests of commands."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from soundsright.cli.commands.score import command as score
from soundsright.core.content import sha256_of_file


def run_score(folders: Path, *more: str, enhanced: str = "enhanced") -> Result:
    sides = ["--clean", folders / "clean", "--enhanced", folders / enhanced, "--noisy", folders / "noisy"]
    return CliRunner().invoke(score, [*map(str, sides), *more])


def write_manifest(folders: Path, **labels: str) -> str:
    """A manifest like that of a generated set. `labels` has one character per clip for each field."""
    lines = [
        {
            "id": str(clip),
            "speech": f"s{clip}",
            "sha256": {"clean": sha256_of_file(folders / "clean" / f"{clip}.wav")},
            **{field: own[clip] for field, own in labels.items()},
        }
        for clip in range(4)
    ]
    path = folders / "manifest.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)
