"""The health-check API of miner and validator: the published endpoints, and what machines ask for.

It answers from memory and the state only, so that it answers whatever the service is doing. Every published
endpoint gives `{"data": ..., "timestamp": "..."}`, with null where there is nothing.
"""

# No `from __future__ import annotations`: FastAPI evaluates annotations, and these are of names inside a function.

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from soundsright.services.http.requests import answer_refusals
from soundsright.services.http.state import Health, prometheus_text

if TYPE_CHECKING:
    from fastapi import FastAPI

Models = dict[str, list[dict[str, Any]]]


class View(Protocol):
    """What a service shows beyond its health. Each may be None: nothing yet."""

    def current_models(self) -> Models | None:
        """The models of the round that runs, or of the last one, by competition."""
        ...

    def best_models(self) -> Models | None:
        """Who holds each competition's titles."""
        ...

    def competitions(self) -> list[str] | None: ...
    def competition_scores(self) -> dict[str, dict[str, float]] | None:
        """Share of the prize by uid, for each competition of the last round."""
        ...

    def scores(self) -> list[float] | None:
        """The last weights, indexed by uid."""
        ...

    def next_competition(self) -> str | None:
        """When the next round starts, `YYYY-MM-DD HH:MM:SS GMT`."""
        ...

    def seed(self) -> dict[str, Any] | None:
        """The last seed: block, hash, and the seed of each competition's set."""
        ...


def health_app(health: Health, view: View, *, service: str, version: str) -> "FastAPI":
    """The app. `service` is `miner` or `validator`."""
    from fastapi import FastAPI
    from pydantic import BaseModel, JsonValue
    from starlette.responses import JSONResponse, PlainTextResponse

    class Data(BaseModel):
        """A published answer."""

        data: JsonValue
        timestamp: str

    class Checked(BaseModel):
        """Whether all is well, and each check by name: empty, or what is wrong."""

        status: bool
        checks: dict[str, str]
        timestamp: str

    class Alive(BaseModel):
        service: str
        version: str

    class Refusal(BaseModel):
        code: str
        sentence: str

    app = FastAPI(
        title=f"SoundsRight {service}",
        version=version,
        docs_url=None,
        redoc_url=None,
        responses={503: {"model": Refusal, "description": "The state cannot be read now"}},
    )
    answer_refusals(app)

    def data(path: str, read: Callable[[], Any], summary: str) -> None:
        def endpoint() -> Data:
            return Data(data=read(), timestamp=health.timestamp())

        app.get(f"/healthcheck/{path}", summary=summary, operation_id=path)(endpoint)

    data("metrics", health.metrics, "Counters and rates since the start")
    data("events", health.events, "The latest events, by kind")
    data("current_models", view.current_models, "Models of the present round")
    data("best_models", view.best_models, "Holders of the titles")
    data("competitions", view.competitions, "Names of the competitions")
    data("competition_scores", view.competition_scores, "Shares of the last round, by competition and uid")
    data("scores", view.scores, "The last weights, by uid")
    data("next_competition", view.next_competition, "When the next round starts")
    data("seed", view.seed, "The last seed")

    def checked() -> Checked:
        problems = health.problems()
        return Checked(status=not problems, checks=problems, timestamp=health.timestamp())

    @app.get("/healthcheck", summary="Whether all is well, and what is not")
    def overview() -> Checked:
        return checked()

    @app.get("/livez", summary="The process answers")
    def livez() -> Alive:
        return Alive(service=service, version=version)

    @app.get(
        "/readyz",
        summary="It does its work; 503 says why not",
        response_model=Checked,
        responses={503: {"model": Checked, "description": "Something is wrong"}},
    )
    def readyz() -> JSONResponse:
        found = checked()
        return JSONResponse(found.model_dump(), 200 if found.status else 503)

    @app.get(
        "/metrics",
        summary="Counters for Prometheus",
        response_class=PlainTextResponse,
    )
    def metrics() -> PlainTextResponse:
        text = prometheus_text(health.metrics(), service=service, problems=len(health.problems()))
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    return app
