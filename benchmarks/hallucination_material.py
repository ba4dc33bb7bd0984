"""Enhanced clips with and without planted hallucinations, by honest models, for `benchmarks/hallucination.py`.

Two parts share no speaker, no noise recording, no synthesiser's voice and no model:

- `fit`: the split "train" of the shipped recordings, words of flite's voice kal16;
- `test`: the splits "valid" and "test", and sentences of flite (phones and words as flite timed them), words of
  espeak-ng.

A file keeps each clip, so a second run reads them. Signals are 16 kHz.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from benchmarks.enhancers import available
from benchmarks.honest_scores import ideal_ratio_mask
from benchmarks.planted import KINDS, RATE_HZ, Signal, Utterance, planted, segmented, spoken
from soundsright.adapters.speech import program_synthesiser
from soundsright.core.audio import on_pcm16_grid
from soundsright.core.material import RECORDED_NOISE
from soundsright.data.audio_files import resampled
from soundsright.data.clips import corpus_sources
from soundsright.data.corpora import Corpus
from soundsright.data.mixing import mix_at_snr
from soundsright.data.recipe import PUBLISHED_RECIPE, SetTask
from soundsright.data.render import clip_rng, render
from soundsright.data.sentences import drawn_sentence, sentence
from soundsright.data.splits import Split

PARTS = ("fit", "test")
RECIPE = replace(PUBLISHED_RECIPE, balance=False)
SYSTEMS = {
    ("fit", "denoising"): ("baseline-denoising-16k", "dtln", "nsnet2", "webrtc"),
    ("test", "denoising"): ("deepfilternet3", "gtcrn", "rnnoise", "spectral-gate"),
    ("fit", "dereverberation"): ("baseline-dereverberation-16k",),
    ("test", "dereverberation"): ("wpe",),
}
WORD_SHAPES = ("THING", "PERSON", "PLACE", "ADVERB", "DAY", "ADJECTIVE", "ANIMAL")

Enhance = Callable[[Signal, Signal], NDArray[np.floating]]
"""From the clean and the degraded signal to the enhanced one. Only the oracle uses the clean signal."""


@dataclass(frozen=True, eq=False)
class Case:
    """One output of a system beside its clip. `kind` is "honest" or the planted kind, with its place in seconds."""

    clip: str
    source: str
    system: str
    snr_db: float
    kind: str
    place_s: tuple[float, float]
    clean: NDArray[np.float32]
    enhanced: NDArray[np.float32]
    noisy: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scene:
    """Clean speech and how it is degraded: `degrade(speech)` adds the same noise or room to any speech."""

    name: str
    source: str
    task: str
    utterance: Utterance
    snr_db: float
    degrade: Callable[[Signal], Signal]


def resynthesised(enhanced: NDArray[np.floating], mel_bands: int, seed: int) -> Signal:
    """The signal made again from the powers in `mel_bands` bands alone, by Griffin and Lim: no phase is kept.

    It stands for an honest model that generates its output with a vocoder.
    """
    import librosa
    from librosa.filters import mel

    bank = mel(sr=RATE_HZ, n_fft=512, n_mels=mel_bands)
    powers = np.abs(librosa.stft(enhanced, n_fft=512, hop_length=128)) ** 2
    magnitudes = np.sqrt(np.maximum(np.linalg.pinv(bank) @ (bank @ powers), 0.0))
    made = librosa.griffinlim(
        magnitudes, n_iter=32, hop_length=128, n_fft=512, length=len(enhanced), random_state=seed
    )
    return np.asarray(made, dtype=np.float64)


def _remembering(model: ModuleType) -> Enhance:
    """The model, with its last output kept: the vocoder asks for it again."""
    last: list[Signal] = []

    def enhance(_: Signal, degraded: Signal) -> NDArray[np.floating]:
        if not last or not np.array_equal(last[0], degraded):
            last[:] = [degraded, np.asarray(model.enhance(degraded.astype(np.float32), RATE_HZ), np.float64)]
        return last[1]

    return enhance


@cache
def systems_of(part: str, task: str) -> dict[str, Enhance]:
    """The honest systems of a part: models, an ideal mask, and the first model's output from a vocoder."""
    systems: dict[str, Enhance] = {}
    for name, model in available(SYSTEMS[part, task]):
        systems[name] = _remembering(model)
    first = next(iter(systems.values()))
    bands = 128 if part == "fit" else 100
    systems["vocoder"] = lambda s, y: resynthesised(first(s, y), bands, 1)
    if part == "test":
        systems["oracle mask"] = lambda clean, degraded: ideal_ratio_mask(clean, degraded, RATE_HZ)
    return systems


@cache
def words_of(part: str) -> list[Signal]:
    """Sixty words of the part's synthesiser, without the silence around them."""
    program = program_synthesiser("flite" if part == "fit" else "espeak-ng")
    rng = np.random.default_rng(3)
    voices = ("kal16", "slt") if part == "fit" else ("en-us+f3", "en-gb-x-rp+m3", "en-us+m7")
    words = []
    for _ in range(60):
        audio = program.speak(drawn_sentence(rng, WORD_SHAPES).strip("."), str(rng.choice(voices)))
        x = resampled(audio.samples, audio.sample_rate_hz, RATE_HZ).astype(np.float64)
        loud = np.flatnonzero(np.abs(x) > 0.03 * np.abs(x).max())
        words.append(x[loud[0] : loud[-1] + 1])
    return words


