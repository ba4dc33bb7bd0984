"""A round as a data set for a hub: tables, a bounded part of the audio, and a card that states whose audio it is.

    README.md        the card: what it is, how it was made, the tables, the licences
    results.csv      a line per competition, entry and metric
    clips.csv        a line per competition, entry and clip, with the audio's place where it was kept
    sources.csv      every recording that went into the audio: who made it, under which licence, from where
    results.json     the round as decided
    LICENSE.md       the licences of the audio
    audio/COMPETITION/CLIP/SIGNAL.flac

Audio is 16-bit FLAC. Clips are kept whole, with every signal or none, those first whose entries differ most.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.data import BABBLE, NOISE_KINDS
from soundsright.services.drawing import clips_by_spread, flac_bytes
from soundsright.services.records import REFERENCES, Run, RunCompetition, ShortText
from soundsright.services.report.tables import (
    csv_text,
    markdown_text,
    report_bib,
    report_csv,
    report_markdown,
)
from soundsright.services.rounds import read_wav

MAX_MANIFEST_BYTES = 50 << 20
SIMULATED_ROOM = "shoebox-"
_SOURCES = ("id", "kind", "licence", "creator", "source", "changes")
_Kept = list[tuple[RunCompetition, str, dict[str, bytes]]]


class Source(BaseModel):
    """A recording as a corpus names it."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)

    id: ShortText
    kind: ShortText
    licence: ShortText | None = None
    creator: ShortText | None = None
    source: ShortText | None = None
    changes: ShortText | None = None


@dataclass(frozen=True)
class Dataset:
    """What was written: files, their bytes, clips with audio and clips without."""

    files: tuple[str, ...]
    total_bytes: int
    clips_heard: int
    clips_silent: int


def read_sources(corpus: Path) -> dict[str, Source]:
    """What a corpus says of its recordings, by their id.

    Raises:
        UsageError: its manifest cannot be read.
    """
    manifest = corpus / "manifest.jsonl"
    try:
        if manifest.stat().st_size > MAX_MANIFEST_BYTES:
            raise UsageError(f"{manifest} is larger than {MAX_MANIFEST_BYTES >> 20} MiB", "Name another --corpus.")
        lines = manifest.read_text(encoding="utf-8").splitlines()
        found = [Source.model_validate_json(line) for line in lines if line.strip()]
    except (OSError, ValueError, ValidationError) as error:
        raise UsageError(
            f"{manifest} cannot be read ({str(error)[:120]})", "Name the --corpus of the run."
        ) from error
    return {source.id: source for source in found}


def write_dataset(
    run: Run, folder: Path, *, sources: Mapping[str, Source], audio_bytes: int, name: str = ""
) -> Dataset:
    """Write the data set to an empty or new folder; `name` is what the hub will call it.

    Raises:
        UsageError: the run has no results, the folder holds something, or audio is asked for whose licence is not
            known.
    """
    run.finished()
    kept = _clips_kept(run, audio_bytes)
    used = _sources_used(kept, sources)
    files: dict[str, bytes] = {
        "results.csv": report_csv(run).encode(),
        "results.json": (run.folder / "results.json").read_bytes(),
        "sources.csv": _sources_csv(used).encode(),
    }
    places = {}
    for c, clip, signals in kept:
        for signal, body in signals.items():
            place = f"audio/{c.doc.id}/{clip}/{signal}.flac"
            files[place] = body
            places[c.doc.id, clip, signal] = place
    files["clips.csv"] = _clips_csv(run, places).encode()
    total = sum(len(c.clip_ids) for c in run.competitions)
    files["LICENSE.md"] = f"# Licences\n\n{_licences(used)}\n".encode()
    files["README.md"] = _card(run, used, name, len(kept), total).encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty", "Name a new folder.")
        for place, body in files.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_bytes(body)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror})", "Name another folder.") from error
    return Dataset(tuple(sorted(files)), sum(map(len, files.values())), len(kept), total - len(kept))


def _clips_kept(run: Run, limit: int) -> _Kept:
    """Clips of all competitions in turn, their signals as FLAC, while there is room; a broken file is left out."""
    queues = [[(c, clip) for clip in clips_by_spread(c)] for c in run.competitions]
    kept: _Kept = []
    size = 0
    for c, clip in (one for turn in zip_longest(*queues) for one in turn if one is not None):
        signals = {}
        for signal in (*REFERENCES, *(entry.key for entry in c.entries)):
            path = c.signal(signal, clip)
            if path is None:
                continue
            try:
                signals[signal] = flac_bytes(read_wav(path))
            except (InfrastructureFault, ValueError):
                continue
        size += sum(map(len, signals.values()))
        if size > limit:
            break
        if signals:
            kept.append((c, clip, signals))
    return kept


