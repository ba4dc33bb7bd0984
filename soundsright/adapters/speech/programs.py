"""Speech from programs of this machine: audio is float32 `(n,)`, full scale ±1; rates in Hz, times in seconds.

`flite` has a BSD-like licence and four voices at 16 kHz. `espeak-ng` is under GPL 3, so it is never shipped or
linked: it runs if the user installed it. Both need no key and no network, and speak a text the same way each time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soundsright.core.audio import Audio
from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.data import read_file

_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class ProgramSynthesiser:
    """The `Synthesiser` of a program that writes speech to a WAV file. `model` is the version that it prints."""

    name: str
    model: str
    voices: tuple[str, ...]
    sample_rate_hz: int
    parallel: int = 1

    def speak(self, text: str, voice: str) -> Audio:
        """The text, spoken in that voice.

        Raises:
            InfrastructureFault: the program fails or takes longer than a minute.
            AudioFileError: it does not write a file that can be read as audio.
        """
        with tempfile.TemporaryDirectory(prefix="soundsright-speech-") as folder:
            wav = Path(folder) / "speech.wav"
            # The text is one argument and no shell reads it. Our sentences never begin with a dash.
            if self.name == "flite":
                command = ["flite", "-voice", voice, "-t", text, "-o", str(wav)]
            else:
                command = ["espeak-ng", "-v", voice, "-w", str(wav), "--", text]
            try:
                subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_S)
            except (OSError, subprocess.SubprocessError) as error:
                raise InfrastructureFault(f"{self.name} failed to speak ({error})") from error
            return read_file(wav)

    def price_usd(self, texts: Sequence[str]) -> float:
        """0: a program of this machine costs nothing."""
        return 0.0


@dataclass(frozen=True)
class _Program:
    """The voices of a known program, and the rate of its audio."""

    voices: tuple[str, ...]
    sample_rate_hz: int


_PROGRAMS = {
    "flite": _Program(("slt", "rms", "awb", "kal16"), 16_000),
    "espeak-ng": _Program(("en-gb-x-rp", "en-us", "en-gb-scotland", "en-gb-x-gbclan"), 22_050),
}


def program_synthesiser(name: str, voices: tuple[str, ...] = ()) -> ProgramSynthesiser:
    """The synthesiser of the program `flite` or `espeak-ng`, with the chosen voices or with all of them.

    Raises:
        UsageError: the program is unknown or not installed, or does not have one of the voices.
    """
    if name not in _PROGRAMS:
        raise UsageError(f"Unknown synthesiser {name!r}", f"Choose one of {', '.join(_PROGRAMS)}.")
    program = _PROGRAMS[name]
    unknown = [v for v in voices if v not in program.voices]
    if unknown:
        raise UsageError(f"{name} has no voice {unknown[0]!r}", f"Choose from {', '.join(program.voices)}.")
    if shutil.which(name) is None:
        raise UsageError(f"{name} is not installed", f"Install it, for example with `apt-get install {name}`.")
    output = subprocess.run(
        [name, "--version"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    ).stdout.strip()
    # espeak-ng also prints the path of its data, which differs between machines.
    version = output.splitlines()[0].split("Data at")[0].strip() if output else name
    return ProgramSynthesiser(
        name, version, voices or program.voices, program.sample_rate_hz, parallel=os.cpu_count() or 1
    )
