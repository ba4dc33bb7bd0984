"""Folders of recordings: times in seconds, rates and bandwidths in Hz.

Well-known corpora are recognised by their paths; in any other folder every audio file counts. Files that a set
cannot use are skipped, and the listing names each one with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from soundsright.core.content import content_hash
from soundsright.core.errors import AudioFileError, UsageError
from soundsright.core.walking import FolderFiles, folder_files
from soundsright.data.audio_files import SUFFIXES, read_file
from soundsright.data.groups import FILE, FOLDER, groups_by
from soundsright.data.layouts import (
    NOISE_LAYOUTS,
    RIR_LAYOUTS,
    SPEECH_LAYOUTS,
    Layout,
    file_name,
    layout_of,
    parent_name,
)
from soundsright.data.levels import SILENT_DB
from soundsright.data.recordings import Recording, recording_of
from soundsright.data.sides import CleanSide, clean_side, generated_set, without_sets
from soundsright.data.silence import NO_SOUND_DB, is_silent, silence_problem
from soundsright.data.spectrum import bandwidth_hz
from soundsright.data.splits import Split, in_split

MIN_SPEECH_S = 0.5
MIN_NOISE_S = 0.05

_PROBED = 12


@dataclass(frozen=True)
class Listing:
    """The recordings of a folder.

    `skipped` has the reason for each file that cannot be used. `digest` covers the names and sizes of all files.
    """

    root: Path
    layout: str
    recordings: tuple[Recording, ...]
    skipped: dict[str, str]
    digest: str

    @property
    def is_guessed(self) -> bool:
        """Whether the group of a recording is only guessed from its path."""
        return any(recording.group_is_guessed for recording in self.recordings)


def speech_listing(
    root: Path,
    sample_rate_hz: int,
    *,
    allow_upsampled: bool = False,
    split: Split | None = None,
    by: str = "",
) -> Listing:
    """Recordings of speech that fill the band of a set at that rate, all of them or those of one split.

    `by` says where the paths name the speakers: a regular expression, `folder` or `file`, as in `groups_by`, or
    the name of a layout.
    Without it, the layout says so, and otherwise the speakers are guessed.

    Raises:
        UsageError: the folder is missing, none of its files can be used, or a split needs groups that are not
            known.
    """
    return _listing(root, _SPEECH, sample_rate_hz, allow_upsampled, split, by)


def noise_listing(
    root: Path,
    sample_rate_hz: int,
    *,
    allow_upsampled: bool = False,
    split: Split | None = None,
    by: str = "",
) -> Listing:
    """As `speech_listing`, for recordings of noise."""
    return _listing(root, _NOISE, sample_rate_hz, allow_upsampled, split, by)


def rir_listing(
    root: Path,
    sample_rate_hz: int,
    *,
    allow_upsampled: bool = False,
    split: Split | None = None,
    by: str = "",
) -> Listing:
    """As `speech_listing`, for impulse responses."""
    return _listing(root, _RIRS, sample_rate_hz, allow_upsampled, split, by)


@dataclass(frozen=True)
class _Kind:
    """A kind of recording. `groups` names the groups of a split; `guessed` makes one of a path if nothing names it.

    A recording that never exceeds `silent_db` is silent. `option` is the option of `generate` that says where paths
    name the group, `word` a value of it, which is right if `condition` holds.
    """

    noun: str
    layouts: tuple[Layout, ...]
    min_s: float
    silent_db: float
    groups: str
    option: str
    word: str
    condition: str
    guessed: Callable[[PurePosixPath], str]


_SPEECH = _Kind(
    noun="speech",
    layouts=SPEECH_LAYOUTS,
    min_s=MIN_SPEECH_S,
    silent_db=NO_SOUND_DB,
    groups="speakers",
    option="--speaker-by",
    word=FOLDER,
    condition="each folder has one speaker",
    guessed=parent_name,
)
_NOISE = _Kind(
    noun="noise",
    layouts=NOISE_LAYOUTS,
    min_s=MIN_NOISE_S,
    silent_db=SILENT_DB,
    groups="recordings",
    option="--noise-by",
    word=FILE,
    condition="no recording was cut into several files",
    guessed=file_name,
)
_RIRS = _Kind(
    noun="impulse responses",
    layouts=RIR_LAYOUTS,
    min_s=0.0,
    silent_db=NO_SOUND_DB,
    groups="rooms",
    option="--room-by",
    word=FOLDER,
    condition="each folder has one room",
    guessed=parent_name,
)


def _listing(
    root: Path, kind: _Kind, sample_rate_hz: int, allow_upsampled: bool, split: Split | None, by: str
) -> Listing:
    skipped: dict[str, str] = {}
    files = _files(root, kind, skipped)
    groups = files.groups(kind, by, skipped)
    # A layout that names groups of which it is not sure: the user can be.
    corpus = files.layout.name if any(groups) and not by else ""
    recordings = _of_split(
        root, kind, list(_probed(root, files, groups, kind, by, skipped)), split, skipped, corpus
    )
    texts = files.layout.texts(root) if files.layout.texts is not None else {}
    usable: list[Recording] = []
    for recording in recordings:
        reason = _unfit(recording, sample_rate_hz, kind.min_s, allow_upsampled)
        if reason:
            skipped[str(recording.path)] = reason
        else:
            text = texts.get(re.sub(r"_mic\d$", "", recording.path.stem))
            usable.append(replace(recording, text=text) if text else recording)
    if not usable:
        first, reason = next(iter(skipped.items()), (str(root), "has no file that its layout counts"))
        remedy = "Give other recordings" + (", or --allow-upsampled." if "Hz" in reason else ".")
        raise UsageError(f"No file of {root} can be used as {kind.noun}: {first} {reason}", remedy)
    _refuse_upsampled(root, usable, sample_rate_hz, allow_upsampled)
    sizes = {path.relative_to(root).as_posix(): _size(path) for path in files.paths}
    return Listing(root, files.layout.name, tuple(usable), skipped, content_hash(sizes))


@dataclass(frozen=True)
class _Files:
    """The files of a folder that count, their paths from the folder's own name on, and their layout."""

    root: Path
    paths: tuple[Path, ...]
    names: tuple[PurePosixPath, ...]
    layout: Layout

    def groups(self, kind: _Kind, by: str, skipped: dict[str, str]) -> list[str | None]:
        """The group of each file as the user's rule or the layout names it; None where nothing does.

        A rule skips the files in which it finds no group.
        """
        if by:
            corpus = next((layout for layout in kind.layouts if layout.name == by), None)
            found = [corpus.group(n) for n in self.names] if corpus else groups_by(by, self.names, kind.option)
            for path, group in zip(self.paths, found, strict=True):
                if group is None:
                    skipped[str(path)] = f"has no group by {kind.option} {by!r}"
            return found
        listed = self.layout.speakers(self.paths)
        return [
            listed.get(path.name) or self.layout.group(name)
            for path, name in zip(self.paths, self.names, strict=True)
        ]


