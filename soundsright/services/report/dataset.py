"""A round as a data set for a hub: tables, part of the audio, and a card that states the licences.

    README.md        the card: what the data set is, how it was made, tables, licences
    results.csv      one line per competition, entry and metric
    clips.csv        one line per competition, entry and clip, with the paths of its audio
    sources.csv      every recording in the audio: its creator, its licence, its source
    results.json     all results of the round
    LICENSE.md       the licences of the audio
    audio/COMPETITION/CLIP/SIGNAL.flac

Audio is 16-bit FLAC. A clip has all of its signals or none. Clips on which the entries differ most come first.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from soundsright.core.csv_text import csv_text
from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.core.text_files import lines_of_file
from soundsright.data import BABBLE, NOISE_KINDS
from soundsright.services.drawing import clips_by_spread, flac_bytes
from soundsright.services.records import REFERENCES, Run, RunCompetition, ShortText
from soundsright.services.report.tables import (
    markdown_text,
    report_bib,
    report_csv,
    report_markdown,
)
from soundsright.services.rounds import read_wav

MAX_MANIFEST_BYTES = 50 << 20
SIMULATED_ROOM = "shoebox-"
_SOURCES = ("id", "kind", "licence", "creator", "source", "changes")
_ClipAudio = list[tuple[RunCompetition, str, dict[str, bytes]]]


class CorpusRecording(BaseModel):
    """A recording of a corpus, with its creator and licence."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)

    id: ShortText
    kind: ShortText
    licence: ShortText | None = None
    creator: ShortText | None = None
    source: ShortText | None = None
    changes: ShortText | None = None


@dataclass(frozen=True)
class Dataset:
    """The result of writing a data set: the files, their bytes, and the number of clips with and without audio."""

    files: tuple[str, ...]
    total_bytes: int
    clips_with_audio: int
    clips_without_audio: int


def read_sources(corpus: Path) -> dict[str, CorpusRecording]:
    """The recordings of a corpus, by id.

    Raises:
        UsageError: the manifest of the corpus cannot be read.
    """
    manifest = corpus / "manifest.jsonl"
    try:
        lines = lines_of_file(manifest, MAX_MANIFEST_BYTES, "Give the --corpus of the run.")
        sources = [CorpusRecording.model_validate_json(line) for _, line in lines]
    except ValidationError as error:
        raise UsageError(
            f"{manifest} cannot be read ({str(error)[:120]})", "Give the --corpus of the run."
        ) from error
    return {source.id: source for source in sources}


def write_dataset(
    run: Run, folder: Path, *, sources: Mapping[str, CorpusRecording], audio_bytes: int, name: str = ""
) -> Dataset:
    """Write the data set to a new or empty folder, with at most `audio_bytes` of audio. `name` is for the hub.

    Raises:
        UsageError: the run has no results, the folder is not empty, or the licence of some audio is not known.
    """
    run.finished()
    clip_audio = _clips_with_audio(run, audio_bytes)
    used = _sources_used(clip_audio, sources)
    files: dict[str, bytes] = {
        "results.csv": report_csv(run).encode(),
        "results.json": (run.folder / "results.json").read_bytes(),
        "sources.csv": _sources_csv(used).encode(),
    }
    paths = {}
    for c, clip, signals in clip_audio:
        for signal, body in signals.items():
            path = f"audio/{c.doc.id}/{clip}/{signal}.flac"
            files[path] = body
            paths[c.doc.id, clip, signal] = path
    files["clips.csv"] = _clips_csv(run, paths).encode()
    total = sum(len(c.clip_ids) for c in run.competitions)
    files["LICENSE.md"] = f"# Licences\n\n{_licences(used)}\n".encode()
    files["README.md"] = _card(run, used, name, len(clip_audio), total).encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty", "Give a new folder.")
        for path, body in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(body)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror})", "Give another folder.") from error
    return Dataset(tuple(sorted(files)), sum(map(len, files.values())), len(clip_audio), total - len(clip_audio))


def _clips_with_audio(run: Run, limit: int) -> _ClipAudio:
    """Clips of all competitions in turn, as FLAC, up to `limit` bytes. Broken files are skipped."""
    queues = [[(c, clip) for clip in clips_by_spread(c)] for c in run.competitions]
    clips_with_audio: _ClipAudio = []
    size = 0
    for c, clip in (item for turn in zip_longest(*queues) for item in turn if item is not None):
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
            clips_with_audio.append((c, clip, signals))
    return clips_with_audio


