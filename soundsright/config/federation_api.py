"""The settings of the owner's API of a federation, and the address at which validators report to it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from soundsright.config import federation_values as checks
from soundsright.config import values
from soundsright.config.executor_services import HotkeyOrEmpty, ServiceUrl, hotkeys
from soundsright.config.schema import OptionalSecret, Port
from soundsright.core.text_files import comma_separated


class FederationApi(BaseModel):
    """The API's address and hotkey as validators need them, and its settings as the owner does."""

    miner_validation_interval: Annotated[
        int, Field(ge=1, le=86_400, description="Seconds between two checks of the miners' entries.")
    ] = 300
    miner_report_stale_intervals: Annotated[
        int, Field(ge=1, le=1_000, description="Number of such checks after which a validator's report is old.")
    ] = 3
    api_url: Annotated[
        ServiceUrl,
        Field(description="Address of the owner's API, as http://HOST:PORT. Empty: nothing is reported."),
    ] = ""
    api_hotkey: Annotated[
        HotkeyOrEmpty, Field(description="Hotkey of the owner's API. Empty: the chain's owner.")
    ] = ""
    api_host: Annotated[
        str, AfterValidator(values.host), Field(description="Address on which the owner's API listens.")
    ] = "0.0.0.0"
    api_port: Annotated[Port, Field(description="Port of the owner's API.")] = 9002
    database_url: Annotated[
        OptionalSecret,
        Field(
            description="Database of the owner's API: a file, or postgresql://USER@HOST/NAME. Empty: "
            "federation-api.db in STATE_FOLDER."
        ),
    ] = None
    admin_hotkeys: Annotated[
        str,
        AfterValidator(hotkeys),
        Field(description="Hotkeys that may change the owner's lists through its API, separated by commas."),
    ] = ""
    cors_origins: Annotated[
        str,
        AfterValidator(checks.origins),
        Field(description="Web pages that may read the owner's API, as https://HOST, separated by commas."),
    ] = ""

    @property
    def admins(self) -> tuple[str, ...]:
        return comma_separated(self.admin_hotkeys)

    @property
    def origins(self) -> tuple[str, ...]:
        return tuple(origin.rstrip("/") for origin in comma_separated(self.cors_origins))

    @property
    def report_stale_s(self) -> float:
        """Seconds after which a validator's report no longer counts."""
        return float(self.miner_validation_interval * self.miner_report_stale_intervals)
