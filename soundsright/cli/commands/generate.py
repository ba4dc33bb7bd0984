"""`soundsright generate`, also as `python -m soundsright.data.generate`: make a set to train or test with."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from soundsright.cli.shared.options import FOLDER, option
from soundsright.cli.shared.stopping import resumable
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.adapters.speech import SynthesisedSpeech
    from soundsright.data import AnySetTask, SetRecipe

F = TypeVar("F", bound=Callable[..., Any])

SYNTHESISERS = ("openai", "flite", "espeak-ng")

_RANGE = (float, float)
_SHARE = click.FloatRange(0.0, 1.0)


class _TaskName(click.Choice):  # type: ignore[type-arg,unused-ignore]
    """A task of this package, or one that another installed package adds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from soundsright.core.tasks import custom_tasks

        if value not in self.choices and str(value).upper() in custom_tasks():
            return str(value).lower()
        return super().convert(value, param, ctx)


_set_options = (
    option(
        "--task",
        type=_TaskName(["denoising", "dereverberation", "both"]),
        default="denoising",
        help="Degradation: noise, a room, or both.",
    ),
    option(
        "--sample-rate",
        "--sample_rate",
        "sample_rate_hz",
        type=click.Choice(["16000", "48000"]),
        default="16000",
        help="Sample rate of the set, in Hz.",
    ),
    option("--n", "count", type=int, required=True, help="Number of utterances."),
    option("--out", type=FOLDER, help="Folder of the set: an empty or new one, or one to --resume."),
    option("--seed", type=int, default=0, envvar="GENERATE_SEED", help="Seed. The same seed gives the same set."),
    option(
        "--format",
        "fmt",
        type=click.Choice(["wav", "flac", "webdataset", "parquet"]),
        default="wav",
        help="Format of the files.",
    ),
    option("--float", "float_samples", is_flag=True, help="Write WAV with 32-bit floats instead of 16 bits."),
    option("--shards", type=click.IntRange(1), help="Number of folders or archives for the utterances."),
    option("--only", help="Make only these utterances: numbers and ranges, such as 17 or 3,10-20."),
    option("--resume", is_flag=True, help="Complete a set that was interrupted."),
    option(
        "--workers",
        type=click.IntRange(1, 256),
        default=1,
        envvar="GENERATE_WORKERS",
        help="Worker processes. The set does not depend on their number.",
    ),
)
_source_options = (
    option(
        "--speech",
        default="shipped",
        envvar="GENERATE_SPEECH",
        help=f"Speech: shipped, a folder of recordings, or a synthesiser ({', '.join(SYNTHESISERS)}).",
    ),
    option(
        "--noise",
        default="shipped",
        envvar="GENERATE_NOISE",
        help="Noise: shipped, a folder, or kinds with commas between. Kinds: white, pink, brown, blue, hum, "
        "clicks, wind, babble.",
    ),
    option(
        "--rooms",
        default="shipped",
        envvar="GENERATE_ROOMS",
        help="Rooms: simulated, shipped (simulated and two measured rooms), or a folder of RIRs.",
    ),
    option(
        "--split",
        type=click.Choice(["train", "valid", "test"]),
        envvar="GENERATE_SPLIT",
        help="Part of the material. Two parts share no speaker, no noise and no room.",
    ),
    option(
        "--corpus",
        type=FOLDER,
        envvar="SOUNDSRIGHT_CORPUS",
        help="Folder that replaces the shipped recordings.",
    ),
    option(
        "--allow-upsampled", is_flag=True, help="Accept speech and noise with a lower sample rate than the set."
    ),
    option("--voices", help="Voices of the synthesiser, with commas between."),
    option("--tts-model", default="gpt-4o-mini-tts", envvar="OPENAI_TTS_MODEL", help="Model of --speech openai."),
    option(
        "--tts-rate", type=float, default=5.0, envvar="OPENAI_TTS_RATE", help="Most requests per second to openai."
    ),
    option("--yes", is_flag=True, help="Start a paid job without a question."),
)
_degradation_options = (
    option("--snr", "snr_db", type=_RANGE, default=(-2.5, 17.5), help="Lowest and highest SNR, in dB."),
    option("--rt60", "rt60_s", type=_RANGE, default=(0.2, 2.0), help="Shortest and longest RT60, in seconds."),
    option(
        "--duration",
        "duration_s",
        type=_RANGE,
        default=(3.0, 6.0),
        help="Lengths in seconds to which longer recordings are cut. Shorter ones keep their length.",
    ),
    option(
        "--measured-rirs",
        type=_SHARE,
        help="Share of utterances in measured rooms. [default: 1 if --rooms is a folder, otherwise 0]",
    ),
    option(
        "--early",
        "early_s",
        type=float,
        default=0.0,
        help="Early reflections to keep in the clean target, in seconds. 0: a dry target.",
    ),
    option(
        "--noise-in-room",
        is_flag=True,
        help="With --task both: add noise to the reverberant speech, not the clean.",
    ),
    option("--band-limit", type=_SHARE, default=0.0, help="Share of utterances with a limited band."),
    option("--clipping", type=_SHARE, default=0.0, help="Share of utterances that are clipped."),
    option(
        "--codec",
        type=_SHARE,
        default=0.0,
        help="Share of utterances coded by a codec (G.711, G.722, MP3, Opus).",
    ),
    option("--packet-loss", type=_SHARE, default=0.0, help="Share of utterances with lost packets."),
)
_published_options = (
    option("--clean_dir", type=FOLDER, help="Original subnet's name: folder of the clean files. Replaces --out."),
    option("--noise_dir", type=FOLDER, help="Original subnet's name: folder of the noisy files."),
    option("--reverb_dir", type=FOLDER, help="Original subnet's name: folder of the reverberant files."),
    option("--noise_data_dir", help="Original subnet's name for --noise."),
    option("--reverb_data_dir", help="Original subnet's name for --rooms."),
    option("--output_format", "tts_format", default="wav", help="Audio format to request from openai."),
)


