"""The files of a task in a validator's bucket: the audio that the models heard and gave, and a list of it.

    TASK/metadata.json              what the files are, and the digest of each
    TASK/original/NNN.flac          the input of the models, numbered over the sets of all competitions
    TASK/generated/HOTKEY/NNN.flac  the answers of a miner's model, under the numbers of their inputs

A WAV file that FLAC cannot give again byte by byte is stored as `.wav`. On a private corpus there is no audio,
because whoever hears a recording can train on it; the list has the digests nevertheless. Files are written before
the verdict, whose presence says that the task is done. Signals are 16-bit mono. Sizes are in bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundsright.core.canonical import canonical_json
from soundsright.core.errors import InfrastructureFault
from soundsright.core.ports import Bucket
from soundsright.services.federation.judging import AnswerLine, JudgedTask, sha256_of_wav
from soundsright.services.federation.object_keys import metadata_key
from soundsright.services.records import scoring_versions, stored_audio
from soundsright.services.rounds import ClipSet

METADATA_SCHEMA = "soundsright.task/1"
WRITES_AT_A_TIME = 16


def original_stem(task: int, number: str) -> str:
    """The key of the models' input with that number, without its ending."""
    return f"{task}/original/{number}"


def generated_stem(task: int, hotkey: str, number: str) -> str:
    """The key of a model's answer to the input with that number, without its ending."""
    return f"{task}/generated/{hotkey}/{number}"


def clip_numbers(sets: Mapping[str, tuple[str, ...]]) -> dict[tuple[str, str], str]:
    """The number of each clip, by competition and clip id. Clips are numbered set by set.

    >>> clip_numbers({"B": ("000000",), "A": ("000000", "000001")})[("B", "000000")]
    '002'
    """
    pairs = [(competition, clip_id) for competition in sorted(sets) for clip_id in sets[competition]]
    return {pair: f"{number:03d}" for number, pair in enumerate(pairs)}


@dataclass(frozen=True)
class _File:
    """A file to store: its WAV file on the disk, and its key without the ending."""

    wav: Path
    stem: str


def put_task_files(bucket: Bucket, judged: JudgedTask, task: int, *, validator: str) -> None:
    """Store the audio and then its list. Storing the same again changes nothing.

    Raises:
        BucketForbidden, BucketUnavailable: the bucket refuses this client, or does not answer.
        InfrastructureFault: a file is missing on the disk.
    """
    kinds: dict[str, str] = {}
    if not judged.settings.material.is_private:
        with ThreadPoolExecutor(WRITES_AT_A_TIME, thread_name_prefix="audio") as threads:
            kinds = dict(threads.map(lambda file: _put(bucket, file), _files(judged, task)))
    document = metadata(judged, task, validator=validator, kinds=kinds)
    bucket.put(metadata_key(task), f"{canonical_json(document)}\n".encode())


def _put(bucket: Bucket, file: _File) -> tuple[str, str]:
    try:
        wav = file.wav.read_bytes()
    except OSError as error:
        raise InfrastructureFault(f"{file.wav} cannot be read ({error.strerror})", "Put the file back.") from error
    kind, raw = stored_audio(wav)
    bucket.put(f"{file.stem}.{kind}", raw)
    return file.stem, kind


def _files(judged: JudgedTask, task: int) -> Iterator[_File]:
    numbers = clip_numbers({c: clips.clip_ids for c, clips in judged.sets.items()})
    for (competition, clip_id), number in numbers.items():
        yield _File(_degraded(judged.sets[competition], clip_id), original_stem(task, number))
    for row in judged.rows:
        for answer in judged.answers[row.hotkey]:
            if "sha256" in answer:
                clip_id = str(answer["clip"])
                number = numbers[row.competition, clip_id]
                wav = judged.folders[row.hotkey] / f"{clip_id}.wav"
                yield _File(wav, generated_stem(task, row.hotkey, number))


def _degraded(clips: ClipSet, clip_id: str) -> Path:
    return clips.folder / "degraded" / f"{clip_id}.wav"


def metadata(judged: JudgedTask, task: int, *, validator: str, kinds: Mapping[str, str]) -> dict[str, Any]:
    """The list of a task's files as JSON values. `kinds` are the endings by stem; empty without audio."""
    numbers = clip_numbers({c: clips.clip_ids for c, clips in judged.sets.items()})
    clips = [
        {
            "number": number,
            "competition": competition,
            "clip": clip_id,
            "sha256": sha256_of_wav(_degraded(judged.sets[competition], clip_id)),
            **_stored(kinds, original_stem(task, number)),
        }
        for (competition, clip_id), number in numbers.items()
    ]
    answers = {
        row.hotkey: [
            _answer(answer, kinds, generated_stem(task, row.hotkey, numbers[row.competition, str(answer["clip"])]))
            for answer in judged.answers[row.hotkey]
        ]
        for row in judged.rows
    }
    return {
        "schema": METADATA_SCHEMA,
        "task": task,
        "validator": validator,
        "block_hash": judged.block_hash,
        "has_audio": bool(kinds),
        "clips": clips,
        "answers": answers,
        "refusals": [
            {"hotkey": r.hotkey, "uid": r.uid, "competition": r.competition_id, "code": r.code}
            for r in judged.refusals
        ],
        "versions": scoring_versions(),
    }


def _answer(answer: AnswerLine, kinds: Mapping[str, str], stem: str) -> dict[str, Any]:
    return {**answer, **(_stored(kinds, stem) if "sha256" in answer else {})}


def _stored(kinds: Mapping[str, str], stem: str) -> dict[str, str]:
    """The ending of the stored file; nothing if it is not stored."""
    return {"kind": kinds[stem]} if stem in kinds else {}
