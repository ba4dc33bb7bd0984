"""Requests that schemathesis makes from the description of each service find no fault."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soundsright.adapters.peers.auth import RequestGate
from soundsright.adapters.provers import HttpLiveProvers
from soundsright.core.audio import Audio
from soundsright.core.competition import competition_by_id
from soundsright.core.errors import UsageError
from soundsright.core.ss58 import is_address
from soundsright.core.tiers import ServedModel
from soundsright.core.wav import encode_wav
from soundsright.services.board.server import LiveSite, board_app
from soundsright.services.board.status_feed import StatusFeed
from soundsright.services.board.status_view import RoundWatch
from soundsright.services.federation_api.samples import sample_of
from soundsright.services.gateway import Gateway, GatewayAccess, GatewayLimits, gateway_app
from soundsright.services.http.chain import ChainAccess, chain_app
from soundsright.services.http.health import health_app
from soundsright.services.http.requests import Admit
from soundsright.services.http.state import Health
from soundsright.services.listening.plan import ListeningTest
from soundsright.services.listening.results import folder_of_test, save_test
from soundsright.services.listening.room import ListeningRoom
from soundsright.services.listening.server import listening_app
from soundsright.services.log.api import log_app
from soundsright.services.miner.api import miner_app
from soundsright.services.prover import Prover, ProverAccess, prover_app
from soundsright.services.records.feedback import sign_feedback
from soundsright.services.records.runs import read_run
from soundsright.services.validator.api import validator_app
from soundsright.services.validator.gossip import SharedReveals
from soundsright.testing import VirtualClock
from soundsright.testing.provers import (
    COMPETITION,
    MODEL,
    RATE_HZ,
    FunctionRunner,
    fetched_reference,
    reference_model,
)
from tests.services.executor_api import executors as executor_api
from tests.services.federation_api import api_bench as federation_api
from tests.services.gateway.world import ECHO, EchoProvers, FixedServing
from tests.services.log.log_bench import ADMISSION, filled
from tests.services.records.runs import write_run
from tests.services.services_bench import ALICE, VICTOR, chain_with_validators, document, miner_on
from tests.services.subnet_api.subnet_bench import bench

ROOT = Path(__file__).parents[3]


class EmptyView:
    def __getattr__(self, _name: str) -> Any:
        return lambda: None


def health_service(_folder: Path, _admit: Admit) -> FastAPI:
    health = Health(VirtualClock(1.7e9))
    health.problem("start", None)
    return health_app(health, EmptyView(), service="validator", version="1")


def miner_service(folder: Path, admit: Admit) -> FastAPI:
    miner = miner_on(chain_with_validators(folder), folder)
    miner.tick()
    return miner_app(miner, admit=admit, throttle=lambda _client: None)


def validator_service(_folder: Path, admit: Admit) -> FastAPI:
    return validator_app(SharedReveals(), admit=admit, throttle=lambda _client: None)


def chain_service(folder: Path, admit: Admit) -> FastAPI:
    return chain_app(
        chain_with_validators(folder),
        ChainAccess(
            address=ALICE.address,
            organiser=ALICE.address,
            admit=admit,
            throttle=lambda _client: None,
            is_address=is_address,
        ),
    )


def subnet_service(_folder: Path, admit: Admit) -> FastAPI:
    return bench().app(admit=admit)


def log_service(_folder: Path, _admit: Admit) -> FastAPI:
    return log_app(filled(3), throttle=lambda _client: None, admission=ADMISSION)


def no_watch(folder: Path) -> RoundWatch:
    raise UsageError(f"{folder} has no round", "Wait for one.")


def board_service(folder: Path, _admit: Admit) -> FastAPI:
    write_run(folder / "runs" / "first")
    feed = StatusFeed([folder / "runs"], no_watch)
    feed.stop()
    return board_app(LiveSite([folder / "runs"], live=False), feed)


def listening_service(folder: Path, _admit: Admit) -> FastAPI:
    competition = read_run(write_run(folder / "first"), "first").competitions[0]
    test = ListeningTest("ears", "mushra", competition.doc.id, ("1-alpine",), ("000000",), 3)
    save_test(folder_of_test(folder / "first", "ears"), test, competition)
    return listening_app(ListeningRoom(test, competition, folder_of_test(folder / "first", "ears")))


def executor_service(_folder: Path, admit: Admit) -> FastAPI:
    return executor_api.app_of(executor_api.MemoryExecutor(), admit=admit)


def federation_service(_folder: Path, admit: Admit) -> FastAPI:
    bench = federation_api.Bench()
    bench.store.validators.add(VICTOR.address, 9)
    samples = [sample_of(federation_api.sample(number, federation_api.TASK - 3)) for number in range(3)]
    bench.store.add_samples(federation_api.VALIDATORS[0].address, samples)
    return bench.app(admit=admit, admins=(VICTOR.address,))


def prover_service(_folder: Path, admit: Admit) -> FastAPI:
    offer = ServedModel(ALICE.address, str(MODEL), COMPETITION, RATE_HZ, 5.0, 1)
    prover = Prover(FunctionRunner(reference_model), fetched_reference(ALICE), offer).start()
    while prover.problem is not None:
        time.sleep(0.01)
    access = ProverAccess(admit, lambda _client: None, lambda _hotkey: None)
    return prover_app(prover, access, sign=ALICE.sign)


def gateway_service(_folder: Path, _admit: Admit) -> FastAPI:
    """A gateway that reads the recordings of everybody. Its prover gives them back."""
    import schemathesis

    wavs = st.integers(0, 20_000).map(lambda size: encode_wav(Audio(np.zeros(size, np.float32), RATE_HZ)))
    schemathesis.openapi.media_type("audio/wav", st.binary(max_size=200) | wavs)
    schemathesis.serializer("audio/wav")(lambda _context, value: value)
    limits = GatewayLimits(max_audio_s=1.0)
    gateway = Gateway(FixedServing([ECHO]), EchoProvers(), [competition_by_id(COMPETITION)], limits)
    return gateway_app(gateway, HttpLiveProvers(ALICE), GatewayAccess(open_demo=True))


SIGNED = (
    *(miner_service, validator_service, chain_service, executor_service, subnet_service),
    *(federation_service, prover_service),
)


def examined(schema: Any, *, examples: int, **checks: Any) -> int:
    """Send generated requests to every operation of the description. Returns how many operations it has."""
    count = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        count += 1

        @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def holds(case: Any) -> None:
            case.call_and_validate(**checks)

        holds()
    return count


def as_stranger(receiver: str) -> Admit:
    return RequestGate(receiver).admit


def as_validator(_receiver: str) -> Admit:
    """As if every request were signed by a validator, so that bodies are read."""
    return lambda *_request: VICTOR.address


@pytest.mark.parametrize(
    ("service", "signed"),
    [
        (health_service, as_stranger),
        (log_service, as_stranger),
        (gateway_service, as_stranger),
        *((each, signed) for each in SIGNED for signed in (as_stranger, as_validator)),
    ],
)
def test_generated_requests_find_no_fault(
    service: Callable[[Path, Admit], FastAPI], signed: Callable[[str], Admit], tmp_path: Path
) -> None:
    import schemathesis
    from schemathesis import checks
    from schemathesis.specs.openapi import checks as openapi

    schema = schemathesis.openapi.from_asgi("/openapi.json", service(tmp_path, signed(ALICE.address)))
    used = [
        checks.not_a_server_error,
        openapi.status_code_conformance,
        openapi.content_type_conformance,
        openapi.response_schema_conformance,
    ]
    assert examined(schema, examples=10, checks=used)


def description_of(app: FastAPI) -> dict[str, Any]:
    """A description of every route of an app that publishes none: any text in a path, any JSON as a body."""
    paths: dict[str, Any] = {}
    for route in app.routes:
        path = getattr(route, "path", "").replace(":path}", "}")
        names = [part.partition("}")[0] for part in path.split("{")[1:]]
        parameters = [{"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in names]
        for method in sorted(getattr(route, "methods", None) or ()):
            operation: dict[str, Any] = {"parameters": parameters, "responses": {"200": {"description": "any"}}}
            if method == "POST":
                operation["requestBody"] = {"content": {"application/json": {"schema": {}}}}
            paths.setdefault(path, {})[method.lower()] = operation
    return {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": paths}


@pytest.mark.parametrize("service", [board_service, listening_service])
def test_generated_requests_find_no_fault_in_pages(
    service: Callable[[Path, Admit], FastAPI], tmp_path: Path
) -> None:
    import schemathesis
    from schemathesis.checks import not_a_server_error
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    app = service(tmp_path, as_stranger(ALICE.address))
    description = description_of(app)
    app.router.routes.insert(0, Route("/openapi.json", lambda _request: JSONResponse(description)))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    assert examined(schema, examples=8, checks=[not_a_server_error]) >= 5


def test_every_service_is_among_these() -> None:
    sources = [path.read_text() for path in sorted((ROOT / "soundsright").rglob("*.py"))]
    assert sum(source.count(" = FastAPI(") for source in sources) == 12


@pytest.mark.parametrize("service", SIGNED)
def test_a_description_has_the_bodies_and_refusals_of_signed_requests(
    service: Callable[[Path, Admit], FastAPI], tmp_path: Path
) -> None:
    app = service(tmp_path, as_stranger(ALICE.address))
    posts = [methods["post"] for methods in app.openapi()["paths"].values() if "post" in methods]
    assert posts
    for post in posts:
        form = post["requestBody"]["content"]["application/json"]["schema"]
        assert form.get("items", form)["properties"]
        assert {"401", "403", "413", "422", "429", "503"} <= set(post["responses"])
    refused = TestClient(app).post(next(path for path, ways in app.openapi()["paths"].items() if "post" in ways))
    assert refused.status_code == 401


def test_a_real_signed_feedback_has_the_form_that_the_description_asks_for(tmp_path: Path) -> None:
    app = miner_service(tmp_path, as_validator(ALICE.address))
    form = app.openapi()["paths"]["/feedback"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    body = sign_feedback(document(), VICTOR)
    sent = json.loads(body)
    assert set(form["required"]) == set(form["properties"]) == set(sent)
    assert form["properties"]["schema"]["const"] == sent["schema"]
    assert all(form["properties"][name]["type"] == "string" for name in sent)
    for name in ("validator", "signature"):
        assert re.search(form["properties"][name]["pattern"], sent[name])
    assert TestClient(app).post("/feedback", content=body).status_code == 200
