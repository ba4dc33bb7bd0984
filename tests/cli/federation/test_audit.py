"""`soundsright federation audit`: a task is computed again from the bucket, the chain and the recordings."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.buckets import FolderBucket, new_bucket_folder
from soundsright.adapters.machine import ProcessPool
from soundsright.adapters.peers.keys import Hotkey, valid_signature
from soundsright.adapters.sandboxes import ProcessSandbox
from soundsright.cli.main import cli, run
from soundsright.cli.shared.federation_parts import agreed_rules
from soundsright.config import FederationSettings, read_settings
from soundsright.core.federation import Verdict, allowlist_json
from soundsright.services.federation import open_verdict, publish_allowlist, sign_verdict, verdict_key
from tests.conftest import write_model
from tests.services.federation.test_real_models import federation_of

VERA, OTHER = Hotkey.of_seed("vera"), Hotkey.of_seed("other")
RULES = """\
[ruleset]
base = "soundsright-v5"

[federation]
interval_blocks = 20
clips = 2
competitions = ["DENOISING_16000HZ"]

[[competition]]
task = "DENOISING"
sample_rate_hz = 16_000
max_score = 90.0
remainder = 10.0
metrics = { PESQ_WB = 0.6, ESTOI = 0.4 }
"""


TASK = 10


class Published:
    """A task that Vera judged on the shipped recordings, and the settings with which anybody audits it."""

    def __init__(self, folder: Path, pool: ProcessPool, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bucket = FolderBucket(new_bucket_folder(folder / "bucket-vera"))
        new_bucket_folder(folder / "bucket-other")
        peers = [(VERA, "bucket-vera"), (OTHER, "bucket-other")]
        (folder / "rules.toml").write_text(RULES)
        self.environment = {
            "SOUNDSRIGHT_RULESET": str(folder / "rules.toml"),
            "SOUNDSRIGHT_WORKERS": "1",
            "SOUNDSRIGHT_SPEECH": "recordings",
            "STATE_FOLDER": str(folder / "state"),
            "R2_ENDPOINT": f"file://{folder}",
            "R2_SOURCE_BUCKET": "bucket-owner",
            "PEER_VALIDATORS": json.dumps(
                [{"hotkey": key.address, "bucket": name, "endpoint": f"file://{folder}"} for key, name in peers]
            ),
        }
        agreed = agreed_rules(read_settings(FederationSettings, environment=self.environment))
        (folder / "models").mkdir()
        models = {"idle": write_model(folder / "models", name="idle")}
        world, hub = federation_of(folder, models, names=(VERA.address,), rules=agreed.rules, until=19)
        world.organiser = agreed.organiser
        world.chain.owner = lambda: "owner"  # type: ignore[attr-defined]

        def commit(text: str) -> None:
            world.chain.publish("owner", text)

        publish_allowlist(
            allowlist_json([VERA.address], 20).encode(),
            FolderBucket(new_bucket_folder(folder / "bucket-owner")),
            commit,
            profile=agreed.rules.profile,
            interval=20,
        )
        world.reach(TASK * 20 + 1)
        validator = world.validator(
            VERA.address,
            account=VERA,
            bucket=self.bucket,
            hub=hub,
            sandbox=ProcessSandbox(trusted=True),
            pool=pool,
        )
        validator.tick()
        assert validator.published == [TASK]
        monkeypatch.setattr("soundsright.cli.shared.opening.opened_chain", lambda *_: world.chain)
        monkeypatch.setattr("soundsright.cli.shared.opening.opened_hub", lambda *_: hub)
        monkeypatch.setattr(
            "soundsright.cli.shared.opening.opened_sandbox", lambda *_, **__: ProcessSandbox(trusted=True)
        )
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)

    def sign(self, change: Callable[[Verdict], Verdict]) -> None:
        """Put another verdict of Vera into her bucket."""
        key = verdict_key(TASK, VERA.address)
        signed = open_verdict(self.bucket.get(key, 1 << 20), valid_signature=valid_signature)
        self.bucket.put(key, sign_verdict(change(signed.verdict), VERA))


@pytest.fixture
def published(tmp_path: Path, pools: Callable[[int], ProcessPool], monkeypatch: pytest.MonkeyPatch) -> Published:
    pool = pools(1)
    monkeypatch.setattr("soundsright.adapters.machine.ProcessPool", lambda *_, **__: nullclosing(pool))
    return Published(tmp_path, pool, monkeypatch)


def nullclosing(pool: ProcessPool) -> Any:
    """The shared pool, which `closing` leaves open."""

    class Kept:
        def submit(self, *args: Any, **options: Any) -> Any:
            return pool.submit(*args, **options)

        def close(self) -> None:
            """Do nothing."""

    return Kept()


def audit(*words: str) -> int:
    return run(cli, ["federation", "audit", *words])


def test_an_honest_task_is_the_same_from_the_audio_and_from_the_models(
    published: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(str(TASK)) == 0
    shown = capsys.readouterr().out
    assert f"of {VERA.address}, 1 miners" in shown
    assert "Checked    2 scores computed again" in shown
    assert shown.splitlines()[-1] == "Same       Nothing that was checked differs."
    assert audit(str(TASK), "--run", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["same"] is True
    assert report["checked"]["answers given again"] == 2


def test_a_false_mean_is_named_and_the_exit_code_is_3(
    published: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    def better(verdict: Verdict) -> Verdict:
        row = verdict.rows[0]
        return replace(verdict, rows=(replace(row, means={**row.means, "ESTOI": 0.987654}),))

    published.sign(better)
    assert audit(str(TASK)) == 3
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("Different")
    assert "ESTOI of idle" in last
    assert "0.987654" in last


def test_a_verdict_that_counts_for_nobody_is_different_only_if_it_is_asked_for(
    published: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    published.sign(lambda verdict: replace(verdict, block=verdict.block - 20))
    assert audit(str(TASK), "--validator", VERA.address) == 3
    assert capsys.readouterr().out.startswith("Different")
    assert audit(str(TASK)) == 2
    assert "no valid verdict on task 10" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("11",), "Task 11 begins with block 220"),
        (("9",), "The validators have no valid verdict on task 9"),
        (("1",), "No list of validators is known for task 1"),
        ((str(TASK), "--validator", OTHER.address), f"Validator {OTHER.address} has no valid verdict on task 10"),
        ((str(TASK), "--validator", "5Nobody"), "PEER_VALIDATORS has no entry for 5Nobody"),
        (("0",), "0 is not in the range"),
    ],
)
def test_a_task_that_cannot_be_audited_ends_in_one_line(
    published: Published, words: tuple[str, ...], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(*words) == 2
    assert problem in capsys.readouterr().err
