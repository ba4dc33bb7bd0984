"""Every series in the shipped dashboard is exported by the services."""

from __future__ import annotations

import json
import re
from pathlib import Path

from soundsright.services.http.state import Health, prometheus_text
from soundsright.testing import VirtualClock

DASHBOARD = Path(__file__).parents[3] / "docker" / "grafana-dashboard.json"


def test_every_series_of_the_dashboard_is_exported() -> None:
    health = Health(VirtualClock(1e9))
    health.set("weights.last_set_timestamp", 1e9)
    for metric in ("subsystem.ready", "emission.share", "emission.burned"):
        health.series(metric, "executor", 1.0)
    text = prometheus_text(health.metrics(), service="x", problems=0, series=health.all_series())
    exported = set(re.findall(r"^(soundsright_\w+)\{", text, re.M))
    panels = json.loads(DASHBOARD.read_text())["panels"]
    shown = {name for p in panels for t in p["targets"] for name in re.findall(r"soundsright_\w+", t["expr"])}
    assert len(panels) == 12
    assert shown <= exported
