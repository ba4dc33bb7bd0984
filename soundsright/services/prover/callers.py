"""The hotkeys that may call a prover. Stakes are in the chain's own unit, times in seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from soundsright.core.errors import RequestRefused
from soundsright.core.ports import LiveChain, Neuron
from soundsright.services.http import SharedReading


@dataclass(frozen=True)
class CallerRules:
    """The callers that a prover answers.

    With `force_permit`, a caller needs the permit of a validator. Without `allow_non_registered`, it must be
    registered. `min_stake` is the least stake of a registered caller. The hotkeys of `named` may always call.
    """

    force_permit: bool = True
    allow_non_registered: bool = False
    min_stake: float = 0.0
    named: Collection[str] = ()


class PermittedCallers:
    """The callers that the chain and the rules permit. Any thread may call it.

    The chain is read at most every 12 seconds, and not at all if everybody may call.
    """

    def __init__(
        self, chain: LiveChain, rules: CallerRules, *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._rules = rules
        self._neurons = SharedReading(lambda: {each.hotkey: each for each in chain.neurons()}, monotonic_s)

    def check(self, hotkey: str) -> None:
        """Check that the hotkey may call. Verify its signature before: strangers must not cause readings.

        Raises:
            RequestRefused: `no_permit` or `low_stake`.
            ChainUnavailable: the chain has not answered since the start, so it is unknown who may call.
        """
        rules = self._rules
        if hotkey in rules.named or (rules.allow_non_registered and not rules.force_permit and not rules.min_stake):
            return
        neurons = self._neurons.value(lambda known: self._refusal(known.get(hotkey)) is None)
        refusal = self._refusal(neurons.get(hotkey))
        if refusal is not None:
            raise refusal

    def _refusal(self, neuron: Neuron | None) -> RequestRefused | None:
        rules = self._rules
        if neuron is None:
            if rules.allow_non_registered and not rules.force_permit:
                return None
            return RequestRefused("no_permit", "Only registered hotkeys get an answer")
        if rules.force_permit and not neuron.permit:
            return RequestRefused("no_permit", "Only validators with a permit get an answer")
        if neuron.stake < rules.min_stake:
            return RequestRefused("low_stake", f"Only callers with a stake of {rules.min_stake:g} get an answer")
        return None