def _files(root: Path, kind: _Kind, skipped: dict[str, str]) -> _Files:
    if not root.is_dir():
        what = f"{root} is a file, not a folder" if root.exists() else f"There is no folder {root}"
        raise UsageError(what, f"Give a folder of {kind.noun}.")
    found = folder_files(root, SUFFIXES)
    if not found.files:
        raise UsageError(
            " ".join([f"{root} has no audio files.", *found.notes]),
            f"Give a folder of {kind.noun} (WAV, FLAC, Ogg, MP3, M4A …).",
        )
    skipped |= {f"{root}/{name}": reason for name, reason in found.left_out.items()}
    paths = _distinct(found, skipped)
    side = _side(root, paths, kind)
    skipped |= side.left_out
    paths = side.paths
    names = [PurePosixPath(root.resolve().name, p.relative_to(root).as_posix()) for p in paths]
    layout = layout_of(names, kind.layouts) or Layout("files", re.compile(""), lambda path: None)
    speakers = side.speakers
    if speakers is not None:
        layout = Layout(
            "set",
            re.compile(""),
            lambda path: None,
            speakers=lambda paths: speakers,
            is_certain=not side.speakers_are_guessed,
        )
    keep = layout.keep
    kept = [(p, n) for p, n in zip(paths, names, strict=True) if keep is None or keep.search(n.as_posix())]
    return _Files(root, tuple(p for p, _ in kept), tuple(n for _, n in kept), layout)


def _distinct(found: FolderFiles, skipped: dict[str, str]) -> list[Path]:
    """Each file once: a split must not get the same recording under two names. A file's own name is kept."""
    if not found.linked:
        return list(found.files)
    target = {path: path.resolve() if path.exists() else path for path in found.files}
    kept: dict[Path, Path] = {}
    for path in sorted(found.files, key=lambda path: path.is_symlink()):
        first = kept.setdefault(target[path], path)
        if first != path:
            skipped[str(path)] = f"is the same file as {first}"
    return [path for path in found.files if kept[target[path]] == path]


def _size(path: Path) -> str:
    try:
        return str(path.stat().st_size)
    except OSError:
        return "-"  # It is among the files that were skipped.


def _side(root: Path, paths: list[Path], kind: _Kind) -> CleanSide:
    """The files to draw from, without generated sets and, for speech, without what is degraded."""
    if kind is _SPEECH:
        return clean_side(root, paths)
    own = generated_set(root)
    if own is not None:
        raise UsageError(f"{root} belongs to the set {own}", f"Give a folder of {kind.noun}.")
    side = without_sets(root, paths)
    if not side.paths:
        first, reason = next(iter(side.left_out.items()))
        raise UsageError(f"{root} has no {kind.noun}: {first} {reason}", f"Give a folder of {kind.noun}.")
    return side


