"""Turn settings into adapters: the chain, the hub, the sandbox and the health socket of a service."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.cli.shared.settings_options import secrets_of
from soundsright.config import FederationSettings, Settings, ValidatorSettings
from soundsright.core.errors import EngineUnavailable, EntryRefused, UsageError

if TYPE_CHECKING:
    import socket

    from soundsright.adapters.containers import Engine
    from soundsright.adapters.machine import ProcessPool
    from soundsright.adapters.peers import Hotkey, RequestGate
    from soundsright.core.competition import Competition
    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.core.ports import LiveChain, ModelHub, Sandbox
    from soundsright.core.schedule import Schedule
    from soundsright.core.sources import ModelRef
    from soundsright.core.submission import FetchedModel
    from soundsright.library import SandboxChoice
    from soundsright.services.http import Limits

_log = logging.getLogger(__name__)


def health_socket(settings: Settings) -> socket.socket:
    """A socket for the health-check API.

    Raises:
        UsageError: the port is in use, or the address does not belong to this machine.
    """
    from soundsright.services.http import listening

    return listening(
        settings.healthcheck_api_host,
        settings.healthcheck_api_port,
        host_variable="HEALTHCHECK_API_HOST",
        port_variable="HEALTHCHECK_API_PORT",
    )


def http_limits(settings: Settings) -> Limits:
    """The limits of each API of a miner or a validator."""
    from soundsright.services.http import Limits

    return Limits.of(settings.soundsright_connections, settings.soundsright_connections_per_client)


def request_gate(settings: Settings, receiver: str) -> RequestGate:
    """The check of the signed requests to one hotkey."""
    from soundsright.adapters.peers import RequestGate

    return RequestGate(receiver, dialects=settings.auth_dialects, max_age_s=settings.signature_expiry_seconds)


def opened_chain(settings: Settings, account: Hotkey | None) -> LiveChain:
    """The chain at SUBTENSOR_CHAIN_ENDPOINT. Another installed package may add its URL scheme.

    Raises:
        UsageError: something that is not a chain answers there, or the package that adds it is broken.
        ChainUnavailable: nothing answers there.
    """
    endpoint = settings.subtensor_chain_endpoint
    if settings.is_bittensor:
        from soundsright.adapters.chains import BittensorChain

        return BittensorChain(endpoint, settings.netuid, account)
    if settings.is_private_chain:
        from soundsright.adapters.chains import HttpChain

        return HttpChain(endpoint, account)
    from soundsright.adapters.chains import ChainOptions, plugged_chain

    return plugged_chain(ChainOptions(endpoint, settings.netuid, account))


def check_clock(chain: LiveChain, now_s: float) -> None:
    """Check that this machine's clock is close enough to the chain's for signed requests.

    Raises:
        UsageError: it is not.
        ChainUnavailable: the chain does not answer.
    """
    from soundsright.adapters.peers import MAX_AGE_S

    offset_s = chain.clock_offset_s(now_s)
    if abs(offset_s) > MAX_AGE_S:
        raise UsageError(
            f"This machine's clock is {abs(offset_s):.0f} s {'behind' if offset_s > 0 else 'ahead of'} the chain's",
            "Set it by NTP (`timedatectl set-ntp true`). Other services refuse requests signed at another time.",
        )


def account_with_log(settings: Settings) -> Hotkey:
    """The hotkey of a service, with the log configured: what a service reads next may warn.

    Raises:
        UsageError: there is no such hotkey.
    """
    from soundsright.adapters.peers import Hotkey
    from soundsright.services.http import configure_logging

    account = Hotkey.read(settings.hotkey_file)
    traces = not (isinstance(settings, FederationSettings) and settings.is_production)
    configure_logging(settings.log_level, secrets=secrets_of(settings), traces=traces)
    return account


@contextmanager
def opened_service(settings: Settings, account: Hotkey | None = None) -> Iterator[tuple[Hotkey, LiveChain]]:
    """The hotkey of a service and its chain, with the log configured and the clock checked.

    With the `account` of `account_with_log`, the log is configured already.

    Raises:
        UsageError: there is no such hotkey, the chain is not one, or the clock is wrong.
        ChainUnavailable: the chain does not answer.
    """
    from soundsright.adapters.machine import SystemClock

    account = account or account_with_log(settings)
    with closing(opened_chain(settings, account)) as chain:
        check_clock(chain, SystemClock().now())
        yield account, chain


def opened_hub(settings: Settings) -> ModelHub:
    """The hub that the settings name, with sealed archives opened, and images by digest.

    The cache is in STATE_FOLDER.

    Raises:
        UsageError: SOUNDSRIGHT_HUB is not a folder, or the package that adds the hub is broken.
    """
    from soundsright.adapters.hubs import HubBySource, ImageFolders, SealedArchives
    from soundsright.core.sources import ImageRef, ModelRef

    cache = settings.folder / "cache"
    return HubBySource({ModelRef: SealedArchives(_plain_hub(settings), cache), ImageRef: ImageFolders(cache)})


def _plain_hub(settings: Settings) -> ModelHub:
    root = settings.soundsright_hub
    cache = settings.folder / "cache"
    if root is None and settings.has_plugged_hub:
        from soundsright.adapters.hubs import HubOptions, plugged_hub

        return plugged_hub(HubOptions(settings.hf_endpoint, cache, hub_token(settings)))
    if root is None:
        from soundsright.adapters.hubs import HuggingFaceHub

        return HuggingFaceHub(settings.hf_endpoint, cache, token=hub_token(settings))
    if not root.expanduser().is_dir():
        raise UsageError(
            f"SOUNDSRIGHT_HUB {root} is not a folder", "Give the folder of a private hub, or clear the setting."
        )
    from soundsright.adapters.hubs import FolderHub

    return FolderHub(root.expanduser(), cache)


@dataclass(frozen=True)
class HubContent:
    """A model as a hub has it: its content hash, and whether strangers can read it.

    `archive_sha256` is the SHA-256 of its sealed archive, or None if it has none.
    """

    content_hash: str
    archive_sha256: str | None = None
    is_public: bool = True


def content_on_hub(
    settings: Settings, model: ModelRef, competition: Competition, *, may_be_private: bool = False
) -> HubContent:
    """The content of the model at that commit, after a check that everybody can fetch it from the hub.

    Raises:
        UsageError: the hub does not have it, or it is private and may not be.
        HubUnavailable: the hub does not answer.
    """
    from soundsright.core.content import SEALED_FILE, sha256_of_file

    root = settings.soundsright_hub
    if root is not None:
        from soundsright.adapters.hubs import FolderHub

        folder = root.expanduser() / model.namespace / model.name / model.revision
        archive = folder / SEALED_FILE
        if not archive.is_file() and not (folder / "Dockerfile").is_file():
            raise UsageError(
                f"SOUNDSRIGHT_HUB {root} has no {model} with a Dockerfile",
                "Run `soundsright chain publish` and give the revision that it prints.",
            )
        content = FolderHub(root.expanduser(), settings.folder / "cache").content_of(model)
        return HubContent(content, sha256_of_file(archive) if archive.is_file() else None)
    if settings.has_plugged_hub:
        fetched = _fetched(_plain_hub(settings), model, competition)
        archive = fetched.path / SEALED_FILE
        return HubContent(fetched.content_hash, sha256_of_file(archive) if archive.is_file() else None)
    from soundsright.adapters.hubs import model_on_hub

    token = hub_token(settings)
    found = model_on_hub(settings.hf_endpoint, model, token=token, may_be_private=may_be_private)
    return HubContent(found.content_hash, found.sha256_by_path.get(SEALED_FILE), found.is_public)


def _fetched(hub: ModelHub, model: ModelRef, competition: Competition) -> FetchedModel:
    """Fetch the model. This is the only way to check a model on a hub that another package adds."""
    from soundsright.core.fetch_limits import FetchLimits
    from soundsright.core.submission import Submission

    try:
        return hub.fetch(
            Submission(uid=0, hotkey="check", competition=competition, source=model, block=0), limits=FetchLimits()
        )
    except EntryRefused as refused:
        raise UsageError(f"{model}: {refused.sentence}", "Fix it: a validator would refuse it too.") from refused


def schedule_of(settings: Settings, organiser: CompetitionRules | None) -> Schedule:
    """The organiser's schedule, or the one that the ROUND_ settings give."""
    from soundsright.core.schedule import Schedule

    if organiser is None or organiser.schedule is None:
        return Schedule(
            time_of_day_s=settings.round_start_s,
            every_days=settings.round_every_days,
            first_day=settings.first_day,
            seed_delay_blocks=settings.round_seed_delay_blocks,
        )
    ignored = sorted(name.upper() for name in settings.model_fields_set if name.startswith("round_"))
    if ignored:
        _log.warning(
            "%s: ignored, because [schedule] of %s says when rounds start",
            ", ".join(ignored),
            settings.soundsright_ruleset,
        )
    return organiser.schedule


