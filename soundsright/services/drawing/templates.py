"""The templates' environment, the same for pages and report: everything is escaped, numbers are set as in print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soundsright.core.errors import UsageError
from soundsright.services.drawing import stats
from soundsright.services.drawing.charts import rank_bar
from soundsright.services.drawing.texts import MINUS, digits, factor, fixed, metric_name, pvalue

if TYPE_CHECKING:
    from jinja2 import Environment

    from soundsright.ranking import RankSet


def environment() -> Environment:
    """Templates with escaping on and the filters that they use.

    Raises:
        UsageError: Jinja is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup, escape
    except ImportError as error:
        raise UsageError("Pages and reports need Jinja", "pip install soundsright") from error
    made = Environment(
        loader=PackageLoader("soundsright", "web/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def ranks(found: RankSet, entries: int, name: str) -> Any:
        words = f"{metric_name(name)}: rank {found.best} to {found.worst} of {entries}"
        return Markup(rank_bar(found.best, found.worst, entries, words))

    def breakable(text: str) -> Any:
        # After a slash or a hyphen, and nowhere else unless nothing fits.
        return Markup(escape(text).replace("/", Markup("/<wbr>")).replace("-", Markup("-<wbr>")))

    made.filters |= {
        "fixed": fixed,
        "signed": lambda value, places: fixed(value, places, sign="+"),
        "factor": factor,
        "pvalue": pvalue,
        "metric": metric_name,
        "digits": digits,
        "evidence": _evidence,
        "rankbar": ranks,
        "breakable": breakable,
        "defences": stats.defences,
    }
    return made


def _evidence(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}".replace("-", MINUS) if isinstance(value, float) else str(value)
