"""The ports: protocols for everything that the services need from outside.

Adapters implement them, and `soundsright.testing` has a fake of each. Times are in seconds, sizes in bytes.
This package needs no NumPy, because a miner imports it and has none.
"""

from soundsright.core.ports.chain import (
    Account,
    BlockRef,
    Chain,
    LiveChain,
    Neuron,
    Snapshot,
    SubnetRules,
    Timelock,
    TxResult,
)
from soundsright.core.ports.hubs import ModelHub, Publisher
from soundsright.core.ports.machine import Clock, Pool
from soundsright.core.ports.peers import Peers, Reply
from soundsright.core.ports.runners import (
    Answer,
    DegradedClip,
    ImageRunner,
    Runner,
    RunningModel,
    Sandbox,
    SandboxLimits,
)
from soundsright.core.ports.speech import RoundSpeech, SpeechSource
from soundsright.core.ports.state import StateStore, TitleRow

__all__ = [
    "Account",
    "Answer",
    "BlockRef",
    "Chain",
    "Clock",
    "DegradedClip",
    "ImageRunner",
    "LiveChain",
    "ModelHub",
    "Neuron",
    "Peers",
    "Pool",
    "Publisher",
    "Reply",
    "RoundSpeech",
    "Runner",
    "RunningModel",
    "Sandbox",
    "SandboxLimits",
    "Snapshot",
    "SpeechSource",
    "StateStore",
    "SubnetRules",
    "Timelock",
    "TitleRow",
    "TxResult",
]
