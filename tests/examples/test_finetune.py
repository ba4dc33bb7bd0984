"""The promises of docs/how-to/train-a-model.md, tested on networks that train in seconds."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch: pip install -e .[train]")
pytest.importorskip("safetensors", reason="training needs safetensors: pip install -e .[train]")

import torch

from examples.finetune import steer
from examples.finetune.checkpoints import load_network, load_state, save_state, save_weights, start_from
from examples.finetune.export import TOLERANCE, distance_to_torch, export
from examples.finetune.generated import GeneratedSet
from examples.finetune.losses import enhancement_loss, si_sdr_db
from examples.finetune.network import Network, NetworkConfig, signal_of, spectrum
from examples.finetune.perception import perceived_difference
from examples.finetune.place import main as place_command
from examples.finetune.plan import TrainingPlan, plan_as_json, plan_from_json, stream_of
from examples.finetune.train import main as train_command
from examples.finetune.trainer import FORMAT, Trainer
from examples.finetune.variety import VOICE_SPEEDS, VariedNoise, VariedVoices
from soundsright.adapters.peers.keys import Hotkey
from soundsright.cli.main import cli, run
from soundsright.core.audio import Clip, digest_of_digests
from soundsright.core.competition import competition_by_id
from soundsright.core.content import sha256_of_file
from soundsright.core.errors import UsageError
from soundsright.data import SetJob, generate_set
from soundsright.data.clips import draw_clips
from soundsright.data.corpora import Corpus
from soundsright.data.formulas import LEVEL_DB
from soundsright.data.levels import power_db
from soundsright.data.origins import origins_of
from soundsright.data.recipe import SetRecipe, SetTask
from soundsright.data.sources import RecordedNoise
from soundsright.data.splits import Split, in_split
from soundsright.data.stream import ClipStream
from soundsright.services.records.feedback import Feedback, sign_feedback

SMALL = NetworkConfig(channels=4, blocks=1)
PLAN = TrainingPlan(steps=4, batch_size=2, accumulate=2, crop_s=0.5, warmup_steps=2, seed=3)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def trainer() -> Trainer:
    torch.manual_seed(PLAN.seed)
    return Trainer(PLAN, Network(SMALL), stream_of(PLAN))


def equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_that_was_stopped_reaches_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    whole = trainer()
    whole.run(4)
    stopped = trainer()
    before = {name: value.clone() for name, value in stopped.network.state_dict().items()}
    stopped.run(2)
    save_state(tmp_path / "last.pt", stopped.state)
    resumed = trainer()
    resumed.restore(load_state(tmp_path / "last.pt", FORMAT))
    resumed.run(4)
    assert not equal(before, whole.network.state_dict())
    assert equal(whole.network.state_dict(), resumed.network.state_dict())
    assert equal(whole.average, resumed.average)


def test_a_plan_comes_back_from_its_json() -> None:
    plan = dataclasses.replace(PLAN, noise=("a", "b"), snr_db=(0.0, 5.0))
    assert plan_from_json(plan_as_json(plan)) == plan


def test_training_draws_nothing_that_is_held_out() -> None:
    corpus = Corpus.open()
    kept = {r.group for r in in_split((*corpus.speech, *corpus.noise, *corpus.rirs), Split.TRAIN)}
    held_out = {r.group for r in (*corpus.speech, *corpus.noise, *corpus.rirs)} - kept
    for competition in ("DENOISING_16000HZ", "DEREVERBERATION_16000HZ"):
        stream = stream_of(dataclasses.replace(PLAN, competition=competition))
        assert isinstance(stream, ClipStream)
        drawn = [stream.clip(index).drawn_from for index in range(24)]
        assert not held_out & {name for o in drawn for name in o.speakers | o.noises | o.rooms}


@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_the_exported_network_agrees_with_torch(tmp_path: Path, rate_hz: int) -> None:
    pytest.importorskip("onnx", reason="export needs onnx: pip install -e .[train]")
    torch.manual_seed(1)
    network = Network(dataclasses.replace(SMALL, sample_rate_hz=rate_hz))
    save_weights(tmp_path / "weights.safetensors", network.state_dict(), network.config)
    export(tmp_path / "weights.safetensors", tmp_path / "model")
    model = (tmp_path / "model" / "network.onnx").read_bytes()
    assert distance_to_torch(model, network, frames=83, seed=5) < TOLERANCE
    assert equal(load_network(tmp_path / "model" / "weights.safetensors").state_dict(), network.state_dict())


def test_a_network_for_48_khz_starts_from_one_for_16_khz(tmp_path: Path) -> None:
    narrow, wide = Network(SMALL), Network(dataclasses.replace(SMALL, sample_rate_hz=48_000))
    save_weights(tmp_path / "weights.safetensors", narrow.state_dict(), SMALL)
    assert start_from(wide, tmp_path / "weights.safetensors") == []
    for layer in (wide.split, wide.join):
        assert torch.equal(layer.biases[3][0][:16], layer.biases[2][-1][:16])
    assert torch.equal(narrow.blocks[0].time.weight_ih_l0, wide.blocks[0].time.weight_ih_l0)


def test_a_deeper_network_starts_from_the_results_of_the_other(tmp_path: Path) -> None:
    torch.manual_seed(4)
    shallow, deep = Network(SMALL), Network(dataclasses.replace(SMALL, blocks=3))
    save_weights(tmp_path / "weights.safetensors", shallow.state_dict(), SMALL)
    assert all(
        name.startswith(("blocks.1.", "blocks.2.")) for name in start_from(deep, tmp_path / "weights.safetensors")
    )
    signal = torch.randn(1, 4_000)
    torch.testing.assert_close(deep.enhance(signal), shallow.enhance(signal))
    deep.enhance(signal).sum().backward()
    assert deep.blocks[2].time_out.weight.grad.abs().sum() > 0.0


def test_a_run_becomes_a_model_with_a_card_that_says_how_and_how_good(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="export needs onnx: pip install -e .[train]")
    short = ["--steps", "1", "--batch-size", "1", "--crop", "0.5", "--validate", "0", "--channels", "4"]
    assert run(train_command, ["--out", str(tmp_path / "run"), *short]) == 0
    assert run(place_command, [str(tmp_path / "run"), "--to", str(tmp_path / "model"), "--clips", "1"]) == 0
    text = (tmp_path / "model" / "README.md").read_text()
    assert "3 blocks of recurrent layers" in text
    assert "Step 1 of 1, seed 1" in text
    assert sha256_of_file(tmp_path / "model" / "network.onnx") in text
    assert [line.split(" |")[0] for line in text.splitlines() if line.endswith(" |") and "±" in line] == [
        "| unprocessed",
        "| model",
    ]
    assert run(cli, ["verify", str(tmp_path / "model"), "--clips", "1", "--sandbox", "process", "--trust"]) == 0


@pytest.mark.parametrize(("flags", "blocks"), [([], 1), (["--blocks", "2"], 2)])
def test_a_run_has_the_size_of_its_initial_weights_by_default(
    tmp_path: Path, flags: list[str], blocks: int
) -> None:
    save_weights(tmp_path / "weights.safetensors", Network(SMALL).state_dict(), SMALL)
    command = ["--out", str(tmp_path / "run"), "--init", str(tmp_path / "weights.safetensors"), *flags]
    assert (
        run(train_command, [*command, "--steps", "1", "--batch-size", "1", "--crop", "0.5", "--validate", "0"]) == 0
    )
    config = dataclasses.replace(SMALL, blocks=blocks)
    assert load_network(tmp_path / "run" / "weights.safetensors").config == config


@pytest.mark.parametrize("length", [1, 511, 5_000])
def test_a_spectrum_becomes_its_signal_again(length: int) -> None:
    signal = torch.randn(2, length)
    again = signal_of(spectrum(signal, 512, 256), 512, 256, length)
    torch.testing.assert_close(again, signal, atol=1e-5, rtol=0)


def test_a_causal_network_sees_only_one_future_frame() -> None:
    torch.manual_seed(2)
    network = Network(dataclasses.replace(SMALL, causal=True)).eval()
    parts = torch.randn(1, 40, 257, 2)
    # The level of the whole clip scales it: a change that keeps the level changes nothing that came before.
    changed = torch.cat([parts[:, :30], parts[:, 30:].flip(1)], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(network(parts)[:, :29], network(changed)[:, :29])


def test_si_sdr_is_that_of_the_definition() -> None:
    target = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    error = torch.tensor([[0.1, 0.1, -0.1, -0.1]])
    assert si_sdr_db(3 * (target + error), target).item() == pytest.approx(20.0, abs=1e-3)


def test_the_loss_is_least_for_the_clean_signal_and_does_not_know_its_level() -> None:
    clean, noise = torch.randn(2, 8_000), torch.randn(2, 8_000)
    losses = [enhancement_loss(clean + k * noise, clean, 16_000).item() for k in (0.0, 0.1, 0.5)]
    assert losses == sorted(losses)
    quiet = enhancement_loss(0.01 * (clean + 0.5 * noise), 0.01 * clean, 16_000).item()
    assert quiet == pytest.approx(losses[2], rel=1e-3)


def test_the_perceived_difference_grows_with_the_noise_and_counts_the_audible_one_more() -> None:
    clip = next(draw_clips(competition_by_id("DENOISING_16000HZ"), 5, 1, corpus=Corpus.open()))
    clean = torch.from_numpy(clip.clean.samples.copy())[None]
    white = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1)) * clean.std()
    heard = [perceived_difference(clean + k * white, clean, 16_000).item() for k in (0.0, 0.01, 0.1, 1.0)]
    assert heard == sorted(heard)
    assert heard[0] < 0.01
    deep = 8 * torch.sin(2 * torch.pi * 30 / 16_000 * torch.arange(clean.shape[-1]))[None] * 0.1 * clean.std()
    assert perceived_difference(clean + deep, clean, 16_000).item() < heard[2]


def test_a_slowly_varying_level_barely_changes_the_perceived_difference() -> None:
    """P.862 matches levels before it compares, so noise as strong as the level's variation counts for far more."""
    clip = next(draw_clips(competition_by_id("DENOISING_16000HZ"), 5, 1, corpus=Corpus.open()))
    clean = torch.from_numpy(clip.clean.samples.copy())[None]
    course = 10 ** (3 / 20 * torch.sin(2 * torch.pi * 0.5 / 16_000 * torch.arange(clean.shape[-1])))
    wandering = clean * course
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    noisy = clean + noise * (wandering - clean).std() / noise.std()
    a, b = (perceived_difference(x, clean, 16_000).item() for x in (wandering, noisy))
    assert a < 0.1 * b


