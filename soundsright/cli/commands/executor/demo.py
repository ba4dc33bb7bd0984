"""`soundsright executor demo`: a whole competition of images on this machine, by real programs.

Times are in seconds. A block lasts `_BLOCK_S`, so that a round begins soon.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.demos import ORGANISER, RULES_FILE, claim_folder, started_chain
from soundsright.cli.shared.options import ANY_PATH, option
from soundsright.cli.shared.programs import Programs, free_port
from soundsright.core.errors import PeerUnavailable, RegistryUnavailable, UsageError

if TYPE_CHECKING:
    from soundsright.adapters.chains import HttpChain
    from soundsright.core.sources import ImageRef
    from soundsright.services.records import ExecutorRound

MODELS = ("spectral-gate", "gtcrn", "degraded")
"""The models of the demo's miners, in folders of `models/`. The last one returns its input."""
VALIDATORS = ("validator-1", "validator-2")

_BLOCK_S = 1.0
_UPDATE_BLOCKS = 20
_CLIPS = 24
_START_S = 60.0
_SUBMIT_S = 60.0
_ROUND_S = 900.0
_LOOK_S = 3.0
"""Services limit how often an address may ask, and all programs here have the same address."""
_RULES = f"""\
# The rules of the demo: short runs, and a round as soon as there is a submission. An image gets one core: the other
# programs of the demo need the others, and threads that wait for each other would be timed.
[ruleset]
base = "soundsright-v5"

[emission]
competitions = 0.0
executor = 1.0

[executor]
warmup_runs = 1
scoring_runs = 3
run_audio_s = 12
cpus = 1
update_blocks = {_UPDATE_BLOCKS}
weight_blocks = {_UPDATE_BLOCKS}

[[competition]]
task = "DENOISING"
sample_rate_hz = 16_000
max_score = 90.0
remainder = 10.0
metrics = {{ PESQ_WB = 0.6, ESTOI = 0.4 }}
"""


@click.command("demo")
@option(
    "--out",
    type=ANY_PATH,
    default="runs/executor",
    help="Folder for the programs' state, their logs and the pages. It must be new, empty or an earlier demo's.",
)
@option(
    "--without-containers",
    is_flag=True,
    help="Run the models as plain processes, with folders in place of images, even if a container engine answers.",
)
@option(
    "--base",
    metavar="IMAGE",
    help="An image of the engine with Python and the models' packages. The models are built on it without network, "
    "instead of on python:3.12-slim.",
)
def command(out: Path, without_containers: bool, base: str | None) -> None:
    """Run a whole competition of images on this machine.

    \b
    soundsright executor demo
    soundsright executor demo --base soundsright-models:here
    soundsright executor demo --without-containers

    It starts a registry, a private chain, a coordinator, an executor, three miners and two validators. It ends with
    the table, the check of the signed results, the weights that both validators set, and a plot of quality against
    time.
    """
    started_s = time.monotonic()
    if base is not None and without_containers:
        raise UsageError("--base is for containers, and --without-containers uses none", "Give one of the two.")
    claim_folder(out, "executor", _RULES)
    folder = out.absolute()
    with _images(folder, base, without_containers=without_containers) as images, Programs(folder, {}) as programs:
        _run(folder, programs, images)
    _show_pages(folder)
    click.echo(f"The demo took {time.monotonic() - started_s:.0f} s. The programs' logs are in {out}.")


@dataclass(frozen=True)
class _Images:
    """The way from models to images, and the executor's settings for them."""

    publish: Callable[[str], ImageRef]
    settings: Mapping[str, str]


@contextmanager
def _images(folder: Path, base: str | None, *, without_containers: bool) -> Iterator[_Images]:
    """A registry on this machine; without a container engine, folders that stand in for images."""
    from soundsright.adapters.containers import DockerSandbox, local_registry

    problem = "--without-containers is given" if without_containers else DockerSandbox().available()
    if problem is not None and base is not None:
        raise UsageError(f"--base needs a container engine: {problem.rstrip('.')}", "Start one, or leave it out.")
    if problem is not None:
        click.echo(f"No containers: {problem.rstrip('.')}. Models run as processes, without isolation.")
        yield _stand_ins(folder)
        return
    if base is not None:
        _check_base(base)
    with local_registry() as registry:
        settings = {"SOUNDSRIGHT_SANDBOX": "docker", "SOUNDSRIGHT_REGISTRIES": registry.address}
        if base is not None:
            settings["EXECUTOR_BASE_IMAGE"] = base
        yield _Images(lambda name: _published(name, f"{registry.address}/demo/{name}", base), settings)


