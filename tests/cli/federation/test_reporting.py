"""A validator reports to the owner's API if API_URL is set, and never waits for it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.peers import Hotkey
from soundsright.cli.shared.federation_reporting import api_hotkey, reporting
from soundsright.config import FederationSettings, read_settings
from soundsright.core.errors import UsageError
from soundsright.services.federation import SamplerContext
from soundsright.services.http import HttpService, listening
from soundsright.testing import FakeChain, MemoryRecords
from tests.cli.federation.lab import ONE, federation, started
from tests.cli.test_executor import Net, net
from tests.ports import free_port
from tests.services.federation.samplers import Federation
from tests.services.federation_api.api_bench import OWNER as API_OWNER
from tests.services.federation_api.api_bench import VALIDATORS, Bench

__all__ = ["net"]

KEY = VALIDATORS[0]


def settings(**given: str) -> FederationSettings:
    return read_settings(FederationSettings, environment={name.upper(): value for name, value in given.items()})


@pytest.fixture
def context(tmp_path: Path) -> SamplerContext:
    """The context of a validator with a real key, on a chain of the owner."""
    context = Federation(tmp_path, names=(KEY.address,)).validator(KEY.address).context
    chain: Any = context.chain
    chain.owner = lambda: API_OWNER.address
    return replace(context, account=KEY)


def test_without_an_address_nothing_is_sent(context: SamplerContext) -> None:
    with reporting(settings(), context, MemoryRecords()) as published:
        published(5)


def test_reports_reach_the_api_by_themselves(context: SamplerContext) -> None:
    bench = Bench()
    chain: Any = FakeChain(start_s=1_000_000.0, unfinal=0)
    chain.owner = lambda: API_OWNER.address
    miner = Hotkey.of_seed("alice").address
    chain.register(miner)
    chain.publish(miner, "ab" * 32)
    own = replace(context, chain=chain, reveals=lambda _closed: {})
    service = HttpService(
        bench.app(), listening("127.0.0.1", 0, host_variable="H", port_variable="P"), name="api"
    ).start()
    try:
        with reporting(settings(api_url=f"http://127.0.0.1:{service.port}"), own, MemoryRecords()) as published:
            published(5)  # There is no verdict on that task.
            for _ in range(600):
                if bench.store.report(KEY.address) is not None:
                    break
                time.sleep(0.05)
    finally:
        service.close()
    report = bench.store.report(KEY.address)
    assert report is not None
    assert [(each.hotkey, each.valid) for each in report.report.miners] == [(miner, False)]


def test_an_api_that_is_away_delays_nothing(context: SamplerContext) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with reporting(settings(api_url=url), context, MemoryRecords()) as published:
        published(5)


def test_the_apis_hotkey_is_that_of_the_setting_or_the_owner(context: SamplerContext) -> None:
    chain: Any = context.chain
    assert api_hotkey(settings(), chain) == API_OWNER.address
    assert api_hotkey(settings(api_hotkey=KEY.address), chain) == KEY.address
    chain.owner = lambda: None
    with pytest.raises(UsageError, match="API_HOTKEY is empty"):
        api_hotkey(settings(), chain)


@pytest.mark.parametrize("is_away", [False, True])
def test_a_sampler_serves_with_and_without_its_api(
    net: Net, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_away: bool
) -> None:
    federation(net, monkeypatch)
    bench = Bench()
    bench.store.validators.add(ONE.address, 9)
    service = HttpService(
        bench.app(), listening("127.0.0.1", 0, host_variable="H", port_variable="P"), name="api"
    ).start()
    port = free_port() if is_away else service.port
    monkeypatch.setenv("API_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("API_HOTKEY", API_OWNER.address)
    thread, code = started(["federation", "servers", "sampler"])
    out = ""
    for _ in range(600):
        out += capsys.readouterr().out
        if "judges its turns" in out and (is_away or bench.store.report(ONE.address) is not None):
            break
        thread.join(0.1)
    net.stop.set()
    thread.join(60)
    service.close()
    assert code() == 0
    assert "judges its turns" in out
    assert (bench.store.report(ONE.address) is None) is is_away
