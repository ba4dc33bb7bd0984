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

from soundsright.core.content import content_hash, files_below
from soundsright.core.errors import AudioFileError, UsageError
from soundsright.data.audio_files import SUFFIXES, read_file
from soundsright.data.recordings import Recording, recording_of
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


@dataclass(frozen=True)
class Layout:
    """A corpus that is recognised by its paths.

    Paths begin with the name of the user's folder, so part of a corpus is recognised like the whole.

    Attributes:
        sign: the pattern of a path by which the corpus is recognised.
        group: finds the speaker, noise recording or room in a path; a split keeps a group together.
        keep: the pattern of the files that count; None counts all.
        texts: reads the spoken text of each utterance, by its name.
        split: finds the split that the corpus itself defines.
    """

    name: str
    sign: re.Pattern[str]
    group: Callable[[PurePosixPath], str]
    keep: re.Pattern[str] | None = None
    texts: Callable[[Path], dict[str, str]] | None = None
    split: Callable[[PurePosixPath], Split | None] = lambda path: None


def _captured(pattern: str) -> Callable[[PurePosixPath], str]:
    compiled = re.compile(pattern)

    def group(path: PurePosixPath) -> str:
        match = compiled.search(path.as_posix())
        return next(filter(None, match.groups())) if match else _parent(path)

    return group


def _parent(path: PurePosixPath) -> str:
    """The name of the file's folder; for a file directly in the user's folder, the name of the file."""
    return path.parent.name if len(path.parts) > 2 else path.stem


def _file(path: PurePosixPath) -> str:
    """The file with its folder. It does not depend on which folder above them the user gives."""
    return "/".join(path.parts[-2:])


def _wham_split(path: PurePosixPath) -> Split | None:
    """The split that WHAM defines. Its files are cuts of longer recordings, which their names do not reveal."""
    by_folder = {"tr": Split.TRAIN, "cv": Split.VALID, "tt": Split.TEST}
    return by_folder.get(path.parent.name)


def _librispeech_texts(root: Path) -> dict[str, str]:
    """The texts in `<speaker>-<chapter>.trans.txt`, which has one line for each utterance, its name first."""
    pairs = (
        line.strip().partition(" ")
        for path in sorted(root.rglob("*.trans.txt"))
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
    )
    return {name: text for name, _, text in pairs if text}


def _vctk_texts(root: Path) -> dict[str, str]:
    """The texts in `txt/p225/p225_001.txt`, one file for each utterance."""
    return {
        path.stem: path.read_text(encoding="utf-8", errors="replace").strip()
        for path in sorted(root.rglob("txt/*/*.txt"))
    }


SPEECH_LAYOUTS = (
    # LibriSpeech: <set>/<speaker>/<chapter>/<speaker>-<chapter>-<utterance>.flac
    Layout(
        "librispeech",
        re.compile(r"(^|/)\d+/\d+/\d+-\d+-\d{4}\.(flac|wav)$"),
        _captured(r"(\d+)-\d+-\d{4}\."),
        texts=_librispeech_texts,
    ),
    # VCTK 0.92: wav48_silence_trimmed/p225/p225_001_mic1.flac: two microphones; keep the first.
    Layout(
        "vctk",
        re.compile(r"(^|/)[ps]\d+/[ps]\d+_\d+(_mic\d)?\.(flac|wav)$"),
        _captured(r"/?([ps]\d+)_\d+"),
        re.compile(r"_\d+(_mic1)?\.(flac|wav)$"),
        _vctk_texts,
    ),
    # EARS: p001/emo_anger_sentences.wav; only sentences, reading and free speech are clean speech.
    Layout(
        "ears",
        re.compile(
            r"(^|/)p\d{3}/(emo|rainbow|sentences|freeform|interjection|melodic|nonverbal|vegetative)_.*\.wav$"
        ),
        _captured(r"(p\d{3})/"),
        re.compile(r"/(emo|rainbow|sentences|freeform)_[^/]*\.wav$"),
    ),
    # DNS challenge: ..._reader_01234_...wav under read_speech, otherwise the folder.
    Layout("dns", re.compile(r"_reader_\d+_.*\.wav$"), _captured(r"_reader_(\d+)_")),
)

NOISE_LAYOUTS = (
    # DEMAND: <scene>/ch01.wav to ch16.wav: sixteen microphones of one recording; keep the first.
    Layout("demand", re.compile(r"(^|/)ch\d\d\.wav$"), _parent, re.compile(r"(^|/)ch01\.wav$")),
    # MUSAN has music and speech too: speech is not noise to remove, and music needs a folder of its own.
    Layout("musan", re.compile(r"(^|/)noise/[^/]+/noise-[a-z-]+-\d+\.wav$"), _file, re.compile(r"(^|/)noise/")),
    Layout("wham", re.compile(r"(^|/)(tr|cv|tt)/[^/]+\.wav$"), _file, split=_wham_split),
    # DNS challenge: <title>_Freesound_<id>_<part>.wav: parts of one recording.
    Layout(
        "dns",
        re.compile(r"_Freesound_[^/]*\.wav$"),
        _captured(r"(?:_Freesound_(.*?)_\d+|(?:^|/)((?!.*_Freesound_)[^/]+))\.wav$"),
    ),
)

