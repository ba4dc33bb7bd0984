"""Sibling folders with the same recordings, of which one can be the degraded version of the other.

Equal names of files prove nothing: every speaker of TIMIT has a SA1.WAV. Two folders are versions of the same
recordings if their names say so, such as `gt` beside `lq`, or if files of one name have one length and agree in
time.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np

from soundsright.core.audio import Samples
from soundsright.core.errors import AudioFileError
from soundsright.data.audio_files import facts_of, read_file

LEVEL = re.compile(r"(?:^|[-_. ])(?:snr[-_ ]?-?\d+|-?\d+[-_ ]?dbs?)(?=$|[-_. ])", re.IGNORECASE)
"""A level of noise in a name: snr_0, 5dB."""

_VERSION = re.compile(
    r"targets?|inputs?|outputs?|gt|lq|hq|ground[-_]?truth|references?|ref|est(imates?)?", re.IGNORECASE
)
"""The name of a folder that has one version of recordings."""

_FILES = 3
_READ_S = 5.0
_LAG_S = 0.05
_AGREES = 0.15
"""Above what unrelated speech reaches in a second, and below noise at 0 dB or a room."""
_SAME = 0.9999
_ALL_PAIRS = 8


def versions_below(root: Path, paths: Iterable[Path]) -> list[tuple[Path, Path]]:
    """The pairs of sibling folders that have versions of the same recordings. Copies of the same bytes are none."""
    children: dict[Path, dict[str, dict[Path, Path]]] = defaultdict(lambda: defaultdict(dict))
    for path in paths:
        folders = [path.parent, *path.parent.parents]
        for child in folders[: folders.index(root)]:
            name = path.relative_to(child).with_suffix("").as_posix()
            children[child.parent][name][child] = path
    found: dict[tuple[Path, Path], None] = {}
    for by_name in children.values():
        shared = [files for _, files in sorted(by_name.items()) if len(files) > 1]
        for files in shared[:: max(1, len(shared) // _FILES)][:_FILES]:
            found |= dict.fromkeys(_versions_among(files))
    return list(found)


def _versions_among(files: dict[Path, Path]) -> list[tuple[Path, Path]]:
    """The pairs among folders that have a file of one name each."""
    folders = sorted(files)
    named = [folder for folder in folders if _VERSION.fullmatch(folder.name) or LEVEL.search(folder.name)]
    pairs = [(a, b) for a, b in combinations(folders, 2) if a in named or b in named] if len(folders) < 50 else []
    by_length: dict[tuple[int, int | None], list[Path]] = defaultdict(list)
    for folder in folders:
        try:
            facts = facts_of(files[folder])
        except AudioFileError:
            continue  # The listing names it.
        by_length[facts.sample_rate_hz, facts.frames].append(folder)
    for alike in by_length.values():
        chosen = combinations(alike, 2) if len(alike) <= _ALL_PAIRS else pairwise(alike)
        pairs += [(a, b) for a, b in chosen if not _are_numbered(a, b) and _agree(files[a], files[b])]
    return pairs


def _are_numbered(first: Path, second: Path) -> bool:
    """Whether the names differ in a number alone: microphones, channels and parts do."""
    return re.sub(r"\d+", "", first.name) == re.sub(r"\d+", "", second.name)


def _agree(first: Path, second: Path) -> bool:
    try:
        one, other = (_edges(read_file(path, duration_s=_READ_S).samples) for path in (first, second))
        rate = facts_of(first).sample_rate_hz
    except AudioFileError:
        return False
    count = min(one.size, other.size)
    power = float(np.sqrt(np.sum(one[:count] ** 2) * np.sum(other[:count] ** 2)))
    if not count or not power:
        return False
    size = 1 << (2 * count - 1).bit_length()
    product = np.fft.irfft(np.fft.rfft(one[:count], size) * np.conj(np.fft.rfft(other[:count], size)), size)
    lags = max(1, round(_LAG_S * rate))
    peak = float(np.abs(np.concatenate([product[:lags], product[-lags:]])).max()) / power
    return _AGREES < peak < _SAME


def _edges(samples: Samples) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The first difference. Without it, low frequencies make unrelated speech alike."""
    return np.diff(np.asarray(samples, dtype=np.float64))