@contextmanager
def opened_pool(settings: ValidatorSettings) -> Iterator[ProcessPool]:
    """The processes that draw and score clips."""
    from soundsright.adapters.machine import ProcessPool
    from soundsright.adapters.sandboxes import usable_cpus
    from soundsright.metrics import warm_up

    workers = settings.soundsright_workers or len(usable_cpus())
    with closing(ProcessPool(workers, warm_up=warm_up)) as pool:
        yield pool


def sandbox_choice(settings: ValidatorSettings) -> SandboxChoice:
    """The sandbox that the settings choose."""
    from soundsright.library import SandboxChoice

    return SandboxChoice(
        kind=settings.soundsright_sandbox,
        python=settings.soundsright_model_python,
        build_network=settings.soundsright_build_network,
        registries=settings.soundsright_registries,
        runtime=settings.soundsright_runtime,
        gpus=settings.soundsright_gpus,
        trust=settings.soundsright_trust,
    )


def container_engine(settings: ValidatorSettings) -> Engine:
    """The container engine of the settings and the environment. It need not run."""
    from soundsright.adapters.containers import Engine

    return Engine(None if settings.use_docker or "DOCKER_HOST" in os.environ else _podman_socket())


def opened_sandbox(
    settings: ValidatorSettings,
    choice: SandboxChoice,
    round_id: str = "validator",
    *,
    gpus_setting: str = "SOUNDSRIGHT_GPUS",
) -> Sandbox:
    """The chosen sandbox. `auto` tries Docker, then bubblewrap. `round_id` labels what it makes.

    Errors name the settings, because a service has no options such as `--gpus`.

    Raises:
        UsageError: no sandbox can be used.
        EngineUnavailable: the settings ask for a GPU and the machine has none.
    """
    from soundsright.cli.shared.sandboxes import chosen_sandbox

    engine = container_engine(settings)
    kept_out = (
        settings.folder,
        settings.wallet_path,
        settings.soundsright_hub,
        settings.soundsright_corpus,
        settings.soundsright_corpus_key,
    )
    try:
        return chosen_sandbox(
            choice,
            local=False,
            round_id=round_id,
            auto=("docker", "bubblewrap"),
            engine=engine,
            kept_out=kept_out,
        )
    except (UsageError, EngineUnavailable) as error:
        problem, remedy = (_by_settings(text, gpus_setting) for text in (error.problem, error.remedy))
        raise type(error)(problem, remedy) from error


