"""An executor's table and an image's score as text for the terminal. Names from miners are shown as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from soundsright.core.executor_rules import REAL_TIME_S, ExecutorRules
from soundsright.core.profiles import Profile

if TYPE_CHECKING:
    from rich.table import Table

    from soundsright.core.images import ImageRow
    from soundsright.services.records import ExecutorRound, Explanation

NOT_MEASURED = "not measured"
_HOTKEY_CHARS = 8
_IMAGE_CHARS = 32


def scores_table(table: ExecutorRound) -> Table:
    """The rows of a round, best image first."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from soundsright.services.records import image_label, image_state

    out = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    out.add_column("#", justify="right", no_wrap=True)
    longest = max((len(image_label(row)) for row in table.rows), default=0)
    out.add_column("image", overflow="fold", min_width=min(_IMAGE_CHARS, longest))
    out.add_column("hotkey", no_wrap=True)
    for heading in ("score", "quality", "RTF", "time s", "worst", "GB", "worst", "J per s"):
        out.add_column(heading, justify="right", no_wrap=True)
    out.add_column("state", no_wrap=True)
    for rank, row in table.ranked:
        metrics = row.metrics
        energy = metrics.energy_j_per_s
        measured = metrics.inference_time_sec is not None
        out.add_row(
            "-" if rank is None else str(rank),
            Text(image_label(row)),
            _short(row.submission.hotkey),
            _number(_scored(metrics.final_score), 4),
            _number(_scored(metrics.quality_score), 4),
            _number(metrics.real_time_factor, 3),
            _number(metrics.inference_time_sec, 2),
            _number(metrics.inference_time_sec_worst, 2),
            _number(metrics.peak_vram_gb, 2),
            _number(metrics.peak_vram_gb_worst, 2),
            NOT_MEASURED if energy is None and measured else _number(energy, 2),
            "winner" if rank == 1 else image_state(row),
        )
    for column in out.columns:
        # Only names of images wrap, because a number that is cut is wrong.
        column.min_width = column.min_width or max(len(str(cell)) for cell in (column.header, *column.cells))
    return out


def scores_heading(table: ExecutorRound) -> str:
    """The round of a table, its competition, and who signed it."""
    round_id = f"Round {table.round_id}" if table.round_id else "A table without its round"
    competition = f", {table.competition_id}" if table.competition_id else ""
    signer = f"signed by {table.signer}" if table.signer else "not signed"
    return f"{round_id}{competition}; {signer}"


def scores_notes(table: ExecutorRound) -> Iterator[str]:
    """The recordings of the round, the errors of images, and how to read the table."""
    from soundsright.services.records import material_sentence

    if table.signer:
        yield f"Material: {material_sentence(table.material)}"
    for row in table.rows:
        if row.metrics.error is not None:
            detail = f": {row.metrics.detail}" if row.metrics.detail else ""
            yield f"{_short(row.submission.hotkey)}  {row.metrics.error}{detail}"
        elif row.metrics.unsteady:
            yield f"{_short(row.submission.hotkey)}  unsteady: the machine's speed changed while it ran"
    yield "RTF: seconds of computing per second of audio. Time: of a scoring run. J per s: of audio."


def explanation_lines(table: ExecutorRound, why: Explanation) -> Iterator[str]:
    """Why an image has its score, term by term, and what would raise it."""
    rules, row = table.rules, why.row
    ranked = sum(rank is not None for rank, _ in table.ranked)
    place = "no rank" if why.rank is None else f"rank {why.rank} of {ranked}"
    yield f"{row.submission.image.repository}, hotkey {row.submission.hotkey}"
    yield f"{place} in round {table.round_id or '-'}"
    yield ""
    yield from _quality_lines(why)
    yield ""
    yield from _score_lines(rules, why)
    yield ""
    yield from _worth_lines(rules, why)
    yield ""
    yield from _first_place_lines(rules, why)


def _quality_lines(why: Explanation) -> Iterator[str]:
    if not why.quality_terms:
        yield "Quality: the results do not say the scores or the weights of the metrics."
        return
    yield "Quality            mean  scores 0 to 1 at   place  weight     part"
    for term in why.quality_terms:
        band = f"{term.low:g} to {term.high:g}"
        yield (
            f"  {term.metric:<12} {term.mean:>8.4f}  {band:<14} {term.place:>8.4f} x {term.weight:>4g}  = "
            f"{term.part:.4f}"
        )
    if not why.quality_agrees and why.cost.quality == 0:
        yield "  quality 0: the image does not beat its unprocessed input in the paired test"
    elif not why.quality_agrees:
        yield f"  The published quality is {why.cost.quality:.7f}: it follows other weights or bands."


