"""Artificial runs of a competition, with made-up scores and short tones, for tests of reports and pages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from soundsright.core.audio import Audio, Samples
from soundsright.ranking.statistics import mean_estimate
from soundsright.services.records.results import RESULTS_SCHEMA
from soundsright.services.rounds.clipset import write_wav

RATE_HZ = 16_000
METRICS = {
    "PESQ_WB": ("Perceptual evaluation of speech quality, wide band", "MOS-LQO", 0.999, 4.65),
    "ESTOI": ("Extended short-time objective intelligibility", "index", -1.0, 1.0),
    "SI_SDR": ("Scale-invariant signal-to-distortion ratio", "dB", -60.0, 100.0),
}
SPAN = {"PESQ_WB": 0.5, "ESTOI": 0.1, "SI_SDR": 5.0}
UNPROCESSED_MODEL = f"unprocessed/degraded-input@{'0' * 40}"


@dataclass(frozen=True)
class Entrant:
    """`quality` shifts every score and the level of the remaining noise. `failures` are by clip number."""

    name: str
    quality: float
    hotkey: str = ""
    failures: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    gain: float = 1.0
    share: float = 0.0
    flags: Sequence[tuple[str, str]] = ()


USUAL = (
    Entrant("alpine/clear", 2.0, "alpine", share=6.0),
    Entrant("brook/soft", 1.2, "brook", gain=0.25, share=3.0),
    Entrant("cedar/late", 0.4, "cedar", failures={1: ("timeout", "enhance took longer than 5 s")}),
)


def speech_like(seed: int, seconds: float = 1.0, rate_hz: int = RATE_HZ) -> Samples:
    """Tones with a slow envelope, at about -20 dB."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    voiced = sum(np.sin(2 * np.pi * 140 * k * t + rng.uniform(0, 6)) / k for k in range(1, 9))
    hiss = sum(np.sin(2 * np.pi * f * t) for f in (4300, 5100, 6200))
    envelope = np.clip(np.sin(2 * np.pi * 3 * t), 0, None)
    return (0.1 * envelope * (voiced + 0.5 * hiss)).astype(np.float32)


