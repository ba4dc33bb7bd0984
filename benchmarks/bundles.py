"""Time and size of a round's bundle: 64 entries, 100 clips. `python -m benchmarks.bundles`.

The round is artificial: its signals are tones in noise. Prints the seconds to make the record, to pack it, to
verify it without audio and to verify all audio, and the size of the audio as a share of WAV. Run it when idle.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from soundsright.adapters.peers import Hotkey, valid_signature
from soundsright.core.audio import Audio
from soundsright.services.records import (
    check_audio,
    check_bundle,
    open_bundle,
    results_of,
    round_record,
    scores_of,
    write_bundle,
    write_record,
)
from soundsright.services.rounds import write_wav
from tests.services.rounds.subnet import Subnet

T = TypeVar("T")
CLIPS = 100
RATE_HZ = 16_000


def timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def speech_like(rng: np.random.Generator, seconds: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Tones with a slow envelope and a little noise, at about -23 dB."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    voiced = sum(np.sin(2 * np.pi * 140 * k * t + rng.uniform(0, 6)) / k for k in range(1, 9))
    envelope = np.clip(np.sin(2 * np.pi * 3 * t), 0, None)
    signal: np.ndarray[tuple[int], np.dtype[np.float32]] = (
        0.08 * envelope * voiced + rng.normal(scale=0.01, size=len(t))
    ).astype(np.float32)
    return signal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=64)
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--seconds", type=float, default=4.0, help="Length of a clip with --audio.")
    parser.add_argument("--audio", action="store_true", help="Fill the audio, pack it and check it.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        measure(Path(temporary), options)


def measure(folder: Path, options: argparse.Namespace) -> None:
    from dataclasses import replace

    subnet = Subnet(folder / "round", ())
    for number in range(options.entries):
        subnet.enter(f"miner-{number:03d}", 0.3 + number / 200)
    close = subnet.chain.head().number
    subnet.round = replace(subnet.round, entries_close_block=close, seed_block=subnet.chain.advance(5).number)
    subnet.chain.advance(5)
    measures = replace(subnet.plan().measures, clips=options.clips)
    outcome, round_s = timed(lambda: subnet.run(measures=measures, batch_audio_s=1e4))
    run = subnet.folder / "run"
    if options.audio:
        rng = np.random.default_rng(7)
        for path in sorted(run.rglob("*.wav")):
            write_wav(path, Audio(speech_like(rng, options.seconds), RATE_HZ))
    results = results_of(outcome)
    record, record_s = timed(lambda: round_record(outcome, results, scores_of(outcome), subnet.state, run))
    _, write_s = timed(lambda: write_record(record, run, Hotkey.of_seed("vera")))
    packed, pack_s = timed(lambda: write_bundle(run, folder / "round.zip", audio=options.audio))
    print(f"round of {options.entries} entries x {options.clips} clips, artificial models: {round_s:.2f} s")
    print(f"record: {record_s:.2f} s, written in {write_s:.2f} s; packed in {pack_s:.2f} s")

    def verify() -> float:
        with open_bundle(folder / "round.zip", valid_signature=valid_signature) as bundle:
            checked = check_bundle(bundle)
            return 0.0 if not options.audio else timed(lambda: check_audio(bundle, checked))[1]

    audio_s, verify_s = timed(verify)
    print(f"verified without audio: {verify_s - audio_s:.2f} s of 2 s")
    if options.audio:
        share = packed.stored_bytes / packed.wav_bytes
        print(f"{packed.signals} signals: {share:.0%} of WAV, verified in {audio_s:.2f} s")


if __name__ == "__main__":
    main()
