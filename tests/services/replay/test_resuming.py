"""A replay that was stopped continues: what it computed is used again, if it is still what was computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from soundsright.core.audio import Samples
from soundsright.core.errors import ModelCrashed
from soundsright.services.records import RoundBundle
from soundsright.services.replay import KeptWork, ReplayReport, pairs_of, run_again
from tests.services.replay.bundled import CLIPS, MODELS, Bundled, Model, answers_of
from tests.services.replay.test_depths import failed


class Counted:
    """The models of the round, which count their calls, and are stopped by Ctrl-C at one of them."""

    def __init__(self, models: Mapping[str, Model] = MODELS, *, stop_at: int = 0) -> None:
        self.calls: Counter[str] = Counter()
        self._stop_at = stop_at
        self.models: dict[str, Model] = {name: self._counted(name, model) for name, model in models.items()}

    def _counted(self, name: str, model: Model) -> Model:
        def enhance(samples: Samples) -> Samples:
            if self._stop_at and self.calls.total() + 1 == self._stop_at:
                raise KeyboardInterrupt
            self.calls[name] += 1
            return model(samples)

        return enhance


def run(world: Bundled, bundle: RoundBundle, folder: Path, models: Counted, *, document: str = "") -> ReplayReport:
    with closing(KeptWork(folder, document or bundle.opened.sha256)) as kept:
        return run_again(bundle, pairs_of(bundle), replace(world.ports(folder, models=models.models), kept=kept))


def stopped(world: Bundled, bundle: RoundBundle, folder: Path, *, at: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(world, bundle, folder, Counted(stop_at=at))


def test_only_the_missing_answers_are_computed_after_a_stop(
    world: Bundled, bundle: RoundBundle, tmp_path: Path
) -> None:
    stopped(world, bundle, tmp_path, at=CLIPS + 2)
    models = Counted()
    report = run(world, bundle, tmp_path, models)
    assert models.calls.total() == len(MODELS) * CLIPS - (CLIPS + 1)
    assert (report.difference, answers_of(report)) == (None, {len(MODELS) * CLIPS})


def test_the_set_is_not_drawn_twice(
    world: Bundled, bundle: RoundBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(world, bundle, tmp_path, at=2)
    monkeypatch.setattr("soundsright.services.replay.running.start_set", lambda *_a, **_k: pytest.fail("drawn"))
    assert run(world, bundle, tmp_path, Counted()).difference is None


@pytest.mark.parametrize("where", ["sets", "answers"])
def test_kept_audio_that_changed_is_computed_again(
    world: Bundled, bundle: RoundBundle, tmp_path: Path, where: str
) -> None:
    stopped(world, bundle, tmp_path, at=CLIPS + 2)
    for path in (tmp_path / where).rglob("*.wav"):
        raw = bytearray(path.read_bytes())
        raw[-1] ^= 1
        path.write_bytes(raw)
    models = Counted()
    assert run(world, bundle, tmp_path, models).difference is None
    assert models.calls.total() == len(MODELS) * CLIPS - (CLIPS + 1 if where == "sets" else 0)


def test_the_answers_of_another_round_are_not_used(world: Bundled, bundle: RoundBundle, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(world, bundle, tmp_path, Counted(stop_at=CLIPS + 2), document="ab" * 32)
    models = Counted()
    assert run(world, bundle, tmp_path, models).difference is None
    assert models.calls.total() == len(MODELS) * CLIPS


@pytest.mark.parametrize("text", ["", "{", '{"schema": 1}\n[]\n', "\x00\n", '{"batch": 7}\n'])
def test_a_damaged_list_is_not_used(world: Bundled, bundle: RoundBundle, tmp_path: Path, text: str) -> None:
    stopped(world, bundle, tmp_path, at=CLIPS + 2)
    (kept,) = tmp_path.glob("*.jsonl")
    header = kept.read_text().splitlines(keepends=True)[0] if text.startswith('{"batch"') else ""
    kept.write_text(header + text)
    models = Counted()
    assert run(world, bundle, tmp_path, models).difference is None
    assert models.calls.total() == len(MODELS) * CLIPS


def test_a_line_that_was_cut_loses_one_batch(world: Bundled, bundle: RoundBundle, tmp_path: Path) -> None:
    stopped(world, bundle, tmp_path, at=CLIPS + 2)
    (kept,) = tmp_path.glob("*.jsonl")
    kept.write_text(kept.read_text()[:-9])
    models = Counted()
    assert run(world, bundle, tmp_path, models).difference is None
    assert models.calls.total() == len(MODELS) * CLIPS - CLIPS


def test_a_failure_is_kept_and_counts_as_one_after_a_stop(
    world: Bundled, bundle: RoundBundle, tmp_path: Path
) -> None:
    def crash(_samples: Samples) -> Samples:
        raise ModelCrashed("ended", 1)

    crashing = {**MODELS, "content-alice": crash}
    pairs = [failed(p, "crashed") if p.line.entry == "alice" else p for p in pairs_of(bundle)]
    for stop_at in (CLIPS + 2, 0):
        models = Counted(crashing, stop_at=stop_at)
        with closing(KeptWork(tmp_path, bundle.opened.sha256)) as kept:
            ports = replace(world.ports(tmp_path, models=models.models), kept=kept)
            if stop_at:
                with pytest.raises(KeyboardInterrupt):
                    run_again(bundle, pairs, ports)
            else:
                assert run_again(bundle, pairs, ports).difference is None
                assert models.calls["content-alice"] == 0


def test_a_replay_that_ended_leaves_nothing_to_continue(
    world: Bundled, bundle: RoundBundle, tmp_path: Path
) -> None:
    for _ in range(2):
        models = Counted()
        kept = KeptWork(tmp_path, bundle.opened.sha256)
        run_again(bundle, pairs_of(bundle), replace(world.ports(tmp_path, models=models.models), kept=kept))
        assert models.calls.total() == len(MODELS) * CLIPS
        kept.forget()


def test_progress_counts_every_answer_and_says_which_were_kept(
    world: Bundled, bundle: RoundBundle, tmp_path: Path
) -> None:
    stopped(world, bundle, tmp_path, at=CLIPS + 2)
    shown: list[tuple[int, int]] = []
    with closing(KeptWork(tmp_path, bundle.opened.sha256)) as kept:
        assert kept.answers == CLIPS + 1
        ports = replace(world.ports(tmp_path), kept=kept, progress=lambda *each: shown.append(each))
        run_again(bundle, pairs_of(bundle), ports)
    total = len(MODELS) * CLIPS
    assert shown == [(done, total) for done in range(total + 1)]
