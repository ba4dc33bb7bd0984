"""A gateway over real sockets: provers, what a verifier knows of them, and a listener."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from soundsright.adapters.peers import Hotkey
from soundsright.adapters.provers import HttpLiveProvers, HttpProvers
from soundsright.core.competition import competition_by_id
from soundsright.core.endpoint import PeerNetworks
from soundsright.core.ports import AnswerSignature, LiveProvers, Prover, ProverAnswer, Question
from soundsright.core.tiers import AttemptKind, AttemptResult
from soundsright.services.gateway import Gateway, GatewayAccess, GatewayLimits, gateway_app
from soundsright.services.http import HttpService, Limits, listening
from soundsright.services.verifier import LastCheck, ServingProver
from soundsright.testing.provers import COMPETITION, MODEL, RunningProver

KEY = "a-listener-of-the-tests"
OTHER_KEY = "another-listener-of-the-tests"
VERIFIER = Hotkey.of_seed("verifier")
NETWORKS = PeerNetworks.of("loopback")
PASSED = LastCheck(7, AttemptKind.CHALLENGE, AttemptResult.HASH, None, 0.1, 1.7e9)


@dataclass
class FixedServing:
    """The port `ServingProvers` over a fixed list, best first. `taken` counts the requests."""

    provers: Sequence[ServingProver]
    limit: int = 1_000_000
    fault: Exception | None = None
    taken: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def best_provers(self, competition: str) -> tuple[ServingProver, ...]:
        return tuple(each for each in self.provers if each.competition == competition)

    def take_request(self, hotkey: str) -> bool:
        if self.fault is not None:
            raise self.fault
        with self.lock:
            if self.taken[hotkey] >= self.limit:
                return False
            self.taken[hotkey] += 1
        return True


class EchoProvers:
    """The port `Provers`: each recording is its answer, signed."""

    def inference(
        self, prover: Prover, question: Question, *, timeout_s: float, max_audio_bytes: int
    ) -> ProverAnswer:
        return ProverAnswer(200, question.audio, 0.1, AnswerSignature(1, "s", 200, "0" * 64, "0x", is_valid=True))

    challenge = inference


ECHO = ServingProver(VERIFIER.address, 3, "127.0.0.1:9", COMPETITION, str(MODEL), "Gold", 400)


def serving(prover: RunningProver, tier: str = "Gold", *, verified: bool = True) -> ServingProver:
    last = PASSED if verified else replace(PASSED, result=AttemptResult.DIFFERENT)
    endpoint = prover.url.removeprefix("http://")
    return ServingProver(
        prover.hotkey, 3, endpoint, COMPETITION, str(MODEL), tier, 400, latencies_s=(0.1, 0.3), last_check=last
    )


@dataclass
class RunningGateway:
    """A gateway that answers at `url`."""

    url: str
    serving: FixedServing
    gateway: Gateway

    def enhance(self, wav: bytes, *, key: str | None = KEY, path: str = "/v1/enhance", **headers: str) -> Any:
        sent = {"Content-Type": "audio/wav", **({} if key is None else {"X-Api-Key": key}), **headers}
        return httpx.post(self.url + path, content=wav, headers=sent, timeout=30)

    @property
    def stream_url(self) -> str:
        return self.url.replace("http", "ws") + "/v1/stream"


@contextlib.contextmanager
def running_gateway(
    provers: Sequence[ServingProver],
    *,
    limits: GatewayLimits | None = None,
    access: GatewayAccess | None = None,
    front: Limits | None = None,
    fixed: FixedServing | None = None,
    new_provers: Callable[[], Any] = lambda: HttpProvers(VERIFIER, NETWORKS),
    live: LiveProvers | None = None,
) -> Iterator[RunningGateway]:
    """A gateway on a free port, whose listeners have two keys."""
    known = fixed or FixedServing(provers)
    competitions = (competition_by_id(COMPETITION), competition_by_id("DEREVERBERATION_16000HZ"))
    gateway = Gateway(known, new_provers(), competitions, limits or GatewayLimits())
    live = live or HttpLiveProvers(VERIFIER, NETWORKS)
    app = gateway_app(gateway, live, access or GatewayAccess((KEY, OTHER_KEY)))
    sock = listening("127.0.0.1", 0, host_variable="HOST", port_variable="PORT")
    service = HttpService(app, sock, name="gateway", limits=front or Limits(), has_streams=True).start()
    try:
        yield RunningGateway(f"http://127.0.0.1:{service.port}", known, gateway)
    finally:
        service.close()
