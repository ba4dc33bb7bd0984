"""One question to one prover: how it is asked, and the result of its answer. Times are in seconds, sizes in bytes.

What a prover sends or fails to send is a result. A fault of this machine is an `InfrastructureFault` and counts
nothing. Nothing that a prover sends is trusted: the port limits its bytes and its time, and the WAV is decoded with
checked bounds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from soundsright.core.errors import InfrastructureFault, PeerUnavailable
from soundsright.core.ports import AnswerSignature, Prover, ProverAnswer, Question
from soundsright.core.tiers import Attempt, AttemptKind, AttemptResult, new_request_id
from soundsright.core.wav import HEADER_ALLOWANCE_BYTES, WavRefused, mono_pcm16
from soundsright.ranking import OwnAnswer, Verification, attempt_kind, verify_answer
from soundsright.services.verifier.bank import Bank, question_seed
from soundsright.services.verifier.context import VerifierContext

OK, TOO_MANY_REQUESTS = 200, 429
_MAYBE_OUR_NETWORK = {"unreachable", "unknown_host"}


@dataclass(frozen=True)
class Ask:
    """A question to put to a prover: number `number` of its bank. `tier` is the one that it has now.

    `is_within_limit` says whether its tier allows another request in this interval.
    """

    bank: Bank
    number: int
    tier: str
    is_within_limit: bool = True

    @property
    def hotkey(self) -> str:
        return self.bank.entrant.hotkey


@dataclass(frozen=True)
class Asked:
    """A question and the result of its answer. `code` says why none came; empty if one did.

    Without an answer, `time_s` is the timeout.
    """

    ask: Ask
    kind: AttemptKind
    own: OwnAnswer
    verification: Verification
    time_s: float
    code: str = ""
    answer: ProverAnswer | None = None

    @property
    def signed(self) -> AnswerSignature | None:
        return None if self.answer is None else self.answer.signed

    @property
    def passed(self) -> bool:
        return self.verification.result.passed

    def attempt(self, interval: int) -> Attempt:
        """The attempt as it is recorded."""
        return Attempt(
            interval,
            self.ask.number,
            self.ask.hotkey,
            self.kind,
            self.ask.number,
            self.verification.result,
            self.verification.agreement_db,
            self.own.sha256,
            self.verification.answer_sha256,
            self.time_s,
            0.0 if self.answer is None else self.answer.queued_s,
            0.0 if self.answer is None else self.answer.busy_s,
        )


def kind_of(context: VerifierContext, seed: bytes, hotkey: str, number: int) -> AttemptKind:
    """The kind of a prover's question. It follows from the bank's secret seed, so a restart gives the same."""
    return attempt_kind(context.rules, hashlib.sha256(seed + hotkey.encode()).digest(), number)


def asked(context: VerifierContext, seed: bytes, ask: Ask) -> Asked | PeerUnavailable | None:
    """Ask a prover and verify its answer. None: the attempt does not count. An error: no answer, perhaps our fault.

    Raises:
        InfrastructureFault: this machine could not ask.
    """
    own = ask.bank.own_answer(ask.number)
    kind = kind_of(context, seed, ask.hotkey, ask.number)
    try:
        answer = _sent(context, seed, ask, kind, own)
    except PeerUnavailable as error:
        if error.code in _MAYBE_OUR_NETWORK:
            return error
        too_large = error.code == "too_large"
        result = AttemptResult.TOO_LARGE if too_large else AttemptResult.SILENT
        return Asked(ask, kind, own, Verification(result), context.rules.timeout_s, error.code)
    if answer.status == TOO_MANY_REQUESTS and not ask.is_within_limit:
        return None
    verification = _verified(context, ask, own, answer)
    return Asked(ask, kind, own, verification, min(answer.time_s, context.rules.timeout_s), "", answer)


def without_own_network_faults(
    context: VerifierContext, seed: bytes, asks: Sequence[Ask], results: Sequence[Asked | PeerUnavailable | None]
) -> list[Asked]:
    """The attempts that count. Provers that could not be reached were silent, unless none of several could be.

    Raises:
        InfrastructureFault: nobody could be reached, so this machine has no network.
    """
    unreached = [each for each in results if isinstance(each, PeerUnavailable)]
    if len(unreached) > 1 and len(unreached) == len(results):
        raise InfrastructureFault(
            f"None of {len(results)} provers can be reached ({unreached[0].problem})",
            "Check this machine's network.",
        )
    counted = []
    for ask, each in zip(asks, results, strict=True):
        if isinstance(each, PeerUnavailable):
            own, kind = ask.bank.own_answer(ask.number), kind_of(context, seed, ask.hotkey, ask.number)
            silent = Verification(AttemptResult.SILENT)
            counted.append(Asked(ask, kind, own, silent, context.rules.timeout_s, each.code))
        elif each is not None:
            counted.append(each)
    return counted


def _sent(context: VerifierContext, seed: bytes, ask: Ask, kind: AttemptKind, own: OwnAnswer) -> ProverAnswer:
    entrant = ask.bank.entrant
    assert entrant.neuron.endpoint is not None
    question = Question(
        new_request_id(),
        entrant.submission.competition.id,
        question_seed(seed, entrant.hotkey, ask.number),
        ask.bank.question(ask.number),
    )
    send = context.provers.inference if kind is AttemptKind.INFERENCE else context.provers.challenge
    return send(
        Prover(entrant.hotkey, entrant.neuron.endpoint),
        question,
        timeout_s=context.rules.timeout_s,
        max_audio_bytes=2 * len(own.samples) + HEADER_ALLOWANCE_BYTES,
    )


def _verified(context: VerifierContext, ask: Ask, own: OwnAnswer, answer: ProverAnswer) -> Verification:
    """The result of a complete answer; the first rule that holds decides."""
    if answer.time_s > context.rules.timeout_s:
        return Verification(AttemptResult.SILENT)
    if answer.status != OK:
        return Verification(AttemptResult.STATUS)
    if not answer.signed.is_valid:
        return Verification(AttemptResult.UNSIGNED)
    try:
        samples, rate_hz = mono_pcm16(answer.audio)
    except WavRefused:
        return Verification(AttemptResult.FORMAT)
    return verify_answer(context.rules, ask.tier, own, samples, rate_hz, repeat_db=ask.bank.repeat_db)
