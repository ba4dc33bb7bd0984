"""The options of `soundsright corpus`, and the recordings that they name."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.options import FILE, FOLDER, FiniteFloat, option
from soundsright.cli.shared.progress_line import ProgressLine
from soundsright.cli.shared.set_options import SYNTHESISERS
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.adapters.speech import FreshSpeech
    from soundsright.corpus import CorpusKey, FoundRecordings, Known, NewRecording

MAX_SPOKEN = 100_000
ASK_ABOVE_USD = 1.0

corpus_argument = click.argument("folder", type=FOLDER)
key_option = option(
    "--key",
    "key_file",
    type=FILE,
    envvar="SOUNDSRIGHT_CORPUS_KEY",
    help="File with the key. [default: FOLDER.key]",
)
json_option = option("--json", "as_json", is_flag=True, help="Print JSON.")


@dataclass(frozen=True)
class RecordingOptions:
    """The new recordings of `build` and `add`."""

    speech: tuple[str, ...]
    noise: tuple[str, ...]
    rooms: tuple[str, ...]
    speak: str | None
    count: int
    tts_model: str
    tts_rate: float
    make_noise: int
    licence: str
    source: str
    language: str | None
    skip_known: bool
    allow_public: bool
    yes: bool


recording_options = (
    option("--speech", multiple=True, help="Folder of clean speech. Repeat it for more."),
    option("--noise", multiple=True, help="Folder of noise. Repeat it for more."),
    option("--rooms", multiple=True, help="Folder of impulse responses. Repeat it for more."),
    option("--speak", type=click.Choice(SYNTHESISERS), help="Synthesiser that speaks new sentences."),
    option("--count", default=500, type=click.IntRange(1, MAX_SPOKEN), help="Utterances that --speak makes."),
    option("--tts-model", default="gpt-4o-mini-tts", envvar="OPENAI_TTS_MODEL", help="Model of --speak openai."),
    option(
        "--tts-rate",
        type=FiniteFloat(0.01, 1_000),
        default=5.0,
        envvar="OPENAI_TTS_RATE",
        help="Most requests per second to openai.",
    ),
    option(
        "--make-noise",
        default=0,
        type=click.IntRange(0, 10_000),
        show_default=False,
        help="Recordings of noise to make by formula: hiss, hum, clicks and wind, 10 s each.",
    ),
    option("--licence", default="", help="Licence of the recordings, such as CC-BY-4.0."),
    option("--source", default="", help="Where the recordings are from. It is published when they retire."),
    option("--language", help="Language of the speech, such as en."),
    option("--skip-known", is_flag=True, help="Leave out recordings that are public or in the corpus already."),
    option("--allow-public", is_flag=True, help="Accept recordings that are public. Entries may know them."),
    option("--yes", is_flag=True, help="Start a paid job without a question."),
)


def key_of_folder(folder: Path, key_file: Path | None) -> Path:
    """The chosen key file, or the one beside the folder."""
    if key_file is not None:
        return key_file
    absolute = folder.absolute()
    return absolute.with_name(f"{absolute.name}.key")


def speaking_folder(folder: Path) -> Path:
    """The folder beside the corpus that keeps utterances until they are encrypted."""
    absolute = folder.absolute()
    return absolute.with_name(f"{absolute.name}.speaking")


def known_recordings(chosen: RecordingOptions) -> Known:
    """The public recordings that must not enter; none with --allow-public."""
    from soundsright.corpus import Known, public_corpora

    return Known() if chosen.allow_public else Known(public=public_corpora())


@contextmanager
def new_recordings(
    chosen: RecordingOptions, key: CorpusKey, folder: Path, batch: int, *, least: int
) -> Iterator[FoundRecordings]:
    """The recordings that the options name, and the reason for each file that cannot be used.

    Utterances are spoken into a folder beside the corpus, which is removed at the end of the block. After an
    interruption it stays, so that nothing is paid for twice. `least` is the smallest number of recordings of noise
    that the corpus accepts.

    Raises:
        UsageError: no recording is named, a folder cannot be used, noise is missing, or the synthesiser refuses.
    """
    from soundsright.corpus import FoundRecordings, Origin, made_noise, recordings_in

    origin = Origin(chosen.licence, chosen.source, chosen.language)
    recordings: list[NewRecording] = []
    skipped: dict[str, str] = {}
    for kind, folders in (("speech", chosen.speech), ("noise", chosen.noise), ("rir", chosen.rooms)):
        for each in folders:
            found = recordings_in(each, kind, origin)
            recordings += found.usable
            skipped |= found.skipped
    recordings += made_noise(chosen.make_noise, key.derived(f"noise {batch}"))
    if chosen.speak is None:
        if not recordings:
            raise UsageError("No recordings are given", "Give --speech and --noise, or --speak and --make-noise.")
        yield FoundRecordings(recordings, skipped)
        return
    noises = sum(each.kind == "noise" for each in recordings)
    # Refuse before speaking, which can take long and cost money. A file of noise can become several recordings.
    if noises < least and (noises == 0 or not chosen.noise):
        raise UsageError(
            f"Too few recordings of noise are given: {noises}, and the least is {least}",
            "Give --noise or a larger --make-noise.",
        )
    cache = speaking_folder(folder)
    spoken = _spoken(chosen, key.derived(f"speech {batch}"), cache)
    yield FoundRecordings(recordings + spoken, skipped)
    shutil.rmtree(cache, ignore_errors=True)


def _spoken(chosen: RecordingOptions, seed: int, cache: Path) -> list[NewRecording]:
    from soundsright.corpus import spoken_recordings

    engine: Any
    if chosen.speak == "openai":
        from soundsright.adapters.speech import OpenAISynthesiser

        engine = OpenAISynthesiser.from_environment(model=chosen.tts_model, requests_per_s=chosen.tts_rate)
    else:
        from soundsright.adapters.speech import varied_program

        engine = varied_program(str(chosen.speak))
    from soundsright.adapters.speech import FreshSpeech

    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    speech = FreshSpeech(engine)
    utterances = speech.of_set(seed, chosen.count, cache)
    missing = utterances.missing(range(chosen.count))
    _ask_for_price(speech, len(missing), chosen)
    with ProgressLine("speaking {done} of {total}, {left} left") as progress:
        utterances.fill(missing, progress)
    return spoken_recordings(
        utterances,
        range(chosen.count),
        engine.sample_rate_hz,
        licence=chosen.licence or "CC0-1.0",
        source=chosen.source or f"spoken by {engine.name} {engine.model}",
    )


def _ask_for_price(speech: FreshSpeech, count: int, chosen: RecordingOptions) -> None:
    price_usd = speech.highest_price_usd(count)
    if price_usd > 0.0:
        click.echo(f"{count} utterances cost at most {price_usd:.2f} USD by {speech.name}'s list price.")
    if price_usd > ASK_ABOVE_USD and not chosen.yes:
        click.confirm("Continue?", abort=True)