def _with_options(command: F) -> F:
    groups = (*_set_options, *_source_options, *_degradation_options, *_published_options)
    for add in reversed(groups):
        command = add(command)
    return command


@click.command("generate", context_settings={"show_default": True})
@_with_options
@click.pass_context
def command(context: click.Context, /, **options: Any) -> None:
    """Make a set of clean and noisy or reverberant speech.

    \b
    soundsright generate --n 1000 --out sets/train
    soundsright generate --task both --speech my-speech --noise my-noise --n 5000 --out sets/large
    soundsright generate --speech openai --n 200 --out sets/spoken

    The set has a manifest with the recipe of each utterance. The names with an underscore are those of the original
    subnet, and are accepted for compatibility.
    """
    from soundsright.data import SetFormat, SetTask, Subtype, generate_set
    from soundsright.library import set_job

    out, renamed = _output(options)
    task, rate = SetTask.named(options["task"]), int(options["sample_rate_hz"])
    _refuse_idle_flags(context, task)
    for flag, published in (("noise", "noise_data_dir"), ("rooms", "reverb_data_dir")):
        options[flag] = _either(context, flag, published)
    recipe = _recipe(options)
    to_speak = _synthesised(options, rate)
    job = set_job(
        out=out,
        task=str(task),
        sample_rate_hz=rate,
        count=options["count"],
        seed=options["seed"],
        speech=options["speech"] if to_speak is None else to_speak,
        speech_facts=None if to_speak is None else to_speak.facts,
        noise=options["noise"],
        rooms=options["rooms"],
        split=options["split"],
        corpus=options["corpus"],
        recipe=recipe,
        allow_upsampled=options["allow_upsampled"],
        format=SetFormat(options["fmt"]),
        subtype=Subtype.FLOAT if options["float_samples"] else Subtype.PCM16,
        shards=options["shards"],
        only=_numbers(options["only"]),
        folders=renamed,
    )
    with resumable(str(out)):
        if to_speak is not None:
            _speak(to_speak, job.only or range(job.count), options)
        with _Progress() as progress:
            report = generate_set(job, workers=options["workers"], resume=options["resume"], progress=progress)
    click.echo(f"{report.items} items in {report.out}, {report.made_now} made now; digest {report.digest[:16]}")
    if report.shorter:
        click.echo(
            f"{report.shorter} of {report.items} clips are shorter than --duration {recipe.duration_s[0]:g}: "
            "recordings are cut, but never joined."
        )
    if report.skipped:
        path, reason = next(iter(report.skipped.items()))
        click.echo(f"{len(report.skipped)} recordings were skipped, such as {path}: {reason}. set.json lists them.")


def _refuse_idle_flags(context: click.Context, task: AnySetTask) -> None:
    """Refuse typed flags that have no effect on this task. Variables are accepted, because they serve all sets."""
    idle = [] if task.has_noise else ["noise", "snr_db"]
    idle += [] if task.has_room else ["rooms", "rt60_s", "measured_rirs", "early_s"]
    idle += [] if task.has_noise and task.has_room else ["noise_in_room"]
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