def _check_base(base: str) -> None:
    from soundsright.adapters.containers import Engine, check_base, required_packages
    from soundsright.core.shipped import models_folder

    packages = required_packages(models_folder() / name for name in MODELS)
    try:
        check_base(Engine(), base, packages)
    except UsageError as error:
        raise UsageError(
            f"--base: {error.problem}",
            f"Run scripts/base_image.sh {base} -r {models_folder() / 'gtcrn' / 'requirements.txt'}",
        ) from error


def _published(name: str, repository: str, base: str | None) -> ImageRef:
    """Build the model's image and push it.

    Raises:
        RegistryUnavailable: the base image cannot be pulled, or the image not be pushed.
    """
    from soundsright.adapters.containers import Engine, publish_image
    from soundsright.core.shipped import models_folder

    try:
        return publish_image(Engine(), models_folder() / name, repository, base=base)
    except RegistryUnavailable as error:
        raise RegistryUnavailable(
            error.problem, "Give --base with an image that the engine has, or --without-containers."
        ) from error


def _stand_ins(folder: Path) -> _Images:
    from soundsright.adapters.hubs import FolderHub, StandInImages
    from soundsright.core.shipped import models_folder

    images = StandInImages(FolderHub(folder / "hub", folder / "hub-cache"))
    return _Images(
        lambda name: images.publish("demo", name, models_folder() / name),
        {
            "SOUNDSRIGHT_SANDBOX": "process",
            "SOUNDSRIGHT_TRUST": "true",
            "SOUNDSRIGHT_HUB": str(folder / "hub"),
        },
    )


def _run(folder: Path, programs: Programs, images: _Images) -> None:
    """Start all programs, submit the images, and wait for the table and the weights."""
    chain = started_chain(folder, programs, VALIDATORS, MODELS, block_s=_BLOCK_S)
    by_miner = _published_images(images)
    ports = free_port(), free_port()
    programs.set(
        SOUNDSRIGHT_POLL_S="2",
        SUBNET_API_URL=_url(ports[0]),
        EXECUTOR_API_URL=_url(ports[1]),
        SOUNDSRIGHT_RULESET=str(folder / RULES_FILE),
        SOUNDSRIGHT_SPEECH="recordings",
        SOUNDSRIGHT_PAY_ON_PUBLIC_CORPUS="true",
        EXECUTOR_CLIPS=str(_CLIPS),
    )
    click.echo("The demo pays on the shipped recordings, which an image could contain. Do not do so for money.")
    click.echo("Starting the coordinator and the executor")
    _start_services(programs, ports, images)
    for name, image in by_miner.items():
        click.echo(f"{name} submits {image.repository}@sha256:{image.sha256[:12]}…")
        programs.run(name, ["executor", "submit", "--image-ref", str(image)], timeout_s=_SUBMIT_S)
    click.echo("Starting two validators")
    for name in VALIDATORS:
        # They hand the submissions on. Only now are these complete, so the first round has all of them.
        programs.start(name, ["executor", "validate"])
    table = _table(programs, ports[1])
    weights: dict[str, dict[int, float]] | None = None
    winner = next((row.submission.hotkey for rank, row in table.ranked if rank == 1), None)
    if winner is not None:
        weights = programs.wait(
            lambda: _weights(chain, programs, winner), "both validators pay the winner", timeout_s=_ROUND_S
        )
    source = ["--results", _url(ports[1])]
    click.echo()
    click.echo(programs.run(VALIDATORS[0], ["executor", "scores", *source], timeout_s=_SUBMIT_S).rstrip())
    _keep_results(folder, ports[1])
    words = ["executor", "verify", str(folder / "results.json"), "--ruleset", str(folder / RULES_FILE)]
    click.echo(programs.run(VALIDATORS[0], words, timeout_s=_SUBMIT_S).rstrip())
    _print_weights(chain, programs, weights)


def _published_images(images: _Images) -> dict[str, ImageRef]:
    """The image of each miner, built and published."""
    by_miner = {}
    for name in MODELS:
        click.echo(f"Building and publishing the image of {name}")
        by_miner[name] = images.publish(name)
    return by_miner


