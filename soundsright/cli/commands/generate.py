"""`soundsright generate`, also as `python -m soundsright.data.generate`: make a set to train or test with."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.options import grouped
from soundsright.cli.shared.progress_line import ProgressLine
from soundsright.cli.shared.set_options import (
    SYNTHESISERS,
    DegradationOptions,
    PublishedOptions,
    SetOptions,
    SourceOptions,
    degradation_options,
    published_options,
    set_options,
    source_options,
)
from soundsright.cli.shared.stopping import resumable
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.adapters.speech import SynthesisedSpeech
    from soundsright.data import AnySetTask, SetJob, SetRecipe, SetReport


_WORDS = frozenset((*SYNTHESISERS, "shipped", "simulated", "recordings"))
"""Sources that are not folders, beside the kinds of noise."""


@click.command("generate", context_settings={"show_default": True})
@grouped(SetOptions, "requested", *set_options)
@grouped(SourceOptions, "material", *source_options)
@grouped(DegradationOptions, "degradation", *degradation_options)
@grouped(PublishedOptions, "published", *published_options)
@click.pass_context
def command(
    context: click.Context,
    *,
    requested: SetOptions,
    material: SourceOptions,
    degradation: DegradationOptions,
    published: PublishedOptions,
) -> None:
    """Make a set of clean and noisy or reverberant speech.

    \b
    soundsright generate --n 1000 --out sets/train
    soundsright generate --task both --speech my-speech --noise my-noise --n 5000 --out sets/large
    soundsright generate --speech openai --n 200 --out sets/spoken --no-variation

    The set has a manifest with the recipe of each utterance. The names with an underscore are those of the original
    subnet, and are accepted for compatibility.
    """
    from soundsright.data import SetTask, generate_set, sharing_line

    task = SetTask.named(requested.task)
    _refuse_idle_flags(context, task)
    material = replace(
        material,
        noise=_either(context, "noise", "noise_data_dir"),
        rooms=_either(context, "rooms", "reverb_data_dir"),
    )
    recipe = _recipe(degradation, material.rooms)
    to_speak = _synthesised(requested, material, published.tts_format)
    job = _job(requested, material, published, recipe, task, to_speak)
    with resumable(str(job.out)):
        if to_speak is not None:
            _speak(to_speak, job.only or range(job.count), ask=not material.yes)
        with ProgressLine("made {done} of {total}") as progress:
            report = generate_set(job, workers=requested.workers, resume=requested.resume, progress=progress)
    click.echo(f"{report.items} items in {report.out}, {report.made_now} made now; digest {report.digest[:16]}")
    click.echo(sharing_line(report.sharing))
    _echo_warnings(report, material, recipe)


def _echo_warnings(report: SetReport, material: SourceOptions, recipe: SetRecipe) -> None:
    """Say what limits the use of the set: a single noise, short clips, files that were left out."""
    noises = report.sharing.get("noises")
    if material.split is not None and noises is not None and noises.distinct == 1 < noises.clips:
        click.echo(
            "This split has one noise only, so its scores say nothing about others. "
            "Give more recordings with --noise, or several kinds."
        )
    if report.shorter:
        click.echo(
            f"{report.shorter} of {report.items} clips are shorter than --duration {recipe.duration_s[0]:g}: "
            "recordings are cut, but never joined."
        )
    if report.skipped:
        path, reason = next(iter(report.skipped.items()))
        click.echo(
            f"{len(report.skipped)} files or folders were left out, such as {path}: {reason}. set.json lists them."
        )


def _job(
    requested: SetOptions,
    material: SourceOptions,
    published: PublishedOptions,
    recipe: SetRecipe,
    task: AnySetTask,
    to_speak: SynthesisedSpeech | None,
) -> SetJob:
    from soundsright.data import SetFormat, Subtype
    from soundsright.library import set_job

    out, folders = _output(requested.out, published)
    return set_job(
        out=out,
        task=str(task),
        sample_rate_hz=int(requested.sample_rate_hz),
        count=requested.count,
        seed=requested.seed,
        speech=material.speech if to_speak is None else to_speak,
        speech_facts=None if to_speak is None else to_speak.facts,
        noise=material.noise,
        rooms=material.rooms,
        split=material.split,
        groups_by=material.groups_by,
        corpus=material.corpus,
        recipe=recipe,
        allow_upsampled=material.allow_upsampled,
        format=SetFormat(requested.fmt),
        subtype=Subtype.FLOAT if requested.float_samples else Subtype.PCM16,
        shards=requested.shards,
        only=_numbers(requested.only),
        folders=folders,
    )


def _refuse_idle_flags(context: click.Context, task: AnySetTask) -> None:
    """Refuse typed flags that have no effect on this task. Variables are accepted, because they serve all sets."""
    idle = [] if task.has_noise else ["noise", "noise_by", "snr_db"]
    idle += [] if task.has_room else ["rooms", "room_by", "rt60_s", "measured_rirs", "early_s"]
    idle += [] if task.has_noise and task.has_room else ["noise_in_room"]
    for name in ("speech", "noise", "rooms"):
        rule = {"speech": "speaker_by", "noise": "noise_by", "rooms": "room_by"}[name]
        words = str(context.params[name])
        if _was_typed(context, rule) and set(words.split(",")) <= _WORDS:
            raise UsageError(f"--{rule.replace('_', '-')} has no effect with --{name} {words}", "Leave it out.")
    for parameter in context.command.params:
        if parameter.name in idle and _was_typed(context, parameter.name):
            raise UsageError(
                f"{parameter.opts[0]} has no effect with --task {task}", "Leave it out, or use --task both."
            )


def _either(context: click.Context, flag: str, published: str) -> str:
    """The value of a flag that has a second name, from the original subnet."""
    value, other = str(context.params[flag]), context.params[published]
    if other is not None and _was_typed(context, flag):
        raise UsageError(f"--{flag} {value} and --{published} {other} are one option", "Give only one of them.")
    return value if other is None else str(other)


def _was_typed(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _output(out: Path | None, published: PublishedOptions) -> tuple[Path, dict[str, str]]:
    """The folder of the set, and the names of its subfolders if the original subnet's flags choose them."""
    by_role = {
        "clean": published.clean_dir,
        "noisy": published.noise_dir,
        "reverberant": published.reverb_dir,
    }
    folders = {role: folder for role, folder in by_role.items() if folder is not None}
    if out is not None and not folders:
        return out, {}
    if not folders:
        raise UsageError("No folder for the set is given", "Give --out DIR.")
    parents = {path.absolute().parent for path in folders.values()}
    if out is not None or len(parents) != 1 or len({p.name for p in folders.values()}) != len(folders):
        raise UsageError(
            "--clean_dir, --noise_dir and --reverb_dir are not different folders side by side",
            "Put them into one parent folder, or give --out DIR instead.",
        )
    return parents.pop(), {role: path.name for role, path in folders.items()}


