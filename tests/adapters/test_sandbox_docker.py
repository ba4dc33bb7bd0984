"""What the docker sandbox alone owes: builds, images, labels, faults of an engine, and what it must leave alone."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from soundsright.adapters.docker_build import BuildLimits, remove_images
from soundsright.adapters.docker_engine import ENTRY_LABEL, ROUND_LABEL, Engine, engine_faults
from soundsright.adapters.docker_settings import container_settings
from soundsright.adapters.gpu import Gpu
from soundsright.adapters.sandbox_docker import DockerSandbox, DockerSettings
from soundsright.core.errors import EngineUnavailable, ModelCrashed, ModelTimeout, ProtocolViolation
from soundsright.core.ports import DegradedClip, SandboxLimits
from soundsright.core.submission import FetchedModel
from tests.conftest import docker_sandbox, model_contents
from tests.engines import BASE

LIMITS = SandboxLimits(memory_bytes=400_000_000, load_timeout_s=20.0)
MakeModel = Callable[..., FetchedModel]
ON_ENGINE = pytest.mark.docker


def sandbox_with(engine: Engine, **limits: object) -> DockerSandbox:
    return DockerSandbox(engine, settings=DockerSettings(build=BuildLimits(network="none", **limits)))  # type: ignore[arg-type]


@pytest.fixture
def stranger(engine: Engine) -> Iterator[str]:
    """A container that has nothing to do with the harness."""
    container = engine.client.containers.run(BASE, ["sleep", "600"], detach=True, labels={"mine": "yes"})
    yield container.id
    container.remove(force=True)


@ON_ENGINE
def test_a_round_leaves_other_containers_and_images_alone(
    engine: Engine, stranger: str, make_model: MakeModel, clips: tuple[DegradedClip, ...]
) -> None:
    containers = {c.id for c in engine.client.containers.list(all=True)}
    images = {i.id for i in engine.client.images.list()}
    model = make_model(f"print({secrets.token_hex(8)!r})\nserve(Model())")
    with docker_sandbox(engine).run(model, limits=LIMITS) as running:
        running.enhance(clips)
        (mine,) = {c.id for c in engine.client.containers.list()} - containers
        labels = engine.client.containers.get(mine).labels
        assert labels[ROUND_LABEL] == "round-1"
        assert labels[ENTRY_LABEL] == model.submission.entry_id
    assert {c.id for c in engine.client.containers.list(all=True)} == containers
    kept = frozenset(model_contents(engine) - {model.content_hash})
    assert remove_images(engine, keep=kept) == 1
    assert {i.id for i in engine.client.images.list()} == images


@ON_ENGINE
def test_the_same_content_is_built_once(engine: Engine, make_model: MakeModel) -> None:
    model = make_model(f"print({secrets.token_hex(8)!r})\nserve(Model())")
    first, second = (docker_sandbox(engine).build(model) for _ in range(2))
    assert first.build_s > 0
    assert (second.id, second.build_s) == (first.id, 0.0)
    assert "Step 1/" in first.log


@ON_ENGINE
def test_a_build_has_no_network_and_sees_nothing_of_the_host(
    engine: Engine, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://secret-proxy:1")
    probe = "import os, socket; print('ENV', sorted(os.environ)); socket.create_connection(('192.0.2.1', 80), 2)"
    model = make_model(dockerfile=f'FROM {BASE}\nRUN ["python", "-c", "{probe}"]\nCMD ["x"]\n')
    with pytest.raises(ModelCrashed, match=r"unreachable|no network") as caught:
        docker_sandbox(engine).build(model)
    assert "proxy" not in str(caught.value).lower()


@ON_ENGINE
def test_a_build_that_fails_says_where(engine: Engine, make_model: MakeModel) -> None:
    model = make_model(dockerfile=f'FROM {BASE}\nRUN echo first && false\nCMD ["x"]\n')
    with pytest.raises(ModelCrashed, match=r"the build failed.*returned a non-zero code: 1"):
        docker_sandbox(engine).build(model)


@ON_ENGINE
def test_a_build_that_takes_too_long_is_stopped(engine: Engine, make_model: MakeModel) -> None:
    model = make_model(dockerfile=f'FROM {BASE}\nRUN sleep 600\nCMD ["x"]\n')
    with pytest.raises(ModelTimeout, match="build took longer than 2 s"):
        sandbox_with(engine, timeout_s=2.0).build(model)


@ON_ENGINE
def test_a_build_that_writes_too_much_is_stopped(engine: Engine, make_model: MakeModel) -> None:
    fill = "f = open('/fill', 'wb'); [f.write(bytes(1_000_000)) for _ in range(300)]; import time; time.sleep(60)"
    model = make_model(dockerfile=f'FROM {BASE}\nRUN ["python", "-c", "{fill}"]\nCMD ["x"]\n')
    with pytest.raises(ModelCrashed, match="wrote more than 100000000 bytes"):
        sandbox_with(engine, max_layer_bytes=100_000_000).build(model)


@ON_ENGINE
def test_an_image_that_is_too_large_is_removed(engine: Engine, make_model: MakeModel) -> None:
    before = {i.id for i in engine.client.images.list()}
    model = make_model("print('too large')")
    with pytest.raises(ModelCrashed, match="the image has"):
        sandbox_with(engine, max_image_bytes=1_000).build(model)
    assert {i.id for i in engine.client.images.list()} == before


@ON_ENGINE
def test_a_full_disk_is_the_operators_affair(engine: Engine, make_model: MakeModel) -> None:
    model = make_model(dockerfile=f'FROM {BASE}\nRUN sleep 600\nCMD ["x"]\n')
    with pytest.raises(Exception, match="Free space there") as caught:
        sandbox_with(engine, min_free_bytes=10**18).build(model)
    assert caught.type.__name__ == "InfrastructureFault"


@ON_ENGINE
def test_a_refused_dockerfile_is_never_built(engine: Engine, make_model: MakeModel) -> None:
    model = make_model(dockerfile=f'FROM {BASE}\nADD https://example.org/x /x\nVOLUME /data\nCMD ["x"]\n')
    with pytest.raises(ProtocolViolation, match=r"line 2: ADD from an address.*line 3: VOLUME"):
        docker_sandbox(engine).build(model)


@ON_ENGINE
def test_a_base_image_that_cannot_be_reached_is_not_the_miners_fault(engine: Engine, make_model: MakeModel) -> None:
    model = make_model(dockerfile='FROM registry.invalid/team/base:1\nCMD ["x"]\n')
    with pytest.raises(EngineUnavailable, match="cannot be pulled"):
        docker_sandbox(engine).build(model)


@ON_ENGINE
def test_an_image_by_digest_must_be_that_image(engine: Engine, make_model: MakeModel) -> None:
    model = make_model()
    (model.path / "IMAGE").write_text("registry.invalid/team/model@sha256:" + "0" * 64)
    with pytest.raises(EngineUnavailable, match="cannot be pulled"):
        docker_sandbox(engine).build(model)
    (model.path / "IMAGE").write_text("team/model:latest")
    with pytest.raises(ProtocolViolation, match="not `repository@sha256"):
        docker_sandbox(engine).build(model)


@ON_ENGINE
def test_what_a_killed_harness_left_is_removed_by_the_next(
    engine: Engine, make_model: MakeModel, tmp_path: Path
) -> None:
    folder = make_model().path
    script = f"""
    from pathlib import Path
    import os
    from soundsright.adapters.docker_engine import Engine
    from tests.conftest import docker_sandbox, fetched
    from soundsright.core.ports import SandboxLimits
    with docker_sandbox(Engine({engine.url!r})).run(fetched(Path({str(folder)!r})), limits=SandboxLimits()):
        print("ready", flush=True)
        os.kill(os.getpid(), 9)
    """
    before = {c.id for c in engine.client.containers.list(all=True)}
    root = Path(__file__).parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(tmp_path)},
        cwd=root,
    )
    assert killed.returncode == -9
    assert len({c.id for c in engine.client.containers.list(all=True)} - before) == 1
    assert engine.sweep() == 1
    assert {c.id for c in engine.client.containers.list(all=True)} == before
    assert not list(tmp_path.glob("sr-*"))


def test_no_engine_is_one_line_with_a_remedy(make_model: MakeModel) -> None:
    sandbox = DockerSandbox(Engine("unix:///nonexistent/docker.sock"))
    assert "No container engine answers" in (sandbox.available() or "")
    with pytest.raises(EngineUnavailable, match="DOCKER_HOST"), sandbox.run(make_model(), limits=LIMITS):
        pass


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("write /var/lib/x: no space left on device", "Free space"),
        ('could not select device driver "" with capabilities: [[gpu]]', "--gpus none"),
        ("unknown or invalid runtime name: runsc", "--runtime"),
        ("something else", "engine's log"),
    ],
)
def test_what_an_engine_says_becomes_a_remedy(said: str, remedy: str) -> None:
    import docker.errors

    with pytest.raises(EngineUnavailable, match=remedy), engine_faults():
        raise docker.errors.APIError("500", explanation=said)


def test_everything_that_holds_a_model_is_asked_of_the_engine() -> None:
    settings = container_settings(
        "sha256:1", {"User": "root", "Volumes": {"/data": {}}}, LIMITS, labels={"a": "b"}, cpus=(1, 3), seccomp="{}"
    )
    host = settings["HostConfig"]
    assert settings["User"].partition(":")[0] not in ("0", "root")
    assert settings["NetworkDisabled"] is True
    assert settings["Healthcheck"] == {"Test": ["NONE"]}
    assert host["NetworkMode"] == "none"
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true", "seccomp={}"]
    assert (host["Memory"], host["MemorySwap"]) == (400_000_000, 400_000_000)
    assert (host["CpusetCpus"], host["NanoCpus"]) == ("1,3", 1_000_000_000)
    assert host["PidsLimit"] == LIMITS.pids
    assert (host["IpcMode"], host["CgroupnsMode"], host["Init"]) == ("private", "private", True)
    assert host["Privileged"] is False
    assert set(host["Tmpfs"]) == {"/tmp", "/run/soundsright", "/data"}
    assert all("size=" in options and "nosuid" in options for options in host["Tmpfs"].values())
    assert not host["Mounts"]
    limits = {limit["Name"]: limit["Hard"] for limit in host["Ulimits"]}
    assert limits["nofile"] == LIMITS.open_files
    assert limits["fsize"] == LIMITS.tmpfs_bytes
    assert limits["core"] == 0
    assert host["LogConfig"]["Config"]["max-size"] == str(LIMITS.log_bytes)
    json.dumps(settings)


@pytest.mark.parametrize(("named", "kept"), [("10001", "10001:10001"), ("7:8", "7:8"), ("7:0", "7:7")])
def test_an_images_own_user_is_kept_where_it_is_a_number_that_is_not_roots(named: str, kept: str) -> None:
    settings = container_settings("sha256:1", {"User": named}, LIMITS, labels={}, cpus=(0,), seccomp="{}")
    assert settings["User"] == kept


def test_no_setting_makes_a_model_root(tmp_path: Path) -> None:
    for shared in (None, tmp_path):
        settings = container_settings(
            "i", {}, LIMITS, labels={}, cpus=(0,), seccomp="{}", runtime="x", shared=shared
        )
        assert settings["User"].split(":")[0] != "0" != settings["User"].split(":")[1]


def test_gpus_and_runtimes_are_asked_for_as_engines_expect_it() -> None:
    asked = container_settings(
        "sha256:1", {}, LIMITS, labels={}, cpus=(0,), seccomp="{}", gpus=(Gpu(0, "GPU-a"),), runtime="runsc"
    )["HostConfig"]
    assert asked["DeviceRequests"] == [
        {"Driver": "", "Count": 0, "DeviceIDs": ["GPU-a"], "Capabilities": [["gpu"]], "Options": {}}
    ]
    assert asked["Runtime"] == "runsc"
    by_cdi = container_settings(
        "sha256:1", {}, LIMITS, labels={}, cpus=(0,), seccomp="{}", gpus=(Gpu(0, "GPU-a"),), cdi=True
    )["HostConfig"]
    assert by_cdi["DeviceRequests"] == [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=GPU-a"]}]
    plain = container_settings("sha256:1", {}, LIMITS, labels={}, cpus=(0,), seccomp="{}")["HostConfig"]
    assert "DeviceRequests" not in plain
    assert "Runtime" not in plain