def test_voices_vary_in_pitch_and_stay_their_speakers() -> None:
    voices = Corpus.open().speech_for(16_000, Split.TRAIN)
    varied = VariedVoices(voices)
    assert len(varied) == len(VOICE_SPEEDS) * len(voices)
    for number, speed in enumerate(VOICE_SPEEDS):
        index = number * len(voices) + 3
        assert varied.speaker(index) == voices.speaker(3)
        length = varied.read(index, 16_000).samples.shape[0]
        assert length == pytest.approx(voices.read(3, 16_000).samples.shape[0] / speed, abs=2)
    assert len({varied.utterance_id(i) for i in range(len(varied))}) == len(varied)


@pytest.mark.parametrize("count", [1, 800, 32_001])
def test_varied_noise_has_the_requested_length_and_level_and_is_repeatable(count: int) -> None:
    noise = RecordedNoise(Corpus.open().noise_for(16_000, Split.TRAIN))
    varied = VariedNoise(noise)
    for seed in range(12):
        first, again = (varied.draw(np.random.default_rng(seed), count, 16_000) for _ in range(2))
        np.testing.assert_array_equal(first.samples, again.samples)
        assert first.samples.shape == (count,)
        assert first.samples.dtype == np.float32
        assert power_db(first.samples) == pytest.approx(LEVEL_DB, abs=0.01)
        assert first.recording in {r.group for r in noise.recordings.recordings}


