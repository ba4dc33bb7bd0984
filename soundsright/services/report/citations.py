"""BibTeX entries of the publications behind the metrics, intervals, tests and ranks of a round.

The entries are in `web/citations.bib`, with a blank line between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from types import MappingProxyType

STATISTICS = ("efron1987bca", "holm1979", "hall1992skewness", "mogstad2024ranks")
_COMPOSITE = ("hu2008composite", "itu2007p8622")
_BY_METRIC: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "PESQ_WB": ("itu2007p8622",),
        "PESQ_NB": ("itu2001p862",),
        "STOI": ("taal2011stoi",),
        "ESTOI": ("jensen2016estoi",),
        "SI_SDR": ("leroux2019sdr",),
        "SI_SIR": ("leroux2019sdr", "richter2023sgmse"),
        "SI_SAR": ("leroux2019sdr", "richter2023sgmse"),
        "SSNR": ("hansen1998ssnr",),
        "LSD": ("gray1976lsd",),
        "CSIG": _COMPOSITE,
        "CBAK": _COMPOSITE,
        "COVL": _COMPOSITE,
        "DNSMOS_SIG": ("reddy2022dnsmos",),
        "DNSMOS_BAK": ("reddy2022dnsmos",),
        "DNSMOS_OVRL": ("reddy2022dnsmos",),
        "DNSMOS_P808": ("reddy2021dnsmos",),
    }
)


def citation_keys(metric: str) -> tuple[str, ...]:
    """The BibTeX keys of a metric's publications. Empty if it has none.

    >>> citation_keys("SI_SIR")
    ('leroux2019sdr', 'richter2023sgmse')
    """
    return _BY_METRIC.get(metric, ())


def bibtex(metrics: Iterable[str], version: str) -> str:
    """The publications of these metrics and of the statistics, and this program, each once.

    >>> bibtex(["ESTOI", "ESTOI"], "1.0").count("@article{jensen2016estoi")
    1
    """
    text = (files("soundsright") / "web" / "citations.bib").read_text(encoding="utf-8")
    works = {work.partition(",")[0].partition("{")[2]: work.strip() for work in re.split(r"\n\n(?=@)", text)}
    keys = dict.fromkeys((*(key for name in metrics for key in citation_keys(name)), *STATISTICS))
    own = (
        "@misc{soundsright,\n  author = {{SoundsRight}},\n"
        "  title = {The open competition harness for speech enhancement},\n"
        f"  note = {{Software, version {version}}}\n}}"
    )
    return "\n\n".join((*(works[key] for key in keys), own)) + "\n"
