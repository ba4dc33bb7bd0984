"""Provers that a listener with a hotkey asks without a verifier's gateway. Times are in seconds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.cli.shared.tiers_request import MAX_REQUEST_S, GivenAnswer, sent_recording
from soundsright.core.competition import competition_by_id
from soundsright.core.errors import PeerUnavailable, RequestRefused, UsageError
from soundsright.core.tiers_rules import tier_index
from soundsright.core.wav import encode_wav

if TYPE_CHECKING:
    from soundsright.adapters.peers import Hotkey
    from soundsright.config import TiersSettings
    from soundsright.core.competition import Competition
    from soundsright.core.ports import LiveChain, LiveProvers, Neuron
    from soundsright.core.tiers import ServedModel
    from soundsright.services.verifier import Ladder, ServingProver

_OFFER_S, _ALL_OFFERS_S, _AT_ONCE = 3.0, 15.0, 32
_MOST_REQUESTS = 1_000_000
_TRIES = 3


@dataclass(frozen=True)
class ListedProvers:
    """Provers in a fixed order, as a gateway needs them. Nobody counts their requests."""

    provers: tuple[ServingProver, ...]

    def best_provers(self, competition: str) -> tuple[ServingProver, ...]:
        """The provers of a competition, best first."""
        return tuple(each for each in self.provers if each.competition == competition)

    def take_request(self, hotkey: str) -> bool:
        """Always true: only a verifier counts requests."""
        return True


def answered_directly(settings: TiersSettings, recording: Path, competition_name: str) -> GivenAnswer:
    """The answer of the best prover that gives one.

    Provers come in the order of the ladder of the verifier in STATE_FOLDER. Without one, the quickest come first.

    Raises:
        UsageError: there is no such competition or hotkey, or the recording cannot be sent.
        PeerUnavailable: no prover answers.
    """
    from soundsright.adapters.provers import HttpLiveProvers
    from soundsright.cli.shared.opening import opened_service
    from soundsright.core.endpoint import PeerNetworks
    from soundsright.library import organiser_of

    organiser = organiser_of(settings.soundsright_ruleset, begun=True)
    competition = organiser.competitions[0]
    if competition_name:
        competition = competition_by_id(competition_name, organiser.competitions)
    audio = sent_recording(recording, competition.sample_rate_hz)
    with opened_service(settings) as (account, chain):
        live = HttpLiveProvers(account, PeerNetworks.of(settings.soundsright_peer_networks))
        serving = listed_provers(chain, account.address, live, ladder_in(settings.folder))
    fitting = ListedProvers(tuple(each for each in serving.provers if each.competition == competition.id))
    if not fitting.provers:
        raise PeerUnavailable(
            f"No registered hotkey serves a model for {competition.id}",
            "Try again later, or ask a verifier's gateway with --gateway.",
            code="no_prover",
        )
    return _asked(settings, account, fitting, encode_wav(audio), competition)


def _asked(
    settings: TiersSettings, account: Hotkey, serving: ListedProvers, wav: bytes, competition: Competition
) -> GivenAnswer:
    from soundsright.adapters.provers import HttpProvers
    from soundsright.core.endpoint import PeerNetworks
    from soundsright.services.gateway import Gateway, GatewayLimits

    timeout_s = settings.neuron_timeout
    limits = GatewayLimits(max_audio_s=MAX_REQUEST_S, timeout_s=timeout_s, total_s=_TRIES * timeout_s, tries=_TRIES)
    provers = HttpProvers(account, PeerNetworks.of(settings.soundsright_peer_networks))
    try:
        done = Gateway(serving, provers, [competition], limits).enhance(wav, competition)
    except RequestRefused as refused:
        if refused.status != 503:
            raise UsageError(refused.sentence, "Send another recording.") from None
        asked = min(_TRIES, len(serving.provers))
        raise PeerUnavailable(
            f"None of the {asked} best provers of {competition.id} gave a good answer in {timeout_s:g} s",
            "Provers answer hotkeys with a validator's permit; without one, ask a gateway with --gateway.",
            code="no_prover",
        ) from None
    return GivenAnswer(done.wav, done.prover.hotkey, done.prover.tier, done.latency_ms, None)


def ladder_in(folder: Path) -> Ladder | None:
    """The ladder of the verifier with that STATE_FOLDER; None if it has none.

    Raises:
        UsageError: its database is damaged.
        StateUnavailable: it does not answer.
    """
    from soundsright.adapters.state import SqlRecords, SqlState
    from soundsright.services.verifier import last_ladder

    database = folder / "state.db"
    if not database.is_file():
        return None
    with closing(SqlState(database)) as state:
        return last_ladder(SqlRecords.beside(state))


def listed_provers(chain: LiveChain, own: str, live: LiveProvers, ladder: Ladder | None) -> ListedProvers:
    """The registered hotkeys that serve a model, best first. The hotkey `own` is not asked.

    Raises:
        ChainUnavailable: the chain does not answer.
    """
    neurons = [each for each in chain.neurons() if each.endpoint and each.hotkey != own]
    offers = _offers(neurons, live)
    provers = [_serving(neuron, offer, time_s, ladder) for neuron, offer, time_s in offers]
    return ListedProvers(tuple(sorted(provers, key=lambda each: _rank(each, ladder))))


def _offers(neurons: Sequence[Neuron], live: LiveProvers) -> list[tuple[Neuron, ServedModel, float]]:
    """The models that hotkeys serve, each with the time that its description took; none for the silent ones."""
    from soundsright.core.ports import Prover

    def offer(neuron: Neuron) -> tuple[Neuron, ServedModel, float]:
        began_s = time.monotonic()
        served = live.offer(Prover(neuron.hotkey, neuron.endpoint or ""), timeout_s=_OFFER_S)
        return neuron, served, time.monotonic() - began_s

    threads = ThreadPoolExecutor(_AT_ONCE, "offers")
    try:
        asked = [threads.submit(offer, neuron) for neuron in neurons]
        ended, _ = wait(asked, timeout=_ALL_OFFERS_S)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
    answered = [each for each in asked if each in ended and not isinstance(each.exception(), PeerUnavailable)]
    return [each.result() for each in answered]


def _serving(neuron: Neuron, offer: ServedModel, time_s: float, ladder: Ladder | None) -> ServingProver:
    from soundsright.services.verifier import ServingProver

    known = ladder is not None and neuron.hotkey in ladder.standings
    tier = ladder.standings[neuron.hotkey].tier if ladder is not None and known else ""
    return ServingProver(
        *(neuron.hotkey, neuron.uid, neuron.endpoint or "", offer.competition, offer.model, tier),
        _MOST_REQUESTS,
        latencies_s=(time_s,),
    )


def _rank(prover: ServingProver, ladder: Ladder | None) -> tuple[float, float, float]:
    """The place of a prover in the order: by tier, by score, by speed."""
    if ladder is None or not prover.tier:
        return 0.0, 0.0, prover.latencies_s[0]
    score = ladder.standing(prover.hotkey, prover.uid).score
    return -1.0 - tier_index(prover.tier), -score, prover.latencies_s[0]