def _sources_used(clips_with_audio: _ClipAudio, sources: Mapping[str, CorpusRecording]) -> list[CorpusRecording]:
    """The recordings in the audio. Simulated rooms and noises are no recordings; babble has several voices."""
    spoken: dict[str, CorpusRecording] = {}
    drawn: set[str] = set()
    for c, clip, _ in clips_with_audio:
        recipe = c.recipes[clip]
        drawn |= {name for name in (recipe.noise, recipe.rir) if name}
        if recipe.speech and c.doc.speech:
            spoken[recipe.speech] = _synthesised(recipe.speech, c.doc.speech)
        elif recipe.speech:
            drawn.add(recipe.speech)
    names = {voice for name in drawn for voice in name.removeprefix(f"{BABBLE}:").split("+")}
    names = {name for name in names if name not in NOISE_KINDS and not name.startswith(SIMULATED_ROOM)}
    unknown = sorted(name for name in names if name not in sources or not sources[name].licence)
    if unknown:
        raise UsageError(
            f"The licence of {len(unknown)} recordings is not known; the first is {unknown[0]}",
            "Give the run's --corpus, or leave out the audio with --audio-mib 0.",
        )
    return [*(spoken[name] for name in sorted(spoken)), *(sources[name] for name in sorted(names))]


def _synthesised(name: str, facts: Mapping[str, str]) -> CorpusRecording:
    """An utterance that a synthesiser spoke for the round. No recording's licence applies to it."""
    engine = f"{facts.get('engine', '')} {facts.get('model', '')}".strip()
    return CorpusRecording(id=name, kind="speech", licence="Synthesised for the round", creator=engine)


def _sources_csv(used: Sequence[CorpusRecording]) -> str:
    return csv_text(_SOURCES, ([getattr(source, field) for field in _SOURCES] for source in used))


def _clips_csv(run: Run, paths: Mapping[tuple[str, str, str], str]) -> str:
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
                audio = [paths.get((c.doc.id, clip, signal)) for signal in (*REFERENCES, entry.key)]
                rows.append(
                    (
                        *(doc.round.id, c.doc.id, entry.label, entry.row.model, clip),
                        *(r.speech, r.speaker, r.noise, r.snr_db, r.rir, r.rt60_s),
                        *(scores.get(name) for name in doc.metrics),
                        *(failure.code if failure else None, *audio),
                    )
                )
    return csv_text(columns, rows)


def _card(run: Run, used: Sequence[CorpusRecording], name: str, with_audio: int, clips: int) -> str:
    """README.md: metadata for the hub, then the round in tables and text."""
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
        # JSON is also YAML, and in it a stranger's text cannot end a value.
        *(f"{key}: {json.dumps(value, ensure_ascii=True)}" for key, value in head.items()),
        "---",
        "",
        report_markdown(run).rstrip(),
        "",
        "## Files",
        "",
        "| file | content |",
        "| :--- | :--- |",
        "| results.csv | one line per competition, entry and metric: mean, 95 % interval, rank, share, speed |",
        "| clips.csv | one line per competition, entry and clip: recipe, scores or failure, audio files |",
        "| sources.csv | every recording in the audio: creator, licence and source |",
        "| results.json | all results of the round, with the numbers behind each decision |",
        "| audio/ | clean, degraded and enhanced signals, 16-bit FLAC |",
        "",
        f"{with_audio} of {clips} clips have audio: those on which the entries differ most.",
    ]
    if name:
        load = f'datasets.load_dataset("{name}", "clips")'
        lines += ["", "```python", "import datasets", "", f"clips = {load}", "```"]
    lines += ["", "## Licences of the audio", "", _licences(used)]
    lines += ["", "## Citations", "", "```bibtex", report_bib(run).rstrip(), "```"]
    return "\n".join(lines) + "\n"


def _licences(used: Sequence[CorpusRecording]) -> str:
    """The licences of the audio, in words."""
    if not used:
        return "This data set has no audio."
    by_licence = Counter(source.licence or "" for source in used)
    return "\n".join(
        [
            "Each clip mixes recordings by other people. sources.csv names each recording and its creator. The",
            "enhanced audio is derived from these recordings, so their licences apply to it too:",
            "",
            *(
                f"- {markdown_text(licence)}: {count} {'recording' if count == 1 else 'recordings'}"
                for licence, count in sorted(by_licence.items())
            ),
        ]
    )
