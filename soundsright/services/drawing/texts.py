"""Words and numbers as pages and reports show them."""

from __future__ import annotations

from soundsright.core.competition import metric_name as metric_name
from soundsright.metrics import Metric
from soundsright.services.records import MetricDoc, RunCompetition

MINUS = "\N{MINUS SIGN}"


def digits(metric: MetricDoc | Metric) -> int:
    """The number of decimals to show."""
    return 3 if metric.unit == "index" else 2


def clip_facts(c: RunCompetition, clip: str) -> str:
    """How a clip was made, such as "speaker Ann, rain at 5.0 dB SNR"."""
    recipe = c.recipes[clip]
    if recipe.is_hidden:
        return f"private until its recordings retire; SHA-256 of the degraded audio {recipe.degraded_sha256}"
    facts = [f"speaker {recipe.speaker}"] if recipe.speaker else []
    if recipe.snr_db is not None:
        facts.append(f"{recipe.noise or 'noise'} at {recipe.snr_db:.1f} dB SNR")
    if recipe.rt60_s is not None:
        facts.append(f"{recipe.rir or 'room'}, RT60 {recipe.rt60_s:.2f} s")
    return ", ".join(facts)


def set_facts(c: RunCompetition) -> str:
    """The ranges of a set, such as "30 clips, 4 speakers, 9 noises at -5.0 to 15.0 dB SNR"."""
    recipes = list(c.recipes.values())
    hidden = sum(recipe.is_hidden for recipe in recipes)
    if recipes and hidden == len(recipes):
        return f"{counted(hidden, 'clip')}, whose recipes stay private until their recordings retire"
    facts = [counted(len(recipes), "clip"), counted(len({r.speaker for r in recipes if r.speaker}), "speaker")]
    if hidden:
        facts.insert(1, f"{hidden} of them still private")
    snrs = [r.snr_db for r in recipes if r.snr_db is not None]
    if snrs:
        noises = counted(len({r.noise for r in recipes if r.noise}), "noise")
        facts.append(f"{noises} at {min(snrs):.1f} to {max(snrs):.1f} dB SNR")
    times = [r.rt60_s for r in recipes if r.rt60_s is not None]
    if times:
        rooms = counted(len({r.rir for r in recipes if r.rir}), "room")
        facts.append(f"{rooms} with RT60 {min(times):.2f} to {max(times):.2f} s")
    return ", ".join(facts)


def interval_facts(c: RunCompetition) -> str:
    """The basis of the intervals, such as "30 clips, effective 12 to 14, grouped by noise (19) and prompt (11)"."""
    rows = [row for row in c.rows if row.answered]
    estimates = [row.row.metrics[m] for row in rows for m in c.doc.metric_weights if m in row.row.metrics]
    clips = counted(len(c.clip_ids) or max((e.n for e in estimates), default=0), "clip")
    if c.groups is None:
        return f"{clips}, each counted as independent"
    effective = sorted({round(e.effective_n) for e in estimates if e.effective_n is not None})
    words = [clips]
    if effective:
        words.append("effective " + " to ".join(str(n) for n in dict.fromkeys((effective[0], effective[-1]))))
    factors = [f"{factor} ({n})" for factor, n in c.groups.counts.items()]
    return ", ".join([*words, "grouped by " + " and ".join(factors)])


def counted(number: int, noun: str) -> str:
    """A number with its noun in singular or plural.

    >>> counted(1, "speaker"), counted(0, "speaker")
    ('1 speaker', '0 speakers')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def fixed(value: float, places: int, sign: str = "") -> str:
    """A number with this many decimals and a typographic minus. `sign="+"` shows a plus as well.

    >>> fixed(-0.5, 2), fixed(0.5, 1, "+")
    ('\u22120.50', '+0.5')
    """
    return f"{value:{sign}.{places}f}".replace("-", MINUS)


def factor(value: float | None) -> str:
    """A real-time factor as text; a dash if it is None.

    >>> factor(0.0004), factor(0.1382), factor(None)
    ('<0.001', '0.138', '\u2013')
    """
    if value is None:
        return "\N{EN DASH}"
    return "<0.001" if 0 < value < 0.0005 else f"{value:.3f}"


def pvalue(value: float) -> str:
    """A p-value as text.

    >>> pvalue(1e-9), pvalue(0.25)
    ('<0.001', '0.250')
    """
    return "<0.001" if value < 0.001 else f"{value:.3f}"
