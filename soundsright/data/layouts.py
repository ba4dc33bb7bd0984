"""Corpora that are recognised by the paths of their files, and where their paths name a speaker, noise or room.

Paths begin with the name of the user's folder, so part of a corpus is recognised like the whole. A path that names
no group gives None: its group can only be guessed. A group is a whole part of a name, because `exp123/` has no
speaker p123. Names of numbers alone, such as 2023-01-1530.wav, are often dates: they count with the corpus's own
folders or transcripts. Case does not matter, because corpora are distributed in both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from soundsright.core.text_files import MAX_MANIFEST_BYTES, lines_of_file
from soundsright.core.walking import folder_files
from soundsright.data.splits import Split

_AUDIO = r"\.(flac|m4a|mp3|ogg|opus|wav)$"
_MAX_TEXT_BYTES = 64 << 20
"""More than any file of texts. The largest corpora have a file for each chapter or utterance."""
_CORRECT = "Correct the file, or move it out of the corpus."


@dataclass(frozen=True)
class Layout:
    """A corpus that is recognised by its paths.

    Attributes:
        sign: the pattern of a path by which the corpus is recognised.
        group: finds the speaker, noise recording or room in a path; a split keeps a group together.
        keep: the pattern of the files that count; None counts all.
        texts: reads the spoken text of each utterance, by its name.
        split: finds the split that the corpus itself defines.
        speakers: reads the speakers of files whose paths do not name them, by the name of the file.
        is_certain: whether the groups are those of the corpus, and not guesses that it took over.
        certain: the pattern of a path whose group is surely one of the corpus; None: every path with a group.
        confirmed: whether something beside the file shows that its group is one of the corpus.
    """

    name: str
    sign: re.Pattern[str]
    group: Callable[[PurePosixPath], str | None]
    keep: re.Pattern[str] | None = None
    texts: Callable[[Path], dict[str, str]] | None = None
    split: Callable[[PurePosixPath], Split | None] = lambda path: None
    speakers: Callable[[Iterable[Path]], dict[str, str]] = lambda paths: {}
    is_certain: bool = True
    certain: re.Pattern[str] | None = None
    confirmed: Callable[[Path], bool] = lambda file: False

    def is_sure(self, file: Path, name: PurePosixPath) -> bool:
        """Whether the group in the path `name` is one of the corpus, and not only of the same form."""
        if not self.is_certain:
            return False
        return self.certain is None or bool(self.certain.search(name.as_posix())) or self.confirmed(file)


def parent_name(path: PurePosixPath) -> str:
    """The name of the file's folder; for a file directly in the user's folder, the name of the file."""
    return path.parent.name if len(path.parts) > 2 else path.stem


def file_name(path: PurePosixPath) -> str:
    """The file with its folder. It does not depend on which folder above them the user gives."""
    return "/".join(path.parts[-2:])


def layout_of(names: list[PurePosixPath], layouts: tuple[Layout, ...]) -> Layout | None:
    """The layout that most of the files follow, if at least one in ten does."""
    votes = [(sum(bool(layout.sign.search(n.as_posix())) for n in names), layout) for layout in layouts]
    count, best = max(votes, key=lambda vote: vote[0])
    return best if count * 10 >= len(names) else None


def _captured(pattern: str, fold: Callable[[str], str] = str) -> Callable[[PurePosixPath], str | None]:
    """Finds the first group of the pattern that is not empty. `fold` gives it the corpus's own case."""
    compiled = _pattern(pattern)

    def group(path: PurePosixPath) -> str | None:
        match = compiled.search(path.as_posix())
        return fold(next(filter(None, match.groups()))) if match else None

    return group


def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _named(name: str, pattern: str, fold: Callable[[str], str] = str.lower, **more: Any) -> Layout:
    """A layout of speech whose files match the pattern, of which the first group is the speaker."""
    whole = f"(?:^|/){pattern}{_AUDIO}"
    return Layout(name, _pattern(whole), _captured(whole, fold), **more)


_NO_DATE = r"(?!(?:19|20)\d\d[-_/](?:0?[1-9]|1[0-2])[-_/])"
"""Not a year and a month."""


