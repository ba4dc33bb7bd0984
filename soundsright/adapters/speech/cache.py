"""A folder of utterances, addressed by content: audio is float32 `(n,)`, full scale ±1, stored with 16 bits.

`audio/` has each utterance under the SHA-256 of its samples. `requests/` has a small file for each request (engine,
voice and text), which names the utterance. An utterance that does not have its SHA-256 counts as missing.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soundsright.core.audio import Audio, pcm16
from soundsright.core.errors import AudioFileError, InfrastructureFault
from soundsright.data import read_file

_SHA256 = re.compile(r"[0-9a-f]{64}")


def audio_digest(audio: Audio) -> str:
    """SHA-256 over the rate and the 16-bit samples of an utterance."""
    samples = pcm16(audio.samples).astype("<i2", copy=False)
    return hashlib.sha256(f"{audio.sample_rate_hz}:".encode() + samples.tobytes()).hexdigest()


class SpeechCache:
    """The utterances below `folder`, by the key of their request: 64 hex digits.

    Several threads and processes may use one folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __contains__(self, key: str) -> bool:
        digest = self.digest(key)
        return (digest is not None and self._audio(digest).is_file()) or self._earlier(key).is_file()

    def digest(self, key: str) -> str | None:
        """The SHA-256 of the utterance that the cache has for this request, or None."""
        try:
            text = self._request(key).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            return None
        return text if _SHA256.fullmatch(text) else None

    def get(self, key: str) -> Audio | None:
        """The utterance of this request, or None if it is missing or damaged."""
        digest = self.digest(key)
        try:
            if digest is None:
                return read_file(self._earlier(key)) if self._earlier(key).is_file() else None
            audio = read_file(self._audio(digest))
        except AudioFileError:
            return None
        return audio if audio_digest(audio) == digest else None

    def put(self, key: str, audio: Audio) -> Audio:
        """Store the utterance of a request, and return it with 16 bits, as `get` does.

        Raises:
            InfrastructureFault: the disk is full or not writable.
        """
        import soundfile

        digest = audio_digest(audio)
        try:
            with _part_of(self._audio(digest)) as part:
                soundfile.write(part, pcm16(audio.samples), audio.sample_rate_hz, format="FLAC", subtype="PCM_16")
            stored = read_file(self._audio(digest))
            with _part_of(self._request(key)) as part:
                part.write_text(digest, encoding="ascii")
        except (OSError, soundfile.LibsndfileError, AudioFileError) as error:
            raise InfrastructureFault(
                f"The speech cache {self.folder} cannot be written ({error})",
                "Check that the disk has space and is writable.",
            ) from error
        return stored

    def _request(self, key: str) -> Path:
        return self.folder / "requests" / key[:2] / key

    def _audio(self, digest: str) -> Path:
        return self.folder / "audio" / digest[:2] / f"{digest}.flac"

    def _earlier(self, key: str) -> Path:
        """The file of earlier versions, which kept each utterance under the key of its request."""
        return self.folder / key[:2] / f"{key}.flac"


@contextmanager
def _part_of(target: Path) -> Iterator[Path]:
    """The path of a new file, which is renamed to `target` at the end, or removed after an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
