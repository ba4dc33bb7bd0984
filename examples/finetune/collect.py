"""Collects more speech and noise for training: `python -m examples.finetune.collect --out sets/sources`.

    speech-16k/SPEAKER/…   telephone prompts (G.722) of four studio voices, and sentences by the voices of flite
    speech-48k/SPEAKER/…   words of some thirty speakers with content above 13.5 kHz
    noise/…                effects of a transport game

Debian's packages (110 MB) are downloaded with `apt-get download` and unpacked, not installed. Short recordings of
one speaker are joined with pauses into utterances of about eight seconds, so that a crop of a few seconds contains
speech. Speakers of the validation and test splits of the shipped corpus are left out, and so are all of its noises.
`SOURCES.md` in the folder lists packages, speakers and licences.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import numpy as np
import soundfile
from numpy.typing import NDArray

from scripts import build_datasets as shipped
from soundsright.cli.main import run
from soundsright.core.errors import UsageError
from soundsright.data.audio_files import read_file
from soundsright.data.corpora import Corpus
from soundsright.data.levels import active_level, gain_to
from soundsright.data.sentences import sentence
from soundsright.data.splits import Split, in_split

Signal = NDArray[np.float64]

PROMPTS = {
    "allison-en": ("asterisk-core-sounds-en-g722", "en_US_f_Allison", "CC BY-SA 3.0, Allison Smith"),
    "allison-es": ("asterisk-core-sounds-es-g722", "es_MX_f_Allison", "CC BY-SA 3.0, Allison Smith"),
    "carlo-it": ("asterisk-core-sounds-it-g722", "it_IT_m_Carlo", "CC BY 3.0, Carlo Flora"),
    "ivrvoice-ru": ("asterisk-core-sounds-ru-g722", "ru_RU_f_IvrvoiceRU", "CC BY 3.0, Maxim Topal"),
}
FLITE_VOICES = ("awb", "rms", "slt", "kal16")
WORDS = ("klettres-data", "ktuberling-data")
EFFECTS = "openttd-opensfx"
MAYBE_HELD_OUT = ("ktuberling-uk",)
"""Speakers that could be held-out speakers under another name."""
SEED = 9
UTTERANCE_S = 8.0


def fetched(work: Path, packages: Iterable[str]) -> dict[str, Path]:
    """The folders of the packages, downloaded and unpacked below `work` if they are not there yet."""
    work.mkdir(parents=True, exist_ok=True)
    folders = {}
    for package in packages:
        folder = folders[package] = work / package
        if not folder.exists():
            if not list(work.glob(f"{package}_*.deb")):
                shipped.run("apt-get", "download", package, cwd=work)
            shipped.run("dpkg", "-x", str(next(work.glob(f"{package}_*.deb"))), str(folder))
    return folders


def prompts(folder: Path) -> Iterator[Signal]:
    """The spoken prompts of one voice, trimmed, without silences, tones and sound effects."""
    for path in sorted(folder.rglob("*.g722")):
        if path.stat().st_size == 0:
            continue
        samples = read_file(path).samples.astype(np.float64)
        if path.parent.name == "silence" or path.name.startswith(("tt-", "beep")) or np.abs(samples).max() < 0.05:
            continue
        yield shipped.trimmed(samples, 16_000, margin_s=0.05)


def flite_sentences(voice: str, count: int) -> Iterator[Signal]:
    """Sentences spoken by a voice of flite, at 16 kHz, trimmed."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "speech.wav")
        for index in range(count):
            shipped.run("flite", "-voice", voice, "-t", sentence(SEED, index), "-o", str(target))
            yield shipped.trimmed(read_file(target).samples.astype(np.float64), 16_000, margin_s=0.05)


def words(folder: Path) -> Iterator[tuple[str, int, list[Signal]]]:
    """Speaker, rate and words of each folder with at least six full-band recordings at one rate."""
    for directory in sorted(
        {path.parent for path in folder.rglob("*") if path.suffix in (".ogg", ".wav", ".opus")}
    ):
        by_rate: dict[int, list[Signal]] = {}
        for path in sorted(directory.iterdir()):
            if path.suffix not in (".ogg", ".wav", ".opus") or path.stem.lower() == "noise":
                continue
            audio = read_file(path)
            samples, rate = audio.samples.astype(np.float64), audio.sample_rate_hz
            if shipped.is_clean_full_band(samples, rate):
                by_rate.setdefault(rate, []).append(
                    shipped.faded(shipped.trimmed(samples, rate, margin_s=0.04), rate)
                )
        for rate, recordings in by_rate.items():
            if len(recordings) >= 6:
                yield "-".join(directory.relative_to(folder).parts[2:]), rate, recordings


