"""Times in seconds, rates and bandwidths in Hz.

A corpus is a folder with `manifest.jsonl`: one line for each recording of speech or noise and for each impulse
response, with its source, licence and SHA-256. `core.shipped` finds the corpus that ships with the project.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundsright.core.content import sha256_of_file
from soundsright.core.errors import AudioFileError, UsageError
from soundsright.core.text_files import objects_of_file
from soundsright.data.audio_files import facts_of
from soundsright.data.installed import corpus_folder, installed_corpora, refuse_private
from soundsright.data.recordings import Recording, RecordingSet
from soundsright.data.splits import Split, in_split

FULL_BAND_HZ = 12_000.0
"""The bandwidth that a 48 kHz set needs. With upsampled recordings, models would have to invent the upper band."""

_KINDS = ("speech", "noise", "rir")
_MAX_MANIFEST_BYTES = 50_000_000


@dataclass(frozen=True)
class Corpus:
    """Speech, noise and impulse responses, for sets of different rates.

    Attributes:
        private_root: the root of the private corpus whose recordings of one round these are; otherwise empty.
        is_public: whether anybody may have heard these recordings. Only those of a private corpus are not public.
    """

    root: Path
    speech: tuple[Recording, ...]
    noise: tuple[Recording, ...]
    rirs: tuple[Recording, ...]
    private_root: str = ""
    is_public: bool = True
    # The corpus keeps its sets, because each caches decoded recordings.
    _sets: dict[tuple[str, int, Split | None], RecordingSet] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def open(cls, chosen: str | os.PathLike[str] | None = None) -> Corpus:
        """Read the manifest and the header of each file.

        `chosen` is a folder or the name of an installed corpus; None is the shipped corpus.

        Raises:
            UsageError: there is no corpus, or its manifest cannot be read.
            AudioFileError: a file is missing or cannot be used as audio.
        """
        root = corpus_folder(chosen)
        manifest = root / "manifest.jsonl"
        by_kind: dict[str, list[Recording]] = {kind: [] for kind in _KINDS}
        for number, entry in _entries(root, manifest):
            kind, recording = _recording(root, manifest, number, entry)
            by_kind[kind].append(recording)
        return cls(root, tuple(by_kind["speech"]), tuple(by_kind["noise"]), tuple(by_kind["rir"]))

    @property
    def fresh(self) -> frozenset[str]:
        """The ids of speech that no set has used before."""
        return frozenset(recording.id for recording in self.speech if recording.fresh)

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, which lists the hash of every file; for a private corpus, its root."""
        return self.private_root or sha256_of_file(self.root / "manifest.jsonl")

    def verify(self) -> None:
        """Hash every file and compare it with the manifest.

        Raises:
            AudioFileError: a file has another hash.
        """
        for recording in (*self.speech, *self.noise, *self.rirs):
            if recording.sealed is not None:
                recording.sealed.read()
            elif recording.sha256 and sha256_of_file(recording.path) != recording.sha256:
                raise AudioFileError(
                    recording.path, "differs from its SHA-256 in manifest.jsonl", "Restore it from its source."
                )

    def speech_for(self, sample_rate_hz: int, split: Split | None = None) -> RecordingSet:
        """Speech that fills the band of a set at that rate.

        A set at 16 kHz uses only the sentences that were recorded at 16 kHz, if there are any. With a split it uses
        all speakers, because the sentences have too few speakers to split.

        Raises:
            UsageError: there is none.
        """
        usable = _full_band(self.speech, sample_rate_hz)
        narrow_only = split is None and sample_rate_hz <= 16_000
        narrow = [r for r in usable if r.sample_rate_hz <= 24_000] if narrow_only else usable
        return self._set_of("speech", sample_rate_hz, narrow or usable, split)

    def noise_for(self, sample_rate_hz: int, split: Split | None = None) -> RecordingSet:
        """Noise that fills the band of a set at that rate.

        Raises:
            UsageError: there is none.
        """
        return self._set_of("noise", sample_rate_hz, _full_band(self.noise, sample_rate_hz), split)

    def voices_for(self, sample_rate_hz: int, split: Split | None = None) -> RecordingSet | None:
        """The speech at that rate, for babble; None if there is none."""
        try:
            return self.speech_for(sample_rate_hz, split)
        except UsageError:
            return None

    def rirs_for(self, sample_rate_hz: int, split: Split | None = None) -> RecordingSet:
        """Measured impulse responses that fill the band of a set at that rate; there may be none."""
        return self._set_of("rir", sample_rate_hz, _full_band(self.rirs, sample_rate_hz), split)

    def _set_of(self, kind: str, sample_rate_hz: int, usable: list[Recording], split: Split | None) -> RecordingSet:
        nameless = next((r.id for r in usable if r.group_is_guessed), None)
        if split is not None and nameless is not None:
            raise UsageError(
                f"{self.root / 'manifest.jsonl'} does not name the speaker of {nameless}, so a split could put one "
                "into two parts",
                "Add `speaker`, `group` or `split` to its line.",
            )
        recordings = in_split(usable, split)
        if not recordings and kind != "rir":
            raise UsageError(
                f"{self.root} has no {kind} for a set at {sample_rate_hz} Hz{f' and {split}' if split else ''}",
                f"Add recordings with content up to {min(FULL_BAND_HZ, 0.4 * sample_rate_hz):.0f} Hz.",
            )
        return self._sets.setdefault((kind, sample_rate_hz, split), RecordingSet(recordings))


