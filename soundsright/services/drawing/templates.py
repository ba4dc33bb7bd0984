"""The Jinja environment for pages and the report. It escapes every value and has filters that format numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soundsright.core.errors import UsageError
from soundsright.services.drawing.charts import rank_bar
from soundsright.services.drawing.comparisons import prize_decisions
from soundsright.services.drawing.texts import MINUS, digits, factor, fixed, interval_facts, metric_name, pvalue

if TYPE_CHECKING:
    from jinja2 import Environment

    from soundsright.ranking import RankSet


def template_environment() -> Environment:
    """The Jinja environment with escaping on and all filters.

    Raises:
        UsageError: Jinja is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup, escape
    except ImportError as error:
        raise UsageError(
            "Pages and reports need Jinja, which is not installed", "Run `pip install soundsright`."
        ) from error
    jinja = Environment(
        loader=PackageLoader("soundsright", "web/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def ranks(possible: RankSet, entries: int, name: str) -> Any:
        words = f"{metric_name(name)}: rank {possible.best} to {possible.worst} of {entries}"
        return Markup(rank_bar(possible.best, possible.worst, entries, words))

    def breakable(text: str) -> Any:
        # Long names may break after a slash or a hyphen.
        return Markup(escape(text).replace("/", Markup("/<wbr>")).replace("-", Markup("-<wbr>")))

    jinja.filters |= {
        "fixed": fixed,
        "signed": lambda value, places: fixed(value, places, sign="+"),
        "factor": factor,
        "pvalue": pvalue,
        "metric": metric_name,
        "digits": digits,
        "evidence": _evidence,
        "rankbar": ranks,
        "breakable": breakable,
        "prize_decisions": prize_decisions,
        "interval_facts": interval_facts,
    }
    return jinja


def _evidence(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}".replace("-", MINUS) if isinstance(value, float) else str(value)
