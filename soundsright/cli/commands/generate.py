"""`soundsright generate`, and `python -m soundsright.data.generate`: makes a set to train or to test on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.stopping import resumable
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.adapters.speech import SynthesisedSpeech
    from soundsright.data import SetRecipe, SetTask

SYNTHESISERS = ("openai", "flite", "espeak-ng")

_RANGE = (float, float)
_DIRECTORY = click.Path(path_type=Path, file_okay=False)
_SHARE = click.FloatRange(0.0, 1.0)


def _option(*names: str, **settings: Any) -> Callable[[Any], Any]:
    settings.setdefault("show_envvar", "envvar" in settings)
    settings.setdefault("show_default", settings.get("default") not in (None, False))
    return click.option(*names, **settings)


@click.command("generate", context_settings={"show_default": True})
@_option(
    "--task", type=click.Choice(["denoising", "dereverberation", "both"]), default="denoising", help="What for."
)
@_option(
    "--sample-rate",
    "--sample_rate",
    "sample_rate_hz",
    type=click.Choice(["16000", "48000"]),
    default="16000",
    help="Of the set, in Hz.",
)
@_option("--n", "count", type=int, required=True, help="Number of items.")
@_option("--out", type=_DIRECTORY, help="Where the set goes: an empty or new directory, or one to --resume.")
@_option("--seed", type=int, default=0, envvar="GENERATE_SEED", help="The same seed gives the same set.")
@_option(
    "--speech",
    default="shipped",
    envvar="GENERATE_SPEECH",
    help=f"shipped, a directory of recordings, or a synthesiser: {', '.join(SYNTHESISERS)}.",
)
@_option(
    "--noise",
    default="shipped",
    envvar="GENERATE_NOISE",
    help="shipped, a directory, or kinds with commas between: white, pink, brown, blue, hum, clicks, wind, babble; "
    "they may be mixed.",
)
@_option(
    "--rooms",
    default="shipped",
    envvar="GENERATE_ROOMS",
    help="simulated, shipped (the same, with two measured rooms for --measured-rirs), or a directory of responses.",
)
@_option(
    "--split",
    type=click.Choice(["train", "valid", "test"]),
    envvar="GENERATE_SPLIT",
    help="Draw only from this part of the material: splits share no speaker, no noise and no room.",
)
@_option("--corpus", type=_DIRECTORY, envvar="SOUNDSRIGHT_CORPUS", help="The shipped recordings, if elsewhere.")
@_option(
    "--format", "fmt", type=click.Choice(["wav", "flac", "webdataset", "parquet"]), default="wav", help="Files."
)
@_option("--float", "float_samples", is_flag=True, help="32-bit float WAV instead of 16-bit.")
@_option("--shards", type=click.IntRange(1), help="Folders or archives to spread the items over.")
@_option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    envvar="GENERATE_WORKERS",
    help="Processes. The set does not depend on it.",
)
@_option("--only", help="Make only these items: numbers and ranges, such as 17 or 3,10-20.")
@_option("--resume", is_flag=True, help="Complete a set that was interrupted.")
@_option("--allow-upsampled", is_flag=True, help="Take speech and noise that do not fill the set's band.")
@_option(
    "--snr", "snr_db", type=_RANGE, default=(-2.5, 17.5), help="Signal-to-noise ratio, lowest and highest, dB."
)
@_option("--rt60", "rt60_s", type=_RANGE, default=(0.2, 2.0), help="Reverberation time, shortest and longest, s.")
@_option(
    "--duration",
    "duration_s",
    type=_RANGE,
    default=(3.0, 6.0),
    help="Longer recordings are cut to this, s; shorter ones stay as they are, and none are joined.",
)
@_option("--measured-rirs", type=_SHARE, help="Share of measured rooms.  [default: 1 for a directory, else 0]")
@_option(
    "--early", "early_s", type=float, default=0.0, help="Target holds this much early reflections, s; 0 is dry."
)
@_option(
    "--noise-in-room", is_flag=True, help="For both: noise on the reverberant speech instead of the clean one."
)
@_option("--band-limit", type=_SHARE, default=0.0, help="Share of items with a limited band.")
@_option("--clipping", type=_SHARE, default=0.0, help="Share of items that are clipped.")
@_option("--codec", type=_SHARE, default=0.0, help="Share of items through a codec (G.711, G.722, MP3, Opus).")
@_option("--packet-loss", type=_SHARE, default=0.0, help="Share of items with lost packets.")
@_option("--voices", help="Voices of the synthesiser, with commas between.")
@_option("--tts-model", default="gpt-4o-mini-tts", envvar="OPENAI_TTS_MODEL", help="Model of --speech openai.")
@_option("--tts-rate", type=float, default=5.0, envvar="OPENAI_TTS_RATE", help="Requests a second, at most.")
@_option("--yes", is_flag=True, help="Do not ask before a paid job.")
@_option("--clean_dir", type=_DIRECTORY, help="As published: the folder of clean files; --out is its parent.")
@_option("--noise_dir", type=_DIRECTORY, help="As published: the folder of noisy files, beside --clean_dir.")
@_option("--reverb_dir", type=_DIRECTORY, help="As published: the folder of reverberant files.")
@_option("--noise_data_dir", help="As published: --noise.")
@_option("--reverb_data_dir", help="As published: --rooms.")
@_option("--output_format", "tts_format", default="wav", help="As published: the format asked of a speech service.")
@click.pass_context
def command(context: click.Context, /, **options: Any) -> None:
    """Make a set: clean speech and its noisy or reverberant versions, with a manifest.

    \b
    soundsright generate --n 1000 --out sets/train
    soundsright generate --task both --speech LibriSpeech/train-clean-100 --noise wham_noise --n 5000 --out sets/ls
    soundsright generate --speech openai --n 200 --out sets/spoken
    """
    from soundsright.data import SetFormat, SetTask, Subtype, generate_set
    from soundsright.library import set_job

    out, renamed = _output(options)
    task, rate = SetTask(options["task"]), int(options["sample_rate_hz"])
    _refuse_idle_flags(context, task)
    for flag, published in (("noise", "noise_data_dir"), ("rooms", "reverb_data_dir")):
        options[flag] = _either(context, flag, published)
    recipe = _recipe(options)
    to_speak = _synthesised(options, rate)
    job = set_job(
        out=out,
        task=task,
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
            "recordings are cut, never joined."
        )
    if report.skipped:
        path, reason = next(iter(report.skipped.items()))
        click.echo(f"{len(report.skipped)} recordings were skipped, such as {path}: {reason}; set.json lists them.")


def _refuse_idle_flags(context: click.Context, task: SetTask) -> None:
    """A flag that was typed and would do nothing is a mistake; one of the environment is not meant for one set."""
    idle = [] if task.has_noise else ["noise", "snr_db"]
    idle += [] if task.has_room else ["rooms", "rt60_s", "measured_rirs", "early_s"]
    idle += [] if task.has_noise and task.has_room else ["noise_in_room"]
    for option in context.command.params:
        if option.name in idle and _was_typed(context, option.name):
            raise UsageError(
                f"{option.opts[0]} has no effect with --task {task}", "Leave it out, or use --task both."
            )


def _either(context: click.Context, flag: str, published: str) -> str:
    """The value of a flag that has a published name too."""
    value, other = str(context.params[flag]), context.params[published]
    if other is not None and _was_typed(context, flag):
        raise UsageError(f"--{flag} {value} and --{published} {other} are one option twice", "Give one of them.")
    return value if other is None else str(other)


def _was_typed(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _output(options: dict[str, Any]) -> tuple[Path, dict[str, str]]:
    """Where the set goes, and the names of its folders where the published flags choose them."""
    given = {
        role: options[flag]
        for role, flag in (("clean", "clean_dir"), ("noisy", "noise_dir"), ("reverberant", "reverb_dir"))
        if options[flag] is not None
    }
    if options["out"] is not None and not given:
        return options["out"], {}
    if not given:
        raise UsageError("No place for the set was given", "Give --out DIR.")
    parents = {path.absolute().parent for path in given.values()}
    if options["out"] is not None or len(parents) != 1 or len({p.name for p in given.values()}) != len(given):
        raise UsageError(
            "--clean_dir, --noise_dir and --reverb_dir are not different folders side by side",
            "Put them into one parent directory, or give --out DIR instead.",
        )
    return parents.pop(), {role: path.name for role, path in given.items()}


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
    """The items that `--only` names."""
    if not text:
        return ()
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        both_are_numbers = first.isdigit() and (last or first).isdigit()
        if not both_are_numbers or not 0 <= int(last or first) - int(first) <= 1_000_000:
            raise UsageError(f"--only {text!r} is no list of items", "Write numbers and ranges, such as 3,10-20.")
        found.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(found))


def _synthesised(options: dict[str, Any], rate: int) -> SynthesisedSpeech | None:
    """The speech that a synthesiser speaks, if `--speech` names one."""
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
            f"{name} speaks at {engine.sample_rate_hz} Hz: nothing above {engine.sample_rate_hz // 2} Hz",
            f"A set at {rate} Hz needs recordings, or --allow-upsampled.",
        )
    # Splits share no sentence either.
    seed = options["seed"] + (0 if split is None else (1 + list(Split).index(split)) << 32)
    return SynthesisedSpeech(engine, seed=seed, count=options["count"], cache=cache_directory())


def _speak(speech: SynthesisedSpeech, wanted: Any, options: dict[str, Any]) -> None:
    """Fill the cache before the workers start, after the price was shown."""
    missing = speech.missing(wanted)
    price = speech.engine.price_usd([speech.text(i) or "" for i in missing])
    if missing and price > 0.0:
        click.echo(f"{len(missing)} utterances to be spoken, {len(wanted) - len(missing)} in the cache.")
        click.echo(f"About {price:.2f} USD by {speech.engine.name}'s list price; your account decides.")
        if price > 1.0 and not options["yes"]:
            click.confirm("Go on?", abort=True)
    with _Progress("speaking") as progress:
        speech.fill(missing, progress)


class _Progress:
    """A line on a terminal; nothing where the output goes to a file."""

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