def _in_own_folders(pattern: str) -> re.Pattern[str]:
    """The pattern of a file in `<speaker>/<chapter>/`, whose name begins with both and ends with `pattern`.

    The folder of the speaker can lie above the user's folder. A folder of a month is no chapter.
    """
    return _pattern(
        rf"(?:(?:^|/)(?P<speaker>[1-9]\d{{0,4}})/|^)(?P<chapter>[1-9]\d{{0,6}})/{_NO_DATE}"
        rf"(?(speaker)(?P=speaker)|[1-9]\d{{0,4}})[-_](?P=chapter){pattern}{_AUDIO}"
    )


def _is_transcribed(file: Path) -> bool:
    """Whether a transcript of LibriSpeech lies beside the file: 19-198.trans.txt beside 19-198-0001.flac."""
    return file.with_name(f"{file.stem.rpartition('-')[0]}.trans.txt").is_file()


def _arctic_speaker(name: str) -> str:
    return name.lower() if name.lower().startswith("cmu") else name.upper()


def _musan_recording(path: PurePosixPath) -> str | None:
    """The recording as the whole corpus names it, so that its parts are in the split of the whole."""
    match = re.search(r"(?:^|/)(noise-(free-sound|sound-bible)-\d+)(?![0-9a-z])", path.as_posix())
    return f"{match[2]}/{match[1]}.wav" if match else None


def _scene(path: PurePosixPath) -> str:
    return path.parent.name


def _wham_split(path: PurePosixPath) -> Split | None:
    """The split that WHAM defines. Its files are cuts of longer recordings, which their names do not reveal."""
    by_folder = {"tr": Split.TRAIN, "cv": Split.VALID, "tt": Split.TEST}
    return by_folder.get(path.parent.name)


def _librispeech_texts(root: Path) -> dict[str, str]:
    """The texts in `<speaker>-<chapter>.trans.txt`, which has one line for each utterance, its name first."""
    pairs = (
        line.strip().partition(" ")
        for path in folder_files(root, {".txt"}).files
        if path.name.endswith(".trans.txt") and path.is_file()
        for _, line in lines_of_file(path, _MAX_TEXT_BYTES, _CORRECT, errors="replace")
    )
    return {name: text for name, _, text in pairs if text}


def _vctk_texts(root: Path) -> dict[str, str]:
    """The texts in `txt/p225/p225_001.txt`, one file for each utterance."""
    return {
        path.stem: "\n".join(
            line for _, line in lines_of_file(path, _MAX_TEXT_BYTES, _CORRECT, errors="replace")
        ).strip()
        for path in folder_files(root, {".txt"}).files
        if path.parts[-3:-2] == ("txt",) and path.is_file()
    }


def _common_voice_speakers(paths: Iterable[Path]) -> dict[str, str]:
    """The `client_id` of each file in the tables beside `clips`, such as `validated.tsv`."""
    clips = [path for path in paths if path.parent.name == "clips"]
    names = {path.name for path in clips}
    return {
        name: speaker
        for folder in sorted({path.parent.parent for path in clips})
        for table in sorted(folder.glob("*.tsv"))
        if table.is_file() or (table.is_symlink() and not table.is_dir())
        for name, speaker in _speakers_in(table)
        if name in names
    }


def _speakers_in(table: Path) -> Iterator[tuple[str, str]]:
    """The file and the speaker of each row; none for a table of other columns. A tab cannot be quoted in it."""
    rows = (line.split("\t") for _, line in lines_of_file(table, MAX_MANIFEST_BYTES, _CORRECT, errors="replace"))
    columns = next(rows, [])
    if {"client_id", "path"} <= set(columns):
        speaker, path = columns.index("client_id"), columns.index("path")
        yield from ((row[path], row[speaker]) for row in rows if len(row) > max(path, speaker) and row[speaker])


