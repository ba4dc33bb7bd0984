"""The docker sandbox: builds, images, labels, faults of an engine, and the containers of others."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import socket
import socketserver
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from soundsright.adapters.containers.build_limits import BuildLimits
from soundsright.adapters.containers.create_request import create_request
from soundsright.adapters.containers.docker import DockerSandbox, DockerSettings
from soundsright.adapters.containers.engine import Engine, engine_faults
from soundsright.adapters.containers.image_build import ImageBuild
from soundsright.adapters.containers.image_faults import pull_fault
from soundsright.adapters.containers.image_storage import remove_images
from soundsright.adapters.containers.labels import ENTRY_LABEL, ROUND_LABEL
from soundsright.adapters.containers.model_images import model_image
from soundsright.adapters.sandboxes.gpu import Gpu, GpuPool
from soundsright.adapters.sandboxes.stopping import StopToken
from soundsright.core.dockerfile import BaseImage
from soundsright.core.errors import (
    EngineUnavailable,
    ImageNotPulled,
    ModelCrashed,
    ModelTimeout,
    ProtocolViolation,
    RegistryUnavailable,
)
from soundsright.core.ports import DegradedClip, SandboxLimits
from soundsright.core.submission import FetchedModel
from tests.conftest import docker_sandbox, model_contents
from tests.engines import BASE

LIMITS = SandboxLimits(memory_bytes=400_000_000, load_timeout_s=20.0)
MakeModel = Callable[..., FetchedModel]
ON_ENGINE = pytest.mark.docker


def sandbox_with(engine: Engine, **limits: Any) -> DockerSandbox:
    return DockerSandbox(engine, settings=DockerSettings(build=BuildLimits(network="none", **limits)))


@pytest.fixture
def stranger(engine: Engine) -> Iterator[str]:
    """A container that the harness did not create."""
    container = engine.client.containers.run(BASE, ["sleep", "600"], detach=True, labels={"mine": "yes"})
    yield container.id
    container.remove(force=True)


@ON_ENGINE
def test_a_round_leaves_other_containers_and_images_alone(
    engine: Engine, stranger: str, make_model: MakeModel, clips: tuple[DegradedClip, ...]
) -> None:
    containers = {c.id for c in engine.client.containers.list(all=True, ignore_removed=True)}
    images = {i.id for i in engine.client.images.list()}
    model = make_model(f"print({secrets.token_hex(8)!r})\nserve(Model())")
    with docker_sandbox(engine).run(model, limits=LIMITS) as running:
        running.enhance(clips)
        (mine,) = {c.id for c in engine.client.containers.list(ignore_removed=True)} - containers
        labels = engine.client.containers.get(mine).labels
        assert labels[ROUND_LABEL] == "round-1"
        assert labels[ENTRY_LABEL] == model.submission.entry_id
    assert {c.id for c in engine.client.containers.list(all=True, ignore_removed=True)} == containers
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
def test_a_build_that_failed_in_prepare_fails_the_run_without_a_second_build(
    engine: Engine, make_model: MakeModel
) -> None:
    model = make_model(dockerfile=f'FROM {BASE}\nRUN exit 7\nCMD ["x"]\n')
    sandbox = docker_sandbox(engine)
    with pytest.raises(ModelCrashed, match="returned a non-zero code: 7"):
        sandbox.prepare(model)
    # The content hash stays the same. A second build would end with this code.
    (model.path / "Dockerfile").write_text(f'FROM {BASE}\nRUN exit 8\nCMD ["x"]\n')
    with pytest.raises(ModelCrashed, match="returned a non-zero code: 7"), sandbox.run(model, limits=LIMITS):
        pass


@ON_ENGINE
def test_a_build_that_was_too_slow_in_prepare_is_repeated_in_its_run(engine: Engine, make_model: MakeModel) -> None:
    model = make_model(dockerfile=f'FROM {BASE}\nRUN sleep 3\nCMD ["x"]\n')
    sandbox = sandbox_with(engine, timeout_s=1.0)
    with pytest.raises(ModelTimeout):
        sandbox.prepare(model)
    object.__setattr__(sandbox._settings.build, "timeout_s", 60.0)
    assert sandbox.build(model).build_s > 3.0


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
def test_a_full_disk_is_a_fault_of_the_operator(engine: Engine, make_model: MakeModel) -> None:
    model = make_model(dockerfile=f'FROM {BASE}\nRUN sleep 600\nCMD ["x"]\n')
    with pytest.raises(Exception, match="Free space there") as caught:
        sandbox_with(engine, min_free_bytes=10**18).build(model)
    assert caught.type.__name__ == "InfrastructureFault"


@ON_ENGINE
def test_a_refused_dockerfile_is_never_built(engine: Engine, make_model: MakeModel) -> None:
    model = make_model(dockerfile=f'FROM {BASE}\nADD https://example.org/x /x\nVOLUME /data\nCMD ["x"]\n')
    with pytest.raises(ProtocolViolation, match=r"line 2: ADD downloads from an address.*line 3: VOLUME"):
        docker_sandbox(engine).build(model)


@ON_ENGINE
def test_a_failed_pull_is_the_models_fault_only_if_the_model_chose_the_registry(
    engine: Engine, make_model: MakeModel
) -> None:
    model = make_model(name="chosen", dockerfile='FROM registry.invalid/team/base:1\nCMD ["x"]\n')
    with pytest.raises(
        ModelCrashed, match=r"the registry that the model chose does not provide registry\.invalid/team/base:1"
    ):
        docker_sandbox(engine).prepare(model)
    with pytest.raises(EngineUnavailable, match="cannot pull"):
        sandbox_with(engine, registries=("registry.invalid",)).prepare(model)
    hidden = 'ARG H=registry.invalid/x\nFROM --platform=linux/amd64 $H/y:1\nCMD ["x"]\n'
    with pytest.raises(ModelCrashed, match=r"registry\.invalid/x/y:1"):
        docker_sandbox(engine).prepare(make_model(name="hidden", dockerfile=hidden))
    model = make_model(name="default", dockerfile='FROM nobody/has-this:1\nCMD ["x"]\n')
    with pytest.raises((EngineUnavailable, ModelCrashed), match=r"cannot pull|does not exist") as caught:
        docker_sandbox(engine).prepare(model)
    unreached = "no such host" in str(caught.value) or "dial" in str(caught.value)
    assert issubclass(caught.type, RegistryUnavailable) == unreached


@ON_ENGINE
def test_a_failed_pull_of_a_copied_stage_is_judged_in_the_same_way(engine: Engine, make_model: MakeModel) -> None:
    words = f'FROM {BASE}\nCOPY --from=registry.invalid/x/y:1 /x /x\nCMD ["x"]\n'
    with pytest.raises(ModelCrashed, match=r"registry\.invalid/x/y:1"):
        docker_sandbox(engine).prepare(make_model(dockerfile=words))


@pytest.mark.parametrize("host", ["127.0.0.1:5000", "169.254.169.254", "localhost", "registry:5000", "[::1]:5000"])
def test_a_registry_in_the_operators_network_is_refused(host: str, make_model: MakeModel) -> None:
    sandbox = DockerSandbox(Engine("unix:///nonexistent/docker.sock"))
    model = make_model(dockerfile=f'ARG HOST={host}\nFROM ${{HOST}}/a/b:1\nCMD ["x"]\n')
    limits = BuildLimits(registries=("registry.example",))
    with pytest.raises(ProtocolViolation, match=r"line 2: .* is not a public registry"):
        model_image(sandbox._engine, model, limits, {}, StopToken(), last_used_s={})


@pytest.mark.parametrize(
    "image",
    [
        *("soundsright/model:abc-none", "docker.io/soundsright/model:abc-none", "localhost/soundsright/model:abc"),
        *("sha256:" + "0" * 64, "c8a141bec925"),
    ],
)
def test_a_local_image_of_the_engine_is_refused_as_a_base(image: str, make_model: MakeModel) -> None:
    model = make_model(dockerfile=f'FROM scratch\nCOPY --from={image} /app /app\nCMD ["x"]\n')
    with pytest.raises(ProtocolViolation, match=r"line 2: .* is not an image of a registry"):
        model_image(
            Engine("unix:///nonexistent/docker.sock"), model, BuildLimits(), {}, StopToken(), last_used_s={}
        )


@ON_ENGINE
def test_credentials_are_sent_only_for_trusted_registries(
    engine: Engine, make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    auths = {name: {"auth": "dXNlcjpzZWNyZXQ="} for name in ("private.example", "https://index.docker.io/v1/")}
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    model = make_model()
    for vouched, sent in [((), []), (("private.example",), ["private.example"]), (("docker.io",), [*auths][1:])]:
        build = ImageBuild(Engine(engine.url), model, BuildLimits(registries=vouched), "t", {}, ())
        header = build._credentials().get("X-Registry-Config", "e30=")
        assert list(json.loads(base64.urlsafe_b64decode(header))) == sent


@ON_ENGINE
def test_a_silent_registry_delays_a_pull_only_until_its_limit(engine: Engine, make_model: MakeModel) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        model = make_model(name="held")
        (model.path / "IMAGE").write_text(f"{host}/a/b@sha256:{'1' * 64}")
        started = time.monotonic()
        with pytest.raises(EngineUnavailable, match="took longer than 1 s"):
            sandbox_with(engine, registries=(host,), timeout_s=1.0).prepare(model)
        sandbox = sandbox_with(engine, registries=(host,))
        stopper = threading.Timer(1.0, sandbox.stop)
        stopper.start()
        with pytest.raises(ModelCrashed, match="stopped by the harness"):
            sandbox.prepare(model)
        stopper.join()
        assert time.monotonic() - started < 10


@pytest.mark.parametrize("volume", ["/proc", "//proc/x", "/sys/../sys", "/", "/dev/shm"])
def test_an_image_with_a_volume_in_a_system_folder_is_refused(volume: str) -> None:
    with pytest.raises(ProtocolViolation, match="declares the volume"):
        create_request("i", {"Volumes": {volume: {}}}, LIMITS, labels={}, cpus=(0,), seccomp="{}")


def test_a_run_can_be_stopped_from_its_first_moment(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = DockerSandbox(Engine("unix:///nonexistent/docker.sock"))
    monkeypatch.setattr(Engine, "weakness", lambda self: sandbox.stop())
    monkeypatch.setattr(Engine, "sweep", lambda self: 0)
    with pytest.raises(ModelCrashed, match="stopped by the harness"), sandbox.run(make_model(), limits=LIMITS):
        pass


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("manifest for a/b:1 not found: manifest unknown: manifest unknown", ImageNotPulled),
        ("pull access denied for a/b, repository does not exist or may require 'docker login'", ImageNotPulled),
        ("toomanyrequests: You have reached your pull rate limit", RegistryUnavailable),
        ("received unexpected HTTP status: 503 Service Unavailable", RegistryUnavailable),
        ('Get "https://registry.example/v2/": dial tcp: i/o timeout', RegistryUnavailable),
        ("write /var/lib/x: no space left on device", EngineUnavailable),
        ("no matching manifest for linux/amd64 in the manifest list entries", ImageNotPulled),
        ("failed to register layer: ApplyLayer exit status 1 stdout: stderr: unexpected EOF", ImageNotPulled),
        ("failed to register layer: max depth exceeded", ImageNotPulled),
        ("failed to register layer: write /x: input/output error", RegistryUnavailable),
    ],
)
def test_the_engines_message_decides_who_is_to_blame(message: str, fault: type[Exception]) -> None:
    assert type(pull_fault([BaseImage(1, "a/b:1")], message, BuildLimits())) is fault


@ON_ENGINE
def test_a_build_never_sees_the_operators_proxies(
    engine: Engine, make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxies = {"default": {"httpProxy": "http://user:secret-password@proxy.example:1"}}
    (tmp_path / "config.json").write_text(json.dumps({"proxies": proxies}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    model = make_model(dockerfile=f'FROM {BASE}\nRUN env && false\nCMD ["x"]\n')
    with pytest.raises(ModelCrashed) as caught:
        docker_sandbox(Engine(engine.url)).prepare(model)
    assert "secret-password" not in str(caught.value)


@ON_ENGINE
def test_an_image_named_without_its_digest_is_refused(engine: Engine, make_model: MakeModel) -> None:
    model = make_model()
    (model.path / "IMAGE").write_text("team/model:latest")
    with pytest.raises(ProtocolViolation, match="not `repository@sha256"):
        docker_sandbox(engine).prepare(model)


@ON_ENGINE
def test_the_next_harness_removes_the_containers_of_a_killed_one(
    engine: Engine, make_model: MakeModel, tmp_path: Path
) -> None:
    folder = make_model().path
    script = f"""
    from pathlib import Path
    import os
    from soundsright.adapters.containers import Engine
    from tests.conftest import docker_sandbox, fetched
    from soundsright.core.ports import SandboxLimits
    with docker_sandbox(Engine({engine.url!r})).run(fetched(Path({str(folder)!r})), limits=SandboxLimits()):
        print("ready", flush=True)
        os.kill(os.getpid(), 9)
    """
    before = {c.id for c in engine.client.containers.list(all=True, ignore_removed=True)}
    root = Path(__file__).parents[3]
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(tmp_path)},
        cwd=root,
    )
    assert killed.returncode == -9
    assert len({c.id for c in engine.client.containers.list(all=True, ignore_removed=True)} - before) == 1
    assert engine.sweep() == 1
    assert {c.id for c in engine.client.containers.list(all=True, ignore_removed=True)} == before
    assert not list(tmp_path.glob("sr-*"))


def test_no_engine_is_one_line_with_a_remedy(make_model: MakeModel) -> None:
    sandbox = DockerSandbox(Engine("unix:///nonexistent/docker.sock"))
    assert "No container engine answers" in (sandbox.available() or "")
    with pytest.raises(EngineUnavailable, match="DOCKER_HOST"), sandbox.run(make_model(), limits=LIMITS):
        pass


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("write /var/lib/x: no space left on device", "Free space"),
        ('could not select device driver "" with capabilities: [[gpu]]', "--gpus none"),
        ("unknown or invalid runtime name: runsc", "--runtime"),
        ("something else", "engine's log"),
    ],
)
def test_an_engines_error_gets_a_remedy(message: str, remedy: str) -> None:
    import docker.errors

    with pytest.raises(EngineUnavailable, match=remedy), engine_faults():
        raise docker.errors.APIError("500", explanation=message)


def test_the_request_has_every_restriction() -> None:
    settings = create_request(
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


@pytest.mark.parametrize(
    ("image_user", "group"), [("10001", "10001"), ("7:8", "8"), ("7:0", None), ("app:app", None)]
)
def test_two_models_never_have_the_same_user(image_user: str, group: str | None) -> None:
    first, second = (
        create_request("sha256:1", {"User": image_user}, LIMITS, labels={}, cpus=(0,), seccomp="{}")["User"]
        for _ in range(2)
    )
    assert first.partition(":")[0] != second.partition(":")[0]
    assert first.partition(":")[2] == (group or first.partition(":")[0])


def test_no_setting_makes_a_model_root(tmp_path: Path) -> None:
    for shared in (None, tmp_path):
        settings = create_request("i", {}, LIMITS, labels={}, cpus=(0,), seccomp="{}", runtime="x", shared=shared)
        assert settings["User"].split(":")[0] != "0" != settings["User"].split(":")[1]


def test_gpus_and_runtimes_are_requested_as_engines_expect() -> None:
    host_config = create_request(
        "sha256:1", {}, LIMITS, labels={}, cpus=(0,), seccomp="{}", gpus=(Gpu(0, "GPU-a"),), runtime="runsc"
    )["HostConfig"]
    assert host_config["DeviceRequests"] == [
        {"Driver": "", "Count": 0, "DeviceIDs": ["GPU-a"], "Capabilities": [["gpu"]], "Options": {}}
    ]
    assert host_config["Runtime"] == "runsc"
    by_cdi = create_request(
        "sha256:1", {}, LIMITS, labels={}, cpus=(0,), seccomp="{}", gpus=(Gpu(0, "GPU-a"),), cdi=True
    )["HostConfig"]
    assert by_cdi["DeviceRequests"] == [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=GPU-a"]}]
    whole = create_request("sha256:1", {}, LIMITS, labels={}, cpus=(0,), seccomp="{}")
    assert "NVIDIA_VISIBLE_DEVICES=void" in whole["Env"], (
        "a CUDA image must not get the GPUs that it requests itself"
    )
    plain = whole["HostConfig"]
    assert "DeviceRequests" not in plain
    assert "Runtime" not in plain


class RecordedEngine:
    """A fake engine with recorded answers. `requests` are the received requests to create a container."""

    def __init__(self, folder: Path, info: dict[str, object]) -> None:
        self.requests: list[dict[str, Any]] = []
        image = {"Id": "sha256:1", "Config": {"Cmd": ["x"], "Labels": {"soundsright.protocol": "files"}}}
        answers = {
            "version": {"ApiVersion": "1.41", "Version": "24.0.7", "Components": []},
            "_ping": "OK",
            "info": {"SecurityOptions": [], "MemoryLimit": True, "PidsLimit": True, "CgroupVersion": "2", **info},
            "system/df": {"Images": []},
            "containers/json": [],
            "images/json": [image],
            "images/sha256:1/json": image,
        }
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = urlsplit(self.path).path.lstrip("/")
                self.answer(200, answers[re.sub(r"^v[0-9.]+/", "", path)])

            def do_POST(self) -> None:
                requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.answer(500, {"message": 'could not select device driver "" with capabilities: [[gpu]]'})

            def do_DELETE(self) -> None:
                self.answer(404, {"message": "No such container"})

            def answer(self, status: int, value: object) -> None:
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def address_string(self) -> str:
                return "client"

            def log_message(self, *_: object) -> None:
                """Write no log."""

        path = folder / "recorded.sock"
        self._server = ThreadingUnixStreamServer(str(path), Handler)
        self.engine = Engine(f"unix://{path}")
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self.engine.forget()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class ThreadingUnixStreamServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Callable[..., RecordedEngine]]:
    made: list[RecordedEngine] = []

    def make(**info: object) -> RecordedEngine:
        made.append(RecordedEngine(tmp_path, info))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.mark.parametrize("cdi", [False, True])
def test_a_model_reserves_a_gpu_and_an_engine_without_gpus_is_the_operators_fault(
    recorded: Callable[..., RecordedEngine], make_model: MakeModel, cdi: bool
) -> None:
    server, pool = recorded(), GpuPool((Gpu(0, "GPU-a"), Gpu(1, "GPU-b")))
    sandbox = DockerSandbox(server.engine, settings=DockerSettings(cdi=cdi), gpus=pool)
    with (
        pool.reserved(),
        pytest.raises(EngineUnavailable, match=r"cannot give a GPU.*--gpus none"),
        sandbox.run(make_model(), limits=LIMITS),
    ):
        pass
    (request,) = server.requests
    expected = (
        {"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=GPU-b"]}
        if cdi
        else {"Driver": "", "Count": 0, "DeviceIDs": ["GPU-b"], "Capabilities": [["gpu"]], "Options": {}}
    )
    assert request["HostConfig"]["DeviceRequests"] == [expected]
    with pool.reserved() as one, pool.reserved() as other:
        assert {one.index, other.index} == {0, 1}, "the model's GPU is free again"


@pytest.mark.parametrize(
    "info",
    [
        {"SecurityOptions": ["name=seccomp", "name=rootless"], "CgroupVersion": "1"},
        {"MemoryLimit": False},
        {"PidsLimit": False},
    ],
)
def test_an_engine_that_cannot_enforce_limits_is_not_used(
    recorded: Callable[..., RecordedEngine], make_model: MakeModel, info: dict[str, object]
) -> None:
    sandbox = DockerSandbox(recorded(**info).engine)
    assert sandbox.available() == "The engine cannot limit a model's memory and processes on this machine"
    with pytest.raises(EngineUnavailable, match="as root"), sandbox.run(make_model(), limits=LIMITS):
        pass
