"""The tables that other evaluation programs print: their columns by name and order, and the metric of each.

A column without a metric cannot be computed here, and says why. The names and the order are those of the programs:

- URGENT: the evaluation scripts of the URGENT challenges of 2024 and 2025, in the order of their description.
- VERSA: the keys of its `test_general.py` and of its example configuration for speech.
- DNS: `dnsmos_local.py` of the Deep Noise Suppression challenge, in the order of its columns.
- CMGAN: the evaluation script of CMGAN, which many papers on VoiceBank-DEMAND copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from soundsright.core.errors import UsageError
from soundsright.metrics.facts import ANY_RATE_HZ, WIDE_BAND_RATES_HZ
from soundsright.metrics.registry import METRICS


@dataclass(frozen=True)
class Column:
    """One column of a published table.

    `metrics` are the metrics here that have its value, the first one that is defined at the clips' rate. If there
    are none, `why_not` says what it would need.
    """

    printed: str
    metrics: tuple[str, ...] = ()
    why_not: str = ""

    def metric_at(self, sample_rate_hz: int) -> str | None:
        """The metric with this column's value for clips of this rate; None if there is none."""
        return next((name for name in self.metrics if sample_rate_hz in METRICS[name].sample_rates_hz), None)

    def why_not_at(self, sample_rate_hz: int) -> str:
        """Why the column has no value at this rate."""
        return self.why_not or f"{self.metrics[0]} is not defined at {sample_rate_hz} Hz"


@dataclass(frozen=True)
class PublishedTable:
    """The table that one program prints, and the rates at which it runs. `differs` says what it does otherwise."""

    name: str
    title: str
    columns: tuple[Column, ...]
    sample_rates_hz: tuple[int, ...]
    differs: str

    def metrics_at(self, sample_rate_hz: int) -> tuple[str, ...]:
        """The metrics to measure for this table, each once, in the order of the columns.

        Raises:
            UsageError: the program does not run at this rate.
        """
        if sample_rate_hz not in self.sample_rates_hz:
            raise UsageError(
                f"{self.name} prints no table for clips at {sample_rate_hz} Hz",
                f"Resample them to one of {', '.join(map(str, self.sample_rates_hz))} Hz, as its authors do.",
            )
        names = (column.metric_at(sample_rate_hz) for column in self.columns)
        return tuple(dict.fromkeys(name for name in names if name is not None))


_PESQ = ("PESQ_WB", "PESQ_NB")
_FLOORS = "Clips without a value count at the metric's floor here."

_URGENT = PublishedTable(
    "URGENT",
    "the URGENT challenges of 2024 and 2025",
    (
        Column("DNSMOS_OVRL", ("DNSMOS_OVRL",)),
        Column("NISQA_MOS", why_not="its weights may not be used commercially"),
        Column("PESQ", _PESQ),
        Column("ESTOI", ("ESTOI",)),
        Column("SDR", ("SDR",)),
        Column("MCD", why_not="needs pyworld and pysptk"),
        Column("LSD", ("LSD_URGENT",)),
        Column("SpeechBERTScore", why_not="needs a network of a gigabyte"),
        Column("PhonemeSimilarity", why_not="needs a network of a gigabyte; PHONE_SIM has another recogniser"),
        Column("SpeakerSimilarity", why_not="needs the network RawNet3; SPEAKER_SIM has another network"),
        Column("WAcc", why_not="needs transcripts and a network of gigabytes"),
    ),
    ANY_RATE_HZ,
    f"It cuts SDR at 50 dB, and leaves clips without PESQ out of the mean. {_FLOORS}",
)
_VERSA = PublishedTable(
    "VERSA",
    "the toolkit VERSA with its example configuration for speech",
    (
        Column("mcd", why_not="needs pyworld and pysptk"),
        Column("f0rmse", why_not="needs pyworld"),
        Column("f0corr", why_not="needs pyworld"),
        Column("sdr", ("SDR",)),
        Column("sir", why_not="infinite, because there is one source"),
        Column("sar", ("SDR",)),
        Column("si_snr", ("SI_SDR",)),
        Column("ci_sdr", ("SDR",)),
        Column("pesq", _PESQ),
        Column("stoi", ("STOI",)),
        Column("utmos", why_not="its package carries no weights"),
        Column("dns_overall", ("DNSMOS_OVRL",)),
        Column("dns_p808", ("DNSMOS_P808",)),
        Column("plcmos", why_not="rates the concealment of lost packets"),
        Column("spk_similarity", why_not="needs the network RawNet3; SPEAKER_SIM has another network"),
    ),
    ANY_RATE_HZ,
    "Its si_snr removes no mean. With one source, sdr, sar and ci_sdr are equal. "
    f"It counts clips without PESQ as 0. {_FLOORS}",
)
_DNS = PublishedTable(
    "DNS",
    "dnsmos_local.py of the Deep Noise Suppression challenge",
    (
        *(
            Column(f"{rating}_raw", why_not="the network's output before it is mapped to ratings")
            for rating in ("OVRL", "SIG", "BAK")
        ),
        Column("OVRL", ("DNSMOS_OVRL",)),
        Column("SIG", ("DNSMOS_SIG",)),
        Column("BAK", ("DNSMOS_BAK",)),
        Column("P808_MOS", ("DNSMOS_P808",)),
    ),
    WIDE_BAND_RATES_HZ,
    f"It rates silence as well. {_FLOORS}",
)
_CMGAN = PublishedTable(
    "CMGAN",
    "the evaluation script of CMGAN",
    (
        Column("pesq", ("PESQ_WB",)),
        Column("csig", ("CSIG_CMGAN",)),
        Column("cbak", ("CBAK_CMGAN",)),
        Column("covl", ("COVL_CMGAN",)),
        Column("ssnr", ("SSNR",)),
        Column("stoi", ("STOI",)),
    ),
    (16_000,),
    f"Its STOI has another resampling filter, so it differs slightly. {_FLOORS}",
)

PUBLISHED_TABLES: Mapping[str, PublishedTable] = MappingProxyType(
    {table.name: table for table in (_URGENT, _VERSA, _DNS, _CMGAN)}
)
"""The tables that can be printed, by the name of their program."""


def published_table(name: str) -> PublishedTable:
    """The table of that program. Case does not matter.

    Raises:
        UsageError: no program has that name.

    >>> [column.printed for column in published_table("cmgan").columns]
    ['pesq', 'csig', 'cbak', 'covl', 'ssnr', 'stoi']
    """
    spelled = name.strip().upper()
    if spelled not in PUBLISHED_TABLES:
        close = get_close_matches(spelled, PUBLISHED_TABLES, n=1)
        hint = f"Did you mean {close[0]}? " if close else ""
        raise UsageError(f"Unknown table {name!r}", f"{hint}Choose from {', '.join(PUBLISHED_TABLES)}.")
    return PUBLISHED_TABLES[spelled]
