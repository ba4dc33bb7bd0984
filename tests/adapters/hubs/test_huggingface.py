"""The Hugging Face Hub through its own library, against a server with the same API and the same failures."""

from __future__ import annotations

import errno
import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from soundsright.adapters.hubs.folder import FolderHub
from soundsright.adapters.hubs.huggingface import HuggingFaceHub
from soundsright.adapters.hubs.huggingface_check import model_on_hub
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import EntryRefused, HubUnavailable, InfrastructureFault, UsageError
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.sources import ModelRef
from soundsright.core.submission import FetchedModel, Submission
from soundsright.testing.hub.repositories import HubRepository, HubServer
from soundsright.testing.hub.server import served_hub

REVISION = "a" * 40
WEIGHTS = bytes(range(256)) * 2_000
FILES = {"Dockerfile": b"FROM scratch\n", "app/main.py": b"print()\n", "weights/model.onnx": WEIGHTS, "empty": b""}
MODEL = ModelRef("alice", "gate", REVISION)
TOKEN = "hf_planted_secret"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with served_hub() as server:
        server.repositories["alice/gate"] = HubRepository({REVISION: dict(FILES)})
        yield server


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the library's own pauses between tries."""
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _s: None)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _s: None)


def submission(model: ModelRef = MODEL) -> Submission:
    return Submission(1, "hk", PUBLISHED[0], model, 5)


def fetch(
    hub: HubServer, folder: Path, *, token: str | None = None, limits: FetchLimits | None = None, **model: str
) -> FetchedModel:
    ref = ModelRef(**({"namespace": "alice", "name": "gate", "revision": REVISION} | model))
    return HuggingFaceHub(hub.url, folder, token=token).fetch(submission(ref), limits=limits or FetchLimits())


def test_a_fetched_model_is_complete_and_has_the_hashes_of_any_hub(hub: HubServer, tmp_path: Path) -> None:
    fetched = fetch(hub, tmp_path / "cache")
    assert {
        p.relative_to(fetched.path).as_posix(): p.read_bytes() for p in fetched.path.rglob("*") if p.is_file()
    } == FILES
    assert fetched.checkpoint_hashes == (hashlib.sha256(WEIGHTS).hexdigest(),)
    source = tmp_path / "source"
    for name, data in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    folder_hub = FolderHub(tmp_path / "hub", tmp_path / "folder-cache")
    other = folder_hub.fetch(submission(folder_hub.publish("alice", "gate", source)), limits=FetchLimits())
    assert fetched.content_hash == other.content_hash


def test_fetching_again_gives_the_same_folder_and_leaves_nothing_else(hub: HubServer, tmp_path: Path) -> None:
    assert fetch(hub, tmp_path).path == fetch(hub, tmp_path).path
    assert len(list(tmp_path.iterdir())) == 1


def test_an_undamaged_model_comes_from_the_cache_without_the_hub(hub: HubServer, tmp_path: Path) -> None:
    fetched = fetch(hub, tmp_path)
    away = HuggingFaceHub("http://127.0.0.1:9", tmp_path)
    assert away.cached(submission(), fetched.content_hash) == fetched
    (fetched.path / "Dockerfile").chmod(0o644)
    (fetched.path / "Dockerfile").write_bytes(b"FROM")
    assert away.cached(submission(), fetched.content_hash) is None
    assert fetch(hub, tmp_path) == fetched
    assert (fetched.path / "Dockerfile").read_bytes() == FILES["Dockerfile"]


def test_a_full_disk_is_blamed_on_this_machine_not_on_the_hub(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "x"))

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    with pytest.raises(InfrastructureFault, match="No space left") as caught:
        fetch(hub, tmp_path)
    assert not isinstance(caught.value, HubUnavailable)


def test_too_little_space_is_an_error_before_a_file_is_fetched(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = sum(map(len, FILES.values()))
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=needed - 1))
    with pytest.raises(InfrastructureFault, match=r"GB left, and alice/gate.* needs .*KEPT_ROUNDS") as caught:
        fetch(hub, tmp_path)
    assert not isinstance(caught.value, HubUnavailable)
    assert not [path for _, path, _ in hub.requests if "/resolve/" in path]
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=needed))
    assert fetch(hub, tmp_path).path.is_dir()


