"""Prints digests of sets, scores and decisions, which must be the same on every machine.

    python scripts/same_bytes.py [--small] [--bits] [--progress] [--record | --record-golden-clips]

It draws small sets for each task and rate, scores answers to their clips with every metric that can decide, scores
answers to given recordings, and decides rounds on these scores and on drawn ones under every ruleset. WAV files and
shares must be equal to the last bit. Scores are compared as rounds decide on them, and the statistics
of decisions to nine digits. `--small` draws one clip of each set. `--bits` adds the values before rounding, to find
a difference before it matters. `--progress` prints the names of clips to standard error. `--record` writes
`tests/golden/same_bytes.json`, which `make cross` compares with other processors, and the digests of the golden
clips, by which every validator checks its own machine. `--record-golden-clips` writes only these.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.golden_rounds import golden_rounds  # noqa: E402
from soundsright.core.audio import Audio  # noqa: E402
from soundsright.core.canonical import canonical_json  # noqa: E402
from soundsright.core.competition import PUBLISHED, Competition  # noqa: E402
from soundsright.core.material import MIXED_NOISE, RECORDED_NOISE  # noqa: E402
from soundsright.core.results import ClipResult, Evaluation  # noqa: E402
from soundsright.core.rulesets import RULESETS  # noqa: E402
from soundsright.core.sources import ModelRef  # noqa: E402
from soundsright.core.submission import Submission  # noqa: E402
from soundsright.data.clips import corpus_sources  # noqa: E402
from soundsright.data.corpora import Corpus  # noqa: E402
from soundsright.data.encoding import sha256_of, wav_bytes  # noqa: E402
from soundsright.data.formulas import FORMULAS  # noqa: E402
from soundsright.data.noise_kinds import NOISE_KINDS  # noqa: E402
from soundsright.data.recipe import PUBLISHED_RECIPE, SetRecipe, SetTask  # noqa: E402
from soundsright.data.render import Rendered, clip_rng, render  # noqa: E402
from soundsright.metrics import floors, score_clip  # noqa: E402
from soundsright.ranking import decide  # noqa: E402
from soundsright.services import self_check  # noqa: E402
from soundsright.services.rounds import DECIDED_DECIMALS  # noqa: E402

GOLDEN = ROOT / "tests" / "golden" / "same_bytes.json"
METRICS = ("PESQ_WB", "PESQ_NB", "STOI", "ESTOI", "SI_SDR", "SI_SIR", "SI_SAR")
RATES_HZ = (16_000, 48_000)
SEED = 20
CLIPS = 3
GIVEN_CLIPS = 3
KINDS = {
    "": (PUBLISHED_RECIPE, MIXED_NOISE),
    "_no_balance": (SetRecipe(balance=False), MIXED_NOISE),
    "_no_variation": (SetRecipe(variation=False, balance=False), RECORDED_NOISE),
    "_measured_rooms": (SetRecipe(measured_rirs=1.0, early_reflections_s=0.05), MIXED_NOISE),
    "_degraded": (SetRecipe(band_limit=1.0, clipping=1.0, packet_loss=1.0), MIXED_NOISE),
}
"""The recipe and the noise of each kind of set."""
SHARES_OF_CLEAN = (15, 12, 8, 4, 0)
"""The answers: sixteenths of the clean signal, and the rest of the degraded one. The last is the input itself."""

Grid = NDArray[np.int16]


def clips(small: bool) -> Iterator[tuple[str, Rendered]]:
    """The clips of all sets, each with the name of its set."""
    corpus = Corpus.open()
    for kind, (recipe, noise) in KINDS.items():
        for task in SetTask:
            for rate in RATES_HZ:
                sources = corpus_sources(corpus, rate, recipe, noise=noise)
                for index in range(1 if small else CLIPS):
                    item = render(task, rate, SEED, index, sources=sources, recipe=recipe)
                    yield f"{task}_{rate}{kind}", item


def noises() -> dict[str, str]:
    """The digest of one second of every noise by formula, of both versions, as a 16-bit WAV and as floats."""
    found = {}
    for version, kinds in (("", FORMULAS), ("_old", NOISE_KINDS)):
        for name, make in kinds.items():
            for rate in RATES_HZ:
                samples = make(clip_rng(SEED, 0), rate, rate)
                found[f"{name}_{rate}{version}"] = sha256_of(samples.astype("<f4").tobytes())
    return found


def answer(clean: Grid, degraded: Grid, sixteenths: int) -> Grid:
    """A mixture of both signals, by integers only, so that only the measures are compared."""
    mixed = (sixteenths * clean.astype(np.int32) + (16 - sixteenths) * degraded.astype(np.int32)) >> 4
    return mixed.astype(np.int16)


def scored(clean: Grid, degraded: Grid, rate: int, sixteenths: int) -> dict[str, float]:
    """The scores of an answer under every metric of `METRICS`."""
    signals = (clean, answer(clean, degraded, sixteenths), degraded)
    reference, enhanced, noisy = (Audio(each.astype(np.float32) / np.float32(32768.0), rate) for each in signals)
    return score_clip(reference, enhanced, noisy, METRICS)


def given_clips(rate: int) -> Iterator[tuple[str, Grid, Grid]]:
    """Recordings of speech, and the same with a noise at half its level, by integers only.

    Their samples are taken as if they had this rate, so nothing is resampled: the measures are compared alone.
    """
    corpus = Corpus.open()
    speech = [each for each in corpus.speech if (each.sample_rate_hz == RATES_HZ[0]) == (rate == RATES_HZ[0])]
    for number in range(GIVEN_CLIPS):
        clean, noise = (
            soundfile.read(each.path, dtype="int16", always_2d=True)[0][: 4 * rate, 0]
            for each in (speech[number], corpus.noise[number])
        )
        degraded = clean.astype(np.int32) + (np.resize(noise, clean.shape).astype(np.int32) >> 1)
        yield f"{rate}/{number}", clean, np.clip(degraded, -32768, 32767).astype(np.int16)


def measured_rounds(by_rate: Mapping[int, Mapping[str, list[dict[str, float]]]]) -> dict[str, Any]:
    """Every ruleset's decisions on the scores at each published competition's rate, `{rate: {clip: scores}}`."""
    found: dict[str, Any] = {}
    for competition in PUBLISHED:
        by_clip = by_rate[competition.sample_rate_hz]
        entries = [_evaluation(competition, number, by_clip) for number in range(len(SHARES_OF_CLEAN))]
        for ruleset in RULESETS:
            board = decide(
                competition, "same", entries[:-1], {}, ruleset, entries[-1],
                floors=floors((*METRICS,)), at_block=30_000,
            )  # fmt: skip
            found[f"{competition.id} {ruleset.name}"] = {
                "standings": [
                    [s.submission.hotkey, s.metric, s.share, s.rank, s.needed, s.reason] for s in board.standings
                ],
                "decisions": [[d.metric, d.sentence, dict(d.evidence)] for d in board.decisions],
            }
    return found


def _evaluation(competition: Competition, number: int, by_clip: Mapping[str, list[dict[str, float]]]) -> Evaluation:
    reference = ModelRef("same", f"model-{number}", f"{number:040x}")
    submission = Submission(number, f"entry-{number}", competition, reference, 10_000 + number)
    results = tuple(ClipResult(clip, rounded(answers[number])) for clip, answers in by_clip.items())
    return Evaluation(submission, "same", results)


def to_nine_digits(value: Any) -> Any:
    """The value with every float as text of nine digits, but shares of prizes in full."""
    if isinstance(value, dict):
        return {name: to_nine_digits(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [to_nine_digits(each) for each in value]
    return f"{value:.9g}" if isinstance(value, float) else value


def decisions(boards: Mapping[str, Any]) -> dict[str, str]:
    """The digest of each board: shares of prizes to the last bit, everything else to nine digits."""
    found = {}
    for name, board in boards.items():
        shares = [[hotkey, metric, share.hex()] for hotkey, metric, share, *_ in board["standings"]]
        found[name] = _digest([shares, to_nine_digits(board)])
    return found


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def rounded(scores: Mapping[str, float]) -> dict[str, float]:
    return {metric: round(score, DECIDED_DECIMALS) for metric, score in scores.items()}


def drawn(small: bool, note: Callable[[str], None]) -> dict[str, dict[str, Any]]:
    """The WAV digests of drawn clips, the scores of one answer to each, and the values before rounding."""
    parts: dict[str, dict[str, Any]] = {"wav": {}, "scores": {}, "bits": {}}
    for number, (of_set, item) in enumerate(clips(small), 1):
        name = f"{of_set}/{item.id}"
        note(f"clip {number} of {len(KINDS) * len(SetTask) * len(RATES_HZ) * (1 if small else CLIPS)}: {name}")
        for role, samples in item.grid.items():
            parts["wav"][f"{name}/{role}"] = sha256_of(wav_bytes(samples, item.sample_rate_hz))
            parts["bits"][f"{name}/{role}"] = sha256_of(item.signals[role].astype("<f4").tobytes())
        scores = scored(item.grid["clean"], item.grid[item.degraded], item.sample_rate_hz, SHARES_OF_CLEAN[1])
        parts["scores"][name] = rounded(scores)
        parts["bits"][name] = {metric: score.hex() for metric, score in scores.items()}
    return parts


def unsaid(progress: str) -> None:
    """Say nothing of the progress."""


def digests(*, small: bool = False, bits: bool = False, note: Callable[[str], None] = unsaid) -> dict[str, Any]:
    """All digests, in parts: `wav`, `noise`, `scores` of drawn clips, `measures` of given ones, and `decisions`.

    With `bits`, a part of that name has the values before rounding. `note` gets a sentence before each slow step.
    """
    parts = drawn(small, note)
    note("noises")
    parts["noise"] = noises()
    note("scores of given clips")
    answers = {
        rate: {
            name: [scored(clean, degraded, rate, share) for share in SHARES_OF_CLEAN]
            for name, clean, degraded in given_clips(rate)
        }
        for rate in RATES_HZ
    }
    of_clips = {
        f"{name}/{i}": s for clips in answers.values() for name, each in clips.items() for i, s in enumerate(each)
    }
    parts["measures"] = {name: rounded(scores) for name, scores in of_clips.items()}
    parts["bits"] |= {
        name: {metric: score.hex() for metric, score in scores.items()} for name, scores in of_clips.items()
    }
    note("decisions")
    boards = measured_rounds(answers)
    if not small:
        for ruleset in RULESETS:
            rounds = golden_rounds(ruleset)["rounds"]
            boards |= {f"{ruleset.name} {name}": board for name, board in rounds.items()}
    parts["decisions"] = decisions(boards)
    parts["bits"]["boards"] = _digest(boards)
    if not bits:
        del parts["bits"]
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(description="Print digests that must be the same on every machine.")
    parser.add_argument("--small", action="store_true", help="draw one clip of each set, and skip drawn scores")
    parser.add_argument("--bits", action="store_true", help="add the values before rounding")
    parser.add_argument("--progress", action="store_true", help="print the names of clips to standard error")
    parser.add_argument("--record", action="store_true", help="write all recorded digests")
    parser.add_argument(
        "--record-golden-clips", action="store_true", help=f"write {self_check.GOLDEN.relative_to(ROOT)}"
    )
    chosen = parser.parse_args()
    if chosen.record or chosen.record_golden_clips:
        golden = json.dumps(self_check.measured(), indent=1, sort_keys=True)
        self_check.GOLDEN.write_text(golden + "\n", encoding="utf-8")
    if chosen.record_golden_clips:
        return
    note = (lambda said: print(said, file=sys.stderr, flush=True)) if chosen.progress else unsaid
    text = json.dumps(digests(small=chosen.small, bits=chosen.bits, note=note), indent=0, sort_keys=True)
    if chosen.record:
        GOLDEN.write_text(text + "\n", encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
