"""The answers of one model of a round, given again in the batches of the round.

Answers are kept as 16-bit WAV. After a stop, the batches that were answered before are not answered again.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from soundsright.core.audio import Audio, Samples, on_pcm16_grid
from soundsright.core.errors import ModelFault
from soundsright.core.material import Material
from soundsright.core.ports import Answer, ModelHub, Pool, Runner
from soundsright.core.results import Failure
from soundsright.core.submission import FetchedModel
from soundsright.services.replay.keeping import KeptBatch, KeptWork
from soundsright.services.rounds import ClipSet, RoundPlan, batches_of, read_wav, write_wav

MAX_FAILED_BATCHES = 2
_Batch = tuple[str, ...]


@dataclass(frozen=True)
class RunPorts:
    """The ports that a replay needs to run models. `folder` receives the sets and the answers.

    `progress` gets the number of results that were given again, and `fetching` the number of models that were
    fetched, each with the number of all. `kept` is the work of a replay that was stopped; None if nothing is kept.
    """

    hub: ModelHub
    sandbox: Runner
    pool: Pool
    material: Material
    folder: Path
    workers: int = 1
    progress: Callable[[int, int], None] = lambda _done, _total: None
    fetching: Callable[[int, int], None] = lambda _done, _total: None
    kept: KeptWork | None = None


@dataclass(frozen=True)
class GivenAnswers:
    """The answers of one model under the plan of its round, in its run `run`: the first or the second."""

    plan: RoundPlan
    model: FetchedModel
    clips: ClipSet
    ports: RunPorts
    run: Literal[1, 2]

    @property
    def folder(self) -> Path:
        return self.ports.folder / "answers" / str(self.run) / self.model.submission.entry_id

    def path(self, clip_id: str) -> Path:
        return self.folder / f"{clip_id}.wav"

    def samples(self, clip_id: str) -> Samples:
        """The answer to a clip that the model answered."""
        return read_wav(self.path(clip_id)).samples

    def to(self, clip_ids: _Batch) -> Iterator[tuple[str, str | Failure]]:
        """The SHA-256 of the answer to each clip, or its failure, in batches of the size that the round used.

        As in the round, a model that fails is started again, and given up after `MAX_FAILED_BATCHES` batches.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        batches = deque(batches_of(clip_ids, self.clips.durations_s, self.plan.batch_audio_s))
        failures: list[Failure] = []
        while batches and len(failures) < MAX_FAILED_BATCHES and (kept := self._kept(batches[0])) is not None:
            del batches[0]
            yield from kept.items()
            if kept.fault:
                failures += [answer for _, answer in kept.items()[-1:] if isinstance(answer, Failure)]
        while batches and len(failures) < MAX_FAILED_BATCHES:
            try:
                with self.ports.sandbox.run(self.model, limits=self.plan.sandbox_limits) as running:
                    while batches:
                        answers = running.enhance([self.clips.degraded(clip_id) for clip_id in batches[0]])
                        own = {answer.clip_id: self._written(answer) for answer in answers}
                        self._keep(batches.popleft(), own, fault=False)
                        yield from own.items()
            except ModelFault as fault:
                failures.append(Failure(fault.code, str(fault)))
                own = dict.fromkeys(batches[0], failures[-1])
                self._keep(batches.popleft(), own, fault=True)
                yield from own.items()
        for batch in batches:
            yield from ((clip_id, failures[-1]) for clip_id in batch)

    def _kept(self, batch: _Batch) -> KeptBatch | None:
        if self.ports.kept is None:
            return None
        return self.ports.kept.batch(self._line(dict.fromkeys(batch, "0" * 64), fault=False), self.path)

    def _keep(self, batch: _Batch, answers: Mapping[str, str | Failure], *, fault: bool) -> None:
        if self.ports.kept is not None and set(answers) == set(batch):
            self.ports.kept.add_batch(self._line({clip_id: answers[clip_id] for clip_id in batch}, fault=fault))

    def _line(self, answers: Mapping[str, str | Failure], *, fault: bool) -> KeptBatch:
        return KeptBatch(
            entry=self.model.submission.entry_id,
            content=self.model.content_hash,
            run=self.run,
            answers={c: a if isinstance(a, str) else (a.code, a.detail[:400]) for c, a in answers.items()},
            fault=fault,
        )

    def _written(self, answer: Answer) -> str | Failure:
        audio = answer.audio
        if audio is None:
            return answer.failure or Failure("", "")
        write_wav(self.path(answer.clip_id), Audio(on_pcm16_grid(audio.samples), audio.sample_rate_hz))
        return hashlib.sha256(self.path(answer.clip_id).read_bytes()).hexdigest()
