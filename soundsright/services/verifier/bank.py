"""The banks of an interval: private clips for each prover, and the verifier's own answers to them.

Times are in seconds, agreements in dB. The seed of an interval is 32 random bytes. Its SHA-256 is recorded an
interval earlier, so nobody can choose clips later; the seed is published when the interval is over. The clips are
drawn by the code of rounds. The committed model runs on them once. The first `repeat_clips` run again after a new
start and in the other order, because a prover meets them so too. A prover whose model cannot be fetched or run gets
no questions.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from soundsright.core.audio import Audio, pcm16
from soundsright.core.errors import EntryRefused, InfrastructureFault, ModelFault
from soundsright.core.ports import Answer, Neuron, Records, RunningModel, StateStore, StreamingModel
from soundsright.core.submission import FetchedModel, Submission
from soundsright.core.tiers import BANKS_STREAM
from soundsright.core.wav import encode_wav
from soundsright.ranking import OwnAnswer, is_repeatable, not_repeatable_sentence, pcm_sha256, repeat_agreement_db
from soundsright.services.rounds import (
    ClipSet,
    SetRequest,
    StandingEntry,
    batches_of,
    finish_set,
    flush_files,
    make_folder,
    make_private,
    read_wav,
    start_set,
    steps,
    write_wav,
)
from soundsright.services.verifier.context import VerifierContext
from soundsright.services.verifier.verifier_steps import SEED, BankStep, SeedStep, bank_of, round_of

SEED_BYTES = 32
NOT_REPEATABLE, OWN_RUN_FAILED = "not_repeatable", "own_run_failed"


@dataclass(frozen=True)
class Entrant:
    """A prover of an interval: its entry that stands, and its registration with an endpoint."""

    entry: StandingEntry
    neuron: Neuron

    @property
    def hotkey(self) -> str:
        return self.neuron.hotkey

    @property
    def submission(self) -> Submission:
        return self.entry.submission


def interval_seed(state: StateStore, interval: int) -> bytes:
    """The secret seed of an interval. It is chosen once, at the first call.

    Raises:
        StateUnavailable: the state does not answer.
    """
    round_id = round_of(interval)
    recorded = steps.read(state, round_id, SEED)
    if recorded is None:
        state.begin_round(round_id, {"interval": interval})
        steps.write(state, round_id, SEED, SeedStep(secrets.token_hex(SEED_BYTES)))
        recorded = steps.read(state, round_id, SEED)
        assert recorded is not None
    return bytes.fromhex(recorded.seed)


def commit_bank(records: Records, interval: int, seed: bytes) -> str:
    """Record the SHA-256 of a seed before its interval. Returns the text that commits to it on a chain.

    Raises:
        RecordConflict: another seed is recorded for the interval.
        StateUnavailable: the records do not answer.
    """
    digest = hashlib.sha256(seed).hexdigest()
    records.append(BANKS_STREAM, f"{interval}:commitment", {"interval": interval, "sha256": digest})
    return f"soundsright:bank:{interval}:{digest}"


def open_bank(records: Records, interval: int, seed: bytes) -> None:
    """Publish the seed of an interval that is over.

    Raises:
        RecordConflict: another seed is published.
        StateUnavailable: the records do not answer.
    """
    records.append(BANKS_STREAM, f"{interval}:seed", {"interval": interval, "seed": seed.hex()})


def set_seed(seed: bytes, competition_id: str, hotkey: str) -> int:
    """The seed of a prover's set: the first 8 bytes of SHA-256 of the bank's seed, the competition and the hotkey.

    >>> set_seed(bytes(32), "DENOISING_16000HZ", "hk")
    12193075498212001153
    """
    return _number(seed, f"soundsright.bank/1:{competition_id}:{hotkey}")


def question_seed(seed: bytes, hotkey: str, number: int) -> int:
    """The seed that a question names: 31 bits, for models that draw at random."""
    return _number(seed, f"soundsright.question/1:{hotkey}:{number}") >> 33


def _number(seed: bytes, purpose: str) -> int:
    return int.from_bytes(hashlib.sha256(seed + purpose.encode()).digest()[:8], "big")


@dataclass(frozen=True)
class Bank:
    """A prover's bank. `clip_ids` are the clips with an answer of the verifier's own, in their order."""

    entrant: Entrant
    folder: Path
    clip_ids: tuple[str, ...]
    repeat_db: float

    def question(self, number: int) -> bytes:
        """The WAV of question `number`.

        Raises:
            InfrastructureFault: the file is missing or damaged.
        """
        return encode_wav(read_wav(self.folder / "degraded" / f"{self.clip_ids[number]}.wav"))

    def own_answer(self, number: int) -> OwnAnswer:
        """The own answer to question `number`, with the clean speech.

        Raises:
            InfrastructureFault: a file is missing or damaged.
        """
        name = f"{self.clip_ids[number]}.wav"
        clean, own = read_wav(self.folder / "clean" / name), read_wav(self.folder / "own" / name)
        try:
            return OwnAnswer(pcm16(clean.samples), pcm16(own.samples), own.sample_rate_hz)
        except ValueError as error:
            raise InfrastructureFault(f"{self.folder / 'own' / name} is damaged ({error})") from error


def bank_folder(context: VerifierContext, interval: int, entrant: Entrant) -> Path:
    """The private folder of a prover's bank."""
    return context.banks_folder / str(interval) / entrant.submission.entry_id


