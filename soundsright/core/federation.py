"""A federation of validators: what each publishes about the tasks that it judged, and about those it has read.

Blocks are counted, tasks are numbered by `block // interval`, digests are 64 hex digits of a SHA-256. Means are in
their metric's unit and rounded to `MEAN_DIGITS` digits, so that machines whose arithmetic differs in the last bits
publish the same bytes.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from soundsright.core.canonical import canonical_json
from soundsright.core.sources import Source
from soundsright.core.submission import is_salt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MEAN_DIGITS = 6
"""Digits after the point of a published mean."""
MAX_VALIDATORS = 256
"""The most validators in an allowlist."""
GATED_METRICS = ("PESQ_WB", "ESTOI", "SI_SDR")
"""The metrics whose means must be above the unprocessed input's, for an entry to pass."""
MAX_ROWS = 4_096
"""The most rows in a verdict."""
MAX_METRICS = 64
"""The most metrics of a competition."""
MAX_VIEW_TASKS = 10_000
"""The most tasks that a view lists."""
MAX_SPEECH_FACTS = 16
MAX_MEAN = 1e6
"""The largest published mean, in its metric's unit."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MAX_NAME_CHARS = 100


@dataclass(frozen=True)
class PeerPlace:
    """The bucket in which a validator of the federation publishes. `uid` is None if the organiser gave none."""

    hotkey: str
    bucket: str
    endpoint: str
    region: str = "auto"
    uid: int | None = None


@dataclass(frozen=True)
class JudgedRow:
    """One miner's result in one competition of a task.

    `block` and `uid` are those of its commitment. `passed` is the gate of the profile `doc`: no failed clip, and
    every gated mean above the unprocessed input's. `failures` is its number of failed clips, whose scores are the
    floors. `answers` is the Merkle root of its answers. `salt` opens its commitment on the chain, if it has one.

    Raises:
        ValueError: a number is negative, not finite, too large or not rounded, or a digest or a salt is
            none.
    """

    competition: str
    hotkey: str
    uid: int
    model: Source
    block: int
    passed: bool
    failures: int
    means: Mapping[str, float]
    answers: str
    salt: str = ""

    def __post_init__(self) -> None:
        _check_names((self.competition, self.hotkey, *self.means))
        _check_counts(uid=self.uid, block=self.block, failures=self.failures)
        _check_means(self.means)
        _check_digests((self.answers,))
        if type(self.passed) is not bool:
            raise ValueError(f"passed is {self.passed!r}, not true or false")
        if self.salt and not is_salt(self.salt):
            raise ValueError("a salt is not 32 hex digits")


@dataclass(frozen=True)
class StatedMaterial:
    """The recordings of a task's sets, as the validator states them.

    `digest` is that of the corpus. `public` are the competitions whose speech anybody may have heard. On a private
    corpus, `committed_block` is the block before the task in which the validator's hotkey committed to it, or None.
    `speech` describes the program that spoke new sentences; it is empty for recordings.

    Raises:
        ValueError: the digest has another form, a name is empty or twice, the block is negative, or the
            description is too long.
    """

    digest: str
    public: tuple[str, ...] = ()
    committed_block: int | None = None
    speech: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_digests((self.digest,))
        _check_names((*self.public, *self.speech, *(value for value in self.speech.values() if value != "")))
        if len(self.speech) > MAX_SPEECH_FACTS:
            raise ValueError(f"{len(self.speech)} facts about speech are more than {MAX_SPEECH_FACTS}")
        if len(set(self.public)) != len(self.public) or len(self.public) > MAX_ROWS:
            raise ValueError("a competition is twice among those with public speech")
        if self.committed_block is not None:
            _check_counts(committed_block=self.committed_block)


@dataclass(frozen=True)
class Verdict:
    """The results of one validator in one task.

    `block_hash` is the hash of the block that seeds the task, `block` the final block at which the validator began
    to judge it. `sets` are the digests of the sets by competition, `unprocessed` the means of the input itself.
    `previous` is the digest of this validator's verdict before this one; empty for its first. `material` says what
    the sets were drawn from. Without it, nobody knows whether the recordings were public.

    Raises:
        ValueError: a number is negative, not finite, too large or not rounded, a digest has another form, or rows
            are not in the order of `row_order`, each once, or of a competition without a set.
    """

    task: int
    validator: str
    block: int
    block_hash: str
    allowlist: str
    rules: str
    sets: Mapping[str, str]
    unprocessed: Mapping[str, Mapping[str, float]]
    rows: tuple[JudgedRow, ...]
    previous: str = ""
    material: StatedMaterial | None = None

    @cached_property
    def columns(self) -> Mapping[str, JudgedColumns]:
        """The rows of each competition as columns, computed once: every epoch aggregates most verdicts again."""
        rows: dict[str, list[JudgedRow]] = {competition: [] for competition in self.sets}
        for row in self.rows:
            rows[row.competition].append(row)
        return {name: _columns(own, sorted(self.unprocessed[name])) for name, own in rows.items()}

    @cached_property
    def _private_part(self) -> Verdict:
        public = set(self.sets) if self.material is None else set(self.material.public)
        return replace(self, rows=tuple(row for row in self.rows if row.competition not in public))

    @cached_property
    def without_rows(self) -> Verdict:
        """The verdict as one that judges nobody. Its task still counts."""
        return replace(self, rows=())

    @property
    def private(self) -> Verdict:
        """The verdict without the rows of competitions in which anybody may have heard the recordings.

        Its sets stay, so its task counts as one in which nobody was judged. It is made once, so its columns are
        computed once too. A verdict without `material` keeps no row.
        """
        # The verdict does not keep itself: then only the garbage collector could free it.
        return self if self.material is not None and not self.material.public else self._private_part

    def __post_init__(self) -> None:
        _check_names((self.validator, self.block_hash, *self.sets, *self.unprocessed))
        _check_counts(task=self.task, block=self.block)
        _check_digests(
            (self.allowlist, self.rules, *self.sets.values(), *([self.previous] if self.previous else ()))
        )
        if self.unprocessed.keys() != self.sets.keys():
            raise ValueError("sets and unprocessed are of different competitions")
        if self.material is not None and not set(self.material.public) <= self.sets.keys():
            raise ValueError("the material is public in a competition that has no set")
        for means in self.unprocessed.values():
            _check_names(means)
            _check_means(means)
        if len(self.rows) > MAX_ROWS:
            raise ValueError(f"{len(self.rows)} rows are more than {MAX_ROWS}")
        keys = [row_order(row) for row in self.rows]
        if any(after <= before for before, after in itertools.pairwise(keys)):
            raise ValueError("rows are not sorted by competition and hotkey, each once")
        if any(row.competition not in self.sets for row in self.rows):
            raise ValueError("a row is of a competition that has no set")


@dataclass(frozen=True, eq=False)
class JudgedColumns:
    """The rows of one competition in a verdict as columns.

    `entries` are block, hotkey, model and uid of each row. `models` name hotkey, model and commitment of each row.
    `metrics` are those of the unprocessed input. `means` are `(metrics, rows)`; a mean that a row does not have is
    NaN.
    """

    entries: tuple[tuple[int, str, str, int], ...]
    hotkeys: tuple[str, ...]
    models: tuple[str, ...]
    passed: NDArray[np.bool_]
    metrics: tuple[str, ...]
    means: NDArray[np.float64]


def _columns(rows: Sequence[JudgedRow], metrics: Sequence[str]) -> JudgedColumns:
    import numpy as np  # Here, because a miner reads the rules of a federation and needs no NumPy.

    means = [[row.means.get(metric, math.nan) for row in rows] for metric in metrics]
    return JudgedColumns(
        entries=tuple((row.block, row.hotkey, str(row.model), row.uid) for row in rows),
        hotkeys=tuple(row.hotkey for row in rows),
        models=tuple(f"{row.hotkey} {row.model} {row.block}" for row in rows),
        passed=np.array([row.passed for row in rows], dtype=np.bool_),
        metrics=tuple(metrics),
        means=np.array(means, dtype=np.float64).reshape(len(metrics), len(rows)),
    )


def row_order(row: JudgedRow) -> tuple[str, str]:
    """The order of a verdict's rows."""
    return row.competition, row.hotkey