RIR_LAYOUTS = (
    # OpenSLR 28 mixes responses with noises from the same rooms. The file names of its measured responses contain
    # the room, except in the RWCP collection, whose rooms cannot be distinguished.
    Layout(
        "openslr28",
        re.compile(r"(^|/)(real_rirs_isotropic_noises|simulated_rirs)/"),
        _captured(
            r"simulated_rirs/(.*)/[^/]*$|/(RVB2014_[^/]*room\d)|/(RWCP)_|"
            r"/air_[^/]*_(aula_carolina|bathroom|booth|corridor|kitchen|lecture|meeting|office|stairway)_"
        ),
        re.compile(r"(^|/)(simulated_rirs/.*|real_rirs_isotropic_noises/(?!.*noise_)[^/]*)\.wav$"),
    ),
    # BUT ReverbDB: .../RIR/IR_sweep_*.wav beside silence and retransmitted speech.
    Layout(
        "but",
        re.compile(r"(^|/)RIR/[^/]*\.wav$"),
        _captured(r"(?:^|/)(VUT_[^/]+|Hotel[^/]+)/"),
        re.compile(r"(^|/)RIR/"),
    ),
    # Arni is one room with movable panels: each set of closed panels counts as a room.
    Layout("arni", re.compile(r"(^|/)IR_numClosed_\d+"), _captured(r"IR_(numClosed_\d+_numComb_\d+)_")),
)


def speech_listing(
    root: Path, sample_rate_hz: int, *, allow_upsampled: bool = False, split: Split | None = None
) -> Listing:
    """Recordings of speech that fill the band of a set at that rate, all of them or those of one split.

    Raises:
        UsageError: the folder is missing, or none of its files can be used.
    """
    return _listing(root, _SPEECH, sample_rate_hz, allow_upsampled, split)


def noise_listing(
    root: Path, sample_rate_hz: int, *, allow_upsampled: bool = False, split: Split | None = None
) -> Listing:
    """As `speech_listing`, for recordings of noise."""
    return _listing(root, _NOISE, sample_rate_hz, allow_upsampled, split)


def rir_listing(
    root: Path, sample_rate_hz: int, *, allow_upsampled: bool = False, split: Split | None = None
) -> Listing:
    """As `speech_listing`, for impulse responses."""
    return _listing(root, _RIRS, sample_rate_hz, allow_upsampled, split)


@dataclass(frozen=True)
class _Kind:
    """A kind of recording. `groups` names the groups of a split; `group` finds one in a path if no layout does."""

    noun: str
    layouts: tuple[Layout, ...]
    min_s: float
    groups: str
    group: Callable[[PurePosixPath], str]


_SPEECH = _Kind("speech", SPEECH_LAYOUTS, MIN_SPEECH_S, "speakers", _parent)
_NOISE = _Kind("noise", NOISE_LAYOUTS, MIN_NOISE_S, "recordings", _file)
_RIRS = _Kind("impulse responses", RIR_LAYOUTS, 0.0, "rooms", _parent)


def _listing(root: Path, kind: _Kind, sample_rate_hz: int, allow_upsampled: bool, split: Split | None) -> Listing:
    if not root.is_dir():
        raise UsageError(f"There is no folder {root}", f"Give a folder of {kind.noun}.")
    paths = [p for p in files_below(root) if p.suffix.lower() in SUFFIXES]
    if not paths:
        raise UsageError(
            f"{root} has no audio files", f"Give a folder of {kind.noun} (WAV, FLAC, Ogg, MP3, M4A …)."
        )
    names = [PurePosixPath(root.resolve().name, p.relative_to(root).as_posix()) for p in paths]
    layout = _layout_of(names, kind.layouts) or Layout("files", re.compile(""), kind.group)
    skipped: dict[str, str] = {}
    matching: list[tuple[Path, PurePosixPath]] = []
    for path, name in zip(paths, names, strict=True):
        if layout.keep is not None and not layout.keep.search(name.as_posix()):
            continue
        matching.append((path, name))
    recordings = list(_probed(root, matching, layout, kind is _SPEECH, skipped))
    chosen = in_split(recordings, split)
    if recordings and not chosen:
        raise UsageError(
            f"The split {split} has none of the {len({r.group for r in recordings})} {kind.groups} in {root}",
            f"Give a folder with more {kind.groups}, or a separate folder for each split.",
        )
    texts = layout.texts(root) if layout.texts is not None else {}
    usable: list[Recording] = []
    for recording in chosen:
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
    sizes = {path.relative_to(root).as_posix(): str(path.stat().st_size) for path, _ in matching}
    return Listing(root, layout.name, tuple(usable), skipped, content_hash(sizes))


def _layout_of(names: list[PurePosixPath], layouts: tuple[Layout, ...]) -> Layout | None:
    """The layout that most of the files follow, if at least one in ten does."""
    votes = [(sum(bool(layout.sign.search(n.as_posix())) for n in names), layout) for layout in layouts]
    count, best = max(votes, key=lambda vote: vote[0])
    return best if count * 10 >= len(names) else None


def _probed(
    root: Path, matching: list[tuple[Path, PurePosixPath]], layout: Layout, is_speech: bool, skipped: dict[str, str]
) -> Iterator[Recording]:
    def probe(item: tuple[Path, PurePosixPath]) -> Recording | AudioFileError:
        path, name = item
        try:
            group = layout.group(name)
            speaker = group if is_speech else ""
            recording_id = path.relative_to(root).as_posix()
            return recording_of(path, recording_id, speaker=speaker, group=group, split=layout.split(name))
        except AudioFileError as error:
            return error

    # Reading headers waits for the disk, so threads help.
    with ThreadPoolExecutor(8) as pool:
        for probed in pool.map(probe, matching):
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
