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
    exported = set(
        re.findall(r"^(soundsright_\w+)\{", prometheus_text(health.metrics(), service="x", problems=0), re.M)
    )
    panels = json.loads(DASHBOARD.read_text())["panels"]
    shown = {name for p in panels for t in p["targets"] for name in re.findall(r"soundsright_\w+", t["expr"])}
    assert len(panels) == 9
    assert shown <= exported
