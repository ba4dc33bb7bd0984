"""Fits and tests the measure of hallucination on outputs of honest models, with and without planted faults.

    OMP_NUM_THREADS=1 python benchmarks/hallucination.py [--clips 48] [--cache FOLDER] [--fit] [--plot roc.png]

It needs flite and espeak-ng for words, and the packages of the models below models/. The two parts of the material
share no speaker, noise recording, synthesiser's voice or model (`hallucination_material`). The folder keeps the
outputs, so a second run takes a minute.

1. `transfer`: fitted on the part "fit", tested on the part "test".
2. `all material`: each output is judged by a fit that saw no output of its clip. With `--fit`,
   the weights that ship are fitted on all outputs, and their threshold is the one that 1 % of these honest outputs
   exceed.

The first table of each has the share of clips above the threshold, the second the share at other rates of false
alarms, with the area under the curve. `place` is the share of clips with places in which one of the shipped measure
overlaps the planted one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

# Set these before the next lines import NumPy, which reads them once.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
from numpy.typing import NDArray

if not __package__:  # Run as a file: find the folder `benchmarks` by its name.
    sys.path[0] = str(Path(__file__).parents[1])
from benchmarks.hallucination_material import PARTS, Case, cases
from benchmarks.planted import KINDS, RATE_HZ
from soundsright.core.audio import Audio
from soundsright.metrics.hallucination import (
    Model,
    Place,
    clip_cells,
    clip_hallucination,
    fitted_model,
)
from soundsright.metrics.hallucination_cues import CUES, cues_of, frame_times_s

WEIGHTS = Path(__file__).parents[1] / "soundsright/metrics/hallucination.json"
FALSE_ALARMS = 0.01
BANDS_DB = ((-2.5, 2.5), (2.5, 7.5), (7.5, 12.5), (12.5, 17.5))
FOLDS, ROUNDS, RIDGE = 4, 4, 3.0
SPARSE, HARD, GAP = 12, 3, 4  # honest frames in the first fit: one in 12; then in each round the worst 3 of a clip

Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measured:
    """The facts of a case, the cues of its frames, and the verdict of the shipped measure."""

    clip: str
    source: str
    system: str
    snr_db: float
    kind: str
    place_s: tuple[float, float]
    cues: Float64
    score: float
    places: tuple[Place, ...]


def measured(case: Case) -> Measured:
    audios = [Audio(each, RATE_HZ) for each in (case.clean, case.enhanced, case.noisy)]
    cells = clip_cells(*audios)
    result = clip_hallucination(*audios) if WEIGHTS.exists() else None
    cues = cues_of(cells) if cells else np.zeros((1, len(CUES)))
    score, places = (result.score, result.places) if result else (1.0, ())
    return Measured(case.clip, case.source, case.system, case.snr_db, case.kind, case.place_s, cues, score, places)


def logistic(cues: Float64, wrong: NDArray[np.bool_]) -> Model:
    """Weights and bias of the largest penalised likelihood, for cues in their own units. The threshold is 0."""
    from scipy.optimize import minimize

    mean, deviation = cues.mean(axis=0), cues.std(axis=0) + 1e-9
    x, sign = (cues - mean) / deviation, np.where(wrong, 1.0, -1.0)

    def loss(beta: Float64) -> tuple[float, Float64]:
        margin = sign * (x @ beta[1:] + beta[0])
        slope = -sign / (1.0 + np.exp(np.clip(margin, -500, 500)))
        gradient = np.concatenate([[slope.sum()], x.T @ slope + RIDGE * beta[1:]])
        return float(np.logaddexp(0.0, -margin).sum() + RIDGE / 2 * beta[1:] @ beta[1:]), gradient

    beta = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B").x
    weights = beta[1:] / deviation
    return Model(weights, float(beta[0] - mean @ weights), 0.0)


def planted_frames(item: Measured) -> NDArray[np.intp]:
    times = frame_times_s(len(item.cues))
    return np.flatnonzero((times >= item.place_s[0] - 0.02) & (times <= item.place_s[1] + 0.02))


def fitted(items: Sequence[Measured]) -> Model:
    """A model of the frames that decide: the worst of honest clips, gathered over rounds, and the planted top.

    A clip is judged by its worst stretch, so the other frames of a clip say little.
    """
    honest = [item for item in items if item.kind == "honest"]
    wrong = [item for item in items if item.kind != "honest"]
    usual = [item.cues[::SPARSE] for item in honest]
    tops = [item.cues[planted_frames(item)] for item in wrong]
    worst: list[Float64] = []
    model = _model_of([*usual], tops)
    for _ in range(ROUNDS):
        worst += [item.cues[np.argsort(-model.log_odds(item.cues))[: HARD * GAP : GAP]] for item in honest]
        tops = []
        for item in wrong:
            frames = planted_frames(item)
            order = np.argsort(-model.log_odds(item.cues)[frames])
            tops.append(item.cues[frames[order[: 5 * HARD : HARD]]])
        model = _model_of([*usual, *worst], tops)
    return model


def _model_of(honest: list[Float64], wrong: list[Float64]) -> Model:
    right, planted = np.concatenate(honest), np.concatenate(wrong)
    return logistic(np.concatenate([right, planted]), np.arange(len(right) + len(planted)) >= len(right))


def cross_fitted(items: Sequence[Measured]) -> list[Measured]:
    """The items with the log odds of a fit on other clips as their score."""
    clips = sorted({item.clip for item in items})
    fold = {clip: i % FOLDS for i, clip in enumerate(clips)}
    scored = []
    for i in range(FOLDS):
        model = fitted([item for item in items if fold[item.clip] != i])
        scored += [judged(model, item) for item in items if fold[item.clip] == i]
    return scored


def judged(model: Model, item: Measured) -> Measured:
    return replace(item, score=float(model.log_odds(item.cues).max()))


def threshold_of(items: Sequence[Measured]) -> float:
    honest = [item.score for item in items if item.kind == "honest"]
    return round(float(np.quantile(honest, 1.0 - FALSE_ALARMS)), 6)


def write(model: Model, threshold: float) -> None:
    weights = {cue: round(float(weight), 6) for cue, weight in zip(CUES, model.weights, strict=True)}
    data = {"weights": weights, "bias": round(model.bias, 6), "threshold": threshold}
    WEIGHTS.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    fitted_model.cache_clear()


def overlapping(item: Measured) -> bool:
    return any(p.start_s < item.place_s[1] and p.end_s > item.place_s[0] for p in item.places)


def area(honest: Float64, wrong: Float64) -> float:
    """The probability that a planted clip scores above an honest one; ties count half."""
    return float(np.mean(wrong[:, None] > honest) + 0.5 * np.mean(wrong[:, None] == honest))


def flagged_table(items: Sequence[Measured], threshold: float) -> None:
    groups: list[tuple[str, Sequence[Measured]]] = [("all", items)]
    for low, high in BANDS_DB:
        groups.append((f"SNR {low} to {high} dB", [x for x in items if low <= x.snr_db < high]))
    groups.append(("rooms", [x for x in items if not np.isfinite(x.snr_db)]))
    groups.append(("spoken by flite", [x for x in items if x.source == "spoken"]))
    groups += [(name, [x for x in items if x.system == name]) for name in sorted({x.system for x in items})]
    print("\n| outputs | honest, flagged | " + " | ".join(KINDS) + " |")
    print("| --- |" + " --- |" * (1 + len(KINDS)))
    for name, group in groups:
        row = []
        for kind in ("honest", *KINDS):
            flags = [item.score > threshold for item in group if item.kind == kind]
            row.append(f"{np.mean(flags):.1%} of {len(flags)}" if flags else "–")
        print(f"| {name} | " + " | ".join(row) + " |")


def roc_table(items: Sequence[Measured], plot: Path | None) -> None:
    scores = {k: np.array([x.score for x in items if x.kind == k]) for k in ("honest", *KINDS)}
    honest = scores["honest"]
    rates = (0.001, 0.005, 0.01, 0.02, 0.05)
    print("\n| kind | area | " + " | ".join(f"at {rate:.1%}" for rate in rates) + " | place |")
    print("| --- |" + " --- |" * (len(rates) + 2))
    for kind in (*KINDS, "all kinds"):
        wrong = np.concatenate([scores[k] for k in KINDS]) if kind == "all kinds" else scores[kind]
        found = [np.mean(wrong > np.quantile(honest, 1.0 - rate)) for rate in rates]
        hits = [overlapping(x) for x in items if x.kind in (KINDS if kind == "all kinds" else (kind,)) and x.places]
        print(f"| {kind} | {area(honest, wrong):.4f} | " + " | ".join(f"{f:.1%}" for f in found)
              + f" | {np.mean(hits):.1%} |")  # fmt: skip
    if plot:
        draw(plot, scores)


def draw(path: Path, scores: dict[str, Float64]) -> None:
    """The curve of each kind, with the false alarms on a logarithmic axis."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "roc"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4))
    honest = np.sort(scores["honest"])[::-1]
    for kind in KINDS:
        found = [np.mean(scores[kind] > threshold) for threshold in honest]
        axes.step(np.arange(len(honest)) / len(honest), found, where="post", label=kind)
    axes.axvline(FALSE_ALARMS, color="grey", linestyle=":")
    axes.set(xscale="log", xlim=(1 / len(honest), 1), ylim=(0, 1.02))
    axes.set(xlabel="honest outputs that are flagged", ylabel="hallucinations that are flagged")
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--clips", type=int, nargs=2, default=(48, 36), help="noisy clips of recordings in each part [48 36]"
    )
    parser.add_argument("--cache", type=Path, default=Path("hallucination-cases"), help="folder of the outputs")
    parser.add_argument("--fit", action="store_true", help="write the weights that ship")
    parser.add_argument("--plot", type=Path, help="write the curves to this file")
    arguments = parser.parse_args()
    fit, test = (
        [measured(case) for case in cases(part, arguments.cache, count)]
        for part, count in zip(PARTS, arguments.clips, strict=True)
    )
    known = cross_fitted(fit)
    model = fitted(fit)
    report("transfer", [judged(model, item) for item in test], threshold_of(known), None)
    items = [replace(item, clip=f"{part}-{item.clip}") for part, each in zip(PARTS, (fit, test), strict=True)
             for item in each]  # fmt: skip
    scored = cross_fitted(items)
    report("all material", scored, threshold_of(scored), arguments.plot)
    if arguments.fit:
        write(fitted(items), threshold_of(scored))


def report(title: str, items: Sequence[Measured], threshold: float, plot: Path | None) -> None:
    print(f"\n### {title}: {len(items)} outputs of {len({x.clip for x in items})} clips")
    flagged_table(items, threshold)
    roc_table(items, plot)
    print("\nhonest outputs above the threshold, with the places of the shipped measure:")
    for x in sorted(items, key=lambda x: -x.score):
        if x.kind == "honest" and x.score > threshold:
            print(f"- {x.system}, {x.snr_db:.1f} dB, {x.clip}: {'; '.join(map(str, x.places)) or 'none'}")


if __name__ == "__main__":
    main()
