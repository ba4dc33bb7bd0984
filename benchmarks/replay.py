"""Measures how long `soundsright replay --decide` takes for a large round, and the checks of its bundle.

    OPENBLAS_NUM_THREADS=1 python benchmarks/replay.py [--entries 64] [--clips 100]

The round is run on fakes: its models answer at once, and its scores are drawn. Everything else is a validator's
code, and its bundle has the files of a real one, without audio.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from soundsright.core.competition import PUBLISHED
from soundsright.core.competition_rules import CompetitionRules, Measures
from soundsright.core.rulesets import RULESETS
from soundsright.core.schedule import Round
from soundsright.core.sources import ModelRef
from soundsright.metrics import floors
from soundsright.services.records import (
    check_bundle,
    open_bundle,
    results_of,
    round_record,
    scores_of,
    write_bundle,
    write_record,
)
from soundsright.services.replay import decided_again
from soundsright.services.rounds import (
    RoundContext,
    RoundPlan,
    RoundService,
    draw_to_disk,
    evidence_of_files,
    score_files,
)
from soundsright.testing import (
    Behaviour,
    FakeChain,
    FakeHub,
    FakeRepository,
    FakeSandbox,
    InlinePool,
    MemoryState,
    VirtualClock,
    salted_reveal,
)
from soundsright.testing.simulation.world import draw_fake_clips, score_fake_clip, see_fake_clip

COMPETITION = PUBLISHED[0]
FAKE_JOBS: Mapping[Callable[..., Any], Callable[..., Any]] = {
    draw_to_disk: draw_fake_clips,
    score_files: score_fake_clip,
    evidence_of_files: see_fake_clip,
}
METRICS = tuple(COMPETITION.metric_weights)


def bundle_of_fakes(folder: Path, entries: int, clips: int) -> Path:
    """The bundle of a round with that many entries and clips."""
    chain = FakeChain()
    chain.register("owner")
    chain.register("validator", permit=True)
    (folder / "model").mkdir()
    (folder / "model" / "Dockerfile").write_text("FROM base\n")
    hub = FakeHub(folder / "model")
    reveals = {}
    for number in range(entries):
        name = f"miner-{number:03d}"
        chain.register(name)
        model = ModelRef(name, "model", f"{number:040x}")
        behaviour = Behaviour(0.3 + 0.6 * number / entries)
        hub.repositories[model] = FakeRepository(f"content-{number}", behaviour=behaviour)
        reveals[name] = salted_reveal(model, name, COMPETITION.id, f"content-{number}")
        chain.publish(name, reveals[name].digest(name))
    close = chain.head().number
    blocks = Round("benchmark", close, chain.advance(5).number)
    chain.advance(5)
    state, run = MemoryState(), folder / "run"
    plan = RoundPlan(
        blocks,
        CompetitionRules((COMPETITION,), RULESETS[0]),
        Measures(clips, METRICS, floors(METRICS)),
        burn_uid=0,
        pay_on_public_corpus=True,
    )
    context = RoundContext(
        plan,
        chain=chain,
        hub=hub,
        sandbox=FakeSandbox(hub.behaviour),
        state=state,
        pool=InlinePool(FAKE_JOBS),
        clock=VirtualClock(1e9),
        folder=run,
        validator="validator",
        slots=1,
        workers=1,
    )
    outcome = RoundService(context, reveals).run()
    write_record(round_record(outcome, results_of(outcome), scores_of(outcome), state, run), run, None)
    write_bundle(run, folder / "round.zip", audio=False)
    return folder / "round.zip"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=64)
    parser.add_argument("--clips", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        path = bundle_of_fakes(Path(name), options.entries, options.clips)
        started = time.process_time()
        with open_bundle(path) as bundle:
            check_bundle(bundle)
            checked = time.process_time()
            report = decided_again(bundle)
        decided = time.process_time()
    print(f"{options.entries} entries x {options.clips} clips, bundle without audio {path.name}")
    print(f"checks of the bundle  {checked - started:6.2f} s of processor time")
    print(f"decided again         {decided - checked:6.2f} s of processor time")
    print(", ".join(f"{number} {what}" for what, number in report.checked.items()))
    print("same" if report.is_same else str(report.difference))


if __name__ == "__main__":
    main()
