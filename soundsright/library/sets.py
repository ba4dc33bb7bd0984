"""Sets of clean and degraded speech: on disk, as `soundsright generate` writes them, or as clips in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from soundsright.core.audio import Clip
from soundsright.core.errors import UsageError
from soundsright.core.ports import SpeechSource

if TYPE_CHECKING:
    from soundsright.data import SetJob, SetRecipe, SetReport

Format = Literal["wav", "flac", "webdataset", "parquet"]
Part = Literal["train", "valid", "test"]
Choice = TypeVar("Choice", bound=StrEnum)


@overload
def generate(
    out: str | os.PathLike[str],
    *,
    count: int,
    task: str = "denoising",
    sample_rate_hz: int = 16_000,
    seed: int = 0,
    speech: str | os.PathLike[str] = "shipped",
    noise: str = "shipped",
    rooms: str = "shipped",
    split: Part | None = None,
    groups_by: Mapping[str, str] | None = None,
    corpus: str | os.PathLike[str] | None = None,
    recipe: SetRecipe | None = None,
    allow_upsampled: bool = False,
    format: Format = "wav",
    workers: int = 1,
    resume: bool = False,
    progress: Callable[[int, int], None] = ...,
) -> SetReport: ...


@overload
def generate(
    out: None = None,
    *,
    count: int,
    task: str = "denoising",
    sample_rate_hz: int = 16_000,
    seed: int = 0,
    speech: str | os.PathLike[str] = "shipped",
    noise: str = "shipped",
    rooms: str = "shipped",
    split: Part | None = None,
    groups_by: Mapping[str, str] | None = None,
    corpus: str | os.PathLike[str] | None = None,
    recipe: SetRecipe | None = None,
    allow_upsampled: bool = False,
) -> Iterator[Clip]: ...


def generate(
    out: str | os.PathLike[str] | None = None,
    *,
    count: int,
    task: str = "denoising",
    sample_rate_hz: int = 16_000,
    seed: int = 0,
    speech: str | os.PathLike[str] = "shipped",
    noise: str = "shipped",
    rooms: str = "shipped",
    split: Part | None = None,
    groups_by: Mapping[str, str] | None = None,
    corpus: str | os.PathLike[str] | None = None,
    recipe: SetRecipe | None = None,
    allow_upsampled: bool = False,
    format: Format = "wav",
    workers: int = 1,
    resume: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> SetReport | Iterator[Clip]:
    """Make a set of clean and degraded utterances, on disk or in memory.

    The same arguments give the same clips, byte for byte, in memory and on disk, for any number of workers.

    Args:
        out: the folder of the set; without one, the clips come as an iterator.
        count: number of items.
        task: what the set asks a model to undo: `denoising`, `dereverberation`, `both`, or an installed task.
            `both` makes a noisy and a reverberant version of each utterance, and needs `out`.
        sample_rate_hz: 16000 or 48000.
        seed: the same seed gives the same set.
        speech: `shipped`, a folder of recordings, or an installed corpus.
        noise: the same, or kinds of noise (`white`, `babble`, …), separated by commas.
        rooms: `shipped`, `simulated`, or a folder of impulse responses.
        split: draw only from this part; the parts share no speaker, no noise recording and no room.
        groups_by: where the paths of `speech`, `noise` and `rooms` name the speaker, the noise recording and the
            room, by these words: a regular expression with a group, `folder` or `file`. A split needs it for
            folders in no known layout.
        corpus: the folder of the shipped recordings, if it is elsewhere.
        recipe: the ranges of SNR, RT60, duration and more; the default is that of the published competitions.
        allow_upsampled: accept speech and noise that do not fill the set's band.
        format: of the files on disk.
        workers: processes.
        resume: complete a set that was interrupted.
        progress: is called with the number of finished items and of all items.

    Returns:
        The `SetReport` of the set on disk, or an iterator of `Clip`: `clip.clean.samples` and
        `clip.degraded.samples` are float32 of shape `(n,)`, full scale ±1, and `clip.recipe` has the SNR and more.

    Raises:
        UsageError: a number is out of range, a source is missing or cannot be used, or `out` has another set.

    Example:
        import soundsright
        for clip in soundsright.generate(count=3, seed=7):
            print(clip.id, clip.degraded.samples.shape, clip.recipe.snr_db)
        report = soundsright.generate("sets/train", count=1000, split="train", workers=4)
        print(report.digest)
    """
    from soundsright.data import SetFormat, SetRecipe, clips_of, generate_set, measured_share

    job = set_job(
        out=None if out is None else Path(out),
        count=count,
        task=task,
        sample_rate_hz=sample_rate_hz,
        seed=seed,
        speech=os.fspath(speech),
        noise=noise,
        rooms=rooms,
        split=split,
        groups_by=groups_by,
        corpus=None if corpus is None else Path(corpus),
        recipe=SetRecipe(measured_rirs=measured_share(rooms)) if recipe is None else recipe,
        allow_upsampled=allow_upsampled,
        format=_member(SetFormat, format, "format"),
    )
    if out is not None:
        return generate_set(job, workers=workers, resume=resume, progress=progress)
    if task == "both":
        raise UsageError("A clip in memory has one degraded signal, and task='both' makes two", "Give out=.")
    return clips_of(job)


def read_set(folder: str | os.PathLike[str]) -> Iterator[Clip]:
    """The clips of a set on disk: one that `generate` wrote, or the set of a round.

    Args:
        folder: the set, in WAV or FLAC files.

    Returns:
        An iterator of `Clip` in the order of the manifest, with float32 signals of shape `(n,)`, full scale ±1. In
        a set for both tasks, the degraded signal is the noisy one.

    Raises:
        UsageError: the folder has no set, the set is stored in shards, or its manifest or a file is damaged.

    Example:
        import soundsright
        for clip in soundsright.read_set("sets/train"):
            print(clip.id, clip.recipe.snr_db, soundsright.score(clip.clean, clip.degraded)["SI_SDR"])
    """
    from soundsright.data import read_set as clips_of_set

    return clips_of_set(Path(folder))


def set_job(
    *,
    out: Path | None,
    count: int,
    task: str,
    sample_rate_hz: int,
    seed: int,
    speech: str | SpeechSource,
    noise: str,
    rooms: str,
    split: str | None,
    corpus: Path | None,
    recipe: SetRecipe,
    allow_upsampled: bool,
    groups_by: Mapping[str, str] | None = None,
    speech_facts: Mapping[str, Any] | None = None,
    **options: Any,
) -> SetJob:
    """The job of a set, from the words that name its sources.

    `groups_by` is as in `SourceChoice`. `speech_facts` describe speech that is spoken on demand, for `set.json`;
    its utterances are used in order. `options` are further fields of `SetJob`. Without `out`, clips stay in memory.

    Raises:
        UsageError: a number is out of range, or a source is missing or cannot be used.
    """
    from soundsright.data import SetJob, SetTask, SourceChoice, Split

    if out is not None:
        _refuse_out_inside(out, speech=speech, noise=noise, rooms=rooms)
    if sample_rate_hz not in (16_000, 48_000):
        raise UsageError(f"A set cannot have a rate of {sample_rate_hz} Hz", "Choose 16000 or 48000.")
    part = None if split is None else _member(Split, split, "split")
    kind = SetTask.named(task)
    choice = SourceChoice(sample_rate_hz, part, corpus, allow_upsampled, groups_by or {})
    if speech_facts is not None:
        choice.note("speech", **speech_facts)
    in_order = speech_facts is not None
    sources = choice.sources(kind, recipe, speech=speech, noise=noise, rooms=rooms, in_order=in_order)
    return SetJob(
        out=Path() if out is None else out,
        task=kind,
        sample_rate_hz=sample_rate_hz,
        count=count,
        seed=seed,
        sources=sources,
        recipe=recipe,
        provenance={**choice.provenance, "skipped": choice.skipped, "guessed_groups": choice.guessed},
        **options,
    )


def _refuse_out_inside(out: Path, **sources: object) -> None:
    """Refuse a set inside a folder that it is drawn from, because its degraded files would be among the sources."""
    for role, words in sources.items():
        if not isinstance(words, str):
            continue
        for name in (word.strip() for word in words.split(",")):
            if name and Path(name).is_dir() and out.resolve().is_relative_to(Path(name).resolve()):
                raise UsageError(
                    f"--out {out} lies inside --{role} {name}, so later sets would be drawn from its files",
                    "Choose a folder outside of it.",
                )


def _member(kind: type[Choice], name: str, noun: str) -> Choice:
    if name not in list(kind):
        raise UsageError(f"There is no {noun} {name!r}", f"Choose one of {', '.join(kind)}.")
    return kind(name)