def _by_settings(text: str, gpus_setting: str) -> str:
    """A sentence with settings in place of the options of `soundsright compete`.

    >>> _by_settings("Use --sandbox docker and --gpus none, or add --trust.", "EXECUTOR_GPUS")
    'Use SOUNDSRIGHT_SANDBOX=docker and EXECUTOR_GPUS=none, or add SOUNDSRIGHT_TRUST=true.'
    """
    names = {"gpus": gpus_setting, "sandbox": "SOUNDSRIGHT_SANDBOX", "runtime": "SOUNDSRIGHT_RUNTIME"}
    text = re.sub(r"--(gpus|sandbox) (none|docker|bubblewrap|process)\b", lambda m: f"{names[m[1]]}={m[2]}", text)
    text = re.sub(r"--(gpus|sandbox|runtime)\b", lambda m: names[m[1]], text)
    return re.sub(r"--trust\b", "SOUNDSRIGHT_TRUST=true", text)


def _podman_socket() -> str:
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    rootless = Path(runtime) / "podman" / "podman.sock"
    return f"unix://{rootless if rootless.exists() else '/run/podman/podman.sock'}"


def hub_token(settings: Settings) -> str | None:
    """The token for the hub, or None if there is none."""
    return settings.hf_token.get_secret_value() if settings.hf_token is not None else None
