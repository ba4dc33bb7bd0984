import json
import shutil
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from soundsright.cli.commands.datasets import command as datasets_command
from soundsright.cli.commands.generate import command
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import UsageError
from soundsright.core.material import Material
from soundsright.core.shipped import datasets_folder
from soundsright.services.rounds.clipset import DrawnClips, SetRequest, draw_to_disk, finish_set


def run(*arguments: object, **settings: Any) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False, **settings)


def summary_of(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "set.json").read_text(encoding="utf-8")))


def test_the_module_and_the_command_are_the_same_program(tmp_path: Path) -> None:
    output = subprocess.run(
        [sys.executable, "-m", "soundsright.data.generate", "--n", "2", "--out", str(tmp_path / "a")],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "2 items" in output
    assert run("--n", 2, "--out", tmp_path / "b").exit_code == 0
    assert summary_of(tmp_path / "a")["digest"] == summary_of(tmp_path / "b")["digest"]


def test_the_module_calls_itself_by_its_name(tmp_path: Path) -> None:
    def run_with(*arguments: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "soundsright.data.generate", *arguments]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run_with("--help").stdout.startswith("Usage: python -m soundsright.data.generate [OPTIONS]")
    assert run_with("--n", "two").stderr.endswith(" Try: python -m soundsright.data.generate --help\n")


def test_an_error_of_the_program_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "soundsright.data.generate", "--n", "2", "--speech", "missing", "--out", "x"],
        cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["Error: There is no folder missing. Give a folder of speech."]


def test_the_published_flags_are_accepted(tmp_path: Path) -> None:
    done = run(
        "--task", "both", "--sample_rate", "16000", "--n", 2, "--clean_dir", tmp_path / "my_clean",
        "--noise_dir", tmp_path / "my_noisy", "--reverb_dir", tmp_path / "my_reverb",
        "--noise_data_dir", "shipped", "--reverb_data_dir", "simulated", "--output_format", "mp3_44100_128",
    )  # fmt: skip
    assert done.exit_code == 0
    for folder in ("my_clean", "my_noisy", "my_reverb"):
        assert sorted(p.name for p in (tmp_path / folder).iterdir()) == ["000000.wav", "000001.wav"]


def test_a_directory_of_another_language_serves_as_speech(tmp_path: Path) -> None:
    speech = tmp_path / "français"
    for path in sorted((datasets_folder() / "speech/16k").glob("prompt-fr-0*.flac")):
        samples, rate = soundfile.read(path)
        (speech / "june").mkdir(parents=True, exist_ok=True)
        soundfile.write(speech / "june" / f"{path.stem}.wav", samples, rate)
    done = run("--n", 4, "--speech", speech, "--noise", "babble,pink,shipped", "--out", tmp_path / "set")
    assert done.exit_code == 0
    source = summary_of(tmp_path / "set")["sources"]["speech"][0]
    assert (source["recordings"], source["speakers"], source["layout"]) == (9, 1, "files")


def test_a_service_speaks_each_utterance_once_and_the_set_has_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openai", reason="the openai package is not installed")
    from tests.adapters.speech.speech_service import SpeechService

    service = SpeechService()
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    monkeypatch.setenv("OPENAI_BASE_URL", service.url)
    monkeypatch.setenv("SOUNDSRIGHT_SPEECH_CACHE", str(tmp_path / "cache"))
    arguments = ["--n", 6, "--speech", "openai", "--voices", "alloy,nova", "--tts-rate", 100, "--no-variation"]
    first = run(*arguments, "--workers", 2, "--out", tmp_path / "one")
    assert "6 utterances must be synthesised, 0 are in the cache" in first.output
    assert "USD" in first.output
    run(*arguments, "--out", tmp_path / "two")
    service.server.shutdown()
    service.server.server_close()
    assert len(service.requests) == 6
    assert summary_of(tmp_path / "one")["digest"] == summary_of(tmp_path / "two")["digest"]
    lines = [json.loads(line) for line in (tmp_path / "one/manifest.jsonl").read_text().splitlines()]
    assert {line["text"] for line in lines} == {request["input"] for request in service.requests}
    assert [line["speaker"] for line in lines] == ["alloy", "nova"] * 3


def test_skipped_recordings_are_counted_and_listed(tmp_path: Path) -> None:
    speech = tmp_path / "speech"
    speech.mkdir()
    soundfile.write(speech / "good.wav", 0.1 * np.random.default_rng(0).standard_normal(64_000), 16_000)
    (speech / "empty.wav").write_bytes(b"")
    done = run("--n", 2, "--speech", speech, "--out", tmp_path / "set")
    assert "1 files or folders were left out" in done.output
    assert list(summary_of(tmp_path / "set")["skipped"]) == [str(speech / "empty.wav")]


