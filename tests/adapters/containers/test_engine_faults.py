"""Models whose engine, registry or runtime fails. The tests start and kill their own engine."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from soundsright.adapters.containers import LocalRegistry, local_registry
from soundsright.adapters.containers.build_limits import BuildLimits
from soundsright.adapters.containers.docker import DockerSandbox, DockerSettings
from soundsright.core.errors import EngineUnavailable, InfrastructureFault, ModelCrashed, ProtocolViolation
from soundsright.core.ports import DegradedClip, SandboxLimits
from soundsright.core.submission import FetchedModel
from tests.engines import OwnEngine

pytestmark = pytest.mark.docker

LIMITS = SandboxLimits(memory_bytes=200_000_000, load_timeout_s=20.0, enhance_fixed_s=30.0)
COPIES = """touch /output/ready
n=1
while true; do
  if [ -d /input/batch-$n ]; then
    DELAY
    cp -r /input/batch-$n /output/batch-$n.tmp && mv /output/batch-$n.tmp /output/batch-$n
    n=$((n+1))
  fi
  sleep 0.02
done
"""
DOCKERFILE = f"""FROM {OwnEngine.BUSYBOX}
LABEL soundsright.protocol="files"
COPY run.sh /run.sh
CMD ["/bin/sh", "/run.sh"]
"""
Model = Callable[..., FetchedModel]


@pytest.fixture
def shell_model(make_model: Model) -> Model:
    """A model of a few lines of shell that uses the protocol over files."""

    def made(delay: str = ":", *, dockerfile: str = DOCKERFILE, name: str = "model") -> FetchedModel:
        model = make_model(dockerfile=dockerfile, name=name)
        (model.path / "run.sh").write_text(f"# {secrets.token_hex(8)}\n" + COPIES.replace("DELAY", delay))
        return replace(model, content_hash=secrets.token_hex(32))

    return made


def sandbox_of(own: OwnEngine, **settings: Any) -> DockerSandbox:
    build = BuildLimits(network="none", **settings.pop("build", {}))
    return DockerSandbox(own.engine, settings=DockerSettings(build=build, **settings))


def containers(own: OwnEngine) -> list[str]:
    return [c.name for c in own.engine.client.containers.list(all=True, ignore_removed=True)]


def test_an_engine_killed_while_a_model_runs_is_the_operators_fault_and_leaves_nothing(
    own: OwnEngine, shell_model: Model, clips: tuple[DegradedClip, ...]
) -> None:
    sandbox = sandbox_of(own)
    model = shell_model()

    def run() -> None:
        with sandbox.run(model, limits=LIMITS) as running:
            assert all(a.failure is None for a in running.enhance(clips))
            own.signal(signal.SIGKILL)

    with pytest.raises(EngineUnavailable, match=r"No container engine answers .* DOCKER_HOST") as caught:
        run()
    assert "\n" not in str(caught.value)
    own.start()
    assert len(containers(own)) == 1, "a killed engine cannot remove the container"
    with sandbox.run(model, limits=LIMITS) as running:
        assert all(a.failure is None for a in running.enhance(clips))
    assert containers(own) == []


def test_an_engine_stopped_while_a_model_works_is_not_the_models_fault(
    own: OwnEngine, shell_model: Model, clips: tuple[DegradedClip, ...]
) -> None:
    stopper = threading.Timer(0.3, own.signal, (signal.SIGTERM,))

    def run() -> None:
        with sandbox_of(own).run(shell_model("sleep 600"), limits=LIMITS) as running:
            stopper.start()
            running.enhance(clips)

    with pytest.raises(InfrastructureFault, match="No container engine answers"):
        run()
    stopper.join()
    own.start()


def test_an_engine_killed_during_a_build_is_not_the_models_fault(own: OwnEngine, shell_model: Model) -> None:
    model = shell_model(dockerfile=f'FROM {OwnEngine.BUSYBOX}\nRUN trap exit TERM; sleep 600 & wait\nCMD ["x"]\n')
    killer = threading.Timer(1.0, own.signal, (signal.SIGKILL,))
    killer.start()
    with pytest.raises(InfrastructureFault, match="No container engine answers"):
        sandbox_of(own).prepare(model)
    killer.join()
    own.start()
    own.engine.client.containers.prune()


def test_a_build_is_stopped_at_once_and_leaves_nothing(own: OwnEngine, shell_model: Model) -> None:
    before = {i.id for i in own.engine.client.images.list(all=True)}
    sandbox = sandbox_of(own)
    model = shell_model(dockerfile=f'FROM {OwnEngine.BUSYBOX}\nCOPY . /a\nRUN sleep 600\nCMD ["x"]\n')
    threading.Timer(1.0, sandbox.stop).start()
    started = time.monotonic()
    with pytest.raises(ModelCrashed, match="stopped by the harness"), sandbox.run(model, limits=LIMITS):
        pass
    assert time.monotonic() - started < 15, "the build had 600 s to go"
    assert containers(own) == []
    assert {i.id for i in own.engine.client.images.list(all=True)} == before


def test_ctrl_c_ends_a_build_at_once(own: OwnEngine, shell_model: Model) -> None:
    model = shell_model(dockerfile=f'FROM {OwnEngine.BUSYBOX}\nRUN sleep 600\nCMD ["x"]\n')
    (model.path / "LICENSE").write_text("MIT")
    words = [
        sys.executable,
        "-X",
        "faulthandler",
        "-m",
        "soundsright",
        "verify",
        str(model.path),
        "--sandbox",
        "docker",
        "--clips",
        "1",
    ]
    environment = {**os.environ, "DOCKER_HOST": own.engine.url or ""}
    command = subprocess.Popen([*words, "--build-network", "none"], env=environment, stdout=-1, stderr=-1)
    with command:
        until = time.monotonic() + 60
        while not containers(own) and command.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        command.send_signal(signal.SIGINT)
        started = time.monotonic()
        try:
            out, error = command.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            command.send_signal(signal.SIGABRT)
            pytest.fail(f"Ctrl-C had no effect. Where it hangs:\n{command.communicate()[1].decode()}")
    assert (command.returncode, error.decode().splitlines()[-1:]) == (130, ["Stopped."]), out
    assert time.monotonic() - started < 15, "the build had 600 s to go"
    assert containers(own) == []


def test_a_build_that_fails_leaves_no_layer(own: OwnEngine, shell_model: Model) -> None:
    before = {i.id for i in own.engine.client.images.list(all=True)}
    words = f'FROM {OwnEngine.BUSYBOX}\nCOPY . /a\nRUN echo no space left on device && false\nCMD ["x"]\n'
    with pytest.raises(ModelCrashed, match="the build failed"):
        sandbox_of(own).prepare(shell_model(dockerfile=words))
    assert {i.id for i in own.engine.client.images.list(all=True)} == before
    assert containers(own) == []


def test_images_beyond_the_limit_are_removed_oldest_first(own: OwnEngine, shell_model: Model) -> None:
    sandbox = sandbox_of(own, build={"kept_bytes": 5_000_000})
    fill = f'FROM {OwnEngine.BUSYBOX}\nCOPY run.sh /run.sh\nRUN cat /bin/busybox /bin/busybox >/fill\nCMD ["x"]\n'
    first, second, third = (sandbox.build(shell_model(dockerfile=fill, name=n)).id for n in "abc")
    left = {i.id for i in own.engine.client.images.list(filters={"label": "soundsright=model"})}
    assert first not in left
    assert third in left
    assert second in left or len(left) == 1


@pytest.fixture
def registry() -> Iterator[LocalRegistry]:
    """A registry on the loopback interface."""
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    with local_registry() as registry:
        yield registry


def test_an_image_by_digest_is_pulled_checked_and_run(
    own: OwnEngine, registry: LocalRegistry, shell_model: Model, clips: tuple[DegradedClip, ...]
) -> None:
    client = own.engine.client
    published = sandbox_of(own).build(shell_model())
    repository = f"{registry.address}/team/model"
    client.images.get(published.id).tag(repository, "1")
    assert '"error"' not in client.images.push(repository, "1")
    digest = client.images.get(published.id).attrs["RepoDigests"][0].partition("@")[2]
    client.images.remove(published.id, force=True)

    model = shell_model(name="by-digest")
    (model.path / "IMAGE").write_text(f"{repository}@{digest}\n")
    with pytest.raises(ProtocolViolation, match=r"IMAGE: 127\.0\.0\.1:\d+ is not a public registry"):
        sandbox_of(own).prepare(model)
    sandbox = sandbox_of(own, build={"registries": (registry.address,)})
    with sandbox.run(model, limits=LIMITS) as running:
        answers = running.enhance(clips)
        assert running.timing.build_s > 0
    assert answers[0].audio is not None
    np.testing.assert_array_equal(answers[0].audio.samples, clips[0].audio.samples)

    # The image has the layers of the build that it was pushed from, under another name.
    layers = sandbox.image_layers(model)
    assert layers
    assert layers == tuple(client.images.get(f"{repository}@{digest}").attrs["RootFS"]["Layers"])

    (model.path / "IMAGE").write_text(f"{repository}@sha256:{'0' * 64}\n")
    assert sandbox.image_layers(model) == ()
    with pytest.raises(ModelCrashed, match=r"does not exist: .*manifest unknown"):
        sandbox.prepare(model)

    # A registry whose content does not match its digest.
    store, false = registry.data / "docker/registry/v2", "f" * 64
    kept = store / "blobs/sha256" / digest[7:9] / digest[7:] / "data"
    lies = store / "blobs/sha256/ff" / false / "data"
    link = store / "repositories/team/model/_manifests/revisions/sha256" / false / "link"
    for path, data in ((lies, kept.read_bytes()), (link, f"sha256:{false}".encode())):
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    (model.path / "IMAGE").write_text(f"{repository}@sha256:{false}\n")
    with pytest.raises(EngineUnavailable, match=r"wrong content for .*verification failed"):
        sandbox_of(own, build={"registries": (registry.address,)}).prepare(model)


def test_a_model_with_the_protocol_over_files_runs_under_gvisor(
    own: OwnEngine, shell_model: Model, clips: tuple[DegradedClip, ...]
) -> None:
    if shutil.which("runsc") is None:
        pytest.skip("runsc (gVisor) is not installed")
    sandbox = sandbox_of(own, runtime="runsc")
    with sandbox.run(shell_model(), limits=replace(LIMITS, load_timeout_s=60.0)) as running:
        assert all(a.failure is None for a in running.enhance(clips))
        assert all(a.failure is None for a in running.enhance(clips[:1]))
    assert containers(own) == []
    by_http = shell_model(dockerfile=DOCKERFILE.replace("files", "http"), name="http")
    with pytest.raises(ProtocolViolation, match="gVisor"), sandbox.run(by_http, limits=LIMITS):
        pass


def test_a_runtime_that_the_engine_does_not_have_is_named(own: OwnEngine, shell_model: Model) -> None:
    with (
        pytest.raises(EngineUnavailable, match="does not have this runtime"),
        sandbox_of(own, runtime="nonesuch").run(shell_model(), limits=LIMITS),
    ):
        pass
