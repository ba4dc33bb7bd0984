"""report.html: one file that opens from disk and needs no server. Every name in it is escaped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundsright.core.audio import Audio
from soundsright.core.errors import InfrastructureFault
from soundsright.services.drawing import (
    clip_facts,
    competition_plots,
    data_uri,
    flac_bytes,
    places_of,
    spectrogram_png,
    style_sheet,
    template_environment,
)
from soundsright.services.records import (
    Results,
    Run,
    RunCompetition,
    ScoreLine,
    run_of,
    scores_text,
    write_json,
)
from soundsright.services.report.tables import metric_source, recipe_words, report_bib
from soundsright.services.rounds import read_wav, write_text

CLIPS_WITH_AUDIO = 3


@dataclass(frozen=True)
class Sound:
    """One signal with its spectrogram, both as data URIs, and the places that look hallucinated, in words."""

    title: str
    audio: str = ""
    spectrogram: str = ""
    places: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClipSounds:
    """One clip of a competition: clean, degraded, and as the best entry enhanced it."""

    clip_id: str
    facts: str
    sounds: tuple[Sound, ...]


def write_round(folder: Path, results: Results, scores: Iterable[ScoreLine]) -> None:
    """Write scores.jsonl, report.html and results.json to a round's folder, which already has its audio.

    results.json comes last: its presence says that the round is finished.
    """
    lines = tuple(scores)
    write_text(folder / "scores.jsonl", scores_text(lines))
    write_text(folder / "report.html", report_html(run_of(folder, results, lines)))
    write_json(folder / "results.json", results.as_json())


def report_html(run: Run) -> str:
    """The page for a finished run.

    Raises:
        UsageError: the run has no results, or Jinja is not installed.
    """
    from markupsafe import Markup

    doc = run.finished()
    templates = template_environment()
    sections = [
        {
            "c": c,
            "plots": {
                name: [Markup(plot) for plot in plots.values()] for name, plots in competition_plots(run, c).items()
            },
            "recipe": recipe_words(c),
            "clips": [_clip_sounds(c, clip_id) for clip_id in _clips_with_audio(c)],
        }
        for c in run.competitions
    ]
    return templates.get_template("report.html.j2").render(
        run=run,
        doc=doc,
        sections=sections,
        sources={name: f"{m.title}. {metric_source(name)}" for name, m in doc.metrics.items()},
        bibtex=report_bib(run),
        style=Markup(style_sheet("board.css") + style_sheet("plots.css")),
        results_json=json.dumps(doc.as_json(), indent=1),
    )


def _clips_with_audio(c: RunCompetition) -> tuple[str, ...]:
    """The hardest, a middle and the easiest clip: by SNR from the lowest, or by RT60 from the longest."""

    def difficulty(clip_id: str) -> float:
        recipe = c.recipes[clip_id]
        if recipe.snr_db is not None:
            return recipe.snr_db
        return -recipe.rt60_s if recipe.rt60_s is not None else 0.0

    ordered = sorted(c.clip_ids, key=difficulty)
    if not ordered:
        return ()
    last = len(ordered) - 1
    return tuple(dict.fromkeys(ordered[round(i * last / (CLIPS_WITH_AUDIO - 1))] for i in range(CLIPS_WITH_AUDIO)))


def _clip_sounds(c: RunCompetition, clip_id: str) -> ClipSounds:
    signals = [("clean", "clean"), ("degraded", "degraded")]
    if c.best is not None:
        signals.append((c.best.label, c.best.key))
    sounds = []
    for title, signal in signals:
        path = c.signal(signal, clip_id)
        if path is None:
            continue
        try:
            sounds.append(_sound(title, read_wav(path), places_of(c, clip_id, signal)))
        except (InfrastructureFault, ValueError):
            # A broken file must not prevent the report.
            sounds.append(Sound(f"{title}: this clip cannot be read"))
    return ClipSounds(clip_id, clip_facts(c, clip_id), tuple(sounds))


def _sound(title: str, audio: Audio, places: Sequence[Mapping[str, float | str]]) -> Sound:
    spectrogram = spectrogram_png(audio, [(float(each["from"]), float(each["to"])) for each in places])
    return Sound(
        title,
        data_uri(flac_bytes(audio), "audio/flac"),
        data_uri(spectrogram, "image/png"),
        tuple(str(each["text"]) for each in places),
    )