def test_the_longest_name_that_is_allowed_can_be_fetched(hub: HubServer, tmp_path: Path) -> None:
    name = "é" * 120
    hub.repositories["alice/gate"].commits[REVISION][name] = b"x"
    assert (fetch(hub, tmp_path).path / name).read_bytes() == b"x"


def test_a_long_list_of_files_is_read_page_by_page(hub: HubServer, tmp_path: Path) -> None:
    hub.page = 2
    assert fetch(hub, tmp_path).path.is_dir()
    assert sum("/tree/" in path for _, path, _ in hub.requests) == 2


def test_an_interrupted_download_resumes_where_it_stopped(hub: HubServer, tmp_path: Path) -> None:
    # The library writes pieces of 10 MiB. The download is cut in the second piece, so the first is on disk.
    large = WEIGHTS * 24
    hub.repositories["alice/gate"].commits[REVISION]["weights/model.onnx"] = large
    hub.cut_at["weights/model.onnx"] = 11_000_000
    assert (fetch(hub, tmp_path).path / "weights" / "model.onnx").read_bytes() == large
    assert f"bytes={10 * 2**20}-" in {byte_range for _, _, byte_range in hub.requests}


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_hub_is_tried_again(hub: HubServer, tmp_path: Path, status: int) -> None:
    hub.failing["/tree/"] = [status, status]
    assert fetch(hub, tmp_path).path.is_dir()


def test_a_hub_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with served_hub() as gone:
        pass
    with pytest.raises(HubUnavailable):
        fetch(gone, tmp_path)


@pytest.mark.parametrize("path", ["/tree/", "/resolve/", "/cdn/"])
@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "not_found"), (403, "forbidden"), (404, "not_found"), (410, "disabled"), (451, "disabled")],
)
def test_a_status_about_the_repository_refuses_the_entry(
    hub: HubServer, tmp_path: Path, path: str, status: int, code: str
) -> None:
    hub.failing[path] = [status] * 50
    with pytest.raises(EntryRefused) as caught:
        fetch(hub, tmp_path)
    assert caught.value.code == code


@pytest.mark.parametrize("path", ["/tree/", "/resolve/", "/cdn/"])
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_status_about_the_hub_never_refuses_the_entry(
    hub: HubServer, tmp_path: Path, path: str, status: int
) -> None:
    hub.failing[path] = [status] * 50
    with pytest.raises(HubUnavailable):
        fetch(hub, tmp_path)
    hub.failing.clear()
    assert fetch(hub, tmp_path).path.is_dir()


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ({"name": "missing"}, "not_found"),
        ({"revision": "b" * 40}, "revision_not_found"),
        ({"name": "private"}, "not_found"),
        ({"name": "gated"}, "gated"),
        ({"name": "hollow"}, "not_found"),
    ],
)
def test_a_model_that_cannot_be_fetched_is_refused_with_its_code(
    hub: HubServer, tmp_path: Path, model: dict[str, Any], code: str
) -> None:
    hub.repositories["alice/private"] = HubRepository({REVISION: dict(FILES)}, private=True)
    hub.repositories["alice/gated"] = HubRepository({REVISION: dict(FILES)}, gated=True)
    hub.repositories["alice/hollow"] = HubRepository({REVISION: {}})
    with pytest.raises(EntryRefused) as caught:
        fetch(hub, tmp_path, **model)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (FetchLimits(max_files=3), "too_many_files"),
        (FetchLimits(max_bytes=100_000), "too_large"),
        (FetchLimits(refused_files=("Dockerfile",)), "file_type"),
    ],
)
def test_limits_are_checked_before_anything_is_fetched(
    hub: HubServer, tmp_path: Path, limits: FetchLimits, code: str
) -> None:
    with pytest.raises(EntryRefused) as caught:
        fetch(hub, tmp_path, limits=limits)
    assert caught.value.code == code
    assert not [path for _, path, _ in hub.requests if "/resolve/" in path]