def test_only_and_resume_complete_a_set(tmp_path: Path) -> None:
    assert run("--n", 20, "--only", "3,10-12", "--out", tmp_path / "set").exit_code == 0
    assert summary_of(tmp_path / "set")["items"] == 4
    again = run("--n", 20, "--only", "3,10-12", "--resume", "--out", tmp_path / "set")
    assert "0 made now" in again.output


def test_clips_shorter_than_the_duration_are_counted(tmp_path: Path) -> None:
    speech = tmp_path / "speech"
    speech.mkdir()
    for name, seconds in (("short", 4), ("long", 12)):
        samples = 0.1 * np.random.default_rng(seconds).standard_normal(seconds * 16_000)
        soundfile.write(speech / f"{name}.wav", samples, 16_000)
    arguments = ["--n", 8, "--speech", speech, "--no-variation", "--out", tmp_path / "set"]
    done = run(*arguments, "--duration", 10, 11)
    lines = [json.loads(line) for line in (tmp_path / "set/manifest.jsonl").read_text().splitlines()]
    short = sum(line["samples"] < 160_000 for line in lines)
    assert 0 < short < 8
    shown = f"{short} of 8 clips are shorter than --duration 10: recordings are cut, but never joined.\n"
    assert shown in done.output
    assert shown in run(*arguments, "--duration", 10, 11, "--resume").output
    assert "are shorter" not in run(*arguments[:-1], tmp_path / "other", "--duration", 3, 4).output


def test_a_stopped_set_says_how_to_continue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("soundsright.data.making._make_unit", stop)
    done = run("--n", 2, "--out", tmp_path / "set")
    assert done.exit_code == 130
    assert done.stderr == f"Stopped. {tmp_path / 'set'} is kept. To continue, run the same command with --resume.\n"
    monkeypatch.undo()
    assert run("--n", 2, "--out", tmp_path / "set", "--resume").exit_code == 0


@pytest.mark.parametrize(
    ("task", "flag", "values"),
    [
        ("denoising", "--rt60", ["0.2", "1"]),
        ("denoising", "--rooms", ["simulated"]),
        ("denoising", "--measured-rirs", ["0"]),
        ("denoising", "--early", ["0.05"]),
        ("denoising", "--noise-in-room", []),
        ("dereverberation", "--noise-in-room", []),
        ("dereverberation", "--snr", ["0", "5"]),
        ("dereverberation", "--noise", ["white"]),
    ],
)
def test_a_flag_without_effect_is_refused(tmp_path: Path, task: str, flag: str, values: list[str]) -> None:
    message = f"{flag} has no effect with --task {task}. Leave it out, or use --task both."
    with pytest.raises(UsageError) as refused:
        run("--task", task, "--n", 2, "--out", tmp_path / "set", flag, *values)
    assert str(refused.value) == message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("task", ["denoising", "dereverberation"])
def test_a_setting_or_a_published_flag_of_another_task_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    monkeypatch.setenv("GENERATE_NOISE", "pink")
    monkeypatch.setenv("GENERATE_ROOMS", "simulated")
    published = ["--noise_data_dir", "white", "--reverb_data_dir", "simulated"]
    assert run("--task", task, "--n", 2, "--out", tmp_path / "set", *published).exit_code == 0
    assert summary_of(tmp_path / "set")["sources"].get("noise", [{"name": "white"}]) == [{"name": "white"}]


