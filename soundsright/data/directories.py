"""Directories of recordings: times in seconds, rates and bandwidths in Hz.

The layouts of well-known corpora are told by their paths; any other directory is taken as it is. What cannot serve
a set is skipped, and every skip has a path and a reason.
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
    """What a directory offers: usable recordings, skipped files with the reason, the layout, and a digest of the
    names and sizes of all of them."""

    root: Path
    layout: str
    recordings: tuple[Recording, ...]
    skipped: dict[str, str]
    digest: str


@dataclass(frozen=True)
class Layout:
    """A corpus known by its paths, which begin with the name of the directory that was given: a part of a corpus is
    told like the whole. `group` finds in a file's path what a split keeps together: the speaker, the
    recording of noise, the room. `keep` says which files count; `texts` reads what is said, by the name of the
    utterance; `split` finds the split that the corpus itself makes."""

    name: str
    sign: re.Pattern[str]
    group: Callable[[PurePosixPath], str]
    keep: re.Pattern[str] | None = None
    texts: Callable[[Path], dict[str, str]] | None = None
    split: Callable[[PurePosixPath], Split | None] = lambda path: None


def _match(pattern: str) -> Callable[[PurePosixPath], str]:
    compiled = re.compile(pattern)

    def group(path: PurePosixPath) -> str:
        found = compiled.search(path.as_posix())
        return next(filter(None, found.groups())) if found else _parent(path)

    return group


def _parent(path: PurePosixPath) -> str:
    """The folder; of a file that lies directly in the directory that was given, the file."""
    return path.parent.name if len(path.parts) > 2 else path.stem


def _file(path: PurePosixPath) -> str:
    """The file and its folder: the same from whichever directory above it was found."""
    return "/".join(path.parts[-2:])


def _wham_split(path: PurePosixPath) -> Split | None:
    """Its files are cut from longer recordings that their names do not tell, but never one for two splits."""
    by_folder = {"tr": Split.TRAIN, "cv": Split.VALID, "tt": Split.TEST}
    return by_folder.get(path.parent.name)


def _librispeech_texts(root: Path) -> dict[str, str]:
    """`<speaker>-<chapter>.trans.txt`: a line for each utterance, its name first."""
    pairs = (
        line.strip().partition(" ")
        for path in sorted(root.rglob("*.trans.txt"))
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
    )
    return {name: text for name, _, text in pairs if text}


def _vctk_texts(root: Path) -> dict[str, str]:
    """`txt/p225/p225_001.txt`: a file for each utterance."""
    return {
        path.stem: path.read_text(encoding="utf-8", errors="replace").strip()
        for path in sorted(root.rglob("txt/*/*.txt"))
    }


SPEECH_LAYOUTS = (
    # LibriSpeech: <set>/<speaker>/<chapter>/<speaker>-<chapter>-<utterance>.flac
    Layout(
        "librispeech",
        re.compile(r"(^|/)\d+/\d+/\d+-\d+-\d{4}\.(flac|wav)$"),
        _match(r"(\d+)-\d+-\d{4}\."),
        texts=_librispeech_texts,
    ),
    # VCTK 0.92: wav48_silence_trimmed/p225/p225_001_mic1.flac: two microphones, the first is kept.
    Layout(
        "vctk",
        re.compile(r"(^|/)[ps]\d+/[ps]\d+_\d+(_mic\d)?\.(flac|wav)$"),
        _match(r"/?([ps]\d+)_\d+"),
        re.compile(r"_\d+(_mic1)?\.(flac|wav)$"),
        _vctk_texts,
    ),
    # EARS: p001/emo_anger_sentences.wav; what is neither sentences nor reading is no clean speech.
    Layout(
        "ears",
        re.compile(
            r"(^|/)p\d{3}/(emo|rainbow|sentences|freeform|interjection|melodic|nonverbal|vegetative)_.*\.wav$"
        ),
        _match(r"(p\d{3})/"),
        re.compile(r"/(emo|rainbow|sentences|freeform)_[^/]*\.wav$"),
    ),
    # DNS challenge: ..._reader_01234_...wav under read_speech, otherwise the folder.
    Layout("dns", re.compile(r"_reader_\d+_.*\.wav$"), _match(r"_reader_(\d+)_")),
)

NOISE_LAYOUTS = (
    # DEMAND: <scene>/ch01.wav to ch16.wav: one recording by sixteen microphones, the first is kept.
    Layout("demand", re.compile(r"(^|/)ch\d\d\.wav$"), _parent, re.compile(r"(^|/)ch01\.wav$")),
    # MUSAN holds music and speech too; speech is no noise to be removed, music is left to those who ask for it.
    Layout("musan", re.compile(r"(^|/)noise/[^/]+/noise-[a-z-]+-\d+\.wav$"), _file, re.compile(r"(^|/)noise/")),
    Layout("wham", re.compile(r"(^|/)(tr|cv|tt)/[^/]+\.wav$"), _file, split=_wham_split),
    # DNS challenge: <title>_Freesound_<id>_<part>.wav: parts of one recording.
    Layout(
        "dns",
        re.compile(r"_Freesound_[^/]*\.wav$"),
        _match(r"(?:_Freesound_(.*?)_\d+|(?:^|/)((?!.*_Freesound_)[^/]+))\.wav$"),
    ),
)

RIR_LAYOUTS = (
    # OpenSLR 28 mixes responses with noises recorded in the same rooms. Its real ones name the room within the
    # file, except for the RWCP collection, whose rooms cannot be told apart.
    Layout(
        "openslr28",
        re.compile(r"(^|/)(real_rirs_isotropic_noises|simulated_rirs)/"),
        _match(
            r"simulated_rirs/(.*)/[^/]*$|/(RVB2014_[^/]*room\d)|/(RWCP)_|"
            r"/air_[^/]*_(aula_carolina|bathroom|booth|corridor|kitchen|lecture|meeting|office|stairway)_"
        ),
        re.compile(r"(^|/)(simulated_rirs/.*|real_rirs_isotropic_noises/(?!.*noise_)[^/]*)\.wav$"),
    ),
    # BUT ReverbDB: .../RIR/IR_sweep_*.wav beside silence and retransmitted speech.
    Layout(
        "but",
        re.compile(r"(^|/)RIR/[^/]*\.wav$"),
        _match(r"(?:^|/)(VUT_[^/]+|Hotel[^/]+)/"),
        re.compile(r"(^|/)RIR/"),
    ),
    # Arni: one room, whose panels were opened and closed: what counts as a room is a set of closed panels.
    Layout("arni", re.compile(r"(^|/)IR_numClosed_\d+"), _match(r"IR_(numClosed_\d+_numComb_\d+)_")),
)


def speech_listing(
    root: Path, sample_rate_hz: int, *, allow_upsampled: bool = False, split: Split | None = None
) -> Listing:
    """Recordings of speech that fill the band of a set at that rate, all of them or those of one split.

    Raises:
        UsageError: the directory is missing, or nothing in it can be used.
    """
    return _listing(root, _SPEECH, sample_rate_hz, allow_upsampled, split)


def noise_listing(
    root: Path, sample_rate_hz: int, *, allow_upsampled: bool = False, split: Split | None = None
) -> Listing:
    """Recordings of noise, as `speech_listing`."""
    return _listing(root, _NOISE, sample_rate_hz, allow_upsampled, split)


def rir_listing(
    root: Path, sample_rate_hz: int, *, allow_upsampled: bool = False, split: Split | None = None
) -> Listing:
    """Impulse responses, as `speech_listing`."""
    return _listing(root, _RIRS, sample_rate_hz, allow_upsampled, split)


@dataclass(frozen=True)
class _Kind:
    """What is looked for. `groups` says what a split keeps together, and `group` finds it where no layout does."""

    what: str
    layouts: tuple[Layout, ...]
    min_s: float
    groups: str
    group: Callable[[PurePosixPath], str]


_SPEECH = _Kind("speech", SPEECH_LAYOUTS, MIN_SPEECH_S, "speakers", _parent)
_NOISE = _Kind("noise", NOISE_LAYOUTS, MIN_NOISE_S, "recordings", _file)
_RIRS = _Kind("impulse responses", RIR_LAYOUTS, 0.0, "rooms", _parent)


def _listing(root: Path, kind: _Kind, sample_rate_hz: int, allow_upsampled: bool, split: Split | None) -> Listing:
    what = kind.what
    if not root.is_dir():
        raise UsageError(f"There is no directory {root}", f"Give a directory of {what}.")
    paths = [p for p in files_below(root) if p.suffix.lower() in SUFFIXES]
    if not paths:
        raise UsageError(
            f"{root} holds no audio files", f"Give a directory of {what} (WAV, FLAC, Ogg, MP3, M4A …)."
        )
    names = [PurePosixPath(root.resolve().name, p.relative_to(root).as_posix()) for p in paths]
    layout = _layout_of(names, kind.layouts) or Layout("files", re.compile(""), kind.group)
    skipped: dict[str, str] = {}
    kept: list[tuple[Path, PurePosixPath]] = []
    for path, name in zip(paths, names, strict=True):
        if layout.keep is not None and not layout.keep.search(name.as_posix()):
            continue
        kept.append((path, name))
    found = list(_probed(root, kept, layout, kind is _SPEECH, skipped))
    chosen = in_split(found, split)
    if found and not chosen:
        raise UsageError(
            f"None of the {len({r.group for r in found})} {kind.groups} in {root} belongs to the split {split}",
            f"Give a directory with more {kind.groups}, or one of its own to each split.",
        )
    texts = layout.texts(root) if layout.texts is not None else {}
    usable: list[Recording] = []
    for recording in chosen:
        reason = _unfit(recording, sample_rate_hz, kind.min_s, allow_upsampled)
        if reason:
            skipped[str(recording.path)] = reason
        else:
            said = texts.get(re.sub(r"_mic\d$", "", recording.path.stem))
            usable.append(replace(recording, text=said) if said else recording)
    if not usable:
        first, reason = next(iter(skipped.items()), (str(root), "has no file that its layout counts"))
        remedy = "Give other recordings" + (", or --allow-upsampled." if "Hz" in reason else ".")
        raise UsageError(f"No file of {root} can be used as {what}: {first} {reason}", remedy)
    _refuse_upsampled(root, usable, sample_rate_hz, allow_upsampled)
    sizes = {path.relative_to(root).as_posix(): str(path.stat().st_size) for path, _ in kept}
    return Listing(root, layout.name, tuple(usable), skipped, content_hash(sizes))


def _layout_of(names: list[PurePosixPath], layouts: tuple[Layout, ...]) -> Layout | None:
    """The layout that most of the files follow, where at least every tenth does."""
    votes = [(sum(bool(layout.sign.search(n.as_posix())) for n in names), layout) for layout in layouts]
    count, best = max(votes, key=lambda vote: vote[0])
    return best if count * 10 >= len(names) else None


def _probed(
    root: Path, kept: list[tuple[Path, PurePosixPath]], layout: Layout, is_speech: bool, skipped: dict[str, str]
) -> Iterator[Recording]:
    def probe(item: tuple[Path, PurePosixPath]) -> Recording | AudioFileError:
        path, name = item
        try:
            group = layout.group(name)
            speaker = group if is_speech else ""
            found = path.relative_to(root).as_posix()
            return recording_of(path, found, speaker=speaker, group=group, split=layout.split(name))
        except AudioFileError as error:
            return error

    # Headers wait for the disk, not for the processor.
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(probe, kept):
            if isinstance(found, AudioFileError):
                skipped[found.path] = found.problem.removeprefix(f"{found.path}: ")
            else:
                yield found


def _unfit(recording: Recording, sample_rate_hz: int, min_s: float, allow_upsampled: bool) -> str | None:
    if recording.duration_s < min_s:
        return f"is {recording.duration_s:.2f} s long; {min_s:g} s are needed"
    needed_hz = sample_rate_hz * 0.9
    if recording.sample_rate_hz < needed_hz and not allow_upsampled:
        return f"is sampled at {recording.sample_rate_hz} Hz; a set at {sample_rate_hz} Hz needs that rate"
    return None


def _refuse_upsampled(root: Path, usable: list[Recording], sample_rate_hz: int, allow_upsampled: bool) -> None:
    """A header can lie: look at the spectra of a few files, spread over the directory.

    Raises:
        UsageError: none of them holds what its rate promises.
    """
    if allow_upsampled or sample_rate_hz <= 16_000:
        return
    widest = 0.0
    for index in range(0, len(usable), max(1, len(usable) // _PROBED)):
        recording = usable[index]
        try:
            audio = read_file(recording.path, duration_s=min(10.0, recording.duration_s))
        except AudioFileError:
            continue  # Found again, and counted, when it is drawn.
        found = bandwidth_hz(audio.samples, audio.sample_rate_hz)
        usable[index] = replace(recording, bandwidth_hz=found)
        widest = max(widest, found)
    if widest < 0.2 * sample_rate_hz:
        raise UsageError(
            f"{root} holds nothing above {widest:.0f} Hz, whatever its files' rate says",
            f"A set at {sample_rate_hz} Hz needs full-band recordings, or --allow-upsampled.",
        )