def _room_of(clean: Signal, degraded: Signal) -> Callable[[Signal], Signal]:
    """The effect of the room on any speech, from its effect on the clean speech."""
    from scipy import fft

    size = fft.next_fast_len(2 * len(clean))
    spectrum = fft.rfft(clean, size)
    power = np.abs(spectrum) ** 2
    response = fft.rfft(degraded, size) * spectrum.conj() / (power + 1e-5 * power.mean())

    def degrade(speech: Signal) -> Signal:
        change: Signal = fft.irfft(fft.rfft(speech - clean, size) * response, size)
        return degraded + change[: len(clean)]

    return degrade


def _noise_of(clean: Signal, degraded: Signal) -> Callable[[Signal], Signal]:
    """Adding the noise of a clip to any speech."""
    noise = degraded - clean
    return lambda speech: speech + noise


def recorded_scenes(part: str, task: str, count: int, seed: int) -> Iterator[Scene]:
    """Clips of natural speech, drawn as competitions draw them."""
    corpus = Corpus.open()
    splits = (Split.TRAIN,) if part == "fit" else (Split.TEST, Split.TEST, Split.VALID)
    for index in range(count):
        split = splits[index % len(splits)]
        sources = corpus_sources(corpus, RATE_HZ, RECIPE, split=split, noise=RECORDED_NOISE)
        clip = render(SetTask(task), RATE_HZ, seed, index, sources=sources, recipe=RECIPE).as_clip()
        clean, degraded = (each.samples.astype(np.float64) for each in (clip.clean, clip.degraded))
        degrade = (_room_of if task == "dereverberation" else _noise_of)(clean, degraded)
        snr = np.inf if clip.recipe.snr_db is None else clip.recipe.snr_db
        yield Scene(f"{task}-{seed}-{index}", "recorded", task, segmented(clean), snr, degrade)


def spoken_scenes(count: int, seed: int) -> Iterator[Scene]:
    """Sentences of flite in the noise of the split "test"."""
    noise = corpus_sources(Corpus.open(), RATE_HZ, RECIPE, split=Split.TEST, noise=RECORDED_NOISE).noise
    assert noise
    for index in range(count):
        rng = clip_rng(seed + 7_000, index)
        utterance = spoken(sentence(seed, index), ("rms", "awb")[index % 2])
        snr_db = float(rng.uniform(*RECIPE.snr_db))
        drawn = noise.draw(rng, len(utterance.samples), RATE_HZ).samples
        mixture = mix_at_snr(utterance.samples, drawn, snr_db=snr_db, sample_rate_hz=RATE_HZ)
        gain = float(np.dot(mixture.clean, utterance.samples) / np.dot(utterance.samples, utterance.samples))
        scaled = Utterance(
            utterance.samples * gain, utterance.phones, utterance.words, utterance.pauses, utterance.labels
        )
        degrade = _noise_of(scaled.samples, mixture.noisy)
        yield Scene(f"spoken-{seed}-{index}", "spoken", "denoising", scaled, snr_db, degrade)


def cases_of(scene: Scene, part: str, rng: np.random.Generator) -> Iterator[Case]:
    """Each system's honest output of a scene, and each kind of hallucination through one drawn system."""
    clean, noisy = scene.utterance.samples, scene.degrade(scene.utterance.samples)
    systems = systems_of(part, scene.task)

    def case(name: str, kind: str, place: tuple[int, int], speech: Signal) -> Case:
        enhanced = systems[name](speech, scene.degrade(speech))
        grid = [on_pcm16_grid(each.astype(np.float32)) for each in (clean, enhanced, noisy)]
        place_s = (place[0] / RATE_HZ, place[1] / RATE_HZ)
        return Case(scene.name, scene.source, name, scene.snr_db, kind, place_s, *grid)

    for name in systems:
        yield case(name, "honest", (0, 0), clean)
    for kind in KINDS:
        name = str(rng.choice(list(systems)))
        made = planted(scene.utterance, kind, rng, words_of(part))
        if made is not None:
            yield case(name, kind, made.place, made.samples)


def cases(part: str, folder: Path, count: int, seed: int = 1) -> Iterator[Case]:
    """All cases of a part: `count` noisy clips of recordings, a third as many of rooms and of spoken sentences."""
    folder.mkdir(parents=True, exist_ok=True)
    scenes = [
        *recorded_scenes(part, "denoising", count, seed),
        *recorded_scenes(part, "dereverberation", count // 3, seed),
    ]
    if part == "test":
        scenes += spoken_scenes(count // 3, seed)
    for number, scene in enumerate(scenes):
        path = folder / f"{part}-{scene.name}.npz"
        if not path.exists():
            made = list(cases_of(scene, part, clip_rng(seed + 100, number)))
            _write(path, made)
        yield from _read(path)


def _write(path: Path, made: list[Case]) -> None:
    facts = np.array([(c.clip, c.source, c.system, str(c.snr_db), c.kind, *map(str, c.place_s)) for c in made])
    as_int = [
        np.stack([np.rint(getattr(c, role) * 32768).clip(-32768, 32767) for c in made]).astype(np.int16)
        for role in ("clean", "enhanced", "noisy")
    ]
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        np.savez(file, facts=facts, clean=as_int[0][:1], enhanced=as_int[1], noisy=as_int[2][:1])
    partial.rename(path)


def _read(path: Path) -> Iterator[Case]:
    with np.load(path) as stored:
        facts, enhanced = stored["facts"], stored["enhanced"]
        clean, noisy = (stored[role][0].astype(np.float32) / 32768 for role in ("clean", "noisy"))
    for (clip, source, system, snr, kind, start, stop), e in zip(facts, enhanced, strict=True):
        place = (float(start), float(stop))
        yield Case(clip, source, system, float(snr), kind, place, clean, e.astype(np.float32) / 32768, noisy)
