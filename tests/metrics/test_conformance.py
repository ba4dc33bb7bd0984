"""Values that others computed or measured. None of their recordings is in this repository.

ITU's pairs are ITU's copyright. To run that test, unpack the attachment of ITU-T P.862 and name its folder with the
40 narrow-band pairs and the table `voipref_8k.txt`:

    SOUNDSRIGHT_ITU_P862=/path/to/p862 python -m pytest tests/metrics/test_conformance.py
"""

from __future__ import annotations

import csv
import math
import os
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import soundfile

from soundsright.metrics.pesq import pesq
from soundsright.metrics.si_sdr import energy_ratios, si_snr
from soundsright.metrics.snr import snr

ITU_FOLDER = "SOUNDSRIGHT_ITU_P862"
PAIR = ("Reference", "Degraded")


def raw_pesq(mos_lqo: float) -> float:
    """The score of P.862 from that of P.862.1, whose mapping is y = 0.999 + 4 / (1 + exp(4.6607 - 1.4945 x))."""
    return (4.6607 - math.log(4 / (mos_lqo - 0.999) - 1)) / 1.4945


def test_narrow_band_pesq_passes_test_2b_of_p862() -> None:
    """ITU-T P.862 Annex A, test 2(b): 40 pairs at 8 kHz. The table has three decimals."""
    folder = os.environ.get(ITU_FOLDER)
    if folder is None:
        pytest.skip(f"{ITU_FOLDER} names no folder with ITU's recordings, which may not be in this repository")
    with (Path(folder) / "voipref_8k.txt").open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert len(rows) == 40
    for row in rows:
        # The two may differ in length. Zeros at the end would change the score.
        clean, degraded = (
            soundfile.read(Path(folder) / PurePosixPath(row[side]).name, dtype="float32")[0] for side in PAIR
        )
        score = pesq(clean, degraded, 8_000, wide_band=False)
        assert score is not None
        assert raw_pesq(score) == pytest.approx(float(row["PESQ_score"]), abs=6e-4), row["Degraded"]


@pytest.mark.parametrize(("name", "printed"), [("SNR", 16.1805), ("SI_SDR", 18.4030), ("SI_SNR", 15.0918)])
def test_ratios_are_those_that_torchmetrics_prints(name: str, printed: float) -> None:
    """The examples in the documentation of torchmetrics 1.0.0, functional interface."""
    target, preds = np.array([3.0, -0.5, 2.0, 7.0]), np.array([2.5, 0.0, 2.0, 8.0])
    ours = {
        "SNR": snr(target, preds),
        "SI_SDR": energy_ratios(target, preds, None).si_sdr,
        "SI_SNR": si_snr(target, preds),
    }
    assert ours[name] == pytest.approx(printed, abs=5e-5)