def _of_split(
    root: Path,
    kind: _Kind,
    recordings: list[Recording],
    split: Split | None,
    skipped: dict[str, str],
    corpus: str,
) -> list[Recording]:
    """The recordings of the split. Those whose group is only guessed belong to none.

    Raises:
        UsageError: there are none, or most groups are guessed.
    """
    if split is None:
        return recordings
    guessed = [r for r in recordings if r.group_is_guessed]
    if 2 * len(guessed) > len(recordings):
        problem, remedy = f"nothing in the path {guessed[0].id} says which {kind.groups[:-1]} it has", ""
        if corpus in {layout.name for layout in kind.layouts}:
            problem = f"the file {guessed[0].id} has a name like those of {corpus}, but dates and counts can too"
            remedy = f"Add {kind.option} {corpus} if the files are of that corpus. If they are not: "
        raise UsageError(
            f"The {kind.groups} in {root} are not known, so a split could put one into two parts: {problem}",
            f"{remedy}Add {kind.option} REGEX with a group that finds it in a path, or {kind.option} {kind.word} "
            f"if {kind.condition}.",
        )
    known = [r for r in recordings if not r.group_is_guessed]
    for recording in guessed:
        skipped[str(recording.path)] = f"has no {kind.groups[:-1]} in its path, so no split has it"
    chosen = in_split(known, split)
    if known and not chosen:
        raise UsageError(
            f"The split {split} has none of the {len({r.group for r in known})} {kind.groups} in {root}",
            f"Give a folder with more {kind.groups}, or a separate folder for each split.",
        )
    return chosen


def _probed(
    root: Path, files: _Files, groups: list[str | None], kind: _Kind, by: str, skipped: dict[str, str]
) -> Iterator[Recording]:
    def probe(item: tuple[Path, PurePosixPath, str | None]) -> Recording | AudioFileError:
        path, name, known = item
        group = known or kind.guessed(name)
        split = files.layout.split(name)
        try:
            recording = recording_of(
                path,
                path.relative_to(root).as_posix(),
                speaker=group if kind is _SPEECH else "",
                group=group,
                split=split,
            )
            if is_silent(path, kind.silent_db):
                return AudioFileError(path, silence_problem(kind.silent_db))
        except AudioFileError as error:
            return error
        is_known = split is not None or (known is not None and (bool(by) or files.layout.is_sure(path, name)))
        return replace(recording, group_is_guessed=not is_known)

    rows = [row for row in zip(files.paths, files.names, groups, strict=True) if str(row[0]) not in skipped]
    # Reading headers waits for the disk, so threads help.
    with ThreadPoolExecutor(8) as pool:
        for probed in pool.map(probe, rows):
            if isinstance(probed, AudioFileError):
                skipped[probed.path] = probed.problem.removeprefix(f"{probed.path}: ")
            else:
                yield probed


def _unfit(recording: Recording, sample_rate_hz: int, min_s: float, allow_upsampled: bool) -> str | None:
    if recording.duration_s < min_s:
        return f"is {recording.duration_s:.2f} s long; {min_s:g} s are needed"
    needed_hz = sample_rate_hz * 0.9
    if recording.sample_rate_hz < needed_hz and not allow_upsampled:
        return f"is sampled at {recording.sample_rate_hz} Hz; a set at {sample_rate_hz} Hz needs that rate"
    return None


def _refuse_upsampled(root: Path, usable: list[Recording], sample_rate_hz: int, allow_upsampled: bool) -> None:
    """Look at the spectra of a few files across the folder, because an upsampled file hides its bandwidth.

    Raises:
        UsageError: none of them fills the band of the set.
    """
    if allow_upsampled or sample_rate_hz <= 16_000:
        return
    widest = 0.0
    for index in range(0, len(usable), max(1, len(usable) // _PROBED)):
        recording = usable[index]
        try:
            audio = read_file(recording.path, duration_s=min(10.0, recording.duration_s))
        except AudioFileError:
            continue  # It is reported when it is drawn.
        bandwidth = bandwidth_hz(audio.samples, audio.sample_rate_hz)
        usable[index] = replace(recording, bandwidth_hz=bandwidth)
        widest = max(widest, bandwidth)
    if widest < 0.2 * sample_rate_hz:
        raise UsageError(
            f"{root} has nothing above {widest:.0f} Hz, although its files have higher rates",
            f"A set at {sample_rate_hz} Hz needs full-band recordings, or --allow-upsampled.",
        )
