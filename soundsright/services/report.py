"""report.html: one file that opens from disk and asks nothing of any server. Every name in it is escaped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundsright.core.audio import Audio
from soundsright.metrics.registry import metric
from soundsright.services.clipset import ClipSet, read_wav
from soundsright.services.plots import Box, box_plot, data_uri, flac_bytes, spectrogram_png
from soundsright.services.round import RoundOutcome
from soundsright.services.summary import Row, Table, clip_values

CLIPS_TO_HEAR = 3


@dataclass(frozen=True)
class Sound:
    """One signal to hear, with its spectrogram: both as data URIs."""

    title: str
    audio: str
    spectrogram: str


@dataclass(frozen=True)
class HeardClip:
    """One clip of a competition: clean, degraded and the winner's answer."""

    clip_id: str
    facts: str
    sounds: tuple[Sound, ...]


def report_html(outcome: RoundOutcome, tables: Sequence[Table], document: Mapping[str, Any], enhanced: Path) -> str:
    """The whole page. `document` is results.json, shown as it is; `enhanced` holds the answers by entry."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("soundsright", "web/templates"), autoescape=True, undefined=StrictUndefined
    )
    sections = []
    for table in tables:
        clips = outcome.sets[table.competition.id]
        sections.append(
            {
                "table": table,
                "plots": [Markup(plot) for plot in _plots(outcome, table)],
                "heard": [_heard(clips, table.best, clip_id, enhanced) for clip_id in _clips_to_hear(clips)],
            }
        )
    return environment.get_template("report.html.j2").render(
        outcome=outcome,
        sections=sections,
        metrics=[metric(name) for name in outcome.plan.metrics],
        document=document,
        results_json=json.dumps(document, indent=1),
    )


def _plots(outcome: RoundOutcome, table: Table) -> list[str]:
    competition = table.competition
    evaluations = {e.submission.entry_id: e for e in outcome.evaluations[competition.id]}
    plots = []
    for name in outcome.plan.metrics:
        floor = outcome.plan.floors[name]
        boxes = [
            Box(row.label, tuple(clip_values(evaluations[row.submission.entry_id], name, floor)), row is table.best)
            for row in table.rows
            # A row of floors would squeeze the others into a corner; the table shows it.
            if sum(row.failures.values()) < row.clips
        ]
        unprocessed = outcome.unprocessed[competition.id]
        boxes.append(Box("unprocessed input", tuple(clip_values(unprocessed, name, floor))))
        facts = metric(name)
        plots.append(box_plot(boxes, title=facts.title, unit=facts.unit))
    return plots


def _clips_to_hear(clips: ClipSet) -> tuple[str, ...]:
    """Clips from the hardest to the easiest: lowest, middle and highest SNR, or longest to shortest RT60."""

    def difficulty(clip_id: str) -> float:
        recipe = clips.recipes[clip_id]
        snr_db, rt60_s = recipe.get("snr_db"), recipe.get("rt60_s")
        return float(snr_db) if isinstance(snr_db, float) else -float(rt60_s) if isinstance(rt60_s, float) else 0.0

    ordered = sorted(clips.clip_ids, key=difficulty)
    last = len(ordered) - 1
    return tuple(dict.fromkeys(ordered[round(i * last / (CLIPS_TO_HEAR - 1))] for i in range(CLIPS_TO_HEAR)))


def _heard(clips: ClipSet, best: Row | None, clip_id: str, enhanced: Path) -> HeardClip:
    recipe = clips.recipes[clip_id]
    facts = [f"speaker {recipe['speaker']}"]
    if recipe.get("snr_db") is not None:
        facts.append(f"noise {recipe['noise']} at {recipe['snr_db']:.1f} dB SNR")
    if recipe.get("rt60_s") is not None:
        facts.append(f"room {recipe['rir']}, RT60 {recipe['rt60_s']:.2f} s")
    sounds = [_sound("clean", clips.clean(clip_id)), _sound("degraded", clips.degraded(clip_id).audio)]
    if best is not None:
        path = enhanced / best.submission.entry_id / f"{clip_id}.wav"
        if path.is_file():
            sounds.append(_sound(best.label, read_wav(path)))
    return HeardClip(clip_id, ", ".join(facts), tuple(sounds))


def _sound(title: str, audio: Audio) -> Sound:
    return Sound(title, data_uri(flac_bytes(audio), "audio/flac"), data_uri(spectrogram_png(audio), "image/png"))
