"""Trains a network: `python -m examples.finetune.train --competition DENOISING_16000HZ --out runs/denoising-16k`.

Clips are made during training, by number, so `--resume` continues a stopped run at its next batch. On the CPU it
then reaches the same weights as a run without a stop. `RUN/last.pt` is the checkpoint, `RUN/weights.safetensors`
has the averaged weights, and `RUN/log.jsonl` the curves.
"""

from __future__ import annotations

import json
import shlex
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from examples.finetune import torch_check  # noqa: F401  # First: it ends the program if torch is missing.
from examples.finetune.checkpoints import load_state, load_weights, save_state, save_weights, start_from
from examples.finetune.network import Network, NetworkConfig
from examples.finetune.plan import TrainingPlan, plan_from_json, stream_of
from examples.finetune.trainer import FORMAT, Trainer
from examples.finetune.validation import Validation
from soundsright.cli.main import run
from soundsright.core.errors import UsageError


def device_of(name: str) -> str:
    """The device of that name; `auto` is CUDA if torch sees a GPU, otherwise the CPU.

    Raises:
        UsageError: the name is a GPU, and torch sees none.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("No GPU is visible to torch", "Use --device cpu, or install a CUDA build of torch.")
    return name


CHANGEABLE = ("steps", "learning_rate", "perceptual", "speech", "noise", "generated")
"""The settings of a plan that you can change with `--resume`."""


@click.command(context_settings={"show_default": True})
@click.option("--competition", default=TrainingPlan.competition, help="One of the four.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The run's folder.")
@click.option(
    "--steps", type=int, help=f"Steps in total, at which the schedule ends. [default: {TrainingPlan.steps}]"
)
@click.option("--batch-size", default=TrainingPlan.batch_size)
@click.option("--accumulate", default=TrainingPlan.accumulate, help="Batches per step.")
@click.option("--crop", "crop_s", default=TrainingPlan.crop_s, help="Seconds of a clip.")
@click.option("--learning-rate", type=float, help=f"The maximum. [default: {TrainingPlan.learning_rate:g}]")
@click.option("--ema", default=TrainingPlan.ema, help="Share of the averaged weights that each step keeps.")
@click.option("--seed", default=TrainingPlan.seed)
@click.option("--snr", "snr_db", nargs=2, default=TrainingPlan.snr_db, type=float, help="Lowest and highest, dB.")
@click.option("--rt60", "rt60_s", nargs=2, default=TrainingPlan.rt60_s, type=float, help="Shortest and longest, s.")
@click.option("--perceptual", type=float, help="Weight of the perceived difference in the loss. [default: 0]")
@click.option("--speech", multiple=True, help="A directory of more speech.")
@click.option("--noise", multiple=True, help="A directory of more noise.")
@click.option("--set", "generated", help="A generated set, instead of clips made during training.")
@click.option("--channels", type=int, help=f"[default: those of --init, otherwise {NetworkConfig.channels}]")
@click.option("--blocks", type=int, help=f"[default: those of --init, otherwise {NetworkConfig.blocks}]")
@click.option("--causal", is_flag=True, help="A network for streaming.")
@click.option(
    "--init",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Weights to start from; of several, later ones overwrite earlier ones.",
)
@click.option("--resume", is_flag=True, help="Continue the run in --out.")
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1 …")
@click.option("--amp/--no-amp", default=True, help="bfloat16 on a GPU.")
@click.option("--threads", default=1, help="CPU threads of torch; other numbers give other weights.")
@click.option("--workers", default=0, help="Processes that make clips; 0 makes them in this one.")
@click.option("--every", default=200, help="Steps between validations and checkpoints.")
@click.option("--validate", "validation_clips", default=12, help="Clips of a validation; 0 for none.")
@click.option(
    "--tensorboard", type=click.Path(path_type=Path), help="A folder for TensorBoard (needs tensorboardX)."
)
def main(**options: Any) -> None:
    """Train a network, or continue a run."""
    import torch

    try:
        train(**options)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        raise UsageError(
            f"A batch of {options['batch_size']} clips does not fit into memory",
            "Halve --batch-size and double --accumulate, or lower --crop.",
        ) from error


def train(
    *,
    out: Path,
    channels: int | None,
    blocks: int | None,
    causal: bool,
    init: tuple[Path, ...],
    resume: bool,
    device: str,
    amp: bool,
    threads: int,
    workers: int,
    every: int,
    validation_clips: int,
    tensorboard: Path | None,
    **numbers: Any,
) -> None:
    """Prepare the network and run the trainer. `numbers` are fields of the plan."""
    import torch

    torch.set_num_threads(max(1, threads))
    device = device_of(device)
    state = None
    if resume:
        state = load_state(out / "last.pt", FORMAT)
        plan = plan_from_json(state["plan"])
        changes = {k: v for k, v in numbers.items() if k in CHANGEABLE and v}
        plan = replace(plan, **changes)
        config = NetworkConfig.from_json(json.loads(state["network"]))
    else:
        if (out / "last.pt").exists():
            raise UsageError(f"{out} already has a run", "Continue it with --resume, or choose another --out.")
        plan = TrainingPlan(**{k: v for k, v in numbers.items() if v is not None})
        like = load_weights(init[-1])[1] if init else NetworkConfig()
        config = NetworkConfig(
            plan.sample_rate_hz,
            like.channels if channels is None else channels,
            like.blocks if blocks is None else blocks,
            causal=causal,
        )
    torch.manual_seed(plan.seed)
    network = Network(config)
    for weights in init if state is None else ():
        missing = start_from(network, weights)
        click.echo(f"Started from {weights}; {len(missing)} tensors are not in it")
    trainer = Trainer(plan, network, stream_of(plan), device=device, amp=amp)
    if state is not None:
        trainer.restore(state)
    size = sum(p.numel() for p in network.parameters())
    click.echo(f"{plan.competition}: {size} weights, step {trainer.step} of {plan.steps}, on {device}")
    out.mkdir(parents=True, exist_ok=True)
    if state is None or plan != plan_from_json(state["plan"]):
        with (out / "command.txt").open("a", encoding="utf-8") as commands:
            since = f"  # from step {trainer.step}" if trainer.step else ""
            commands.write(shlex.join(sys.argv[1:]) + since + "\n")
    watch = Watch(
        out, trainer, every, Validation(plan, validation_clips) if validation_clips else None, tensorboard
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, watch.stop)
    trainer.run(plan.steps, workers=workers, after_step=watch)


class Watch:
    """Called after each step: prints progress, and writes curves, validations and checkpoints."""

    def __init__(
        self, out: Path, trainer: Trainer, every: int, validation: Validation | None, tensorboard: Path | None
    ) -> None:
        self.out, self.trainer, self.every, self.validation = out, trainer, every, validation
        self.began_s, self.first_step = time.monotonic(), trainer.step
        self.losses: list[float] = []
        self.stopping = False
        self.writer = None
        if tensorboard is not None:
            try:
                from tensorboardX import SummaryWriter
            except ImportError as error:
                raise UsageError("--tensorboard needs tensorboardX", "Run `pip install tensorboardX`.") from error
            self.writer = SummaryWriter(str(tensorboard))

    def stop(self, *_: object) -> None:
        """Stop the run after the current step, because a checkpoint needs a whole step."""
        self.stopping = True

    def __call__(self, trainer: Trainer, loss: float, norm: float) -> None:
        self.losses.append(loss)
        step, steps = trainer.step, trainer.plan.steps
        if step % 20 == 0 or step == steps:
            rate = (time.monotonic() - self.began_s) / (step - self.first_step)
            left_min = rate * (steps - step) / 60
            click.echo(f"step {step}/{steps}  loss {loss:.4f}  {rate:.2f} s a step  {left_min:.0f} min left")
        if step % self.every == 0 or step == steps:
            self.note(step, norm)
            self.save()
        if self.stopping:
            self.save()
            raise click.Abort

    def note(self, step: int, norm: float) -> None:
        """Validate, and append a line to the log."""
        values = {"loss": sum(self.losses) / len(self.losses), "norm": norm}
        self.losses = []
        if self.validation is not None:
            gains = self.validation.gains(self.trainer.network, self.trainer.average)
            values |= {f"gain_{name}": gain for name, gain in gains.items()}
            click.echo("gain on validation clips: " + ", ".join(f"{n} {g:+.3f}" for n, g in gains.items()))
        elapsed_s = round(time.monotonic() - self.began_s, 1)
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({"step": step, "elapsed_s": elapsed_s, **values}) + "\n")
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)
            self.writer.flush()

    def save(self) -> None:
        """Write the checkpoint and the averaged weights."""
        save_state(self.out / "last.pt", self.trainer.state)
        save_weights(self.out / "weights.safetensors", self.trainer.average, self.trainer.network.config)


if __name__ == "__main__":
    sys.exit(run(main))
