"""Items as bytes of a file format. Signals are float32 `(n,)`, full scale ±1.

Formats: a folder of WAV or FLAC files, WebDataset shards (tar), or Parquet shards for the `datasets` library.
Encoding in memory lets the set's maker hash each file before it is written.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Samples
from soundsright.core.errors import UsageError
from soundsright.data.render import Rendered


class SetFormat(StrEnum):
    """How a set is stored on disk."""

    WAV = "wav"
    FLAC = "flac"
    WEBDATASET = "webdataset"
    PARQUET = "parquet"

    @property
    def in_shards(self) -> bool:
        """Whether many items share one file."""
        return self in (SetFormat.WEBDATASET, SetFormat.PARQUET)

    @property
    def suffix(self) -> str:
        """The suffix of one signal, in a shard or as a file; shards contain FLAC."""
        return ".wav" if self is SetFormat.WAV else ".flac"


class Subtype(StrEnum):
    """The sample format of WAV files."""

    PCM16 = "pcm16"
    FLOAT = "float"


@dataclass(frozen=True)
class EncodedItem:
    """One item: the bytes of each role, and its line of the manifest."""

    id: str
    files: dict[str, bytes]
    line: dict[str, Any]


def encoded(item: Rendered, role: str, fmt: SetFormat, subtype: Subtype) -> bytes:
    """One signal of an item as a file of that format. FLAC is always 16-bit."""
    if fmt is SetFormat.WAV:
        samples = item.grid[role] if subtype is Subtype.PCM16 else item.signals[role]
        return wav_bytes(samples, item.sample_rate_hz)
    return pcm16_file(item.grid[role], item.sample_rate_hz, "FLAC")


def pcm16_file(samples: NDArray[np.int16], sample_rate_hz: int, file_format: Literal["FLAC", "WAV"]) -> bytes:
    """A mono file with exactly these samples, as libsndfile writes it."""
    import soundfile

    out = io.BytesIO()
    soundfile.write(out, samples, sample_rate_hz, format=file_format, subtype="PCM_16")
    return out.getvalue()


def wav_bytes(samples: NDArray[np.int16] | Samples, sample_rate_hz: int) -> bytes:
    """A mono WAV: 16-bit PCM, or 32-bit float with a fact chunk. The bytes do not depend on any library's version.

    >>> len(wav_bytes(np.zeros(8, dtype=np.int16), 16_000))
    60
    """
    if samples.dtype == np.int16:
        code, width, data = 1, 2, np.ascontiguousarray(samples, dtype="<i2").data.cast("B")
        extra, fact = b"", b""
    else:
        code, width, data = 3, 4, np.ascontiguousarray(samples, dtype="<f4").data.cast("B")
        extra, fact = struct.pack("<H", 0), b"fact" + struct.pack("<II", 4, samples.shape[0])
    form = struct.pack("<HHIIHH", code, 1, sample_rate_hz, sample_rate_hz * width, width, 8 * width) + extra
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + fact + b"data" + struct.pack("<I", len(data))
    return b"".join((b"RIFF", struct.pack("<I", 4 + len(chunks) + len(data)), b"WAVE", chunks, data))


def sha256_of(data: bytes) -> str:
    """The hex SHA-256 of the bytes."""
    return hashlib.sha256(data).hexdigest()


def webdataset_bytes(items: list[EncodedItem], suffix: str) -> bytes:
    """A tar of `ID.ROLE.flac` and `ID.json`. It has no times and no owners, so equal items give equal bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for item in items:
            members = [(f"{item.id}.{role}{suffix}", data) for role, data in item.files.items()]
            members.append((f"{item.id}.json", json.dumps(item.line, ensure_ascii=False).encode()))
            for name, data in members:
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                entry.mode = 0o644
                tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


_COLUMNS = ("text", "speaker", "speech", "noise", "snr_db", "rir", "rt60_s", "digest")


def parquet_bytes(items: list[EncodedItem], suffix: str, sample_rate_hz: int) -> bytes:
    """A Parquet file whose audio columns the `datasets` library decodes.

    Raises:
        UsageError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UsageError("Parquet needs pyarrow, which is not installed", "Run `pip install pyarrow`.") from error
    audio_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    text_columns = [c for c in _COLUMNS if not c.endswith(("_db", "_s"))]
    columns: dict[str, Any] = {"id": pa.array([item.id for item in items], pa.string())}
    features: dict[str, Any] = {"id": {"dtype": "string", "_type": "Value"}}
    for role in items[0].files:
        cells = [{"bytes": item.files[role], "path": f"{item.id}.{role}{suffix}"} for item in items]
        columns[role] = pa.array(cells, audio_type)
        features[role] = {"sampling_rate": sample_rate_hz, "_type": "Audio"}
    for name in _COLUMNS:
        kind = pa.string() if name in text_columns else pa.float64()
        columns[name] = pa.array([item.line.get(name) for item in items], kind)
        features[name] = {"dtype": "string" if name in text_columns else "float64", "_type": "Value"}
    table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    out = io.BytesIO()
    pq.write_table(table, out, compression="none")
    return out.getvalue()


def library_versions() -> dict[str, str]:
    """The versions of the libraries that a set's samples depend on."""
    import scipy
    import soundfile
    import soxr

    import soundsright

    return {
        "soundsright": soundsright.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "soxr": soxr.__version__,
        "libsndfile": soundfile.__libsndfile_version__,
    }