def _entries(root: Path, manifest: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    remedy = "Give the folder of a corpus, or restore datasets/ from the repository."
    if not root.is_dir():
        installed = ", ".join(installed_corpora())
        also = f" Installed corpora: {installed}." if installed else ""
        raise UsageError(f"There is no corpus at {root}", remedy + also)
    if not manifest.is_file():
        refuse_private(root)
        raise UsageError(f"{root} has no manifest.jsonl", remedy)
    return objects_of_file(manifest, _MAX_MANIFEST_BYTES, remedy)


def _recording(root: Path, manifest: Path, number: int, entry: dict[str, Any]) -> tuple[str, Recording]:
    try:
        kind, file = str(entry["kind"]), str(entry["file"])
        recording_id = str(entry["id"])
    except KeyError as error:
        raise UsageError(f"{manifest}, line {number}, has no {error}", "Add the field.") from error
    path = root / file
    if "\0" in file or kind not in _KINDS or not path.resolve().is_relative_to(root.resolve()):
        raise UsageError(
            f"{manifest}, line {number}: kind {kind!r} or file {file!r} is not allowed",
            f"Kinds are {', '.join(_KINDS)}; files are below the corpus.",
        )
    facts = facts_of(path)
    try:
        bandwidth = None if entry.get("bandwidth_hz") is None else float(entry["bandwidth_hz"])
        duration_s = facts.duration_s if facts.duration_s is not None else float(entry.get("duration_s", 0.0))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{manifest}, line {number}: bandwidth_hz or duration_s is not a number", "Correct the line."
        ) from error
    split = entry.get("split")
    if split is not None and split not in list(Split):
        raise UsageError(
            f"{manifest}, line {number}: there is no split {split!r}", f"Splits are {', '.join(Split)}."
        )
    speaker, group = str(entry.get("speaker") or ""), str(entry.get("group") or "")
    return kind, Recording(
        id=recording_id,
        path=path,
        sample_rate_hz=facts.sample_rate_hz,
        duration_s=duration_s,
        speaker=speaker,
        language=entry.get("language"),
        text=entry.get("text"),
        licence=entry.get("licence"),
        source=entry.get("source"),
        bandwidth_hz=bandwidth,
        sha256=entry.get("sha256"),
        group=group,
        split=None if split is None else Split(split),
        # A line of noise or of a room is one recording, but several lines of speech can have one voice.
        group_is_guessed=kind == "speech" and not (speaker or group or split),
    )


def _full_band(recordings: tuple[Recording, ...], sample_rate_hz: int) -> list[Recording]:
    needed = min(FULL_BAND_HZ, 0.4 * sample_rate_hz)
    return [r for r in recordings if (r.sample_rate_hz / 2 if r.bandwidth_hz is None else r.bandwidth_hz) >= needed]
