"""Speech from programs of this machine: audio is float32 `(n,)`, full scale ±1; rates in Hz, times in seconds.

`flite` has a BSD-like licence and four voices at 16 kHz. `espeak-ng` is under GPL 3, so it is never shipped or
linked: it runs if the user installed it. Both need no key and no network, and speak a text the same way each time.

A voice is a name, such as `slt` or `en-us+f3`, or a name with options: `en-us+f3 -p 62 -s 158`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from soundsright.adapters.speech.cache import audio_digest
from soundsright.core.audio import Audio
from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.data import read_file

_TIMEOUT_S = 60.0
_PROBE = "A quick judge measures the pleasure of six thick boats, yet few enjoy their noisy garage."


@dataclass(frozen=True)
class ProgramSynthesiser:
    """The `VariedSynthesiser` of a program that writes speech to a WAV file. `model` is the version that it prints.

    `sound` is the digest of a probe in each voice. It is empty unless `varied_program` made the synthesiser.
    """

    name: str
    model: str
    voices: tuple[str, ...]
    sample_rate_hz: int
    parallel: int = 1
    sound: str = ""

    def speak(self, text: str, voice: str) -> Audio:
        """The text, spoken in that voice.

        Raises:
            InfrastructureFault: the program fails or takes longer than a minute.
            AudioFileError: it does not write a file that can be read as audio.
        """
        speaker, *options = voice.split()
        with tempfile.TemporaryDirectory(prefix="soundsright-speech-") as folder:
            wav = Path(folder) / "speech.wav"
            # The text is one argument and no shell reads it. Our sentences never begin with a dash.
            if self.name == "flite":
                command = ["flite", "-voice", speaker, *options, "-t", text, "-o", str(wav)]
            else:
                command = ["espeak-ng", "-v", speaker, *options, "-w", str(wav), "--", text]
            try:
                subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_S)
            except (OSError, subprocess.SubprocessError) as error:
                raise InfrastructureFault(f"{self.name} failed to speak ({error})") from error
            return read_file(wav)

    def drawn_voice(self, rng: np.random.Generator) -> str:
        """One of the voices, with a drawn tempo and pitch."""
        voice = self.voices[int(rng.integers(len(self.voices)))]
        return f"{voice} {_PROGRAMS[self.name].drawn_options(rng)}"

    def price_usd(self, texts: Sequence[str]) -> float:
        """0: a program of this machine costs nothing."""
        return 0.0


def _espeak_options(rng: np.random.Generator) -> str:
    return f"-p {int(rng.integers(30, 71))} -s {int(rng.integers(135, 191))}"


def _flite_options(rng: np.random.Generator) -> str:
    stretch, f0_hz = float(rng.uniform(0.85, 1.2)), int(rng.integers(90, 180))
    return f"--setf duration_stretch={stretch:.3f} --setf int_f0_target_mean={f0_hz}"


@dataclass(frozen=True)
class _Program:
    """A known program: its voices, those for rounds, those of the probe, its rate, and the options that vary."""

    voices: tuple[str, ...]
    varied_voices: tuple[str, ...]
    probed_voices: tuple[str, ...]
    sample_rate_hz: int
    drawn_options: Callable[[np.random.Generator], str]


_FLITE_VOICES = ("slt", "rms", "awb", "kal16")
# Not "en-gb": espeak-ng 1.51 ignores its variants.
_ESPEAK_ACCENTS = ("en-us", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-rp", "en-gb-x-gbcwmd", "en-029")
# The variants that sound like a person: none that whispers, croaks, or imitates a robot.
_ESPEAK_VARIANTS = (
    "Alex", "Alicia", "Andrea", "Andy", "Annie", "Denis", "Diogo", "Gene", "Henrique", "Hugo", "Jacky", "Lee",
    "Mario", "Michael", "Mike", "Nguyen", "adam", "anika", "antonio", "aunty", "belinda", "benjamin", "boris",
    "david", "ed", "edward", "f1", "f2", "f3", "f4", "f5", "gustave", "iven", "iven2", "iven3", "john", "linda",
    "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "marcelo", "max", "michel", "miguel", "norbert", "pablo",
    "paul", "pedro", "quincy", "rob", "robert", "sandro", "shelby", "steph", "steph2", "steph3", "travis",
    "victor", "zac",
)  # fmt: skip

_PROGRAMS = {
    "flite": _Program(_FLITE_VOICES, _FLITE_VOICES, _FLITE_VOICES, 16_000, _flite_options),
    "espeak-ng": _Program(
        ("en-gb-x-rp", "en-us", "en-gb-scotland", "en-gb-x-gbclan"),
        tuple(f"{accent}+{variant}" for accent in _ESPEAK_ACCENTS for variant in _ESPEAK_VARIANTS),
        (
            *(f"{_ESPEAK_ACCENTS[0]}+{variant}" for variant in _ESPEAK_VARIANTS),
            *(f"{accent}+m1" for accent in _ESPEAK_ACCENTS[1:]),
        ),
        22_050,
        _espeak_options,
    ),
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
    return _synthesiser(name, voices or program.voices)


def varied_program(name: str) -> ProgramSynthesiser:
    """The synthesiser for the speech of rounds: it has many voices, and a digest of their sound.

    Machines with the same `sound` speak the same samples. It is the SHA-256 of a sentence in voices of every kind,
    so it differs if the program, its data or its arithmetic differ.

    Raises:
        UsageError: the program is unknown or not installed, or lacks some of the voices.
        InfrastructureFault: it fails to speak.
    """
    if name not in _PROGRAMS:
        raise UsageError(f"Unknown synthesiser {name!r}", f"Choose one of {', '.join(_PROGRAMS)}.")
    program = _PROGRAMS[name]
    engine = _synthesiser(name, program.varied_voices)
    with ThreadPoolExecutor(engine.parallel) as pool:
        digests = list(pool.map(lambda voice: audio_digest(engine.speak(_PROBE, voice)), program.probed_voices))
    # espeak-ng speaks in its standard voice if it lacks a variant, and does not say so.
    lacking = len(digests) - len(set(digests))
    if lacking:
        raise UsageError(
            f"{name} ({engine.model}) lacks {lacking} of the {len(digests)} voices that were tried",
            f"Install them, for example with `apt-get install {name}`, or choose another SOUNDSRIGHT_SPEECH.",
        )
    return replace(engine, model=_own_version(engine), sound=hashlib.sha256("".join(digests).encode()).hexdigest())


def _own_version(engine: ProgramSynthesiser) -> str:
    """The version that the program states. The first line of flite is its copyright."""
    if engine.name != "flite":
        return engine.model
    for line in _version_output(engine.name).splitlines():
        if "version:" in line:
            return line.split("version:")[1].split("(")[0].strip()
    return engine.model


def _synthesiser(name: str, voices: tuple[str, ...]) -> ProgramSynthesiser:
    if shutil.which(name) is None:
        raise UsageError(f"{name} is not installed", f"Install it, for example with `apt-get install {name}`.")
    output = _version_output(name)
    # espeak-ng also prints the path of its data, which differs between machines.
    version = output.splitlines()[0].split("Data at")[0].strip() if output else name
    return ProgramSynthesiser(name, version, voices, _PROGRAMS[name].sample_rate_hz, parallel=os.cpu_count() or 1)


def _version_output(name: str) -> str:
    try:
        done = subprocess.run([name, "--version"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError) as error:
        raise InfrastructureFault(
            f"{name} does not state its version ({error})", f"Install {name} again."
        ) from error
    return done.stdout.strip()