def made_bank(context: VerifierContext, interval: int, entrant: Entrant) -> BankStep:
    """Draw a prover's clips, run its model on them, and record the result. A recorded bank is not made again.

    Raises:
        EntryRefused: the hub answers, and has not the committed content. Nothing is recorded; call it again.
        InfrastructureFault: something around the model failed. Nothing is recorded; call it again.
    """
    key = bank_of(entrant.submission.entry_id)
    recorded = steps.read(context.state, round_of(interval), key)
    if recorded is None:
        recorded = _run(context, interval, entrant)
        steps.write(context.state, round_of(interval), key, recorded)
    return recorded


def recorded_bank(context: VerifierContext, interval: int, entrant: Entrant, made: BankStep) -> Bank | None:
    """The bank of a prover that is asked; None if it is not asked, or none of its clips has an own answer.

    Raises:
        InfrastructureFault: a file of the bank is missing.
    """
    if made.code or not made.answers:
        return None
    folder = bank_folder(context, interval, entrant)
    clip_ids = tuple(sorted(made.answers))
    for clip_id in clip_ids:
        for part in ("degraded", "clean", "own"):
            if not (folder / part / f"{clip_id}.wav").is_file():
                raise InfrastructureFault(
                    f"{folder} has lost a file of {clip_id}",
                    "Put the folder back, or wait for the next interval. This prover is not asked until then.",
                )
    assert made.repeat_db is not None
    return Bank(entrant, folder, clip_ids, made.repeat_db)


def _run(context: VerifierContext, interval: int, entrant: Entrant) -> BankStep:
    clips = _drawn(context, interval, entrant)
    model = fetched_model(context, entrant.entry)
    about = BankStep(
        model.content_hash,
        hotkey=entrant.hotkey,
        competition=entrant.submission.competition.id,
        model=str(entrant.submission.source),
        open_clips=tuple(clip_id for clip_id in clips.clip_ids if clip_id not in clips.hidden),
    )
    try:
        first, lookahead_ms = _answers(context, model, clips, clips.clip_ids)
        again, _ = _answers(context, model, clips, clips.clip_ids[: context.rules.repeat_clips][::-1])
    except ModelFault as fault:
        # A stop ends the running models, which looks like a crash.
        _check_goes_on(context)
        sentence = f"The committed model did not run here: {fault}"
        return replace(about, code=OWN_RUN_FAILED, sentence=sentence[:500])
    repeat_db = repeat_agreement_db(
        (pcm16(clips.clean(clip_id).samples), pcm16(one.samples), pcm16(other.samples))
        for clip_id, (one, other) in _both(first, again).items()
    )
    return _kept(context, clips, replace(about, lookahead_ms=lookahead_ms), (first, again), repeat_db)


