"""The facts of the metrics that a plain install computes, in the definition that the project uses in competitions.

`second_definitions` has the other definitions that the field uses, `optional_measures` those that need an extra.
"""

from __future__ import annotations

from dataclasses import replace

from soundsright.metrics.facts import ANY_RATE_HZ, WIDE_BAND_RATES_HZ, Direction, Metric, higher

CORE_METRICS = (
    higher(
        "PESQ_WB",
        "Perceptual evaluation of speech quality, wide band",
        "MOS-LQO",
        0.999,
        4.65,
        "ITU-T P.862.2 (2007), computed by the pesq package; other rates are resampled to 16 kHz",
        rates=WIDE_BAND_RATES_HZ,
        definition="Before Corrigendum 2 of 2018, as in the pesq package and in nearly all published tables. The "
        "corrected mode scores higher (PESQ_WB_C2).",
    ),
    higher(
        "PESQ_NB",
        "Perceptual evaluation of speech quality, narrow band",
        "MOS-LQO",
        0.999,
        4.56,
        "ITU-T P.862 (2001) with P.862.1, computed by the pesq package; other rates than 8 kHz become 16 kHz",
    ),
    higher(
        "STOI",
        "Short-time objective intelligibility",
        "index",
        -1.0,
        1.0,
        "Taal, Hendriks, Heusdens, Jensen, IEEE Trans. ASLP 19(7), 2011",
    ),
    higher(
        "ESTOI",
        "Extended short-time objective intelligibility",
        "index",
        -1.0,
        1.0,
        "Jensen, Taal, IEEE/ACM Trans. ASLP 24(11), 2016",
    ),
    higher(
        "SI_SDR",
        "Scale-invariant signal-to-distortion ratio",
        "dB",
        -60.0,
        100.0,
        "Le Roux, Wisdom, Erdogan, Hershey, ICASSP 2019, eq. 5",
        definition="The mean is not removed. SI_SNR removes it.",
    ),
    higher(
        "SI_SIR",
        "Scale-invariant signal-to-interference ratio",
        "dB",
        -60.0,
        100.0,
        "Le Roux et al., ICASSP 2019; interference along the noise, Richter et al., IEEE/ACM Trans. ASLP 31, 2023",
        needs_noisy=True,
        definition="Separate projections onto the speech and onto the noise, as in Richter et al. 2023. Le Roux et "
        "al. 2019 project onto the span of both (SI_SIR_SPAN).",
    ),
    higher(
        "SI_SAR",
        "Scale-invariant signal-to-artefacts ratio",
        "dB",
        -60.0,
        100.0,
        "Le Roux et al., ICASSP 2019; artefacts beside speech and noise, Richter et al., 2023",
        needs_noisy=True,
        definition="What remains after separate projections onto the speech and onto the noise, as in Richter et "
        "al. 2023. Le Roux et al. 2019 project onto the span of both (SI_SAR_SPAN).",
    ),
    higher(
        "SNR",
        "Signal-to-noise ratio",
        "dB",
        -60.0,
        100.0,
        "The difference to the clean signal counts as noise, so level and sign affect it",
    ),
    higher(
        "SSNR",
        "Segmental signal-to-noise ratio",
        "dB",
        -10.0,
        35.0,
        "Hansen, Pellom, ICSLP 1998; Loizou 2013, section 11.1",
    ),
    Metric(
        "LSD",
        "Log-spectral distance",
        "dB",
        Direction.LOWER_IS_BETTER,
        0.0,
        100.0,
        100.0,
        ANY_RATE_HZ,
        False,
        "Gray, Markel, IEEE Trans. ASSP 24(5), 1976; 32 ms frames, bins within 80 dB of the strongest",
        definition="In dB, level counts, and bins are limited to 80 dB below the strongest. The URGENT challenges "
        "scale and weigh differently (LSD_URGENT).",
    ),
    *(
        higher(
            name,
            f"Composite rating of {rated}",
            "rating",
            1.0,
            5.0,
            "Hu, Loizou, IEEE Trans. ASLP 16(1), 2008, with wide-band PESQ; other rates are resampled to 16 kHz",
            rates=WIDE_BAND_RATES_HZ,
            definition="Spectral slopes of samples within ±1, as in Loizou's listing. A widely copied script "
            f"divides them by 32768 and rates higher ({name}_CMGAN).",
        )
        for name, rated in (("CSIG", "the speech"), ("CBAK", "the background"), ("COVL", "overall quality"))
    ),
    *(
        replace(
            higher(
                name,
                f"DNSMOS {rating}",
                "rating",
                1.0,
                5.0,
                f"{source}; networks of the speechmos package; other rates are resampled to 16 kHz",
                rates=WIDE_BAND_RATES_HZ,
                needs_reference=False,
            ),
            packages=("onnxruntime", "speechmos"),
            extra="validator",
            same_bits=False,
        )
        for name, rating, source in (
            ("DNSMOS_SIG", "P.835, speech", "Reddy, Gopal, Cutler, ICASSP 2022"),
            ("DNSMOS_BAK", "P.835, background", "Reddy, Gopal, Cutler, ICASSP 2022"),
            ("DNSMOS_OVRL", "P.835, overall quality", "Reddy, Gopal, Cutler, ICASSP 2022"),
            ("DNSMOS_P808", "P.808, overall quality", "Reddy, Gopal, Cutler, ICASSP 2021"),
        )
    ),
)