SPEECH_LAYOUTS = (
    # LibriSpeech: <set>/<speaker>/<chapter>/<speaker>-<chapter>-<utterance>.flac, or all files in one folder.
    _named(
        "librispeech",
        r"(\d+)-\d+-\d{4}",
        texts=_librispeech_texts,
        certain=_in_own_folders(r"-\d{4}"),
        confirmed=_is_transcribed,
    ),
    # LibriTTS: <set>/<speaker>/<chapter>/<speaker>_<chapter>_<paragraph>_<utterance>.wav
    _named("libritts", r"(\d+)_\d+_\d{6}_\d{6}", certain=_in_own_folders(r"_\d{6}_\d{6}")),
    # Multilingual LibriSpeech: <set>/audio/<speaker>/<book>/<speaker>_<book>_<utterance>.flac
    _named("mls", r"(\d+)_\d+_\d{6}", certain=_in_own_folders(r"_\d{6}")),
    # VCTK 0.92: wav48_silence_trimmed/p225/p225_001_mic1.flac: two microphones; keep the first.
    Layout(
        "vctk",
        _pattern(r"(^|/)[ps]\d+/[ps]\d+_\d+(_mic\d)?\.(flac|wav)$"),
        _captured(r"(?:^|/)([ps]\d+)_\d+(?:_mic\d)?\.(?:flac|wav)$", str.lower),
        _pattern(r"_\d+(_mic1)?\.(flac|wav)$"),
        _vctk_texts,
        certain=_pattern(r"(?:^|/)(p[23]\d\d|s5)/\1_[^/]*$"),
    ),
    # VoiceBank and other selections of VCTK: p226_001.wav, all files in one folder.
    _named("voicebank", r"(p[23]\d\d|s5)_\d{3}(?:_mic1)?", keep=_pattern(r"(?<!_mic2)\.[a-z0-9]+$")),
    # EARS: p001/emo_anger_sentences.wav; only sentences, reading and free speech are clean speech.
    Layout(
        "ears",
        _pattern(
            r"(^|/)p\d{3}/(emo|rainbow|sentences|freeform|interjection|melodic|nonverbal|vegetative)_[^/]*\.wav$"
        ),
        _captured(r"(?:^|/)(p\d{3})/[^/]*$", str.lower),
        _pattern(r"/(emo|rainbow|sentences|freeform)_[^/]*\.wav$"),
    ),
    # DNS challenge: ..._reader_01234_...wav under read_speech.
    Layout("dns", _pattern(r"_reader_\d+_[^/]*\.wav$"), _captured(r"_reader_(\d+)_[^/]*$")),
    # TIMIT: TRAIN/DR1/FCJF0/SA1.WAV, whose copies are often called SA1.WAV.wav.
    Layout(
        "timit",
        _pattern(r"(^|/)[FM][A-Z]{3}\d/S[AIX]\d+(\.wav|\.flac)+$"),
        _captured(r"(?:^|/)([FM][A-Z]{3}\d)/S[AIX]\d+\.[^/]*$", str.upper),
    ),
    # WSJ: <set>/<speaker>/<speaker><kind><session><sentence>.wav, such as 01t/01to030a.wav
    Layout(
        "wsj",
        _pattern(r"(^|/)([0-9][0-9a-z]{2})/\2[a-z][0-9a-z]{4}\.(flac|wav)$"),
        _captured(r"(?:^|/)([0-9][0-9a-z]{2})/\1[a-z][0-9a-z]{4}\.(?:flac|wav)$", str.lower),
    ),
    # Common Voice: clips/common_voice_en_123.mp3; its tables name the speakers.
    Layout(
        "common-voice",
        _pattern(r"(^|/)common_voice_[A-Za-z-]+_\d+\.(flac|mp3|wav)$"),
        lambda path: None,
        speakers=_common_voice_speakers,
    ),
    # VoxCeleb: wav/id10001/1zcIwhmdeo4/00001.wav
    Layout(
        "voxceleb",
        _pattern(r"(^|/)id\d{5}/[^/]+/\d+\.(m4a|flac|wav)$"),
        _captured(r"(?:^|/)(id\d{5})/[^/]+/[^/]+$", str.lower),
    ),
    # AISHELL-1: BAC009S0002W0122.wav; AISHELL-3: SSB00050001.wav
    _named("aishell", r"(?:BAC\d{3}(S\d{4})W\d{4}|(SSB\d{4})\d{4})", str.upper),
    # CMU Arctic and L2-Arctic: cmu_us_bdl_arctic/wav/arctic_a0001.wav, ABA/wav/arctic_a0001.wav
    _named(
        "arctic",
        r"(?:(cmu_us_[a-z]+_arctic)[^/]*|([^/]+))/wav/arctic_[ab]\d{4}",
        _arctic_speaker,
        certain=re.compile(r"(?:^|/)((?i:cmu_us_[a-z]+_arctic[^/]*)|[A-Z]{3,5})/wav/[^/]*$"),
    ),
    # LJ Speech has one speaker: LJ001-0001.wav
    _named("ljspeech", r"(LJ)\d{3}-\d{4}", str.upper),
    # CREMA-D: 1001_DFA_ANG_XX.wav
    _named("crema-d", r"(10\d\d)_[A-Z]{3}_(?:ANG|DIS|FEA|HAP|NEU|SAD)_[A-Z]{1,2}"),
    # RAVDESS: 03-01-06-01-02-01-12.wav; the last number is the actor.
    _named("ravdess", r"0[1-3]-0[12]-0[1-8](?:-0[12]){3}-([01]\d|2[0-4])"),
    # DAPS: f10_script1_clean.wav
    # Its other recordings are of the same speech in rooms.
    _named("daps", r"([fm]\d{1,2})_script\d_[a-z0-9_]+", keep=_pattern(r"_clean\.[a-z0-9]+$")),
)