@dataclass(frozen=True)
class View:
    """The verdicts that one validator had read by an epoch block, and the winners that it recorded last.

    `verdicts` has the digest of each verdict that it has read, found valid and mirrored, by task and validator.
    `evidence` has the digest of each proof of equivocation that it has verified and mirrored, by the task and the
    validator that the proof is against. `winners` are by competition.

    Raises:
        ValueError: a number is negative, there are too many tasks or validators, or a digest has another form.
    """

    epoch_block: int
    validator: str
    allowlist: str
    rules: str
    verdicts: Mapping[int, Mapping[str, str]]
    evidence: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    winners: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_counts(epoch_block=self.epoch_block)
        _check_names((self.validator, *self.winners, *self.winners.values()))
        _check_digests((self.allowlist, self.rules))
        for listed in (self.verdicts, self.evidence):
            if len(listed) > MAX_VIEW_TASKS:
                raise ValueError(f"{len(listed)} tasks are more than {MAX_VIEW_TASKS}")
            for task, digests in listed.items():
                _check_counts(task=task)
                _check_names(digests)
                _check_digests(digests.values())
                if len(digests) > MAX_VALIDATORS:
                    raise ValueError(f"{len(digests)} validators are more than {MAX_VALIDATORS}")


def has_passed(means: Mapping[str, float], unprocessed: Mapping[str, float], failures: int) -> bool:
    """Whether no clip failed, and each gated mean is above the unprocessed input's.

    Raises:
        KeyError: a gated metric is missing.

    >>> noisy = {"PESQ_WB": 1.5, "ESTOI": 0.5, "SI_SDR": 3.0}
    >>> has_passed({"PESQ_WB": 1.6, "ESTOI": 0.6, "SI_SDR": 3.1}, noisy, 0)
    True
    >>> has_passed({"PESQ_WB": 1.6, "ESTOI": 0.5, "SI_SDR": 3.1}, noisy, 0)
    False
    """
    return failures == 0 and all(means[metric] > unprocessed[metric] for metric in GATED_METRICS)


