"""Compares `score --like` with an independent computation of each column, on clips of the shipped recordings.

    python benchmarks/like.py [--clips 4] [--programs CMGAN]

The other programs' repositories have no values for recordings that may be shipped here. So the outside numbers are
made from the packages that these programs call (pesq, pystoi, librosa, speechmos), by their published formulas.
CMGAN's composite ratings are written here in plain NumPy and SciPy. Its own STOI is replaced by that of pystoi.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from soundsright.core.audio import Audio
from soundsright.metrics import PUBLISHED_TABLES
from soundsright.metrics.suite import score_clip

Signal = NDArray[np.float32]
RATE_HZ = 16_000
CENTRES_HZ = (
    50.0, 120.0, 190.0, 260.0, 330.0, 400.0, 470.0, 540.0, 617.372, 703.378, 798.717, 904.128, 1020.38, 1148.30,
    1288.72, 1442.54, 1610.70, 1794.16, 1993.93, 2211.08, 2446.71, 2701.97, 2978.04, 3276.17, 3597.63,
)  # fmt: skip
WIDTHS_HZ = (
    70.0, 70.0, 70.0, 70.0, 70.0, 70.0, 70.0, 77.3724, 86.0056, 95.3398, 105.411, 116.256, 127.914, 140.423,
    153.823, 168.154, 183.457, 199.776, 217.153, 235.631, 255.255, 276.072, 298.126, 321.465, 346.136,
)  # fmt: skip


def pesq(clean: Signal, enhanced: Signal) -> float:
    import pesq as package

    return float(package.pesq(RATE_HZ, clean, enhanced, "wb"))


def estoi(clean: Signal, enhanced: Signal) -> float:
    import pystoi

    return float(pystoi.stoi(clean, enhanced, RATE_HZ, extended=True))


def stoi(clean: Signal, enhanced: Signal) -> float:
    import pystoi

    return float(pystoi.stoi(clean, enhanced, RATE_HZ))


def si_snr(clean: Signal, enhanced: Signal) -> float:
    s, e = clean.astype(np.float64), enhanced.astype(np.float64)
    target = (e @ s) / (s @ s) * s
    return float(10 * np.log10((target @ target) / ((e - target) @ (e - target))))


def lsd_of_urgent(clean: Signal, enhanced: Signal) -> float:
    import librosa

    scaled = enhanced * (np.sum(clean * enhanced) / (np.sum(enhanced**2) + 1e-8))
    s, e = (np.abs(librosa.stft(each, n_fft=512, hop_length=256)) for each in (clean, scaled))
    return float(np.mean(np.sqrt(np.mean(np.log(s**2 / (e + 1e-8) ** 2 + 1e-8) ** 2, axis=0))))


def dnsmos(key: str) -> Callable[[Signal, Signal], float]:
    def rated(clean: Signal, enhanced: Signal) -> float:
        from speechmos import dnsmos as package

        return float(package.run(np.clip(enhanced, -1, 1), RATE_HZ)[key])

    return rated


def _frames(signal: Signal) -> NDArray[np.float64]:
    window = 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, 481) / 481))
    count = int(len(signal) / 120 - 4)
    return np.array([signal[120 * f : 120 * f + 480].astype(np.float64) * window for f in range(count)])


def ssnr(clean: Signal, enhanced: Signal) -> float:
    s, e = _frames(clean), _frames(enhanced)
    eps = np.finfo(float).eps
    levels = 10 * np.log10((s**2).sum(axis=1) / (((s - e) ** 2).sum(axis=1) + eps) + eps)
    return float(np.clip(levels, -10, 35).mean())


def _peaks(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """The level at Klatt's nearest peak of each band but the last, as in Loizou's listing."""
    slopes, peaks = np.diff(levels), np.empty(24)
    for band in range(24):
        n = band
        if slopes[band] > 0:
            while n < 24 and slopes[n] > 0:
                n += 1
            peaks[band] = levels[n - 1]
        else:
            while n >= 0 and slopes[n] <= 0:
                n -= 1
            peaks[band] = levels[n + 1]
    return peaks


def _spectral_slopes(clean: Signal, enhanced: Signal, scale: float) -> float:
    bins = np.arange(512)
    filters = np.array(
        [
            np.exp(-11 * ((bins - np.floor(c / 8000 * 512)) / (w / 8000 * 512)) ** 2 + np.log(70.0 / w))
            for c, w in zip(CENTRES_HZ, WIDTHS_HZ, strict=True)
        ]
    )
    filters[filters <= np.exp(-30 / (2 * 2.303))] = 0
    distances = []
    for pair in zip(_frames(clean) * scale, _frames(enhanced) * scale, strict=True):
        weights, slopes = [], []
        for frame in pair:
            level = 10 * np.log10(np.maximum(filters @ np.abs(np.fft.fft(frame, 1024)[:512]) ** 2, 1e-10))
            weights.append(20 / (20 + level.max() - level[:24]) / (1 + _peaks(level) - level[:24]))
            slopes.append(np.diff(level))
        weight = (weights[0] + weights[1]) / 2
        distances.append(weight @ (slopes[0] - slopes[1]) ** 2 / weight.sum())
    return float(np.mean(np.sort(distances)[: round(len(distances) * 0.95)]))


def _likelihood_ratio(clean: Signal, enhanced: Signal) -> float:
    from scipy.linalg import solve_toeplitz, toeplitz

    ratios = []
    for pair in zip(_frames(clean), _frames(enhanced), strict=True):
        r = [np.array([frame[: 480 - k] @ frame[k:] for k in range(17)]) for frame in pair]
        if r[0][0] <= 0:
            ratios.append(0.0)  # the script divides by zero in a silent frame
            continue
        a = [
            np.concatenate([[1.0], -solve_toeplitz(each[:16], each[1:])]) if each[0] > 0 else np.eye(1, 17)[0]
            for each in r
        ]
        matrix = toeplitz(r[0])
        ratios.append(np.log((a[1] @ matrix @ a[1]) / (a[0] @ matrix @ a[0])))
    return float(np.mean(np.sort(ratios)[: round(len(ratios) * 0.95)]))


def composite_of_cmgan(rating: str) -> Callable[[Signal, Signal], float]:
    def rated(clean: Signal, enhanced: Signal) -> float:
        quality, slopes = pesq(clean, enhanced), _spectral_slopes(clean, enhanced, 1 / 32768)
        if rating == "cbak":
            value = 1.634 + 0.478 * quality - 0.007 * slopes + 0.063 * ssnr(clean, enhanced)
        elif rating == "csig":
            value = 3.093 - 1.029 * _likelihood_ratio(clean, enhanced) + 0.603 * quality - 0.009 * slopes
        else:
            value = 1.594 + 0.805 * quality - 0.512 * _likelihood_ratio(clean, enhanced) - 0.007 * slopes
        return min(max(value, 1.0), 5.0)

    return rated


OUTSIDE: dict[str, dict[str, Callable[[Signal, Signal], float]]] = {
    "URGENT": {"DNSMOS_OVRL": dnsmos("ovrl_mos"), "PESQ": pesq, "ESTOI": estoi, "LSD": lsd_of_urgent},
    "VERSA": {
        "si_snr": si_snr,
        "pesq": pesq,
        "stoi": stoi,
        "dns_overall": dnsmos("ovrl_mos"),
        "dns_p808": dnsmos("p808_mos"),
    },
    "DNS": {
        "OVRL": dnsmos("ovrl_mos"),
        "SIG": dnsmos("sig_mos"),
        "BAK": dnsmos("bak_mos"),
        "P808_MOS": dnsmos("p808_mos"),
    },
    "CMGAN": {
        "pesq": pesq,
        "csig": composite_of_cmgan("csig"),
        "cbak": composite_of_cmgan("cbak"),
        "covl": composite_of_cmgan("covl"),
        "ssnr": ssnr,
        "stoi": stoi,
    },
}


def clips(count: int) -> list[tuple[Signal, Signal]]:
    """Clean and noisy signals of a set of the shipped recordings. The noisy ones stand for a system's output."""
    with tempfile.TemporaryDirectory() as folder:
        generate = [sys.executable, "-m", "soundsright", "generate", "--n", str(count), "--out", f"{folder}/set"]
        subprocess.run(generate, check=True, capture_output=True)
        names = sorted(path.name for path in Path(folder, "set/clean").glob("*.*"))
        return [
            (
                soundfile.read(f"{folder}/set/clean/{name}", dtype="float32")[0],
                soundfile.read(f"{folder}/set/noisy/{name}", dtype="float32")[0],
            )
            for name in names
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--programs", nargs="+", choices=list(OUTSIDE), default=list(OUTSIDE))
    arguments = parser.parse_args()
    pairs = clips(arguments.clips)
    print("| program | column | metric here | outside | here | largest difference |")
    print("| --- | --- | --- | ---: | ---: | ---: |")
    for program in arguments.programs:
        columns = OUTSIDE[program]
        metrics = {column.printed: column.metric_at(RATE_HZ) for column in PUBLISHED_TABLES[program].columns}
        for printed, outside in columns.items():
            name = metrics[printed]
            assert name is not None
            theirs = np.array([outside(clean, enhanced) for clean, enhanced in pairs])
            ours = np.array(
                [score_clip(Audio(c, RATE_HZ), Audio(e, RATE_HZ), None, [name])[name] for c, e in pairs]
            )
            largest = np.max(np.abs(theirs - ours))
            print(
                f"| {program} | `{printed}` | `{name}` | {theirs.mean():.4f} | {ours.mean():.4f} | {largest:.0e} |"
            )


if __name__ == "__main__":
    main()