def joined(parts: Iterable[Signal], rate: int, rng: np.random.Generator) -> Iterator[Signal]:
    """Utterances of about `UTTERANCE_S` seconds: shorter recordings in random order, at equal levels."""
    utterance: list[Signal] = []
    kept = list(parts)
    for index in rng.permutation(len(kept)):
        level = active_level(kept[index], rate).level_db
        if level < -60.0:
            continue
        utterance += [kept[index] * gain_to(level, -26.0), np.zeros(int(rng.uniform(0.1, 0.35) * rate))]
        if sum(map(len, utterance)) >= UTTERANCE_S * rate:
            yield np.concatenate(utterance)
            utterance = []
    if sum(map(len, utterance)) >= 2.0 * rate:
        yield np.concatenate(utterance)


def write(folder: Path, signals: Iterable[Signal], rate: int) -> float:
    """Write the signals as FLAC files below full scale. Returns the seconds written."""
    folder.mkdir(parents=True, exist_ok=True)
    seconds = 0.0
    for number, samples in enumerate(signals, 1):
        samples = samples * min(1.0, 0.95 / max(float(np.abs(samples).max()), 1e-9))
        soundfile.write(folder / f"{number:03d}.flac", samples, rate, subtype="PCM_16")
        seconds += len(samples) / rate
    return seconds


def collect(out: Path, packages: Path) -> Iterator[tuple[str, float, str]]:
    """Write all recordings. Yields each folder with its seconds and its licence."""
    rng = np.random.default_rng(SEED)
    shipped_speech = Corpus.open().speech
    held_out = {r.speaker for r in shipped_speech} - {r.speaker for r in in_split(shipped_speech, Split.TRAIN)}
    held_out |= set(MAYBE_HELD_OUT)
    folders = fetched(packages, [*(p for p, _, _ in PROMPTS.values()), *WORDS, EFFECTS])
    for speaker, (package, voice, licence) in PROMPTS.items():
        spoken = prompts(folders[package] / "usr/share/asterisk/sounds" / voice)
        seconds = write(out / "speech-16k" / speaker, joined(spoken, 16_000, rng), 16_000)
        yield f"speech-16k/{speaker}", seconds, f"{package}: {licence}"
    for voice in FLITE_VOICES:
        sentences = joined(flite_sentences(voice, 150), 16_000, rng)
        seconds = write(out / "speech-16k" / f"flite-{voice}", sentences, 16_000)
        yield f"speech-16k/flite-{voice}", seconds, "flite: synthetic"
    for package in WORDS:
        for directory, rate, recordings in words(folders[package]):
            corpus = package.removesuffix("-data")
            name = directory.removeprefix(f"{corpus}-").removeprefix("sounds-")
            speaker = f"{corpus}-{name}".replace("-alpha", "-letters").replace("-syllab", "")
            if speaker in held_out:
                continue
            seconds = write(out / "speech-48k" / speaker, joined(recordings, rate, rng), rate)
            yield f"speech-48k/{speaker}", seconds, f"{package}: GPL 2 or as its copyright file says"
    yield from effects(folders[EFFECTS] / shipped.OPENSFX, out / "noise")


def effects(catalogue: Path, out: Path) -> Iterator[tuple[str, float, str]]:
    """The sounds of a catalogue that are not in the shipped corpus, without silent parts."""
    for number, (name, samples, rate) in enumerate(shipped.opensfx_entries(catalogue)):
        title = name.split('"')[1] if '"' in name else name
        loud = shipped.loudest_run(samples, rate, 8.0) if len(samples) > 0.5 * rate else samples[:0]
        if title not in shipped.OPENSFX_NOISES and len(loud) > 0.7 * rate:
            seconds = write(out / f"effect-{number:03d}", [loud], rate)
            yield f"noise/{number:03d} {title}", seconds, f"{EFFECTS}: CC BY-SA 3.0"


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("sets/sources"), show_default=True)
@click.option(
    "--packages", type=click.Path(path_type=Path), help="Where downloads are kept. [default: OUT/packages]"
)
def main(out: Path, packages: Path | None) -> None:
    """Collect speech and noise from Debian's packages."""
    lines = []
    try:
        for name, seconds, licence in collect(out, packages or out / "packages"):
            lines.append(f"| {name} | {seconds:.0f} | {licence} |\n")
            click.echo(f"{name:<32} {seconds:7.0f} s   {licence}")
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        raise UsageError(
            f"The packages cannot be fetched ({error})",
            "Run this on Debian or a derivative, with apt-get, dpkg and flite installed.",
        ) from error
    text = "| what | seconds | package and licence |\n| --- | ---: | --- |\n" + "".join(lines)
    (out / "SOURCES.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run(main))
