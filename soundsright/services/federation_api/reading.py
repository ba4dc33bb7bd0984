"""The routes for everybody. They show what validators sent, and answer 404 for what nobody sent."""

# No `from __future__ import annotations`: FastAPI evaluates annotations, and these name classes inside a function.

from typing import TYPE_CHECKING, Annotated, Any

from soundsright.core.endpoint import client_network
from soundsright.services.federation_api.answers import (
    Health,
    MinerPage,
    MinerRow,
    Overview,
    RankRow,
    SampleRow,
    ScoreRow,
    Stats,
    TaskPage,
    ValidatorRow,
    WeightsPage,
)
from soundsright.services.federation_api.samples import MAX_NUMBER
from soundsright.services.federation_api.shown import MAX_LISTED, FederationShown, sample_row
from soundsright.services.http import Throttle, refusals

if TYPE_CHECKING:
    from fastapi import APIRouter, FastAPI

_MAX_NAME = 64
_UNKNOWN: dict[int | str, dict[str, Any]] = refusals(s404="Nobody sent anything of that name")


def add_reads(app: "FastAPI", shown: FederationShown, throttle: Throttle) -> None:
    """Add the public routes."""
    from fastapi import APIRouter, Depends, Request

    def counted(request: Request) -> None:
        throttle(client_network(request.client.host if request.client else ""))

    router = APIRouter(dependencies=[Depends(counted)])
    _add_overview(router, shown)
    _add_miners(router, shown)
    _add_validators(router, shown)
    _add_samples(router, shown)
    _add_scores(router, shown)
    app.include_router(router)


def _add_overview(router: "APIRouter", shown: FederationShown) -> None:
    @router.get("/health")
    def health() -> Health:
        """Whether the API works, and which task it is."""
        return shown.health()

    @router.get("/overview")
    def overview() -> Overview:
        """The present turn, and how much is shown."""
        return shown.overview()

    @router.get("/weights")
    def weights() -> WeightsPage:
        """The winners that a strict majority of the validators' reports names."""
        return shown.weights()


def _add_miners(router: "APIRouter", shown: FederationShown) -> None:
    from fastapi import Path

    @router.get("/miners/list")
    def miners() -> list[MinerRow]:
        """The miners that fresh reports name."""
        return shown.miners()

    @router.get("/miners/active")
    def active() -> list[MinerRow]:
        """The miners that a strict majority of the fresh reports finds valid, without the blacklist's."""
        return shown.active_miners()

    @router.get("/miners/{hotkey}", responses=_UNKNOWN)
    def miner(hotkey: Annotated[str, Path(max_length=_MAX_NAME)]) -> MinerPage:
        """A miner and its ranks."""
        return shown.miner(hotkey)

    @router.get("/miners/{hotkey}/tasks", responses=_UNKNOWN)
    def miner_tasks(hotkey: Annotated[str, Path(max_length=_MAX_NAME)]) -> list[SampleRow]:
        """The samples of a miner, newest first."""
        return shown.miner_tasks(hotkey)


def _add_validators(router: "APIRouter", shown: FederationShown) -> None:
    from fastapi import Path

    @router.get("/validators")
    def validators() -> list[ValidatorRow]:
        """The validators, in the order of the rotation."""
        return shown.validators()

    @router.get("/validators/{hotkey}", responses=_UNKNOWN)
    def validator(hotkey: Annotated[str, Path(max_length=_MAX_NAME)]) -> ValidatorRow:
        """One validator."""
        return shown.validator(hotkey)


def _add_samples(router: "APIRouter", shown: FederationShown) -> None:
    from fastapi import Path, Query

    @router.get("/samples/list")
    def samples(
        limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = 100,
        before: Annotated[int | None, Query(ge=0, le=MAX_NUMBER)] = None,
    ) -> list[SampleRow]:
        """The samples that arrived last, newest first. For older ones, give the last `number` as `before`."""
        return [sample_row(stored) for stored in shown.store.newest(limit, before=before)]

    @router.get("/tasks/{task}", responses=_UNKNOWN)
    def task(task: Annotated[int, Path(ge=0, le=MAX_NUMBER)]) -> TaskPage:
        """A task with its samples, and links to its audio that are valid for ten minutes."""
        return shown.task(task)


def _add_scores(router: "APIRouter", shown: FederationShown) -> None:
    from fastapi import Query

    Chosen = Annotated[str | None, Query(max_length=_MAX_NAME)]

    @router.get("/scores", responses=_UNKNOWN)
    def scores(competition: Chosen = None) -> list[ScoreRow]:
        """Each validator's results of each miner in the window of tasks."""
        return shown.scores(competition)

    @router.get("/scores/rank", responses=_UNKNOWN)
    def rank(competition: Chosen = None) -> list[RankRow]:
        """The miners by rank in a competition; the first one if none is named."""
        return shown.rank(competition)

    @router.get("/scores/stats")
    def stats() -> list[Stats]:
        """The numbers behind the ranks, by competition."""
        return shown.stats()
