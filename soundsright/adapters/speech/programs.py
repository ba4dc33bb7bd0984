"""Speech by programs of this machine: audio is float32 `(n,)`, full scale ±1; rates in Hz, times in seconds.

`flite` (a BSD-like licence, four voices at 16 kHz) and `espeak-ng` (GPL 3: run as a program where the user
installed it, never shipped or linked) need no key and no network, and say a text the same way each time.
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
    """A program that speaks a text into a WAV file. `model` is what it says of its version."""

    name: str
    model: str
    voices: tuple[str, ...]
    sample_rate_hz: int
    parallel: int = 1

    def speak(self, text: str, voice: str) -> Audio:
        """The text in that voice.

        Raises:
            InfrastructureFault: the program fails or takes longer than a minute.
        """
        with tempfile.TemporaryDirectory(prefix="soundsright-speech-") as folder:
            wav = Path(folder) / "speech.wav"
            # The text is an argument of its own, never a line for a shell; it cannot begin with a dash.
            if self.name == "flite":
                command = ["flite", "-voice", voice, "-t", text, "-o", str(wav)]
            else:
                command = ["espeak-ng", "-v", voice, "-w", str(wav), "--", text]
            try:
                subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_S)
            except (OSError, subprocess.SubprocessError) as error:
                raise InfrastructureFault(f"{self.name} did not speak ({error})") from error
            return read_file(wav)

    def price_usd(self, texts: Sequence[str]) -> float:
        return 0.0


_ENGINES = {
    "flite": (("slt", "rms", "awb", "kal16"), 16_000, "--version"),
    "espeak-ng": (("en-gb-x-rp", "en-us", "en-gb-scotland", "en-gb-x-gbclan"), 22_050, "--version"),
}


def synthesiser_of(name: str, voices: tuple[str, ...] = ()) -> ProgramSynthesiser:
    """The program of that name with its voices, or with those of them that were chosen.

    Raises:
        UsageError: the program is unknown or not installed, or a voice is not one of its own.
    """
    if name not in _ENGINES:
        raise UsageError(f"Unknown synthesiser {name!r}", f"Choose one of {', '.join(_ENGINES)}.")
    known, rate, version = _ENGINES[name]
    unknown = [v for v in voices if v not in known]
    if unknown:
        raise UsageError(f"{name} has no voice {unknown[0]!r}", f"Choose from {', '.join(known)}.")
    if shutil.which(name) is None:
        raise UsageError(f"{name} is not installed", f"Install it, for example with `apt-get install {name}`.")
    said = subprocess.run([name, version], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False).stdout
    first = said.strip().splitlines()[0].split("Data at")[0].strip() if said.strip() else name
    return ProgramSynthesiser(name, first, voices or known, rate, parallel=os.cpu_count() or 1)
