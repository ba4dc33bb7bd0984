"""The parts of an executor as the settings choose them: recordings, hub, sandbox, meter, machine."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from soundsright.config import ExecutorSettings
    from soundsright.core.competition import Competition
    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.core.executor_rules import ExecutorRules
    from soundsright.core.material import Material
    from soundsright.core.ports import EnergyMeter, ModelHub, Pool, Sandbox
    from soundsright.library import SandboxChoice
    from soundsright.services.executor import ImageMeter, Reference

_log = logging.getLogger(__name__)

CONTAINERS = "docker"
"""The sandbox that runs images. With any other, folders of models stand in for them."""


@dataclass(frozen=True)
class ImageParts:
    """The hub, the sandbox and the meter of images. `machine` describes this machine in the signed results."""

    hub: ModelHub
    sandbox: Sandbox
    meter_of: Callable[[Competition], ImageMeter]
    machine: dict[str, str]


def executor_material(settings: ExecutorSettings, organiser: CompetitionRules) -> Material:
    """The recordings and the speech of the executor's sets.

    Raises:
        UsageError: they are missing, or a competition has no speech at its rate.
    """
    from soundsright.cli.shared.opening import schedule_of
    from soundsright.cli.shared.speech_settings import speech_of
    from soundsright.core.material import Material
    from soundsright.services.rounds import material_of_round, opened

    speech = speech_of(settings, organiser, organiser.competitions)
    material = Material(
        settings.soundsright_corpus, settings.soundsright_corpus_key, speech=speech, noise=organiser.noise
    )
    recordings = opened(material_of_round(material, schedule_of(settings, organiser), time.time()))
    for competition in organiser.competitions:
        if material.speech_for(competition.sample_rate_hz) is None:
            recordings.corpus.speech_for(competition.sample_rate_hz)
    return material


def check_competitions(settings: ExecutorSettings, organiser: CompetitionRules) -> None:
    """Check that the organiser has every competition of EXECUTOR_COMPETITION.

    Raises:
        UsageError: it lacks one.
    """
    from soundsright.core.competition import competition_by_id

    for name in settings.executor_competitions:
        try:
            competition_by_id(name, organiser.competitions)
        except UsageError as error:
            raise UsageError(f"EXECUTOR_COMPETITION: {error.problem}", error.remedy) from error


def image_sandbox(
    settings: ExecutorSettings, *, build_timeout_s: float | None = None
) -> tuple[Sandbox, SandboxChoice]:
    """The sandbox of images with the GPUs of EXECUTOR_GPUS, and the choice that led to it.

    Raises:
        UsageError: no sandbox can be used, or the machine lacks a GPU.
    """
    from soundsright.cli.shared.opening import opened_sandbox, sandbox_choice

    choice = replace(sandbox_choice(settings), gpus=settings.executor_gpus, build_timeout_s=build_timeout_s)
    return opened_sandbox(settings, choice, round_id="executor", gpus_setting="EXECUTOR_GPUS"), choice


def check_reference_image(settings: ExecutorSettings, *, pull: bool = False) -> None:
    """Check that the engine has the image of EXECUTOR_BASE_IMAGE with Python, or can `pull` it.

    Raises:
        UsageError: it does not.
        EngineUnavailable: the engine failed.
    """
    from soundsright.adapters.containers import check_base, pull_base
    from soundsright.cli.shared.opening import container_engine

    engine, base = container_engine(settings), settings.executor_base_image
    try:
        if pull:
            pull_base(engine, base)
        check_base(engine, base, ())
    except UsageError as error:
        raise UsageError(f"EXECUTOR_BASE_IMAGE: {error.problem}", error.remedy) from error


def stand_in_models(settings: ExecutorSettings, sandbox: Sandbox) -> Path | None:
    """The folder of models that stand in for images; None if the sandbox runs images.

    Raises:
        UsageError: it does not run them, and SOUNDSRIGHT_HUB is no folder.
    """
    if sandbox.name == CONTAINERS:
        return None
    root = settings.soundsright_hub
    if root is None or not root.expanduser().is_dir():
        raise UsageError(
            f"The sandbox {sandbox.name} cannot run images",
            "Start a container engine, or give SOUNDSRIGHT_HUB a folder whose models stand in for images.",
        )
    return root.expanduser()


def opened_parts(
    settings: ExecutorSettings, rules: ExecutorRules, pool: Pool, cancelled: threading.Event
) -> ImageParts:
    """The hub, the sandbox and the meter that the settings choose. Set `cancelled` before the sandbox is stopped.

    Raises:
        UsageError: no sandbox can be used, or images cannot run in it and SOUNDSRIGHT_HUB has no models.
        InfrastructureFault: a GPU or the disk cannot be used.
    """
    from soundsright.services.executor import ImageMeter, ReferenceModel, built_in_reference, sandbox_limits

    sandbox, choice = image_sandbox(settings, build_timeout_s=rules.pull_timeout_s)
    if stand_in_models(settings, sandbox) is None:
        check_reference_image(settings, pull=True)
    limits = sandbox_limits(rules)
    model = built_in_reference(settings.folder / "reference", base=settings.executor_base_image)
    reference: Reference = ReferenceModel(sandbox, model, limits)
    energy = _energy(choice)

    def meter_of(competition: Competition) -> ImageMeter:
        metrics = tuple(competition.metric_weights)
        return ImageMeter(sandbox, pool, rules, metrics, reference, energy, _tell_run, cancelled)

    return ImageParts(_hub(settings, sandbox), sandbox, meter_of, _machine(sandbox, choice, energy))


def _tell_run(number: int, runs: int) -> None:
    _log.info("run %d of %d is done", number, runs, extra={"action": "image_run"})


def _hub(settings: ExecutorSettings, sandbox: Sandbox) -> ModelHub:
    from soundsright.adapters.hubs import FolderHub, HubBySource, ImageFolders, StandInImages
    from soundsright.core.sources import ImageRef
    from soundsright.core.text_files import comma_separated

    cache = settings.folder / "cache"
    root = stand_in_models(settings, sandbox)
    if root is None:
        registries = comma_separated(settings.soundsright_registries)
        return HubBySource({ImageRef: ImageFolders(cache, registries)})
    return HubBySource({ImageRef: StandInImages(FolderHub(root, cache))})


def _energy(choice: SandboxChoice) -> EnergyMeter | None:
    from soundsright.adapters.machine import machine_energy

    return machine_energy([gpu.uuid for gpu in choice.gpu_pool.gpus] if choice.gpu_pool else ())


def _machine(sandbox: Sandbox, choice: SandboxChoice, energy: EnergyMeter | None) -> dict[str, str]:
    """Facts about this machine that times depend on. They name no user, path or address."""
    from soundsright import __version__
    from soundsright.adapters.sandboxes import memory_bytes, usable_cpus

    return {
        "soundsright": __version__,
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": str(len(usable_cpus())),
        "memory_gb": f"{memory_bytes() / 1e9:.0f}",
        "gpus": str(len(choice.gpu_pool) if choice.gpu_pool else 0),
        "sandbox": sandbox.name,
        "energy": "measured" if energy is not None else "not measured",
    }
