"""The checks of an executor's machine. They read, and write nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from soundsright.cli.shared.preflight_checks import Preflight
from soundsright.config import ExecutorSettings
from soundsright.core.errors import RequestRefused, UsageError
from soundsright.core.url_passwords import without_passwords


@dataclass(frozen=True)
class ExecutorPreflight(Preflight):
    """The machine and the settings of `soundsright executor serve`. Its hotkey needs no validator permit."""

    settings: ExecutorSettings

    def checks(self) -> dict[str, Callable[[], str]]:
        """The checks by name, in the order in which an executor needs them."""
        return {
            "keys": self.keys,
            "chain": self.chain,
            "clock": self.clock,
            "rules": self.rules,
            "libraries": self.libraries,
            "engine": self.engine,
            "database": self.database,
            "port": self.port,
            "recordings": self.recordings,
            "coordinator": self.coordinator,
        }

    def chain(self) -> str:
        from soundsright.adapters.peers import Hotkey
        from soundsright.cli.shared.executor_services import ServiceHotkeys, check_own_hotkey
        from soundsright.cli.shared.opening import opened_chain

        settings = self.settings
        account = Hotkey.read(settings.hotkey_file)
        with closing(opened_chain(settings, account)) as chain:
            block = chain.finalized()
            expected = ServiceHotkeys(settings, chain).executor
        check_own_hotkey(account.address, expected, setting="EXECUTOR_API_HOTKEY", service="executor")
        return f"{settings.subtensor_chain_endpoint} is at block {block.number}, and the hotkey is the executor's"

    def rules(self) -> str:
        from soundsright.cli.shared.executor_parts import check_competitions
        from soundsright.library import organiser_of

        check_competitions(self.settings, organiser_of(self.settings.soundsright_ruleset, begun=True))
        return super().rules()

    def engine(self) -> str:
        """Open the sandbox with the GPUs, and look for the image of the reference."""
        from soundsright.cli.shared.executor_parts import check_reference_image, image_sandbox, stand_in_models

        settings = self.settings
        sandbox, choice = image_sandbox(settings)
        gpus = len(choice.gpu_pool) if choice.gpu_pool else 0
        stand_in = stand_in_models(settings, sandbox)
        if stand_in is not None:
            return f"Models of {stand_in} stand in for images, and run in {sandbox.name}; {gpus} GPUs"
        check_reference_image(settings)
        return f"Images run in {sandbox.name}, the reference on {settings.executor_base_image}; {gpus} GPUs"

    @property
    def database_file(self) -> Path:
        place = self.settings.executor_database
        return place if isinstance(place, Path) else Path(place)

    def database(self) -> str:
        place = self.settings.executor_database
        if isinstance(place, Path):
            return super().database()
        from soundsright.adapters.state import database as state_database

        self.check_folder()
        server = state_database.open_engine(place)
        try:
            with state_database.database_errors(server), server.connect() as connection:
                state = state_database.examine(connection)
        finally:
            server.dispose()
        if state.problem:
            raise UsageError(f"{without_passwords(place)}: {state.problem}", state.remedy)
        return f"{without_passwords(place)} has version {state.revision or 'none yet'}"

    def port(self) -> str:
        from soundsright.services.http import listening

        host, port = self.settings.executor_host, self.settings.executor_port
        listening(host, port, host_variable="EXECUTOR_HOST", port_variable="EXECUTOR_PORT").close()
        return f"EXECUTOR_PORT {port} is free"

    def recordings(self) -> str:
        from soundsright.cli.shared.executor_parts import executor_material
        from soundsright.library import organiser_of

        organiser = organiser_of(self.settings.soundsright_ruleset, begun=True)
        material = executor_material(self.settings, organiser)
        if material.is_private:
            return "The private corpus has recordings for the present round"
        return "The recordings are public: validators pay nobody on them, unless the speech is new"

    def coordinator(self) -> str:
        """Read the present round from the coordinator."""
        from soundsright.adapters.executors import HttpSubmissionBoard
        from soundsright.adapters.peers import Hotkey
        from soundsright.cli.shared.executor_services import ServiceHotkeys
        from soundsright.cli.shared.opening import opened_chain
        from soundsright.core.executor_rules import executor_rules
        from soundsright.core.image_runs import check_clips
        from soundsright.library import organiser_of

        settings = self.settings
        if not settings.subnet_api_url:
            raise UsageError("SUBNET_API_URL is empty", "Give the address of the coordinator, as http://HOST:PORT.")
        account = Hotkey.read(settings.hotkey_file)
        with closing(opened_chain(settings, account)) as chain:
            hotkey = ServiceHotkeys(settings, chain).coordinator
        try:
            challenge = HttpSubmissionBoard(settings.subnet_api_url, hotkey, account).challenge()
        except RequestRefused as refused:
            if refused.code != "not_final":
                raise
            return f"{settings.subnet_api_url} answers, and its first round has not begun"
        organiser = organiser_of(settings.soundsright_ruleset, begun=True)
        check_clips(challenge.clips, organiser.executor or executor_rules())
        return f"{settings.subnet_api_url} is at round {challenge.round_id}, with sets of {challenge.clips} clips"
