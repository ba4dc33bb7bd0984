"""Turns a run into a model for a competition: `python -m examples.finetune.place runs/baseline/denoising-16k`.

Exports the run's averaged weights into the competition's folder below `models/` (or `--to`), with the layout of the
template, scores them and the unprocessed input on held-out clips, and writes the model card.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from benchmarks import enhancers
from examples.finetune import evaluate, torch_check  # noqa: F401  # First: it ends the program if torch is missing.
from examples.finetune.checkpoints import load_network, load_state
from examples.finetune.export import export
from examples.finetune.network import Network
from examples.finetune.plan import TrainingPlan, plan_from_json
from examples.finetune.trainer import FORMAT
from soundsright.cli.main import run
from soundsright.core.competition import Competition, Task, competition_by_id
from soundsright.core.content import sha256_of_file
from soundsright.metrics.suite import warm_up

MODELS = Path(__file__).resolve().parents[2] / "models"
SHARED = ("Dockerfile", "LICENSE", "app/__init__.py", "app/audio.py", "app/runtime.py", "app/server.py")
FIRST = "baseline-denoising-16k"
"""The folder whose app the other baselines share."""

CARD = """---
license: mit
tags: [speech-enhancement]
---

# Baseline: {title}

{what} by a network of {size} weights that this project trained. It splits the
spectrum into bands, has {blocks} blocks of recurrent layers along time and along the bands, and estimates for each
bin a complex filter over three frames. It needs the whole clip at once, so it works on files but not on streams.

| | |
| --- | --- |
| native rate | {rate} kHz; other clips are converted |
| delay | none |
| code | `examples/finetune/` of this project: MIT |
| weights | MIT; see the training data below |

## Training

```
python -m examples.finetune.collect --out sets/sources
{initial}{command}
```

Step {step} of {steps}, seed {seed}, on a CPU; batches of {batch} clips of {crop:g} s.

The training clips were generated during the training, from:

- Speech: the training split of this project's recordings; telephone prompts in English, Spanish, Italian and
  Russian (CC BY-SA 3.0 and CC BY 3.0: Allison Smith, Carlo Flora, Maxim Topal); words from KLettres and KTuberling
  (GPL 2 or later); sentences spoken by the voices of flite.
- {conditions}

The weights contain no recordings. We read the licences of the recordings such that these weights may be published
under the MIT licence. This is not a legal ruling. If you need certainty, train on recordings of your own.

## Scores

{table}

The speakers, language, noises and rooms of these clips were not used in training. `python -m
examples.finetune.evaluate --competition {competition}` compares the model with other enhancers.

| file | SHA-256 |
| --- | --- |
{digests}
"""


def lay_out(folder: Path) -> None:
    """Put the template's files into the folder: as links if it lies beside the template, otherwise as copies."""
    (folder / "app").mkdir(parents=True, exist_ok=True)
    inside = folder.resolve().parent == MODELS
    links = {name: MODELS / "template" / name for name in SHARED}
    links["requirements-server.txt"] = MODELS / "template" / "requirements.txt"
    if folder.name != FIRST:
        links |= {name: MODELS / FIRST / name for name in ("app/enhance.py", "requirements.txt")}
    for name, source in links.items():
        target = folder / name
        if target.exists():
            continue
        if inside:
            target.symlink_to(Path(*[".."] * (1 + name.count("/"))) / source.relative_to(MODELS))
        else:
            shutil.copyfile(source, target)


def card(plan: TrainingPlan, step: int, command: str, network: Network, table: str, digests: dict[str, str]) -> str:
    """The model card of a run."""
    competition = competition_by_id(plan.competition)
    return CARD.format(
        title=competition.title[0].lower() + competition.title[1:],
        what="Noise suppression" if competition.task is Task.DENOISING else "Removal of reverberation",
        size=f"{sum(p.numel() for p in network.parameters()) / 1000:.0f} thousand",
        blocks=network.config.blocks,
        rate=competition.sample_rate_hz // 1000,
        initial="# first train the run that --init names, up to the same step\n"
        if "--init" in command.partition("\n")[0]
        else "",
        command="\n".join(f"python -m examples.finetune.train {line}" for line in command.splitlines()),
        step=step,
        steps=plan.steps,
        seed=plan.seed,
        batch=plan.batch_size * plan.accumulate,
        crop=plan.crop_s,
        conditions=_conditions(competition, plan),
        table=table,
        competition=competition.id,
        digests="\n".join(f"| `{name}` | `{digest}` |" for name, digest in sorted(digests.items())),
    )


def _conditions(competition: Competition, plan: TrainingPlan) -> str:
    if competition.task is Task.DENOISING:
        low, high = plan.snr_db
        return (
            f"Noise, at {low:g} to {high:g} dB: the training split of the recordings; effects of OpenTTD (CC\n"
            "  BY-SA 3.0); babble of other speakers; synthetic noise."
        )
    low, high = plan.rt60_s
    return (
        f"Rooms with RT60 {low:g} to {high:g} s: simulated, and for one clip in four the measured room of the\n"
        "  training split."
    )


@click.command(context_settings={"show_default": True})
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--to", type=click.Path(path_type=Path), help="The model's folder. [default: models/baseline-…]")
@click.option("--clips", default=30, help="Held-out clips to score.")
def main(run_folder: Path, to: Path | None, clips: int) -> None:
    """Turn RUN into a model's folder."""
    state = load_state(run_folder / "last.pt", FORMAT)
    plan = plan_from_json(state["plan"])
    competition = competition_by_id(plan.competition)
    folder = to or MODELS / evaluate.baseline_of(competition)
    lay_out(folder)
    weights = run_folder / "weights.safetensors"
    export(weights, folder)
    warm_up()
    model = enhancers.enhancer_in(folder)
    scores, speeds = evaluate.measured(
        evaluate.held_out_clips(competition, clips, evaluate.SEED), {folder.name: model}
    )
    table = evaluate.table(f"{competition.title}: {clips} held-out clips", scores, speeds)
    command = (run_folder / "command.txt").read_text(encoding="utf-8").strip()
    digests = {name: sha256_of_file(folder / name) for name in ("network.onnx", "weights.safetensors")}
    text = card(plan, int(state["step"]), command, load_network(weights), table.replace("### ", ""), digests)
    (folder / "README.md").write_text(text, encoding="utf-8")
    click.echo(table)
    click.echo(f"\nWrote {folder}")


if __name__ == "__main__":
    sys.exit(run(main))