@pytest.mark.parametrize("name", ["Dockerfile", "weights/model.onnx"])
def test_bytes_that_do_not_match_the_commit_are_not_kept(hub: HubServer, tmp_path: Path, name: str) -> None:
    hub.corrupt.add(name)
    with pytest.raises(HubUnavailable, match="wrong bytes"):
        fetch(hub, tmp_path)
    hub.corrupt.clear()
    assert (fetch(hub, tmp_path).path / name).read_bytes() == FILES[name]


def test_a_file_that_is_longer_than_listed_is_refused(hub: HubServer, tmp_path: Path) -> None:
    hub.extend.add("weights/model.onnx")
    with pytest.raises(HubUnavailable, match="more bytes"):
        fetch(hub, tmp_path)


@pytest.mark.parametrize(
    "path",
    [
        "../outside",
        "/etc/cron.d/x",
        "a/../../b",
        "a\\..\\b",
        ".cache/x",
        "x" * 600,
        f"w/{'x' * 241}",
        "é" * 121,
        "\ud800",
    ],
)
def test_a_path_outside_the_model_is_refused(hub: HubServer, tmp_path: Path, path: str) -> None:
    hub.listed_as["Dockerfile"] = path
    with pytest.raises(EntryRefused) as caught:
        fetch(hub, tmp_path / "cache")
    assert caught.value.code == "bad_path"


def test_a_bad_token_is_the_operators_fault_and_appears_nowhere(
    hub: HubServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(HubUnavailable, match="HF_TOKEN") as caught:
        fetch(hub, tmp_path, token=TOKEN)
    assert hub.authorizations == {f"Bearer {TOKEN}"}
    assert TOKEN not in caplog.text + str(caught.value) + "".join(map(str, tmp_path.rglob("*")))


def test_a_good_token_opens_a_private_repository(hub: HubServer, tmp_path: Path) -> None:
    hub.repositories["alice/gate"].private = True
    assert fetch(hub, tmp_path, token=hub.token).path.is_dir()


def test_without_a_token_none_is_sent(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_user")
    fetch(hub, tmp_path)
    assert hub.authorizations == set()


def test_a_miner_sees_that_its_model_can_be_fetched(hub: HubServer) -> None:
    found = model_on_hub(hub.url, MODEL)
    assert found.is_public


def test_a_miner_commits_to_the_content_that_validators_fetch(hub: HubServer, tmp_path: Path) -> None:
    found = model_on_hub(hub.url, MODEL)
    assert found.content_hash == fetch(hub, tmp_path / "cache").content_hash
    # The hub lists the hash of the large file, so the miner does not download it.
    assert not any("model.onnx" in path for _, path, _ in hub.requests[:6] if "/raw/" in path)


def test_a_file_that_does_not_match_the_commit_is_not_committed(hub: HubServer) -> None:
    hub.corrupt.add("Dockerfile")
    with pytest.raises(HubUnavailable, match="Dockerfile"):
        model_on_hub(hub.url, MODEL)


def test_a_private_model_can_be_committed_with_its_owners_token(hub: HubServer) -> None:
    hub.repositories["alice/gate"].private = True
    found = model_on_hub(hub.url, MODEL, token=hub.token, may_be_private=True)
    assert not found.is_public


def test_a_miner_learns_why_its_model_cannot_be_fetched(hub: HubServer) -> None:
    hub.repositories["alice/private"] = HubRepository({REVISION: dict(FILES)}, private=True)
    hub.repositories["alice/plain"] = HubRepository({REVISION: {"README.md": b"hello"}})
    for model, token, message in (
        (ModelRef("alice", "missing", REVISION), None, "no public"),
        (ModelRef("alice", "gate", "b" * 40), None, "no public"),
        (ModelRef("alice", "private", REVISION), hub.token, "is private"),
        (ModelRef("alice", "plain", REVISION), None, "no Dockerfile"),
    ):
        with pytest.raises(UsageError, match=message):
            model_on_hub(hub.url, model, token=token)
    hub.failing["/tree/"] = [503]
    with pytest.raises(HubUnavailable):
        model_on_hub(hub.url, MODEL)