def _score_lines(rules: ExecutorRules, why: Explanation) -> Iterator[str]:
    terms, cost = why.terms, why.cost
    time = _factor_words(rules.time_weight, cost.time_s, rules.time_ref_s, "s")
    memory = _factor_words(rules.memory_weight, cost.memory_gb, rules.memory_ref_gb, "GB")
    yield "Score"
    yield f"    quality  {terms.quality:.7f}"
    time += _saturated(terms.time_is_saturated, rules) + _real_time(rules, why.row)
    yield f"  x time     {terms.time_factor:.7f}  {time}"
    memory += _saturated(terms.memory_is_saturated, rules)
    yield f"  x memory   {terms.memory_factor:.7f}  {memory}"
    limits = f"{rules.max_time_s:g} s or {rules.max_memory_gb:g} GB"
    capped = f"a run is above {limits}" if terms.cap_factor < 1 else f"no run is above {limits}"
    yield f"  x limit    {terms.cap_factor:<9g}  {capped}"
    yield f"  = score    {terms.score:.7f}"
    if not why.agrees:
        yield (
            f"  The published score is {why.row.metrics.final_score:.7f}: the executor has other rules than the "
            "ones used here."
        )


def _worth_lines(rules: ExecutorRules, why: Explanation) -> Iterator[str]:
    yield "What a change would be worth"
    for step, unit, of in ((why.time_step, "s", _per(rules)), (why.memory_step, "GB", "")):
        worth = step.worth
        place = f"score {worth.score:.7f}, rank {worth.rank} by score"
        yield f"  {step.amount:.3g} {unit} less{of}: {worth.gain:+.7f}, {place}"


def _first_place_lines(rules: ExecutorRules, why: Explanation) -> Iterator[str]:
    needed = why.first_place
    if why.rank == 1:
        yield "It has the first place."
        if needed.less_time_s != 0:
            yield "It was first before, and no image with a higher score has a certain lead in the paired test."
        return
    if why.first is not None:
        score = why.first.metrics.final_score
        yield f"{why.first.submission.hotkey} has the first place, with the score {score:.7f}."
    if why.is_held_back:
        yield "It was first before, and the lead of this image over it is not certain in the paired test."
    if needed.less_time_s == 0:
        yield "No image has a higher score."
    else:
        yield "To have the highest score, one of these changes alone"
        yield f"  time     {_needed(needed.less_time_s, f's less{_per(rules)}', 3)}"
        yield f"  memory   {_needed(needed.less_memory_gb, 'GB less', 3)}"
        yield f"  quality  {_needed(needed.more_quality, 'more', 4)}"
    if rules.profile is Profile.SOUNDSRIGHT and not why.is_held_back:
        yield "The image that was first before stays first until another one beats it in the paired test."


def _needed(value: float | None, unit: str, places: int) -> str:
    return "out of reach" if value is None else f"{value:.{places}f} {unit}"


def _factor_words(weight: float, value: float, reference: float, unit: str) -> str:
    return f"exp(-{weight:g} x {value:.4g} {unit} / {reference:g} {unit})"


def _saturated(is_saturated: bool, rules: ExecutorRules) -> str:
    return f", counted as {rules.saturation:g}: more costs nothing" if is_saturated else ""


def _real_time(rules: ExecutorRules, row: ImageRow) -> str:
    factor = row.metrics.real_time_factor
    if rules.profile is not Profile.SOUNDSRIGHT or factor is None:
        return ""
    return f", which is real-time factor {factor:.4g} x {REAL_TIME_S:g} s"


def _per(rules: ExecutorRules) -> str:
    return f" for {REAL_TIME_S:g} s of audio" if rules.profile is Profile.SOUNDSRIGHT else ""


def explanation_facts(table: ExecutorRound, why: Explanation) -> dict[str, Any]:
    """The explanation as JSON values."""
    return {
        "round": table.round_id,
        "hotkey": why.row.submission.hotkey,
        "image_ref": str(why.row.submission.image),
        "rank": why.rank,
        "quality": [
            {
                "metric": term.metric,
                "mean": term.mean,
                "low": term.low,
                "high": term.high,
                "weight": term.weight,
                "part": term.part,
            }
            for term in why.quality_terms
        ],
        "terms": {
            "quality": why.terms.quality,
            "time": why.terms.time_factor,
            "memory": why.terms.memory_factor,
            "limit": why.terms.cap_factor,
            "score": why.terms.score,
        },
        "agrees": why.agrees,
        "less_time": _step_facts(why.time_step.amount, why.time_step.worth.gain, why.time_step.worth.rank, "s"),
        "less_memory": _step_facts(
            why.memory_step.amount, why.memory_step.worth.gain, why.memory_step.worth.rank, "gb"
        ),
        "first_place": {
            "hotkey": None if why.first is None else why.first.submission.hotkey,
            "is_held_back": why.is_held_back,
            "less_time_s": why.first_place.less_time_s,
            "less_memory_gb": why.first_place.less_memory_gb,
            "more_quality": why.first_place.more_quality,
        },
    }


def _step_facts(amount: float, gain: float, rank: int, unit: str) -> Mapping[str, Any]:
    return {f"amount_{unit}": amount, "gain": gain, "rank": rank}


def _short(hotkey: str) -> str:
    return hotkey if len(hotkey) <= _HOTKEY_CHARS + 1 else f"{hotkey[:_HOTKEY_CHARS]}…"


def _scored(value: float) -> float | None:
    return value if value >= 0 else None


def _number(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value:.{places}f}"
