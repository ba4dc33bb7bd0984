"""The ports: protocols for everything that the services need from outside.

Adapters implement them, and `soundsright.testing` has a fake of each. Times are in seconds, sizes in bytes.
This package needs no NumPy, because a miner imports it and has none.
"""

from soundsright.core.ports.buckets import (
    MAX_KEY_BYTES,
    Bucket,
    ETag,
    StoredObject,
    checked_key,
    checked_prefix,
    is_key,
)
from soundsright.core.ports.chain import (
    Account,
    BlockRef,
    Chain,
    LiveChain,
    Neuron,
    Snapshot,
    SubnetRules,
    Timelock,
    Transfer,
    Treasury,
    TxResult,
)
from soundsright.core.ports.hubs import ModelHub, Publisher
from soundsright.core.ports.images import (
    AcceptedImage,
    ImageExecutor,
    ScoreTable,
    SubmissionBoard,
    TakenSubmissions,
)
from soundsright.core.ports.machine import Clock, EnergyMeter, Pool
from soundsright.core.ports.peers import Peers, Reply
from soundsright.core.ports.provers import (
    AnswerSignature,
    LiveProvers,
    Prover,
    ProverAnswer,
    Provers,
    ProverStream,
    Question,
    StreamOpening,
)
from soundsright.core.ports.runners import (
    Answer,
    DegradedClip,
    ImageBuilder,
    ImageKeeper,
    ImageRunner,
    MeteredModel,
    ModelStream,
    Runner,
    RunningModel,
    Sandbox,
    SandboxLimits,
    StreamingModel,
)
from soundsright.core.ports.speech import RoundSpeech, SpeechSource
from soundsright.core.ports.state import StateStore, TitleRow
from soundsright.core.ports.tables import AccountEvent, Accounts, Counters, NewRecord, Record, Records

__all__ = [
    "MAX_KEY_BYTES",
    "AcceptedImage",
    "Account",
    "AccountEvent",
    "Accounts",
    "Answer",
    "AnswerSignature",
    "BlockRef",
    "Bucket",
    "Chain",
    "Clock",
    "Counters",
    "DegradedClip",
    "ETag",
    "EnergyMeter",
    "ImageBuilder",
    "ImageExecutor",
    "ImageKeeper",
    "ImageRunner",
    "LiveChain",
    "LiveProvers",
    "MeteredModel",
    "ModelHub",
    "ModelStream",
    "Neuron",
    "NewRecord",
    "Peers",
    "Pool",
    "Prover",
    "ProverAnswer",
    "ProverStream",
    "Provers",
    "Publisher",
    "Question",
    "Record",
    "Records",
    "Reply",
    "RoundSpeech",
    "Runner",
    "RunningModel",
    "Sandbox",
    "SandboxLimits",
    "ScoreTable",
    "Snapshot",
    "SpeechSource",
    "StateStore",
    "StoredObject",
    "StreamOpening",
    "StreamingModel",
    "SubmissionBoard",
    "SubnetRules",
    "TakenSubmissions",
    "Timelock",
    "TitleRow",
    "Transfer",
    "Treasury",
    "TxResult",
    "checked_key",
    "checked_prefix",
    "is_key",
]