def rounded_means(means: Mapping[str, float]) -> dict[str, float]:
    """The means as they are published.

    Raises:
        ValueError: a mean is not finite.

    >>> rounded_means({"PESQ_WB": 2.123456789, "SI_SDR": -1e-9})
    {'PESQ_WB': 2.123457, 'SI_SDR': 0.0}
    """
    if not all(math.isfinite(mean) for mean in means.values()):
        raise ValueError("a mean is not finite")
    # Adding 0 turns -0.0, which has other bytes, into 0.0.
    return {metric: round(float(mean), MEAN_DIGITS) + 0.0 for metric, mean in means.items()}


def allowlist_json(validators: Iterable[str], interval: int) -> str:
    """The allowlist's object in its bucket: canonical JSON, with the validators sorted.

    >>> allowlist_json(["b", "a"], 100)
    '{"interval":100,"validators":["a","b"],"version":1}'
    """
    return canonical_json({"interval": interval, "validators": sorted(validators), "version": 1})


def allowlist_digest(validators: Iterable[str], interval: int) -> str:
    """The SHA-256 of `allowlist_json`, to which the organiser commits."""
    return hashlib.sha256(allowlist_json(validators, interval).encode()).hexdigest()


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if not isinstance(name, str) or not 1 <= len(name) <= _MAX_NAME_CHARS:
            raise ValueError(f"{str(name)[:_MAX_NAME_CHARS]!r} is not a name of 1 to {_MAX_NAME_CHARS} characters")


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if type(count) is not int or not 0 <= count < 2**63:
            raise ValueError(f"{name} is {str(count)[:_MAX_NAME_CHARS]}, not a whole number of 0 or more")


def _check_digests(digests: Iterable[str]) -> None:
    for digest in digests:
        if not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None:
            raise ValueError(f"{str(digest)[:_MAX_NAME_CHARS]!r} is not a digest of 64 hex digits")


def _check_means(means: Mapping[str, float]) -> None:
    if len(means) > MAX_METRICS:
        raise ValueError(f"{len(means)} metrics are more than {MAX_METRICS}")
    for metric, mean in means.items():
        if type(mean) is float and -MAX_MEAN <= mean <= MAX_MEAN and round(mean, MEAN_DIGITS) == mean:
            continue
        if type(mean) not in (int, float) or not (math.isfinite(mean) and abs(mean) <= MAX_MEAN):
            raise ValueError(f"{metric} is {str(mean)[:_MAX_NAME_CHARS]}, not a finite number up to {MAX_MEAN:g}")
        if round(mean, MEAN_DIGITS) != mean:
            raise ValueError(f"{metric} is {mean}, which has more than {MEAN_DIGITS} digits after the point")
