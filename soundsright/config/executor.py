"""The settings of the commands of `soundsright executor`, which judge and submit images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from soundsright.config import values
from soundsright.config.executor_services import hotkeys, image_or_empty
from soundsright.config.schema import OptionalSecret, Port, ValidatorSettings
from soundsright.core.dockerfile import PYTHON_BASE
from soundsright.core.images import MAX_CLIPS
from soundsright.core.text_files import comma_separated

ALL_COMPETITIONS = "all"


class ExecutorSettings(ValidatorSettings):
    """The settings of a miner of images, a coordinator and an executor. Each command reads some of them."""

    image_ref: Annotated[
        str,
        AfterValidator(image_or_empty),
        Field(description="Image to submit, by its digest: REPOSITORY@sha256:DIGEST."),
    ] = ""
    subnet_api_host: Annotated[
        str, AfterValidator(values.host), Field(description="Address on which the coordinator listens.")
    ] = "0.0.0.0"
    subnet_api_port: Annotated[Port, Field(description="Port of the coordinator.")] = 9001
    executor_host: Annotated[
        str, AfterValidator(values.host), Field(description="Address on which the executor listens.")
    ] = "0.0.0.0"
    executor_port: Annotated[Port, Field(description="Port of the executor.")] = 9000
    executor_state: Annotated[
        str,
        Field(
            description="Database of the executor: a file, or the address of a PostgreSQL database. Empty: "
            "executor.db in STATE_FOLDER."
        ),
    ] = ""
    executor_competition: Annotated[
        str,
        AfterValidator(values.competition_names),
        Field(description="Competitions that the executor runs, separated by commas, or all."),
    ] = ALL_COMPETITIONS
    executor_gpus: Annotated[
        str, Field(description="GPUs for images, as in SOUNDSRIGHT_GPUS: none, all, or numbers.")
    ] = "none"
    executor_base_image: Annotated[
        str,
        AfterValidator(values.image_name),
        Field(
            description="Image with Python, on which the executor builds the program whose time it takes as its "
            "reference."
        ),
    ] = PYTHON_BASE
    executor_validators: Annotated[
        str,
        AfterValidator(hotkeys),
        Field(description="Hotkeys of validators, separated by commas. Empty: every hotkey with a permit."),
    ] = ""
    wandb_api_key: Annotated[
        OptionalSecret,
        Field(
            description="Key of Weights & Biases, which gets a run for each image of a published round. Empty: "
            "nothing is sent."
        ),
    ] = None
    executor_hotkeys: Annotated[
        str,
        AfterValidator(hotkeys),
        Field(
            description="Hotkeys of executors that may read the round, separated by commas, besides "
            "EXECUTOR_API_HOTKEY, the chain's owner and the validators."
        ),
    ] = ""
    executor_clips: Annotated[
        int,
        Field(
            ge=0,
            le=MAX_CLIPS,
            description="Number of clips in each set of the executor. 0: as many as the runs of [executor] need.",
        ),
    ] = 0
    burn_ratio: Annotated[
        float,
        Field(ge=0, le=1, allow_inf_nan=False, description="Part of the winner's share that burns, from 0 to 1."),
    ] = 0.0

    @property
    def executor_database(self) -> str | Path:
        """The file of the executor's database, or its address."""
        if "://" in self.executor_state:
            return self.executor_state
        return Path(self.executor_state).expanduser() if self.executor_state else self.folder / "executor.db"

    @property
    def executor_competitions(self) -> tuple[str, ...]:
        """The competitions that the executor runs. Empty means all of them."""
        names = comma_separated(self.executor_competition)
        return () if ALL_COMPETITIONS in names else names

    @property
    def validator_hotkeys(self) -> tuple[str, ...]:
        """The validators' hotkeys. Empty means every hotkey with a permit."""
        return comma_separated(self.executor_validators)

    @property
    def executors(self) -> tuple[str, ...]:
        """The hotkeys of executors that are named."""
        named = (self.executor_api_hotkey, *comma_separated(self.executor_hotkeys))
        return tuple(hotkey for hotkey in named if hotkey)