def _kept(
    context: VerifierContext,
    clips: ClipSet,
    about: BankStep,
    runs: tuple[Mapping[str, Answer], Mapping[str, Answer]],
    repeat_db: float,
) -> BankStep:
    """The record of a run, with the own answers on the disk."""
    folder = clips.folder / "own"
    make_folder(folder)
    answers: dict[str, str] = {}
    for clip_id, answer in runs[0].items():
        if answer.audio is not None:
            write_wav(folder / f"{clip_id}.wav", answer.audio)
            answers[clip_id] = pcm_sha256(pcm16(answer.audio.samples), answer.audio.sample_rate_hz)
    flush_files(folder, [folder / f"{clip_id}.wav" for clip_id in answers])
    model_s, repeat_s = (sum(each.elapsed_s or 0.0 for each in run.values()) for run in runs)
    code, sentence = "", ""
    if not answers:
        code, sentence = OWN_RUN_FAILED, "The committed model answered no clip here"
    elif not is_repeatable(context.rules, repeat_db):
        code = NOT_REPEATABLE
        sentence = f"{not_repeatable_sentence(context.rules, repeat_db)}. `soundsright verify` shows it"
    return replace(
        about,
        answers=answers,
        repeat_db=repeat_db,
        code=code,
        sentence=sentence,
        model_s=model_s,
        repeat_s=repeat_s,
    )


def _both(first: Mapping[str, Answer], again: Mapping[str, Answer]) -> dict[str, tuple[Audio, Audio]]:
    """The clips that were answered twice, with both answers."""
    pairs = {clip_id: (first[clip_id].audio, answer.audio) for clip_id, answer in again.items()}
    return {i: (one, other) for i, (one, other) in pairs.items() if one is not None and other is not None}


def _drawn(context: VerifierContext, interval: int, entrant: Entrant) -> ClipSet:
    competition = entrant.submission.competition
    make_private(context.banks_folder.parent)
    request = SetRequest(
        competition,
        set_seed(interval_seed(context.state, interval), competition.id, entrant.hotkey),
        context.rules.bank_clips,
        context.material(),
        bank_folder(context, interval, entrant),
    )
    return finish_set(request, start_set(request, context.pool, jobs=context.workers))


def fetched_model(context: VerifierContext, entry: StandingEntry) -> FetchedModel:
    """The committed model, with the content that the last round fetched.

    Raises:
        EntryRefused: the hub answers, and has not the committed content. Its prover is to blame for that.
        InfrastructureFault: this machine cannot get it. No prover is to blame for that.
    """
    model = context.hub.cached(entry.submission, entry.content_hash)
    if model is None:
        model = context.hub.fetch(entry.submission, limits=context.fetch_limits)
    if model.content_hash != entry.content_hash:
        raise EntryRefused("content_mismatch", f"{entry.submission.source} has changed since it was committed")
    return model


def _answers(
    context: VerifierContext, model: FetchedModel, clips: ClipSet, clip_ids: Sequence[str]
) -> tuple[dict[str, Answer], float | None]:
    """The model's answers to these clips in this order, from a new start, and the look-ahead of its streams."""
    answers: dict[str, Answer] = {}
    with context.sandbox.run(model, limits=context.sandbox_limits) as running:
        for batch in batches_of(tuple(clip_ids), clips.durations_s, context.batch_audio_s):
            _check_goes_on(context)
            for answer in running.enhance([clips.degraded(clip_id) for clip_id in batch]):
                answers[answer.clip_id] = answer
        _check_goes_on(context)
        return answers, _lookahead_ms(running)


def _check_goes_on(context: VerifierContext) -> None:
    if context.cancelled.is_set():
        raise InfrastructureFault("The verifier stops")


def _lookahead_ms(running: RunningModel) -> float | None:
    """The look-ahead of a model's streams; None if it does not stream, or gives no valid answer."""
    try:
        return running.stream_lookahead_ms() if isinstance(running, StreamingModel) else None
    except ModelFault:
        return None
