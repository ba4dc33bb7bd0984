"""The progress of a round whose models run in several stages."""

from __future__ import annotations

import io

from rich.console import Console

from soundsright.cli.shared.progress import RoundDisplay
from soundsright.services.rounds import Event
from tests.ranking.builders import entry


def test_a_model_that_runs_in_several_stages_counts_once() -> None:
    out = io.StringIO()
    display = RoundDisplay(Console(file=out), entries=2, clips=10)
    display.observe(Event("run", total=2))
    for own in (entry(1), entry(2), entry(1)):
        display.observe(Event("evaluate", own, own.competition, total=10))
        display.observe(Event("evaluated", own, own.competition))
    counts = [line.split()[2] for line in out.getvalue().splitlines()[1:]]
    assert counts == ["1/2", "2/2", "1/2"]