def _output(options: dict[str, Any]) -> tuple[Path, dict[str, str]]:
    """The folder of the set, and the names of its subfolders if the original subnet's flags choose them."""
    folders = {
        role: options[flag]
        for role, flag in (("clean", "clean_dir"), ("noisy", "noise_dir"), ("reverberant", "reverb_dir"))
        if options[flag] is not None
    }
    if options["out"] is not None and not folders:
        return options["out"], {}
    if not folders:
        raise UsageError("No folder for the set is given", "Give --out DIR.")
    parents = {path.absolute().parent for path in folders.values()}
    if options["out"] is not None or len(parents) != 1 or len({p.name for p in folders.values()}) != len(folders):
        raise UsageError(
            "--clean_dir, --noise_dir and --reverb_dir are not different folders side by side",
            "Put them into one parent directory, or give --out DIR instead.",
        )
    return parents.pop(), {role: path.name for role, path in folders.items()}


def _recipe(options: dict[str, Any]) -> SetRecipe:
    from soundsright.data import SetRecipe, measured_share

    measured = options["measured_rirs"]
    if measured is None:
        measured = measured_share(options["rooms"])
    return SetRecipe(
        snr_db=options["snr_db"],
        rt60_s=options["rt60_s"],
        duration_s=options["duration_s"],
        measured_rirs=measured,
        noise_in_room=options["noise_in_room"],
        early_reflections_s=options["early_s"],
        band_limit=options["band_limit"],
        clipping=options["clipping"],
        codec=options["codec"],
        packet_loss=options["packet_loss"],
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


def _synthesised(options: dict[str, Any], rate: int) -> SynthesisedSpeech | None:
    """Speech by a synthesiser, or None if `--speech` names none."""
    from soundsright.data import Split

    name = options["speech"]
    split = None if options["split"] is None else Split(options["split"])
    if name not in SYNTHESISERS:
        return None
    from soundsright.adapters.speech import SynthesisedSpeech, cache_directory, voices_of_split

    voices = tuple(v.strip() for v in (options["voices"] or "").split(",") if v.strip())
    if name == "openai":
        from soundsright.adapters.speech import VOICES, OpenAISynthesiser

        engine: Any = OpenAISynthesiser.from_environment(
            model=options["tts_model"],
            voices=voices_of_split(name, voices or VOICES, split),
            requests_per_s=options["tts_rate"],
            response_format="mp3" if options["tts_format"].startswith("mp3") else "wav",
        )
    else:
        from soundsright.adapters.speech import synthesiser_of

        engine = synthesiser_of(name, voices_of_split(name, synthesiser_of(name, voices).voices, split))
    if engine.sample_rate_hz < 0.9 * rate and not options["allow_upsampled"]:
        raise UsageError(
            f"{name} speaks at {engine.sample_rate_hz} Hz, so it has nothing above {engine.sample_rate_hz // 2} Hz",
            f"For a set at {rate} Hz, use recordings, or add --allow-upsampled.",
        )
    # Another seed per split, so that splits share no sentence.
    seed = options["seed"] + (0 if split is None else (1 + list(Split).index(split)) << 32)
    return SynthesisedSpeech(engine, seed=seed, count=options["count"], cache=cache_directory())


def _speak(speech: SynthesisedSpeech, numbers: Any, options: dict[str, Any]) -> None:
    """Show the price, then synthesise what the cache lacks, before the workers start."""
    missing = speech.missing(numbers)
    price = speech.engine.price_usd([speech.text(i) or "" for i in missing])
    if missing and price > 0.0:
        click.echo(
            f"{len(missing)} utterances must be synthesised, {len(numbers) - len(missing)} are in the cache."
        )
        click.echo(f"About {price:.2f} USD by {speech.engine.name}'s list price. Your account may differ.")
        if price > 1.0 and not options["yes"]:
            click.confirm("Continue?", abort=True)
    with _Progress("speaking") as progress:
        speech.fill(missing, progress)


class _Progress:
    """A line of progress on a terminal. Without a terminal, nothing is shown."""

    def __init__(self, verb: str = "made") -> None:
        self.verb = verb
        self.shown = sys.stderr.isatty()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self.shown:
            click.echo("", err=True)

    def __call__(self, done: int, total: int) -> None:
        if self.shown:
            click.echo(f"\r{self.verb} {done} of {total}", nl=False, err=True)


if __name__ == "__main__":
    from soundsright.cli.main import run

    sys.exit(run(command, program="python -m soundsright.data.generate"))
