"""The health-check API of miner and validator: the published endpoints, and probes for machines.

It reads only memory and the state, so it answers at any time. Every published endpoint
gives `{"data": ..., "timestamp": "..."}`; data is null if there is none yet.
"""

# No `from __future__ import annotations`: FastAPI evaluates annotations, and these name classes inside a function.

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from soundsright.services.http.requests import answer_refusals, refusals
from soundsright.services.http.state import Health, prometheus_text

if TYPE_CHECKING:
    from fastapi import FastAPI

Models = dict[str, list[dict[str, Any]]]


class View(Protocol):
    """The data that a service shows beside its health. Each method returns None if there is nothing yet."""

    def current_models(self) -> Models | None:
        """The models of the current round, otherwise of the last round, by competition."""
        ...

    def best_models(self) -> Models | None:
        """The models that have each competition's titles."""
        ...

    def competitions(self) -> list[str] | None: ...
    def competition_scores(self) -> dict[str, dict[str, float]] | None:
        """For each competition of the last round, the share of the prize by uid."""
        ...

    def scores(self) -> list[float] | None:
        """The last weights, indexed by uid."""
        ...

    def next_competition(self) -> str | None:
        """The start of the next round, as `YYYY-MM-DD HH:MM:SS GMT`."""
        ...

    def seed(self) -> dict[str, Any] | None:
        """The last seed: block, hash, and the seed of each competition's set."""
        ...


class EmptyView:
    """A `View` that has nothing. A service overrides what it has."""

    def current_models(self) -> Models | None:
        return None

    def best_models(self) -> Models | None:
        return None

    def competitions(self) -> list[str] | None:
        return None

    def competition_scores(self) -> dict[str, dict[str, float]] | None:
        return None

    def scores(self) -> list[float] | None:
        return None

    def next_competition(self) -> str | None:
        return None

    def seed(self) -> dict[str, Any] | None:
        return None


def health_app(health: Health, view: View, *, service: str, version: str) -> "FastAPI":
    """The app. `service` is `miner` or `validator`."""
    from fastapi import FastAPI

    app = FastAPI(
        title=f"SoundsRight {service}",
        version=version,
        docs_url=None,
        redoc_url=None,
        responses=refusals(s503="The state cannot be read now"),
    )
    answer_refusals(app)
    _add_published(app, health, view)
    _add_probes(app, health, service=service, version=version)
    return app


def _add_published(app: "FastAPI", health: Health, view: View) -> None:
    """The endpoints whose names and form are published."""
    from pydantic import BaseModel, JsonValue

    class Data(BaseModel):
        """The reply of a published endpoint."""

        data: JsonValue
        timestamp: str

    def add(path: str, read: Callable[[], Any], summary: str) -> None:
        def endpoint() -> Data:
            return Data(data=read(), timestamp=health.timestamp())

        app.get(f"/healthcheck/{path}", summary=summary, operation_id=path)(endpoint)

    add("metrics", health.metrics, "Counters and rates since the start")
    add("events", health.events, "The latest events, by kind")
    add("current_models", view.current_models, "Models of the current round")
    add("best_models", view.best_models, "Models with the titles")
    add("competitions", view.competitions, "Names of the competitions")
    add("competition_scores", view.competition_scores, "Shares of the last round, by competition and uid")
    add("scores", view.scores, "The last weights, by uid")
    add("next_competition", view.next_competition, "When the next round starts")
    add("seed", view.seed, "The last seed")


def _add_probes(app: "FastAPI", health: Health, *, service: str, version: str) -> None:
    """The endpoints for orchestrators and for Prometheus."""
    from pydantic import BaseModel
    from starlette.responses import JSONResponse, PlainTextResponse

    class Checked(BaseModel):
        """Whether all is well, and the problems by name."""

        status: bool
        checks: dict[str, str]
        timestamp: str

    class Alive(BaseModel):
        service: str
        version: str

    def checked() -> Checked:
        problems = health.problems()
        return Checked(status=not problems, checks=problems, timestamp=health.timestamp())

    @app.get("/healthcheck", summary="Whether all is well, and the problems")
    def overview() -> Checked:
        return checked()

    @app.get("/livez", summary="200 if the process replies")
    def livez() -> Alive:
        return Alive(service=service, version=version)

    @app.get(
        "/readyz",
        summary="200 if the service works; 503 and the problems if not",
        response_model=Checked,
        responses={503: {"model": Checked, "description": "Something is wrong"}},
    )
    def readyz() -> JSONResponse:
        result = checked()
        return JSONResponse(result.model_dump(), 200 if result.status else 503)

    @app.get("/metrics", summary="Counters for Prometheus", response_class=PlainTextResponse)
    def metrics() -> PlainTextResponse:
        text = prometheus_text(
            health.metrics(), service=service, problems=len(health.problems()), series=health.all_series()
        )
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")