def _sources_used(kept: _Kept, sources: Mapping[str, Source]) -> list[Source]:
    """The recordings in the audio: rooms and noise that were computed have none, babble names its voices."""
    recipes = [c.recipes[clip] for c, clip, _ in kept]
    drawn = {name for r in recipes for name in (r.speech, r.noise, r.rir) if name}
    names = {voice for name in drawn for voice in name.removeprefix(f"{BABBLE}:").split("+")}
    names = {name for name in names if name not in NOISE_KINDS and not name.startswith(SIMULATED_ROOM)}
    unknown = sorted(name for name in names if name not in sources or not sources[name].licence)
    if unknown:
        raise UsageError(
            f"The licence of {len(unknown)} recordings is not known, {unknown[0]} first",
            "Name the run's --corpus, or keep the audio back with --audio-mib 0.",
        )
    return [sources[name] for name in sorted(names)]


def _sources_csv(used: Sequence[Source]) -> str:
    return csv_text(_SOURCES, ([getattr(source, field) for field in _SOURCES] for source in used))


def _clips_csv(run: Run, places: Mapping[tuple[str, str, str], str]) -> str:
    doc = run.finished()
    columns = (
        "round", "competition", "entry", "model", "clip", "speech", "speaker", "noise", "snr_db", "rir", "rt60_s",
        *doc.metrics, "failure", "clean", "degraded", "enhanced",
    )  # fmt: skip
    rows: list[Sequence[object]] = []
    for c in run.competitions:
        for entry in c.rows:
            for clip in c.clip_ids:
                r, scores = c.recipes[clip], entry.scores.get(clip, {})
                failure = entry.failures.get(clip)
                audio = [places.get((c.doc.id, clip, signal)) for signal in (*REFERENCES, entry.key)]
                rows.append(
                    (
                        *(doc.round.id, c.doc.id, entry.label, entry.row.model, clip),
                        *(r.speech, r.speaker, r.noise, r.snr_db, r.rir, r.rt60_s),
                        *(scores.get(name) for name in doc.metrics),
                        *(failure.code if failure else None, *audio),
                    )
                )
    return csv_text(columns, rows)


def _card(run: Run, used: Sequence[Source], name: str, heard: int, clips: int) -> str:
    """README.md: metadata that the hub reads, then the round in words and tables."""
    doc = run.finished()
    by_licence = Counter(source.licence or "" for source in used)
    head: dict[str, object] = {
        "pretty_name": f"SoundsRight, round {doc.round.id}",
        "task_categories": ["audio-to-audio"],
        "tags": ["speech-enhancement", "speech", "leaderboard", "soundsright"],
        "configs": [
            {"config_name": "results", "data_files": "results.csv", "default": True},
            {"config_name": "clips", "data_files": "clips.csv"},
        ],
    }
    if len(by_licence) == 1:
        head = {"license": next(iter(by_licence)).lower(), **head}
    elif by_licence:
        head = {"license": "other", "license_name": "by-recording", "license_link": "LICENSE.md", **head}
    lines = [
        "---",
        # JSON is YAML: a stranger's text cannot end a value.
        *(f"{key}: {json.dumps(value, ensure_ascii=True)}" for key, value in head.items()),
        "---",
        "",
        report_markdown(run).rstrip(),
        "",
        "## What it holds",
        "",
        "| file | holds |",
        "| :--- | :--- |",
        "| results.csv | a line per competition, entry and metric: mean, 95 % interval, rank, share, speed |",
        "| clips.csv | a line per competition, entry and clip: its recipe, its scores or its failure, its audio |",
        "| sources.csv | every recording in the audio: who made it, under which licence, from where |",
        "| results.json | the round as decided, with the evidence of each decision |",
        "| audio/ | clean, degraded and enhanced signals, 16-bit FLAC |",
        "",
        f"Audio of {heard} of {clips} clips is here, those first whose entries differ most.",
    ]
    if name:
        load = f'datasets.load_dataset("{name}", "clips")'
        lines += ["", "```python", "import datasets", "", f"clips = {load}", "```"]
    lines += ["", "## Whose audio it is", "", _licences(used)]
    lines += ["", "## Citations", "", "```bibtex", report_bib(run).rstrip(), "```"]
    return "\n".join(lines) + "\n"


def _licences(used: Sequence[Source]) -> str:
    """Under which licences the audio is, in words."""
    if not used:
        return "No audio is here."
    by_licence = Counter(source.licence or "" for source in used)
    return "\n".join(
        [
            "Each clip mixes recordings of others, named in sources.csv with their makers; what the entries",
            "made of it is derived from them. The licences of the recordings hold for both:",
            "",
            *(
                f"- {markdown_text(licence)}: {count} {'recording' if count == 1 else 'recordings'}"
                for licence, count in sorted(by_licence.items())
            ),
        ]
    )