def test_a_generated_set_trains_and_one_of_another_rate_or_task_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    drawn = stream_of(PLAN)
    assert isinstance(drawn, ClipStream)
    generate_set(SetJob(folder, SetTask.DENOISING, 16_000, 3, 1, drawn.sources, SetRecipe(duration_s=(0.5, 0.6))))
    plan = dataclasses.replace(PLAN, generated=str(folder))
    stream = stream_of(plan)
    assert isinstance(stream, GeneratedSet)
    again = list(stream_of(plan).batches(start=2))
    np.testing.assert_array_equal(list(stream.batches())[2].degraded, again[0].degraded)
    Trainer(plan, Network(SMALL), stream).run(1)
    assert origins_of(folder).speakers
    with pytest.raises(UsageError, match="16000 Hz, the competition at 48000 Hz"):
        stream_of(dataclasses.replace(plan, competition="DENOISING_48000HZ"))
    with pytest.raises(UsageError, match="is for denoising"):
        stream_of(dataclasses.replace(plan, competition="DEREVERBERATION_16000HZ"))


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"no checkpoint", lambda _: b""]
)
def test_a_damaged_checkpoint_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[bytes], bytes]
) -> None:
    save_state(tmp_path / "last.pt", trainer().state)
    (tmp_path / "last.pt").write_bytes(damage((tmp_path / "last.pt").read_bytes()))
    assert run(train_command, ["--out", str(tmp_path), "--resume"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Error: The checkpoint {tmp_path / 'last.pt'} is damaged")


def test_other_misuse_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"\0" * 20)
    cases = {
        "There is no checkpoint": ["--resume"],
        "has no weights of a baseline": ["--init", str(tmp_path / "bad.safetensors")],
        "Unknown competition 'X'": ["--competition", "X"],
        "does not describe a set": ["--set", str(tmp_path)],
    }
    if not torch.cuda.is_available():
        cases["No GPU is visible"] = ["--device", "cuda"]
    for message, arguments in cases.items():
        assert run(train_command, ["--out", str(tmp_path / "run"), *arguments]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line


def feedback_on(clips: list[Clip], scores: list[float], digest: str | None = None) -> Feedback:
    named = [{"id": c.id, "scores": {"PESQ_WB": s, "ESTOI": s}} for c, s in zip(clips, scores, strict=True)]
    return Feedback.model_validate(
        {
            "schema": "soundsright.feedback/1",
            "round": "2026-01-02",
            "competition": "DENOISING_16000HZ",
            "seed": 5,
            "set_digest": digest or digest_of_digests({c.id: c.digest for c in clips}),
            "hotkey": "5x",
            "uid": 0,
            "clips": named,
        }
    )


def snr_db_of(clip: Clip) -> float:
    assert clip.recipe.snr_db is not None
    return clip.recipe.snr_db


def test_the_worst_clips_of_a_round_steer_the_next_set(tmp_path: Path) -> None:
    corpus, competition = Corpus.open(), competition_by_id("DENOISING_16000HZ")
    clips = list(draw_clips(competition, 5, 12, corpus=corpus))
    by_snr = sorted(clips, key=snr_db_of)
    steered = steer.steering(feedback_on(clips, [snr_db_of(clip) for clip in clips]), corpus)
    assert steered.worst == tuple(c.id for c in by_snr[:3])
    assert steered.snr_db is not None
    low, high = steered.snr_db
    assert low < snr_db_of(by_snr[1]) < high < snr_db_of(by_snr[-1])
    allowed = {r.id for r in in_split(corpus.noise, Split.TRAIN)}
    assert len(set(steered.noises)) == steer.NOISES
    assert set(steered.noises) <= allowed
    steer.write(steered, tmp_path, corpus)
    assert {p.stem for p in (tmp_path / "noise").iterdir()} == set(steered.noises)
    commands = json.loads((tmp_path / "steer.json").read_text())["commands"]
    assert f"--snr {low:g} {high:g}" in commands[0]
    assert "--init models/baseline-denoising-16k/weights.safetensors" in commands[1]


def test_unsigned_feedback_steers_and_changed_feedback_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = list(draw_clips(competition_by_id("DENOISING_16000HZ"), 5, 4, corpus=Corpus.open()))
    document = feedback_on(clips, [4.0, 1.0, 2.0, 3.0]).model_dump(by_alias=True)
    (tmp_path / "3-bob.json").write_text(json.dumps(document))
    out = tmp_path / "next set"
    assert run(steer.main, [str(tmp_path / "3-bob.json"), "--out", str(out)]) == 0
    unsigned, worst, *_, generate, train = capsys.readouterr().out.splitlines()
    assert unsigned.startswith("Unsigned")
    assert worst.endswith(clips[1].id)
    assert shlex.split(generate)[-3:] == [str(out / "noise"), "--out", str(out / "set")]
    assert shlex.split(train)[-1] == str(out / "noise")
    signed = sign_feedback(document, Hotkey.of_seed("v"))
    for text, code in ((signed, 0), (signed.replace("bob", "eve").replace("5x", "5y"), 2)):
        (tmp_path / "signed.json").write_text(text)
        assert run(steer.main, [str(tmp_path / "signed.json"), "--out", str(out)]) == code
        printed = capsys.readouterr()
        assert "Unsigned" not in printed.out
    assert "did not sign this feedback" in printed.err


def test_feedback_on_other_clips_or_without_scores_cannot_steer() -> None:
    corpus = Corpus.open()
    clips = list(draw_clips(competition_by_id("DENOISING_16000HZ"), 5, 2, corpus=corpus))
    with pytest.raises(UsageError, match="does not give the clips"):
        steer.steering(feedback_on(clips, [1.0, 2.0], digest="ab" * 32), corpus)
    with pytest.raises(UsageError, match="no scores"):
        steer.steering(feedback_on([], []), corpus)
