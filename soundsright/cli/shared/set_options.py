"""The options of `soundsright generate`, in groups that become typed values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from soundsright.cli.shared.options import FOLDER, option

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


set_options = (
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
source_options = (
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
        help="Noise: shipped (recordings and all kinds), recordings (the shipped ones alone), a folder, or kinds, "
        "separated by commas. Kinds: white, pink, brown, blue, hum, clicks, wind, babble.",
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
        "--speaker-by",
        metavar="REGEX",
        envvar="GENERATE_SPEAKER_BY",
        help="Where the paths in the folder of --speech name the speaker: a regular expression with a group, such "
        "as '(p[0-9]+)_'; or folder or file, if each of them has a speaker of its own; or a corpus whose names the "
        "files have, such as librispeech.",
    ),
    option(
        "--noise-by",
        metavar="REGEX",
        envvar="GENERATE_NOISE_BY",
        help="The same for the recordings in the folders of --noise.",
    ),
    option(
        "--room-by",
        metavar="REGEX",
        envvar="GENERATE_ROOM_BY",
        help="The same for the rooms in the folder of --rooms.",
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
    option("--voices", help="Voices of the synthesiser, separated by commas."),
    option("--tts-model", default="gpt-4o-mini-tts", envvar="OPENAI_TTS_MODEL", help="Model of --speech openai."),
    option(
        "--tts-rate", type=float, default=5.0, envvar="OPENAI_TTS_RATE", help="Most requests per second to openai."
    ),
    option("--yes", is_flag=True, help="Start a paid job without a question."),
)
degradation_options = (
    option("--snr", "snr_db", type=_RANGE, default=(-2.5, 17.5), help="Lowest and highest SNR, in dB."),
    option("--rt60", "rt60_s", type=_RANGE, default=(0.2, 2.0), help="Shortest and longest RT60, in seconds."),
    option(
        "--duration",
        "duration_s",
        type=_RANGE,
        default=(3.0, 6.0),
        help="Shortest and longest utterance, in seconds. With --no-variation, short recordings stay shorter.",
    ),
    option(
        "--variation/--no-variation",
        default=True,
        help="Cut and join recordings of a speaker and vary speed and sound, as competitions do, or take whole "
        "utterances with their texts.",
    ),
    option(
        "--balance/--no-balance",
        default=True,
        help="Let the utterances share the recordings equally, as competitions do, or let each draw for itself, as "
        "earlier versions did.",
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
published_options = (
    option("--clean_dir", type=FOLDER, help="Original subnet's name: folder of the clean files. Replaces --out."),
    option("--noise_dir", type=FOLDER, help="Original subnet's name: folder of the noisy files."),
    option("--reverb_dir", type=FOLDER, help="Original subnet's name: folder of the reverberant files."),
    option("--noise_data_dir", help="Original subnet's name for --noise."),
    option("--reverb_data_dir", help="Original subnet's name for --rooms."),
    option("--output_format", "tts_format", default="wav", help="Audio format to request from openai."),
)


@dataclass(frozen=True)
class SetOptions:
    """The set to make, and how to make it."""

    task: str
    sample_rate_hz: str
    count: int
    out: Path | None
    seed: int
    fmt: str
    float_samples: bool
    shards: int | None
    only: str | None
    resume: bool
    workers: int


@dataclass(frozen=True)
class SourceOptions:
    """The material: speech, noise and rooms, and the synthesiser."""

    speech: str
    noise: str
    rooms: str
    split: str | None
    speaker_by: str | None
    noise_by: str | None
    room_by: str | None
    corpus: Path | None
    allow_upsampled: bool
    voices: str | None
    tts_model: str
    tts_rate: float
    yes: bool

    @property
    def groups_by(self) -> dict[str, str]:
        """The rules that find groups in paths, by the role of the source."""
        rules = {"speech": self.speaker_by, "noise": self.noise_by, "rooms": self.room_by}
        return {role: rule for role, rule in rules.items() if rule is not None}


@dataclass(frozen=True)
class DegradationOptions:
    """The ranges of the degradations. Shares are between 0 and 1."""

    snr_db: tuple[float, float]
    rt60_s: tuple[float, float]
    duration_s: tuple[float, float]
    variation: bool
    balance: bool
    measured_rirs: float | None
    early_s: float
    noise_in_room: bool
    band_limit: float
    clipping: float
    codec: float
    packet_loss: float


@dataclass(frozen=True)
class PublishedOptions:
    """Options under the names of the original subnet; None for each that was not given."""

    clean_dir: Path | None
    noise_dir: Path | None
    reverb_dir: Path | None
    noise_data_dir: str | None
    reverb_data_dir: str | None
    tts_format: str