def test_a_flag_and_its_published_name_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--noise pink and --noise_data_dir white are one option"):
        run("--n", 2, "--out", tmp_path / "set", "--noise", "pink", "--noise_data_dir", "white")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n", "0", "--out", "x"], "A set cannot have 0 items"),
        (["--n", "2"], "No folder for the set"),
        (["--n", "2", "--out", "x", "--noise", "purple"], "Unknown kind of noise 'purple', and no folder"),
        (["--n", "2", "--out", "x", "--noise", "Pink"], "There is no noise 'Pink'. Did you mean pink?"),
        (["--n", "2", "--out", "x", "--noise", "/data/musan"], "There is no folder /data/musan. Give a folder"),
        (["--n", "2", "--out", "x", "--noise", "pink,./musan"], "There is no folder ./musan. Give a folder"),
        (["--n", "2", "--out", "x", "--noise", __file__], "test_generate.py is a file, not a folder"),
        (["--n", "2", "--out", "x", "--speech", __file__], "test_generate.py is a file, not a folder"),
        (["--n", "2", "--out", "x", "--speech", "Shipped"], "There is no folder Shipped. Did you mean shipped?"),
        (["--task", "both", "--n", "2", "--out", "x", "--rooms", "simulate"], "Did you mean simulated?"),
        (["--n", "2", "--out", "x", "--speaker-by", "(a)"], "--speaker-by has no effect with --speech shipped"),
        (["--n", "2", "--out", "x", "--only", "a"], "--only 'a' is not a list"),
        (["--n", "9", "--out", "x", "--only", "5-2"], "--only '5-2' is not a list"),
        (["--n", "2", "--out", "x", "--noise", "white,,pink"], "has an empty name between two commas"),
        (["--n", "2", "--out", "x", "--snr", "9", "1"], "--snr 9 1 is not a valid range"),
        (["--n", "2", "--out", "x", "--corpus", "nowhere"], "There is no corpus at nowhere"),
        (["--n", "2", "--out", "x", "--speech", "flite", "--sample-rate", "48000"], "nothing above 8000 Hz"),
        (["--n", "2", "--out", "x", "--clean_dir", "a/b"], "not different folders side by side"),
        (["--n", "2", "--out", "x", "--speech", "openai"], "OPENAI_API_KEY is not set"),
    ],
)
def test_bad_input_names_the_value_and_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:

    if "flite" in arguments and shutil.which("flite") is None:
        pytest.skip("flite is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UsageError, match=message):
        run(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_set_and_the_shipped_recordings_are_verified(tmp_path: Path) -> None:
    run("--n", 2, "--out", tmp_path / "set")
    check = CliRunner().invoke(datasets_command, ["verify", str(tmp_path / "set")])
    assert (check.exit_code, check.output.splitlines()) == (
        0,
        [
            "set: 4 files checked, none wrong",
            "2 clips with 2 noises (each in 1) and 6 recordings of speech (each in 1).",
        ],
    )
    (tmp_path / "set/noisy/000001.wav").write_bytes(b"broken")
    check = CliRunner().invoke(datasets_command, ["verify", str(tmp_path / "set")])
    assert check.exit_code == 1
    assert "000001.wav: differs" in check.output
    assert CliRunner().invoke(datasets_command, ["verify", str(datasets_folder())]).exit_code == 0


def test_the_set_of_a_round_is_verified_by_the_digests_of_its_clips(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for role in ("clean", "degraded"):
        (folder / role).mkdir(parents=True)
    request = SetRequest(PUBLISHED[0], 5, 4, Material(), folder)
    drawn: Future[DrawnClips] = Future()
    drawn.set_result(draw_to_disk(request, range(4)))
    finish_set(request, [drawn])

    def verify() -> Result:
        return CliRunner().invoke(datasets_command, ["verify", str(folder)], catch_exceptions=False)

    assert verify().exit_code == 0
    sharing = "4 clips with 4 noises (each in 1) and 10 recordings of speech (each in 1)."
    assert verify().output.splitlines() == ["round's set: 8 files checked, none wrong", sharing]
    samples, rate = soundfile.read(folder / "degraded/000001.wav", dtype="int16")
    samples[100] += 1
    soundfile.write(folder / "degraded/000001.wav", samples, rate)
    soundfile.write(folder / "degraded/000002.wav", samples[:-1], rate)
    (folder / "clean/000003.wav").unlink()
    shown = verify()
    assert shown.exit_code == 1
    assert [line.removeprefix(f"{folder}/") for line in shown.output.splitlines()] == [
        f"clean/000001.wav and {folder}/degraded/000001.wav: do not have the digest of their clip",
        f"clean/000002.wav and {folder}/degraded/000002.wav: do not have the digest of their clip",
        "clean/000003.wav: is missing",
        "round's set: 8 files checked, 3 wrong",
        sharing,
    ]


def test_a_manifest_of_something_else_is_an_error(tmp_path: Path) -> None:
    run("--n", 2, "--out", tmp_path / "set")
    (tmp_path / "set/set.json").unlink()
    with pytest.raises(UsageError, match=r"manifest.jsonl is the manifest of neither .* has a set.json beside"):
        CliRunner().invoke(datasets_command, ["verify", str(tmp_path / "set")], catch_exceptions=False)


def test_splits_are_proved_disjoint_from_their_manifests(tmp_path: Path) -> None:
    for split in ("train", "test"):
        done = run("--task", "both", "--n", 12, "--split", split, "--out", tmp_path / split)
        assert done.exit_code == 0
        assert summary_of(tmp_path / split)["split"] == split

    def disjoint(*names: str) -> Result:
        arguments = ["disjoint", *(str(tmp_path / name) for name in names)]
        return CliRunner().invoke(datasets_command, arguments, catch_exceptions=False)

    apart = disjoint("train", "test")
    assert apart.exit_code == 0
    assert apart.output.count("none shared") == 3
    same = disjoint("train", "train")
    assert same.exit_code == 1
    assert "speakers: 6 and 6, 6 shared: Allison Smith, " in same.output


def test_a_split_with_one_noise_says_so(tmp_path: Path) -> None:
    split = run("--task", "denoising", "--n", 3, "--noise", "pink", "--split", "test", "--out", tmp_path / "a")
    assert "1 noise (in 3)" in split.output
    assert "This split has one noise only" in split.output
    whole = run("--task", "denoising", "--n", 3, "--noise", "pink", "--out", tmp_path / "b")
    assert "one noise only" not in whole.output


def test_a_flat_folder_is_split_by_its_names_or_by_a_rule(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder, names in (("voicebank", ("p226", "p227", "p228")), ("mine", ("anna", "ben", "p228x"))):
        (tmp_path / folder).mkdir()
        for name in (f"{name}_{number:03d}" for name in names for number in range(4)):
            soundfile.write(tmp_path / folder / f"{name}.wav", 0.1 * rng.standard_normal(32_000), 16_000)

    def made(name: str, *arguments: object) -> Path:
        assert run("--n", 4, "--noise", "pink", "--out", tmp_path / name, *arguments).exit_code == 0
        return tmp_path / name

    def compare(one: Path, other: Path) -> Result:
        return CliRunner().invoke(datasets_command, ["disjoint", str(one), str(other)], catch_exceptions=False)

    test = made("test", "--speech", tmp_path / "voicebank", "--split", "test")
    apart = compare(made("train", "--speech", tmp_path / "voicebank", "--split", "train"), test)
    assert (apart.exit_code, apart.output.splitlines()[0]) == (0, "speakers: 2 and 1, none shared")

    with pytest.raises(UsageError, match=r"The speakers in .*mine are not known.*--speaker-by REGEX"):
        run("--n", 4, "--speech", tmp_path / "mine", "--split", "train", "--out", tmp_path / "refused")
    ruled = made("ruled", "--speech", tmp_path / "mine", "--split", "train", "--speaker-by", "([a-z0-9]+)_")
    assert compare(ruled, test).exit_code == 0
    assert summary_of(ruled)["sources"]["speech"][0]["groups_by"] == "([a-z0-9]+)_"
    guessed = made("guessed", "--speech", tmp_path / "mine")
    unknown = compare(guessed, test)
    assert unknown.exit_code == 1
    assert "speakers: 4 and 1, not known whether any is shared: those of " in unknown.output


def test_voices_of_a_synthesiser_are_split_by_their_names(tmp_path: Path) -> None:
    if shutil.which("flite") is None:
        pytest.skip("flite is not installed")
    speakers = {}
    for split in ("train", "valid"):
        assert run("--speech", "flite", "--n", 4, "--split", split, "--out", tmp_path / split).exit_code == 0
        lines = (tmp_path / split / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
        speakers[split] = {json.loads(line)["speaker"] for line in lines}
    assert speakers == {"train": {"rms", "kal16"}, "valid": {"slt", "awb"}}
    with pytest.raises(UsageError, match="None of the 4 voices of flite belongs to the split test"):
        run("--speech", "flite", "--n", 4, "--split", "test", "--out", tmp_path / "none")


def test_the_list_names_corpora_without_commercial_use() -> None:
    output = CliRunner().invoke(datasets_command, ["list"]).output
    row = next(line for line in output.splitlines() if line.strip().startswith("wham"))
    assert "CC-BY-NC-4.0" in row
    assert " NO " in row


def test_the_licence_is_shown_before_a_fetch_and_can_be_declined(tmp_path: Path) -> None:
    done = CliRunner().invoke(datasets_command, ["fetch", "ears", "--out", str(tmp_path)], input="n\n")
    assert done.exit_code == 1
    assert "CC-BY-NC-4.0" in done.output
    assert "NON-COMMERCIAL" in done.output
    assert list(tmp_path.iterdir()) == []


def test_fetch_takes_the_archives_from_a_mirror_and_unpacks_them(tmp_path: Path) -> None:
    import functools
    import threading
    import zipfile
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    served = tmp_path / "served"
    served.mkdir()
    with zipfile.ZipFile(served / "TBUS_48k.zip", "w") as bundle:
        bundle.writestr("TBUS/ch01.wav", b"audio")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = CliRunner().invoke(
            datasets_command,
            ["fetch", "demand", "--part", "TBUS_48k", "--yes", "--out", str(tmp_path / "corpora"),
             "--mirror", f"http://127.0.0.1:{server.server_port}"],
        )  # fmt: skip
        server.shutdown()
    assert done.exit_code == 0, done.output
    assert (tmp_path / "corpora/demand/TBUS/ch01.wav").read_bytes() == b"audio"
    assert "no checksum is published" in done.output