def write_run(
    folder: Path,
    entrants: Sequence[Entrant] = USUAL,
    *,
    clips: int = 6,
    seed: int = 7,
    audio: bool = True,
    competition: str = "DENOISING_16000HZ",
    refused: Sequence[Mapping[str, Any]] = (),
    evidence: Mapping[str, Any] | None = None,
    scores: bool = True,
) -> Path:
    """A finished run of one competition in `folder`."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    hardness = rng.normal(size=clips)
    lines: list[dict[str, Any]] = []
    rows = []
    for uid, entrant in enumerate(entrants, 1):
        values: dict[str, list[float]] = {name: [] for name in METRICS}
        hotkey = entrant.hotkey or entrant.name
        model = f"{entrant.name}@{uid:040x}"
        for clip in range(clips):
            wobble = rng.normal(scale=0.3)
            clip_scores = {n: _score(n, entrant.quality + 0.5 * hardness[clip] + wobble) for n in METRICS}
            failure = entrant.failures.get(clip)
            lines.append(_line(competition, hotkey, model, clip, None if failure else clip_scores, failure))
            for name in METRICS:
                values[name].append(METRICS[name][2] if failure else clip_scores[name])
        rows.append(_row(uid, entrant, hotkey, model, values, clips))
        if audio:
            _write_enhanced(folder, uid, hotkey, entrant, clips, seed)
    baseline = {n: [_score(n, 0.5 * hardness[clip]) for clip in range(clips)] for n in METRICS}
    for clip in range(clips):
        clip_scores = {n: baseline[n][clip] for n in METRICS}
        lines.append(_line(competition, "unprocessed", UNPROCESSED_MODEL, clip, clip_scores, None))
    if audio:
        _write_set(folder / "sets" / competition, clips, seed)
    document = _document(clips, _competition(competition, rows, baseline, clips, refused, evidence))
    (folder / "run.json").write_text("{}")
    (folder / "results.json").write_text(json.dumps(document))
    if scores:
        (folder / "scores.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def _document(clips: int, competition: dict[str, Any]) -> dict[str, Any]:
    """results.json of a round with one competition."""
    return {
        "schema": RESULTS_SCHEMA,
        "round": {
            "id": "trial",
            "entries_close_block": 30,
            "seed_block": 500,
            "seed_block_hash": "0x" + "ab" * 32,
            "ruleset": "soundsright-v3",
            "ruleset_digest": "cd" * 32,
            "clips": clips,
        },
        "metrics": {
            n: {"title": t, "unit": u, "direction": "higher", "low": low, "high": high, "floor": low}
            for n, (t, u, low, high) in METRICS.items()
        },
        "competitions": [competition],
        "weights": {"1": 1.0},
        "weights_block": 501,
        "cost": {"wall_s": 3.0, "busy_s": {"score": 1.0}, "peak_memory_bytes": 1_000_000},
        "versions": {"soundsright": "0.1.0", "python": "3.11.0"},
    }


def _score(name: str, quality: float) -> float:
    _, _, low, high = METRICS[name]
    base = {"PESQ_WB": 1.5, "ESTOI": 0.6, "SI_SDR": 5.0}[name]
    return float(np.clip(base + SPAN[name] * quality, low, high))


def _line(
    competition: str,
    hotkey: str,
    model: str,
    clip: int,
    scores: Mapping[str, float] | None,
    failure: tuple[str, str] | None,
) -> dict[str, Any]:
    return {
        "competition": competition,
        "entry": hotkey,
        "model": model,
        "id": f"{clip:06d}",
        "scores": scores,
        "failure": {"code": failure[0], "detail": failure[1]} if failure else None,
        "recipe": {
            "speech": f"utterance-{clip}",
            "speaker": f"speaker {clip % 2}",
            "noise": "rain",
            "snr_db": -5.0 + 3.0 * clip,
            "rir": None,
            "rt60_s": None,
        },
    }


def _row(
    uid: int, entrant: Entrant, hotkey: str, model: str, values: Mapping[str, Sequence[float]], clips: int
) -> dict[str, Any]:
    codes = [code for code, _ in entrant.failures.values()]
    return {
        "rank": uid,
        "entry": entrant.name,
        "hotkey": hotkey,
        "uid": uid,
        "model": model,
        "block": 20 + uid,
        "share": entrant.share,
        "metrics": {name: _estimate(v) for name, v in values.items()},
        "clips": clips,
        "failures": {code: codes.count(code) for code in dict.fromkeys(codes)},
        "flags": [{"code": c, "sentence": s, "value": 40.0, "limit": 35.0} for c, s in entrant.flags],
        "timing": {"load_s": 0.5, "real_time_factor": 0.02 * uid, "peak_memory_bytes": 50_000_000 * uid},
        "reasons": {"PESQ_WB": "Takes the prize." if uid == 1 else "Another entry reached more."},
        "needed": {} if uid == 1 else {"PESQ_WB": 2.5},
    }


def _competition(
    competition: str,
    rows: list[dict[str, Any]],
    baseline: Mapping[str, Sequence[float]],
    clips: int,
    refused: Sequence[Mapping[str, Any]],
    evidence: Mapping[str, Any] | None,
) -> dict[str, Any]:
    winner = rows[0]["hotkey"] if rows else None
    return {
        "id": competition,
        "title": "Denoising, 16 kHz",
        "metric_weights": {"PESQ_WB": 0.6, "ESTOI": 0.4},
        "max_score": 10.0,
        "remainder": 3.0,
        "seed": 2**63 + 5,
        "set_digest": "ef" * 32,
        "entries": rows,
        "unprocessed": {
            **dict.fromkeys(("rank", "hotkey", "uid", "model", "block")),
            "entry": "unprocessed input",
            "share": 0.0,
            "metrics": {name: _estimate(v) for name, v in baseline.items()},
            "clips": clips,
            "failures": {},
            "timing": {"load_s": 0.0, "real_time_factor": None, "peak_memory_bytes": 0},
        },
        "decisions": [
            {
                "metric": "PESQ_WB",
                "winner": winner,
                "sentence": f"{winner} takes PESQ_WB.",
                "evidence": {
                    **{"champion": winner or "", "clips": float(clips), "dethroned": True},
                    **(evidence or {}),
                },
            }
        ],
        "refused": list(refused),
    }


def without_intervals(folder: Path) -> Path:
    """The run in `folder`, as if its clips did not allow any interval."""
    path = folder / "results.json"
    document = json.loads(path.read_text())
    for competition in document["competitions"]:
        for row in (*competition["entries"], competition["unprocessed"]):
            for estimate in row["metrics"].values():
                estimate |= {"low": None, "high": None}
        for decision in competition["decisions"]:
            decision["evidence"] = {
                name: value
                for name, value in decision["evidence"].items()
                if name not in ("difference_low", "difference_high")
            }
    path.write_text(json.dumps(document))
    return folder


def _estimate(values: Sequence[float]) -> dict[str, float | None]:
    estimate = mean_estimate(list(values))
    return {"mean": estimate.mean, "low": estimate.low, "high": estimate.high, "n": estimate.n}


def _write_set(folder: Path, clips: int, seed: int) -> None:
    for name in ("clean", "degraded"):
        (folder / name).mkdir(parents=True)
    for clip in range(clips):
        clean = speech_like(seed + clip)
        write_wav(folder / "clean" / f"{clip:06d}.wav", Audio(clean, RATE_HZ))
        write_wav(folder / "degraded" / f"{clip:06d}.wav", Audio(clean + _noise(seed + clip, 0.05), RATE_HZ))


def _write_enhanced(folder: Path, uid: int, hotkey: str, entrant: Entrant, clips: int, seed: int) -> None:
    name = f"{uid}-{hotkey[:12]}"
    if "/" in name:
        return
    target = folder / "enhanced" / name
    target.mkdir(parents=True)
    for clip in range(clips):
        if clip not in entrant.failures:
            left = 0.05 * 10 ** (-entrant.quality / 2)
            samples = entrant.gain * (speech_like(seed + clip) + _noise(seed + clip, left))
            write_wav(target / f"{clip:06d}.wav", Audio(samples.astype(np.float32), RATE_HZ))


def _noise(seed: int, scale: float) -> Samples:
    return (scale * np.random.default_rng(seed + 1000).standard_normal(RATE_HZ)).astype(np.float32)