def _start_services(programs: Programs, ports: tuple[int, int], images: _Images) -> None:
    """Start the coordinator and the executor on these ports, and wait until both answer."""
    programs.start(
        "coordinator",
        ["executor", "coordinate"],
        WALLET=ORGANISER,
        SUBNET_API_HOST="127.0.0.1",
        SUBNET_API_PORT=str(ports[0]),
    )
    programs.start(
        "executor",
        ["executor", "serve"],
        WALLET=ORGANISER,
        EXECUTOR_HOST="127.0.0.1",
        EXECUTOR_PORT=str(ports[1]),
        **images.settings,
    )
    programs.wait(lambda: _answers(ports[0]), "the coordinator answers", timeout_s=_START_S)
    programs.wait(lambda: _answers(ports[1]), "the executor answers", timeout_s=_START_S)


def _answers(port: int) -> bool | None:
    """True once a service answers on that port, with whatever status."""
    return None if _reply(port, "/healthz") is None else True


def _reply(port: int, path: str) -> bytes | None:
    from soundsright.adapters.peers import request

    try:
        return request(_url(port), "GET", path, timeout_s=5.0).body
    except PeerUnavailable:
        return None


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _table(programs: Programs, port: int) -> ExecutorRound:
    """The first table with all images. Prints what the executor does meanwhile."""
    from soundsright.cli.shared.executor_source import executor_status

    said = ""

    def published() -> ExecutorRound | None:
        nonlocal said
        try:
            status = executor_status(_url(port))
        except PeerUnavailable:
            return None
        doing = " ".join(str(status[key]) for key in ("state", "round", "entry") if status.get(key))
        if doing and doing != said:
            click.echo(f"  executor: {_named(doing, programs)}")
            said = doing
        latest = _latest(port)
        return latest if latest is not None and len(latest.ranked) >= len(MODELS) else None

    click.echo("The executor runs all images on one set of clips")
    return programs.wait(published, "the executor publishes a table", timeout_s=_ROUND_S, every_s=_LOOK_S)


def _latest(port: int) -> ExecutorRound | None:
    """The last published round; None before the first."""
    from soundsright.cli.shared.executor_source import executor_history

    try:
        return executor_history(_url(port), rounds_back=0).latest
    except (PeerUnavailable, UsageError):
        return None


def _named(text: str, programs: Programs) -> str:
    for name in MODELS:
        text = text.replace(programs.address(name), name)
    return text


def _weights(chain: HttpChain, programs: Programs, winner: str) -> dict[str, dict[int, float]] | None:
    """The weights of both validators once both pay the winner, and no longer that of an earlier round."""
    uids = {neuron.hotkey: neuron.uid for neuron in chain.neurons()}
    weights = {name: chain.weights(programs.address(name)) for name in VALIDATORS}
    return weights if all(each.get(uids[winner], 0.0) > 0 for each in weights.values()) else None


def _print_weights(chain: HttpChain, programs: Programs, weights: Mapping[str, Mapping[int, float]] | None) -> None:
    if weights is None:
        click.echo("\nNo image is better than its input, so the validators pay nobody.")
        return
    names = {programs.address(name): name for name in (*MODELS, *VALIDATORS, ORGANISER)}
    hotkeys = {neuron.uid: names.get(neuron.hotkey, neuron.hotkey) for neuron in chain.neurons()}
    click.echo()
    for validator, by_uid in weights.items():
        shares = ", ".join(f"{hotkeys[uid]} {weight:.0%}" for uid, weight in by_uid.items() if weight > 0)
        click.echo(f"weights of {validator}: {shares}")
    same = len({json.dumps(each, sort_keys=True) for each in weights.values()}) == 1
    click.echo("Both validators set the same weights." if same else "The validators set different weights.")


def _keep_results(folder: Path, port: int) -> None:
    """Save the signed results of the last round, which the pages are built from."""
    latest = _latest(port)
    raw = None if latest is None else _reply(port, f"/results/{latest.round_id}")
    if raw is not None:
        (folder / "results.json").write_bytes(raw)


def _show_pages(folder: Path) -> None:
    """Build the page with the plot from the saved results."""
    from soundsright.cli.shared.executor_source import executor_history
    from soundsright.services.board import build_site

    build_site((), folder / "site", audio_bytes=0, executor=executor_history(str(folder / "results.json")))
    click.echo(f"The plot of quality against time: {folder / 'site' / 'executor' / 'index.html'}")
    click.echo(f"Check the results: soundsright executor verify {folder / 'results.json'}")
