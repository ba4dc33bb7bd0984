"""New recordings for a private corpus: from folders, from a synthesiser, and noise made by formula."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from soundsright.core.audio import Audio
from soundsright.core.errors import UsageError
from soundsright.core.ports import SpeechSource
from soundsright.data import NOISE_KINDS, Corpus, Listing, Recording, noise_listing, rir_listing, speech_listing

SHIPPED = "shipped"
LONGEST_S = 3_600.0
"""A recording is decoded as a whole before it is cut, so its length bounds the memory."""
MADE_NOISE_S = 10.0
MADE_NOISE_HZ = 48_000


@dataclass(frozen=True)
class NewRecording:
    """A recording that may enter a corpus. `read` decodes it when its turn comes. `group` is as in `Recording`."""

    kind: str
    name: str
    read: Callable[[], Audio] = field(repr=False)
    licence: str
    source: str
    speaker: str = ""
    group: str = ""
    language: str | None = None
    text: str | None = None
    bandwidth_hz: float | None = None


@dataclass(frozen=True)
class Origin:
    """The licence and the source of recordings that do not state their own. Both are published with them."""

    licence: str = ""
    source: str = ""
    language: str | None = None


@dataclass(frozen=True)
class FoundRecordings:
    """The recordings that can be used, and the reason for each one that cannot, by its name."""

    usable: list[NewRecording]
    skipped: dict[str, str]


def recordings_in(folder: str, kind: str, origin: Origin) -> FoundRecordings:
    """The recordings of one kind in a folder.

    The folder is a corpus with a `manifest.jsonl`, the word `shipped`, or any folder of audio files.

    Raises:
        UsageError: the folder is missing or has no recording of that kind, or no licence or source is known.
    """
    skipped: dict[str, str] = {}
    if folder == SHIPPED or (Path(folder) / "manifest.jsonl").is_file():
        corpus = Corpus.open(None if folder == SHIPPED else folder)
        recordings = {"speech": corpus.speech, "noise": corpus.noise, "rir": corpus.rirs}[kind]
        if not recordings:
            raise UsageError(f"{folder} has no {kind}", "Give another folder.")
    else:
        listing: Listing = _LISTINGS[kind](Path(folder), 0)
        recordings, skipped = listing.recordings, dict(listing.skipped)
    usable: list[NewRecording] = []
    for recording in recordings:
        if recording.duration_s > LONGEST_S:
            skipped[recording.id] = f"is {recording.duration_s:.0f} s long; the limit is {LONGEST_S:.0f} s"
        else:
            usable.append(_of(recording, kind, origin, folder))
    return FoundRecordings(usable, skipped)


_LISTINGS: dict[str, Callable[[Path, int], Listing]] = {
    "speech": speech_listing,
    "noise": noise_listing,
    "rir": rir_listing,
}


def _of(recording: Recording, kind: str, origin: Origin, folder: str) -> NewRecording:
    licence = recording.licence or origin.licence
    source = recording.source or origin.source
    if not licence or not source:
        raise UsageError(
            f"The {'licence' if not licence else 'source'} of {folder} is not known",
            "Give --licence and --source: both are published with the recordings when they retire.",
        )
    return NewRecording(
        kind=kind,
        name=recording.id,
        read=recording.audio,
        licence=licence,
        source=source,
        speaker=recording.speaker,
        group=recording.group,
        language=recording.language or origin.language,
        text=recording.text,
        bandwidth_hz=recording.bandwidth_hz,
    )


def spoken_recordings(
    speech: SpeechSource, indices: Iterable[int], sample_rate_hz: int, *, licence: str, source: str
) -> list[NewRecording]:
    """Utterances of a synthesiser as new recordings, at its rate."""
    return [
        NewRecording(
            kind="speech",
            name=speech.utterance_id(index),
            read=partial(speech.read, index, sample_rate_hz),
            licence=licence,
            source=source,
            speaker=speech.speaker(index),
            language="en",
            text=speech.text(index),
        )
        for index in indices
    ]


def made_noise(count: int, seed: int) -> list[NewRecording]:
    """Noise by formula, 10 s at 48 kHz each. The seed is secret, so no stranger can make the same samples."""
    kinds = tuple(NOISE_KINDS)
    return [
        NewRecording(
            kind="noise",
            name=f"{kinds[number % len(kinds)]}-{number:05d}",
            read=partial(_noise, kinds[number % len(kinds)], seed, number),
            licence="CC0-1.0",
            source="made by formula by soundsright",
            # Wind and hum have little power at high frequencies, and still suit sets of every rate.
            bandwidth_hz=MADE_NOISE_HZ / 2,
        )
        for number in range(count)
    ]


def _noise(kind: str, seed: int, number: int) -> Audio:
    rng = np.random.default_rng(np.random.SeedSequence((seed, number, 0xC0)))
    samples = NOISE_KINDS[kind](rng, round(MADE_NOISE_S * MADE_NOISE_HZ), MADE_NOISE_HZ)
    return Audio(samples, MADE_NOISE_HZ)
