"""The forms of the API's answers, also for its description. Blocks are counted, rates are from 0 to 1."""

from __future__ import annotations

from pydantic import BaseModel


class Health(BaseModel):
    """Sent while the database answers. `task` is null while the chain does not."""

    status: str
    task: int | None


class Overview(BaseModel):
    """The present turn and the numbers of what is shown. The turn is null while the chain does not answer."""

    block: int | None
    task: int | None
    sampler: str | None
    validators: int
    online: int
    miners: int
    active: int
    tasks: int
    samples: int
    competitions: list[str]
    profile: str
    rules: str


class MinerRow(BaseModel):
    """A miner as the validators' reports have it. `valid` is the opinion of a strict majority of them, or null."""

    hotkey: str
    uid: int | None
    valid: bool | None
    votes_valid: int
    votes: int
    reason: str
    blacklisted: bool


class MinerScore(BaseModel):
    """A miner in one competition, by the canonical verdicts of the window."""

    competition: str
    passed_count: int
    tasks: int
    pass_rate: float
    rank: int
    eligible: bool


class MinerPage(MinerRow):
    scores: list[MinerScore]


class SampleRow(BaseModel):
    """A sample as a validator sent it. `number` is its place in the order of arrival."""

    number: int
    validator_hotkey: str
    task: int
    competition: str
    miner_hotkey: str
    uid: int | None
    model: str
    block: int
    passed: bool
    failures: int
    means: dict[str, float]
    answers: str
    verdict: str
    unprocessed: dict[str, float] = {}


class ValidatorRow(BaseModel):
    """A validator's part in the last window of tasks. `permissioned`: it may write to this API."""

    hotkey: str
    uid: int | None
    online: bool
    tasks_sampled: int
    expected_turns: int
    participation_rate: float
    permissioned: bool


class ScoreRow(BaseModel):
    """One validator's results of one miner in the window's canonical verdicts."""

    miner_hotkey: str
    validator_hotkey: str
    tasks: int
    passed_count: int
    pass_rate: float


class RankRow(BaseModel):
    miner_hotkey: str
    uid: int | None
    rank: int
    passed_count: int
    pass_rate: float
    block: int
    eligible: bool


class Stats(BaseModel):
    """The numbers behind the ranks of one competition. `first_task` is null if the window is empty."""

    competition: str
    miners: int
    eligible: int
    tasks: int
    first_task: int | None
    last_task: int | None
    validators: int


class Link(BaseModel):
    validator_hotkey: str
    key: str
    url: str


class TaskPage(BaseModel):
    """A task: whose turn it was in order, who sampled it, whose verdict counts, and links to its audio.

    `unread` are the validators whose buckets did not answer: it is unknown which audio they have.
    """

    task: int
    order: list[str]
    sampled_by: list[str]
    canonical: str | None
    samples: list[SampleRow]
    media: list[Link]
    unread: list[str]


class Winner(BaseModel):
    """The winner that a strict majority of the validators' reports names. `hotkey` is null without a majority."""

    competition: str
    hotkey: str | None
    votes: int
    reports: int


class WeightsPage(BaseModel):
    """The weights that follow from the winners. What no majority gives is not in them."""

    winners: list[Winner]
    weights: dict[str, float]


class Counted(BaseModel):
    """The number of samples that were sent, and of those that were new."""

    count: int
    new: int


class Replaced(BaseModel):
    count: int


class Listed(BaseModel):
    """A miner in the blacklist."""

    hotkey: str
    reason: str


class Changed(BaseModel):
    """Whether the request changed the list."""

    hotkey: str
    changed: bool
