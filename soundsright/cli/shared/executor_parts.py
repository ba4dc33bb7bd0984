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
    from soundsright.services.executor import material_of_round
    from soundsright.services.rounds import opened

    speech = speech_of(settings, organiser, organiser.competitions)
    material = Material(
        settings.soundsright_corpus, settings.soundsright_corpus_key, speech=speech, noise=organiser.noise
    )
    recordings = opened(material_of_round(material, schedule_of(settings, organiser), time.time()))
    for competition in organiser.competitions:
        if material.speech_for(competition.sample_rate_hz) is None:
            recordings.corpus.speech_for(competition.sample_rate_hz)
    return material


def opened_parts(
    settings: ExecutorSettings, rules: ExecutorRules, pool: Pool, cancelled: threading.Event
) -> ImageParts:
    """The hub, the sandbox and the meter that the settings choose. Set `cancelled` before the sandbox is stopped.

    Raises:
        UsageError: no sandbox can be used, or images cannot run in it and SOUNDSRIGHT_HUB has no models.
        InfrastructureFault: a GPU or the disk cannot be used.
    """
    from soundsright.cli.shared.opening import opened_sandbox, sandbox_choice
    from soundsright.services.executor import ImageMeter, ReferenceModel, built_in_reference, sandbox_limits

    choice = replace(sandbox_choice(settings), gpus=settings.executor_gpus, build_timeout_s=rules.pull_timeout_s)
    sandbox = opened_sandbox(settings, choice, round_id="executor")
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
    if sandbox.name == CONTAINERS:
        registries = comma_separated(settings.soundsright_registries)
        return HubBySource({ImageRef: ImageFolders(cache, registries)})
    root = settings.soundsright_hub
    if root is None or not root.expanduser().is_dir():
        raise UsageError(
            f"The sandbox {sandbox.name} cannot run images",
            "Start a container engine, or give SOUNDSRIGHT_HUB a folder whose models stand in for images.",
        )
    return HubBySource({ImageRef: StandInImages(FolderHub(root.expanduser(), cache))})


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
