"""`soundsright executor serve` on a private corpus: validators that have it pay, and nobody else learns of it."""

from __future__ import annotations

import logging
import os
import signal
import stat
import threading
import time
import urllib.request
from contextlib import ExitStack, nullcontext
from pathlib import Path

import pytest

from soundsright.adapters.executors import HttpScoreTable, HttpSubmissionBoard
from soundsright.adapters.peers import valid_signature
from soundsright.cli.shared.executor_source import executor_history
from soundsright.config import ExecutorSettings
from soundsright.core.images import PublishedTable
from soundsright.core.material import Material
from soundsright.library import organiser_of
from soundsright.services.board import build_site
from soundsright.services.executor import Redrawing, ResultsCheck, open_results
from soundsright.testing import InlinePool
from tests.cli.executor.test_serve import OWNER, VICTOR, Subnet, published, serve
from tests.ports import free_port
from tests.rules.test_systems import WITHOUT
from tests.services.private_corpus import private_material

SECRETS = ("studio", "Speaker-", "Zebras", "recipe", "snr_db", "private.key")


@pytest.fixture
def material(tmp_path: Path) -> Material:
    """A corpus whose first round is the present one of the organiser's schedule."""
    rules = tmp_path / "schedule.toml"
    rules.write_text(WITHOUT)
    schedule = organiser_of(str(rules), begun=True).schedule
    assert schedule is not None
    number = schedule.last_started(time.time())
    assert number is not None
    return private_material(tmp_path / "home", name="private", first_round=number)


def test_an_executor_on_a_private_corpus_can_be_paid_on_and_tells_nothing(
    tmp_path: Path, material: Material, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[PublishedTable] = []
    answers: dict[str, bytes] = {}
    for name in ExecutorSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.getLogger(), "handlers", logging.getLogger().handlers[:])
    OWNER.write(tmp_path / "wallets" / OWNER.address / "hotkeys" / "default")
    port, health = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        subnet = Subnet(stack, tmp_path, material)
        settings = {
            "SUBTENSOR_CHAIN_ENDPOINT": subnet.chain_url,
            "SUBNET_API_URL": subnet.url,
            "WALLET": OWNER.address,
            "WALLET_PATH": "wallets",
            "STATE_FOLDER": "state",
            "HEALTHCHECK_API_HOST": "127.0.0.1",
            "HEALTHCHECK_API_PORT": str(health),
            "EXECUTOR_HOST": "127.0.0.1",
            "PORT": str(port),
            "SOUNDSRIGHT_RULESET": str(subnet.rules),
            "SOUNDSRIGHT_SANDBOX": "process",
            "SOUNDSRIGHT_TRUST": "true",
            "SOUNDSRIGHT_HUB": str(subnet.hub),
            "SOUNDSRIGHT_SPEECH": "recordings",
            "SOUNDSRIGHT_WORKERS": "1",
            "SOUNDSRIGHT_CORPUS": str(material.corpus),
            "SOUNDSRIGHT_CORPUS_KEY": str(material.key_file),
        }

        def validate() -> None:
            table = HttpScoreTable(url, OWNER.address, VICTOR)
            try:
                published(table, lambda _now: len(subnet.chain.commitments()) == 1)
                subnet.submit_all()
                table.update(HttpSubmissionBoard(subnet.url, OWNER.address, VICTOR).submissions())
                seen.append(published(table, lambda now: now.round_id != ""))
                answers["results"] = table.results(seen[0].round_id) or b""
                for name, at in (("healthz", port), ("metrics", health), ("readyz", health)):
                    try:
                        with urllib.request.urlopen(f"http://127.0.0.1:{at}/{name}", timeout=10) as reply:
                            answers[name] = reply.read()
                    except OSError as error:
                        answers[name] = str(error).encode()
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        validator = threading.Thread(target=validate)
        validator.start()
        code = serve(settings, monkeypatch)
        validator.join()
        out, err = capsys.readouterr()
        assert code == 0, err

        (tmp_path / "results.json").write_bytes(answers["results"])
        build_site((), tmp_path / "site", audio_bytes=0, executor=executor_history(str(tmp_path / "results.json")))
        pages = "".join(page.read_text() for page in (tmp_path / "site").rglob("*.html"))
        shown = "\n".join([pages, out, err, *(answer.decode() for answer in answers.values()), str(seen[0])])
        assert not [word for word in SECRETS if word in shown]
        private = tmp_path / "state" / "executor" / "private-round"
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        assert [path for path in tmp_path.rglob("*.wav") if private not in path.parents] == []

        organiser = organiser_of(str(subnet.rules), begun=True)
        results = open_results(answers["results"], valid_signature=valid_signature, ruleset=organiser.ruleset)
        redrawing = Redrawing(tmp_path / "check", lambda: nullcontext(InlinePool()))
        for own, reason in ((material, ""), (Material(), "public_corpus")):
            check = ResultsCheck(organiser, subnet.chain, own, schedule=organiser.schedule, redrawing=redrawing)
            assert check(results).reason == reason
        stated = results.material
        assert stated is not None
        assert organiser.schedule is not None
        assert (stated.is_public, stated.corpus_round) == (False, organiser.schedule.last_started(time.time()))
        assert stated.committed_block is not None