def _recipe(degradation: DegradationOptions, rooms: str) -> SetRecipe:
    from soundsright.data import SetRecipe, measured_share

    measured = degradation.measured_rirs
    if measured is None:
        measured = measured_share(rooms)
    return SetRecipe(
        snr_db=degradation.snr_db,
        rt60_s=degradation.rt60_s,
        duration_s=degradation.duration_s,
        variation=degradation.variation,
        balance=degradation.balance,
        measured_rirs=measured,
        noise_in_room=degradation.noise_in_room,
        early_reflections_s=degradation.early_s,
        band_limit=degradation.band_limit,
        clipping=degradation.clipping,
        codec=degradation.codec,
        packet_loss=degradation.packet_loss,
    )


def _numbers(text: str | None) -> tuple[int, ...]:
    """The numbers of the utterances in `--only`."""
    if not text:
        return ()
    numbers: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        both_are_numbers = first.isdigit() and (last or first).isdigit()
        if not both_are_numbers or not 0 <= int(last or first) - int(first) <= 1_000_000:
            raise UsageError(f"--only {text!r} is not a list", "Write numbers and ranges, such as 3,10-20.")
        numbers.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(numbers))


def _synthesised(requested: SetOptions, material: SourceOptions, tts_format: str) -> SynthesisedSpeech | None:
    """Speech by a synthesiser, or None if `--speech` names none."""
    from soundsright.data import Split

    name, rate = material.speech, int(requested.sample_rate_hz)
    split = None if material.split is None else Split(material.split)
    if name not in SYNTHESISERS:
        return None
    from soundsright.adapters.speech import SynthesisedSpeech, speech_cache_folder, voices_of_split

    voices = tuple(v.strip() for v in (material.voices or "").split(",") if v.strip())
    if name == "openai":
        from soundsright.adapters.speech import OPENAI_VOICES, OpenAISynthesiser

        engine: Any = OpenAISynthesiser.from_environment(
            model=material.tts_model,
            voices=voices_of_split(name, voices or OPENAI_VOICES, split),
            requests_per_s=material.tts_rate,
            response_format="mp3" if tts_format.startswith("mp3") else "wav",
        )
    else:
        from soundsright.adapters.speech import program_synthesiser

        engine = program_synthesiser(name, voices_of_split(name, program_synthesiser(name, voices).voices, split))
    if engine.sample_rate_hz < 0.9 * rate and not material.allow_upsampled:
        raise UsageError(
            f"{name} speaks at {engine.sample_rate_hz} Hz, so it has nothing above {engine.sample_rate_hz // 2} Hz",
            f"For a set at {rate} Hz, use recordings, or add --allow-upsampled.",
        )
    # Another seed per split, so that splits share no sentence.
    seed = requested.seed + (0 if split is None else (1 + list(Split).index(split)) << 32)
    return SynthesisedSpeech(engine, seed=seed, count=requested.count, cache=speech_cache_folder())


def _speak(speech: SynthesisedSpeech, numbers: Any, *, ask: bool) -> None:
    """Show the price, then synthesise what the cache lacks, before the workers start."""
    missing = speech.missing(numbers)
    price = speech.engine.price_usd([speech.text(i) or "" for i in missing])
    if missing and price > 0.0:
        click.echo(
            f"{len(missing)} utterances must be synthesised, {len(numbers) - len(missing)} are in the cache."
        )
        click.echo(f"About {price:.2f} USD by {speech.engine.name}'s list price. Your account may differ.")
        if price > 1.0 and ask:
            click.confirm("Continue?", abort=True)
    with ProgressLine("speaking {done} of {total}") as progress:
        speech.fill(missing, progress)


if __name__ == "__main__":
    from soundsright.cli.main import run

    sys.exit(run(command, program="python -m soundsright.data.generate"))
