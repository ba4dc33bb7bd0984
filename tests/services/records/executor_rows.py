"""Rows and rounds of an executor for tests: seven images, of which one is slow, one failed and one waits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from soundsright.core.canonical import canonical_json
from soundsright.core.executor_rules import REAL_TIME_S, ExecutorRules
from soundsright.core.images import ImageMetrics, ImageRow, SubmittedImage
from soundsright.core.sources import ImageRef
from soundsright.ranking import efficiency_score, quality_of_means

WEIGHTS = {"PESQ_WB": 0.6, "ESTOI": 0.4}
HOSTILE = "<script>document.title='owned'</script>"


def hotkey(letter: str) -> str:
    return f"5{letter}" + "Gw3s7q4QLkSWwknsiPtjujPv3XM4Trxi5d4PgKMMk3gfGT"[:46]


def image(name: str) -> ImageRef:
    return ImageRef(f"registry.example/{name}", name.encode().hex().ljust(64, "0")[:64])


def runs(pesq: float, estoi: float, time_s: float) -> tuple[dict[str, Any], ...]:
    return tuple(
        {
            "run": run,
            "clip_ids": [f"clip-{2 * run}", f"clip-{2 * run + 1}"],
            "time_sec": time_s,
            "scores": {
                f"clip-{2 * run}": {"PESQ_WB": pesq - 0.1, "ESTOI": estoi},
                f"clip-{2 * run + 1}": {"PESQ_WB": pesq + 0.1, "ESTOI": estoi},
            },
        }
        for run in range(5)
    )


def scored(
    letter: str, name: str, pesq: float, estoi: float, rtf: float, memory_gb: float, **more: Any
) -> ImageRow:
    """A measured image in the profile `soundsright`, with runs of 24 s of audio."""
    quality = quality_of_means({"PESQ_WB": pesq, "ESTOI": estoi}, WEIGHTS)
    score = efficiency_score(quality, [rtf * REAL_TIME_S] * 5, [memory_gb] * 5)
    time_s = rtf * 24
    metrics = ImageMetrics(
        final_score=score.score,
        quality_score=quality,
        efficiency_factor=score.factor,
        inference_time_sec=time_s,
        inference_time_sec_worst=time_s * 1.05,
        real_time_factor=rtf,
        peak_vram_gb=memory_gb,
        peak_vram_gb_worst=memory_gb,
        cap_violation=score.over_limit,
        challenge_metrics=runs(pesq, estoi, time_s),
        updated_s=1_800_000_000.0,
        **more,
    )
    return ImageRow(SubmittedImage(1_700_000_000 + ord(letter), hotkey(letter), image(name)), metrics)


def usual_rows(shift: float = 0.0) -> tuple[ImageRow, ...]:
    """The rows of a round, best first. `shift` changes every PESQ."""
    measured = [
        scored("A", "ann/gate-small", 2.61 + shift, 0.82, 0.08, 0.4, energy_j_per_s=1.9),
        scored("B", "ben/masknet", 2.95 + 2 * shift, 0.86, 0.62, 2.1, energy_j_per_s=14.5),
        scored("C", "cho/wiener", 1.72 + shift, 0.71, 0.01, 0.2, energy_j_per_s=0.3),
        scored("D", "dov/twostage", 2.80 - shift, 0.84, 0.55, 5.6, unsteady=True),
        scored("E", "eve/diffusion", 3.20, 0.90, 1.4, 7.5),
    ]
    failed = ImageRow(
        SubmittedImage(1_700_000_090, hotkey("F"), image("fay/crasher")),
        ImageMetrics(0.0, 0.0, error="crashed", detail=f"Run 2 ended with exit code 1: {HOSTILE}"),
    )
    waiting = ImageRow(SubmittedImage(1_700_000_099, hotkey("G"), image("gus/new")))
    return (*sorted(measured, key=lambda row: -row.metrics.final_score), failed, waiting)


def results_facts(number: int, rows: tuple[ImageRow, ...] | None = None) -> dict[str, Any]:
    """The facts of a round's signed results."""
    return {
        "round": str(number),
        "competition": "DENOISING_16000HZ",
        "rules": json.loads(ExecutorRules().canonical_json),
        "metric_weights": WEIGHTS,
        "machine": {"gpu": "none", "cpu": "Example CPU"},
        "rows": [row.facts() for row in (usual_rows() if rows is None else rows)],
    }


def envelope(facts: dict[str, Any], signer: str = "5Executor") -> bytes:
    """Results in an envelope whose signature only `always_valid` accepts."""
    return json.dumps(
        {
            "schema": "soundsright.executor-results/1",
            "signer": signer,
            "signature": "0x" + "1" * 128,
            "document": canonical_json(facts),
        }
    ).encode()


def always_valid(address: str, message: bytes, signature: bytes) -> bool:
    return True


def write_rounds(folder: Path, numbers: tuple[int, ...] = (7, 8, 9, 10)) -> Path:
    """A folder with the results of several rounds."""
    folder.mkdir(parents=True, exist_ok=True)
    for at, number in enumerate(numbers):
        rows = usual_rows(0.05 * at)
        (folder / f"{number}.json").write_bytes(envelope(results_facts(number, rows)))
    return folder