NOISE_LAYOUTS = (
    # DEMAND: <scene>/ch01.wav to ch16.wav: sixteen microphones of one recording; keep the first.
    Layout("demand", re.compile(r"(^|/)ch\d\d\.wav$"), _scene, re.compile(r"(^|/)ch01\.wav$")),
    # MUSAN has music and speech too: speech is not noise to remove, and music needs a folder of its own. Its
    # recordings are often cut: noise-free-sound-0001/00003.wav, noise-free-sound-0001_3.wav.
    Layout(
        "musan",
        re.compile(r"(^|/)noise/[^/]+/noise-[a-z-]+-\d+\.wav$|(^|/)noise-(free-sound|sound-bible)-\d{4}[^a-z]"),
        _musan_recording,
        re.compile(r"(^|/)(noise/|noise-(free-sound|sound-bible)-)"),
    ),
    Layout("wham", re.compile(r"(^|/)(tr|cv|tt)/[^/]+\.wav$"), lambda path: None, split=_wham_split),
    # DNS challenge: <title>_Freesound_<id>_<part>.wav: parts of one recording.
    Layout(
        "dns",
        re.compile(r"_Freesound_[^/]*\.wav$"),
        _captured(r"(?:_Freesound_([^/]*?)_\d+|(?:^|/)((?![^/]*_Freesound_)[^/]+))\.wav$"),
    ),
    # ESC-50: <fold>-<recording>-<take>-<class>.wav; UrbanSound8K: <recording>-<class>-<occurrence>-<slice>.wav
    Layout(
        "esc-50",
        re.compile(r"(^|/)[1-5]-\d+-[A-Z]-\d+\.(ogg|wav)$"),
        _captured(r"(?:^|/)[1-5]-(\d+)-[A-Z]-\d+\."),
    ),
    Layout(
        "urbansound8k",
        re.compile(r"(^|/)\d+-\d-\d+-\d+\.wav$"),
        _captured(r"(?:^|/)(\d+)-\d-\d+-\d+\."),
        certain=_pattern(rf"(?:^|/){_NO_DATE}[^/]*$"),
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
        _captured(r"(?:.*/|^)(VUT_[^/]+|Hotel[^/]+)/"),
        re.compile(r"(^|/)RIR/"),
    ),
    # Arni is one room with movable panels: each set of closed panels counts as a room.
    Layout(
        "arni", re.compile(r"(^|/)IR_numClosed_\d+"), _captured(r"(?:^|/)IR_(numClosed_\d+_numComb_\d+)_[^/]*$")
    ),
)
