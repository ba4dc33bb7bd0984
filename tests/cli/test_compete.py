"""A whole competition, as its user runs it: real recordings, real processes, a local chain."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.machine.clock import SystemClock
from soundsright.adapters.state.store import SqlState
from soundsright.cli.main import cli, run
from soundsright.cli.shared.run_folder import LEASE, claim_folder
from soundsright.core.errors import UsageError
from soundsright.services.validator.lease import sole_process

MODELS = Path(__file__).resolve().parents[2] / "models"
ENTRIES = f"""
[[entry]]
miner = "gate"
model = "{MODELS}/spectral-gate"
competition = "DENOISING_16000HZ"
incumbent = true

[[entry]]
miner = "same"
model = "{MODELS}/degraded"
competition = "DENOISING_16000HZ"

[[entry]]
miner = "copycat"
model = "{MODELS}/spectral-gate"
competition = "DENOISING_16000HZ"

[[entry]]
miner = "crash"
model = "{MODELS}/crasher"
competition = "DENOISING_16000HZ"

[[entry]]
miner = "short"
model = "{MODELS}/truncator"
competition = "DENOISING_16000HZ"

[[entry]]
miner = "nan"
model = "{MODELS}/nan-maker"
competition = "DENOISING_16000HZ"
"""
CLIPS = 6


def arguments(folder: Path, out: str, *more: str) -> list[str]:
    entries = folder / "entries.toml"
    entries.write_text(ENTRIES)
    return [
        "compete", "--entries", str(entries), "--out", str(folder / out), "--clips", str(CLIPS), "--seed", "5",
        "--pay-on-public-corpus",
        "--competition", "DENOISING_16000HZ", "--sandbox", "process", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compete")
    assert run(cli, arguments(folder, "run")) == 0
    return folder / "run"


def results(out: Path) -> dict[str, Any]:
    loaded = json.loads((out / "results.json").read_text())
    assert isinstance(loaded, dict)
    return loaded


def entry(out: Path, name: str) -> dict[str, Any]:
    (row_of_entry,) = [e for e in results(out)["competitions"][0]["entries"] if e["hotkey"] == name]
    assert isinstance(row_of_entry, dict)
    return row_of_entry


def scores(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]


def test_every_clip_of_every_entry_has_a_result(finished: Path) -> None:
    lines = scores(finished)
    assert len(lines) == CLIPS * (1 + 5)  # The unprocessed input and every entry except the copy.
    assert all((line["scores"] is None) != (line["failure"] is None) for line in lines)


def test_returning_the_input_scores_as_the_unprocessed_input_does(finished: Path) -> None:
    assert entry(finished, "same")["metrics"] == results(finished)["competitions"][0]["unprocessed"]["metrics"]


@pytest.mark.parametrize(("name", "code"), [("crash", "crashed"), ("short", "length"), ("nan", "not_finite")])
def test_a_failed_clip_scores_the_floor_and_stays_in_the_mean(finished: Path, name: str, code: str) -> None:
    failed = entry(finished, name)
    assert failed["failures"] == {code: CLIPS}
    for metric, estimate in failed["metrics"].items():
        assert estimate["mean"] == results(finished)["metrics"][metric]["floor"]
        assert estimate["n"] == CLIPS
    assert failed["share"] == 0


def test_the_log_of_a_crashed_model_goes_to_its_author(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(MODELS / "degraded", tmp_path / "mine")
    (tmp_path / "mine" / "app" / "enhance.py").write_text("import no_such_library\n")
    (tmp_path / "e.toml").write_text(
        '[[entry]]\nminer = "me"\nmodel = "mine"\ncompetition = "DEREVERBERATION_16000HZ"\n'
    )
    out = tmp_path / "out"
    options = ["--entries", str(tmp_path / "e.toml"), "--out", str(out), "--clips", "1", "--sandbox", "process"]
    assert run(cli, ["compete", *options]) == 1  # No entry was scored.
    (feedback,) = [json.loads(path.read_text()) for path in (out / "feedback").iterdir()]
    assert "no_such_library" in feedback["log"]
    captured = capsys.readouterr()
    cause = "app/enhance.py, line 1: ModuleNotFoundError: No module named 'no_such_library'"
    verify = f"Run `soundsright verify {tmp_path / 'mine'}` to see why."
    assert f"me/mine failed its only clip: {cause}. {verify}" in captured.err
    printed = " ".join(captured.out.split())
    (log,) = re.findall(r"the model's log is in (\S+)", printed)
    assert "no_such_library" in (out / log).read_text()
    # Competitions without entries do not run.
    assert [c["id"] for c in results(out)["competitions"]] == ["DEREVERBERATION_16000HZ"]


def test_an_entry_in_single_brackets_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "e.toml").write_text('[entry]\nminer = "me"\n')
    assert run(cli, ["compete", "--entries", str(tmp_path / "e.toml")]) == 2
    assert "`[entry]` needs double brackets: [[entry]]" in capsys.readouterr().err


def test_a_folder_without_a_model_is_refused_and_the_others_compete(tmp_path: Path) -> None:
    shutil.copytree(MODELS / "degraded", tmp_path / "good")
    for name in ("lacks", "copied", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "lacks" / "notes.md").write_text("to do")
    (tmp_path / "copied" / "Dockerfile").symlink_to("../template/Dockerfile")
    names = ("lacks", "copied", "empty", "good")
    rows = (f'[[entry]]\nminer = "{n}"\nmodel = "{n}"\ncompetition = "DENOISING_16000HZ"\n' for n in names)
    (tmp_path / "e.toml").write_text("".join(rows))
    out = tmp_path / "out"
    words = ["--entries", str(tmp_path / "e.toml"), "--out", str(out), "--clips", "1", "--sandbox", "process"]
    assert run(cli, ["compete", *words]) == 0
    (competition,) = results(out)["competitions"]
    assert [row["hotkey"] for row in competition["entries"]] == ["good"]
    codes = {row["hotkey"]: row["code"] for row in competition["refused"]}
    assert codes == {"lacks": "no_dockerfile", "copied": "link", "empty": "no_dockerfile"}
    message = json.loads((out / "feedback" / "2-copied.json").read_text())["refusal"]["sentence"]
    assert message.endswith("copied/Dockerfile is a link that points to nothing")


def test_the_later_copy_is_refused_and_names_the_original(finished: Path) -> None:
    (refused,) = results(finished)["competitions"][0]["refused"]
    assert (refused["hotkey"], refused["code"]) == ("copycat", "same_content_hash")
    assert refused["evidence"]["original_hotkey"] == "gate"
    assert refused["remedy"] == "Enter a model of your own."


def test_every_feedback_has_the_scores_that_were_needed_to_win(finished: Path) -> None:
    (competition,) = results(finished)["competitions"]
    winners = {decision["metric"]: decision["winner"] for decision in competition["decisions"]}
    for row in competition["entries"]:
        assert set(row["reasons"]) == set(winners)
        for metric in (name for name, winner in winners.items() if winner != row["hotkey"]):
            # Over six clips no lead passes Holm's correction for four challengers.
            reason = row["reasons"][metric]
            assert metric in row["needed"] or "Over so few clips" in reason, reason
        best, worst = row["ranks"]["PESQ_WB"]
        assert 1 <= best <= worst <= len(competition["entries"])
    (refused,) = competition["refused"]
    assert set(refused["needed"]) == set(winners)
    documents = {d["hotkey"]: d for d in (json.loads(p.read_text()) for p in (finished / "feedback").iterdir())}
    assert documents["copycat"]["needed"] == refused["needed"]
    assert documents["crash"]["needed"] == entry(finished, "crash")["needed"]
    assert all("failed and scored the floor" in reason for reason in documents["crash"]["reasons"].values())


def test_the_weights_on_the_chain_are_those_of_the_results(finished: Path) -> None:
    weights = results(finished)["weights"]
    with closing(sqlite3.connect(finished / "chain.db")) as db:
        on_chain = dict(db.execute("SELECT uid, weight FROM weights").fetchall())
    assert on_chain == {int(uid): weight for uid, weight in weights.items()}
    assert sum(weights.values()) == pytest.approx(1.0)
    assert weights["0"] > 0  # The weight that nobody earned burns.


def test_every_miner_gets_a_feedback_file(finished: Path) -> None:
    documents = [json.loads(p.read_text()) for p in (finished / "feedback").iterdir()]
    assert {d["hotkey"] for d in documents} == {"gate", "same", "copycat", "crash", "short", "nan"}
    by_hotkey = {d["hotkey"]: d for d in documents}
    assert len(by_hotkey["gate"]["clips"]) == CLIPS
    assert by_hotkey["copycat"]["refusal"]["code"] == "same_content_hash"
    assert len({d["set_digest"] for d in documents}) == 1


def test_the_seed_comes_from_a_block_after_the_close_of_entries(finished: Path) -> None:
    facts = results(finished)["round"]
    assert facts["seed_block"] > facts["entries_close_block"]
    with closing(sqlite3.connect(finished / "chain.db")) as db:
        (last,) = db.execute("SELECT max(block) FROM commitments").fetchone()
        (hash_,) = db.execute("SELECT hash FROM blocks WHERE number = ?", (facts["seed_block"],)).fetchone()
    assert last <= facts["entries_close_block"]
    assert hash_ == facts["seed_block_hash"]


def test_the_report_stands_alone(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    assert "gate/spectral-gate" in page
    assert page.count("<audio") == 9 or page.count("<audio") == 6  # 3 clips: clean, degraded and the paid best
    assert "http://" not in page
    assert "https://" not in page
    assert 'src="data:audio/flac' in page


def comparable(document: dict[str, Any]) -> dict[str, Any]:
    """The results without measured times."""
    kept = {k: v for k, v in document.items() if k not in ("cost",)}
    for competition in kept["competitions"]:
        for row in [*competition["entries"], competition["unprocessed"]]:
            del row["timing"]
    return kept


def test_a_killed_run_continues_and_ends_with_the_same_results(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    private = tmp_path / "tmp"
    private.mkdir()
    environment = os.environ | {"TMPDIR": str(private)}
    command = [sys.executable, "-m", "soundsright", *arguments(tmp_path, "run", "--slots", "1", "--workers", "1")]
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if " 2/5 " in line:
            break
    # Meanwhile no other process may work on it. It is stopped, so that it does not finish before the interrupt.
    process.send_signal(signal.SIGSTOP)
    assert run(cli, arguments(tmp_path, "run")) == 2
    other = (
        f"Process {process.pid} on this machine ({socket.gethostname()}) uses {tmp_path / 'run'}. Stop it, or wait"
    )
    assert f"{other} until it ends, or name another folder with --out." in capsys.readouterr().err
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 130, "".join(lines) + rest
    assert "Traceback" not in rest
    assert "Stopping ...\n" in rest
    assert rest.strip().endswith("Stopped.")
    # Nothing remains: no process of its session, no temporary directory, no results.
    deadline = time.monotonic() + 10
    while subprocess.run(["pgrep", "-s", str(process.pid)], capture_output=True).stdout:
        assert time.monotonic() < deadline, "a child process remains"
        time.sleep(0.1)
    assert list(private.iterdir()) == []
    assert not (tmp_path / "run" / "results.json").exists()
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert run(cli, arguments(tmp_path, "run")) == 0
    first, second = comparable(results(finished)), comparable(results(tmp_path / "run"))
    assert first == second
    assert scores(finished) == scores(tmp_path / "run")


def test_a_finished_run_is_replaced_only_with_force(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (finished / "results.json").read_bytes()
    assert run(cli, arguments(finished.parent, "run")) == 2
    assert "--force" in capsys.readouterr().err
    assert (finished / "results.json").read_bytes() == before


def test_a_difference_from_an_unfinished_run_is_named(tmp_path: Path) -> None:
    entries = [["ada", "0f" * 32, "DENOISING_16000HZ", False], ["bob", "ab" * 32, "DENOISING_16000HZ", False]]
    before = {"clips": 50, "seed": 1, "rules_of_entry": {"cooldown_blocks": 0, "max_files": 9}, "entries": entries}
    (tmp_path / "run.json").write_text(json.dumps({"request": before, "round": {}, "reveals": {}}))
    claim_folder(tmp_path, before, 0, force=False)
    changed = [["ada", "0e" * 32, "DENOISING_16000HZ", True], ["eve", "ab" * 32, "DENOISING_16000HZ", False]]
    now = before | {"clips": 60, "rules_of_entry": {"cooldown_blocks": 5, "max_files": 9}, "entries": changed}
    with pytest.raises(UsageError) as caught:
        claim_folder(tmp_path, now, 0, force=False)
    for part in (
        "clips 50, now 60",
        "rules_of_entry.cooldown_blocks 0, now 5",
        "entries.ada.model 0f0f0f0f0f0f…, now 0e0e0e0e0e0e…",
        "entries.ada.incumbent false, now true",
        "entries.bob is gone",
        "entries.eve is new",
    ):
        assert part in str(caught.value)
    assert not any(part in str(caught.value) for part in ("seed", "max_files", "entries.ada.competition"))
    with pytest.raises(UsageError, match="the order of entries or competitions"):
        claim_folder(tmp_path, before | {"entries": entries[::-1]}, 0, force=False)


def test_a_folder_in_which_a_process_works_is_not_cleared(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    state = SqlState(tmp_path / "run" / "state.db")
    with sole_process(state, LEASE, clock=SystemClock(), lost=lambda: None):
        assert run(cli, arguments(tmp_path, "run", "--force")) == 2
    state.close()
    assert f"uses {tmp_path / 'run'}. Stop it" in capsys.readouterr().err
    assert results(tmp_path / "run") == results(finished)


def broken_corpus(folder: Path) -> str:
    corpus = folder / "corpus"
    corpus.mkdir()
    (corpus / "bad.wav").write_bytes(b"RIFF no wave")
    line = {
        "id": "bad", "kind": "speech", "file": "bad.wav", "sample_rate_hz": 16000, "duration_s": 3.0,
        "speaker": "x", "language": "en", "licence": "CC0-1.0", "bandwidth_hz": 8000, "sha256": "0" * 64,
        "text": None, "rt60_s": None, "source": "x",
    }  # fmt: skip
    (corpus / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    return str(corpus)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--competition", "SINGING_8000HZ"], "SINGING_8000HZ"),
        (["--clips", "0"], "0 clips"),
        (["--clips", "-3"], "-3 clips"),
        (["--seed", "-1"], "--seed -1"),
        (["--corpus", "/no/such/corpus"], "/no/such/corpus"),
        (["--entries", "/no/such/file.toml"], "/no/such/file.toml"),
        (["--ruleset", "mine"], "'mine'"),
        (["--python", "/no/python"], "/no/python"),
        (["--out", "/proc/no/such"], "/proc/no/such"),
        (["--corpus", "BROKEN"], "bad.wav"),
    ],
)
def test_bad_input_is_one_line_that_names_the_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], named: str
) -> None:
    more = [broken_corpus(tmp_path) if word == "BROKEN" else word for word in more]
    assert run(cli, arguments(tmp_path, "new", *more)) == 2
    printed = capsys.readouterr()
    assert named in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_a_disk_that_is_too_small_is_an_error_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type(shutil.disk_usage(tmp_path))(10**12, 10**12, 100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    assert run(cli, arguments(tmp_path, "new", "--clips", "1000")) == 2
    message = capsys.readouterr().err
    assert "has 0.00 GB free, but this run writes about 1.15 GB" in message
    assert list((tmp_path / "new").iterdir()) == []


def test_a_folder_of_someone_elses_files_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    assert run(cli, arguments(tmp_path, "mine", "--force")) == 2
    assert "not a run" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("x = [", "not TOML"),
        ("x = " + 50_000 * "[", "not TOML"),
        ("#" * 1_000_001, "larger than 1000000 bytes"),
        ("", "the file has no [[entry]]"),
        ("entry = 3", "the file has no [[entry]]"),
        ("foo = 1\n[[entry]]\nminer = 'a'", "e.toml: unknown key 'foo'"),
        (
            "[[entry]]\nminer = 'a'\n[[entries]]\nminer = 'b'",
            "e.toml: unknown key 'entries'. Did you mean 'entry'?",
        ),
        (257 * "[[entry]]\n", "the file has 257 [[entry]]; at most 256 are allowed"),
        (
            "[[entry]]\nminer = 'a'\nmodel = 'x'\ncompetition = 'DENOISING_16000'",
            "e.toml, entry 1: Unknown competition 'DENOISING_16000'",
        ),
        ("[[entry]]\nminer = 'a'", "e.toml, entry 1: 'model' is missing"),
        ("[[entry]]\nminer = 'a b'\nmodel = 'x'\ncompetition = 'DENOISING_16000HZ'", "'a b'"),
        (2 * "[[entry]]\nminer = 'a'\nmodel = 'x'\ncompetition = 'DENOISING_16000HZ'\n", "'a' enters twice"),
        ("[[entry]]\nminer = 'a'\nmodel = 'nowhere'\ncompetition = 'DENOISING_16000HZ'", "nowhere"),
        ("[[entry]]\nminer = 'a'\nmodel = 'x'\ncompetition = 'DENOISING_16000HZ'\nprize = 3", "'prize'"),
    ],
)
def test_a_mistake_in_the_entries_is_named_with_its_position(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, named: str
) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "e.toml").write_text(text)
    assert run(cli, ["compete", "--entries", str(tmp_path / "e.toml"), "--out", str(tmp_path / "o")]) == 2
    message = capsys.readouterr().err
    assert named in message
    assert message.count("\n") == 1


def test_help_and_version_answer_without_the_heavy_libraries() -> None:
    heavy = ("numpy", "scipy", "numba", "rich", "sqlalchemy", "matplotlib", "torch", "soundfile")
    code = (
        "import sys; from soundsright.cli.main import cli, run; run(cli, ['--help']);"
        f"sys.exit(','.join(m for m in {heavy!r} if m in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, f"imported for --help: {done.stderr}"
    assert "compete" in done.stdout
