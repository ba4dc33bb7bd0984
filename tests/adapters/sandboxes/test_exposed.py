"""No mount of a sandbox contains state, wallets, recordings, sets or another model, whatever the layout."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from soundsright.adapters.containers.docker import DockerSandbox, DockerSettings
from soundsright.adapters.sandboxes import exposed
from soundsright.adapters.sandboxes.bubblewrap import BubblewrapSandbox
from soundsright.adapters.sandboxes.exposed import PrivatePaths, exposure
from soundsright.core.errors import EngineUnavailable, ModelCrashed, UsageError
from soundsright.core.ports import SandboxLimits
from soundsright.core.submission import FetchedModel
from soundsright.library import SandboxChoice
from soundsright.library.sandboxes import check_folder, opened_sandbox, private_paths

LIMITS = SandboxLimits(load_timeout_s=20.0)


@pytest.mark.parametrize(
    ("mount", "private"),
    [
        ("venv", "venv/state"),
        ("venv", "venv"),
        ("venv", "venv/lib/python3.11/site-packages/corpus"),
        ("model", "model/wallets"),
        ("model", "model/.state/rounds/7/set"),
        ("model", "model/other-model"),
        ("models", "models/mine"),
        ("usr", "usr/local/share/soundsright"),
        ("linked", "venv/state"),
        ("venv", "link-into-venv"),
    ],
)
def test_a_private_path_in_a_mount_is_found(mount: str, private: str, tmp_path: Path) -> None:
    (tmp_path / "venv" / "state").mkdir(parents=True)
    (tmp_path / "linked").symlink_to(tmp_path / "venv")
    (tmp_path / "link-into-venv").symlink_to(tmp_path / "venv" / "state")
    found = exposure([tmp_path / "elsewhere", tmp_path / mount], PrivatePaths((tmp_path / private,)))
    assert found is not None
    assert (found.mount, found.private) == (tmp_path / mount, tmp_path / private)


@pytest.mark.parametrize(
    ("mount", "private"),
    [("state/venv", "state"), ("state/cache/1234", "state/cache"), ("venv", "venv-state"), ("model", "wallets")],
)
def test_a_mount_beside_or_below_a_private_path_is_allowed(mount: str, private: str, tmp_path: Path) -> None:
    (tmp_path / private).mkdir(parents=True)
    assert exposure([tmp_path / mount], PrivatePaths((tmp_path / private,))) is None


TABLE = b"""
20 1 254:0 / / rw - ext4 /dev/vda rw
21 20 254:1 / /data rw - ext4 /dev/vdb rw
22 20 254:1 /one /venv/data rw - ext4 /dev/vdb rw
23 20 254:1 /a\\040b /srv/space rw - ext4 /dev/vdb rw
24 20 0:30 / /env/both rw - overlay overlay rw,lowerdir=/data/one:/opt/more,upperdir=/up\\040per,workdir=/work
"""


@pytest.mark.parametrize(
    ("mount", "private", "contains"),
    [
        ("/venv", "/data/one/state", True),
        ("/venv", "/data", True),
        ("/venv", "/data/two", False),
        ("/srv/space", "/data/a b/state", True),
        ("/data/one", "/venv/data/state", True),
        ("/data", "/venv/data", True),
        ("/data/one", "/data/two", False),
        ("/env", "/data/one/state", True),
        ("/env/both/state", "/data/one/state", True),
        ("/env", "/data", True),
        ("/env", "/up per/state", True),
        ("/env/both/other", "/data/one/state", False),
        ("/env", "/data/two", False),
    ],
)
def test_a_second_mount_of_the_same_folder_is_found(
    mount: str, private: str, contains: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [exposed._mount_of(line) for line in TABLE.strip().splitlines()]
    monkeypatch.setattr(exposed, "_mount_table", lambda: entries)
    assert (exposure([Path(mount)], PrivatePaths((Path(private),))) is not None) == contains


def test_the_mounts_of_this_machine_are_read(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    (tmp_path / "venv" / "data").mkdir(parents=True)
    (tmp_path / "state dir").mkdir()
    code = f"""
    import subprocess
    from pathlib import Path
    from soundsright.adapters.sandboxes.exposed import PrivatePaths, exposure
    folder = Path({str(tmp_path)!r})
    print(exposure([folder / "venv"], PrivatePaths((folder / "state dir",))) is None)
    subprocess.run(["mount", "--bind", folder / "state dir", folder / "venv" / "data"], check=True)
    print(exposure([folder / "venv"], PrivatePaths((folder / "state dir",))) is None)
    """
    words = ["unshare", "--mount", sys.executable, "-c", textwrap.dedent(code)]
    result = subprocess.run(words, capture_output=True, text=True)
    if "unshare" in result.stderr or "mount:" in result.stderr:
        pytest.skip(f"no mounts here: {result.stderr}")
    assert result.stdout.split() == ["True", "False"], result.stderr


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The interpreter of a new virtual environment, in which every user may read."""
    venv.EnvBuilder(symlinks=True).create(tmp_path / "venv")
    for folder in (tmp_path, tmp_path / "venv"):
        folder.chmod(0o755)
    return tmp_path / "venv" / "bin" / "python"


def works(sandbox: BubblewrapSandbox) -> None:
    if (obstacle := sandbox.available()) is not None:
        pytest.skip(f"bubblewrap: {obstacle}")


@pytest.mark.bubblewrap
def test_bubblewrap_does_not_start_with_the_state_below_the_environment(python: Path, tmp_path: Path) -> None:
    works(BubblewrapSandbox(python, trusted=True))
    state = tmp_path / "venv" / "state"
    with pytest.raises(UsageError, match=f"would see {state}.*must not be inside {tmp_path / 'venv'}"):
        BubblewrapSandbox(python, trusted=True, private=PrivatePaths((state,))).available()
    with pytest.raises(UsageError, match="would see"):
        # Nor does `auto` fall back to plain processes.
        opened_sandbox(
            SandboxChoice(python=python), local=True, round_id="r", auto=("bubblewrap",), kept_out=[state]
        )


def test_a_model_with_a_private_path_in_its_folder_does_not_run(make_model: Callable[..., FetchedModel]) -> None:
    model = make_model()
    private = PrivatePaths((model.path / "wallets",))
    docker = DockerSandbox(settings=DockerSettings(private=private))
    with pytest.raises(EngineUnavailable, match=r"would see .*wallets"):
        docker.prepare(model)
    with pytest.raises(UsageError, match=r"would see .*wallets"):
        check_folder(model.path, [model.path / "wallets"])
    bubblewrap = BubblewrapSandbox(trusted=True, private=private)
    works(bubblewrap)
    with pytest.raises(EngineUnavailable, match=r"would see .*wallets"), bubblewrap.run(model, limits=LIMITS):
        pass


@pytest.mark.bubblewrap
def test_recordings_of_an_installed_package_are_hidden(
    python: Path, tmp_path: Path, make_model: Callable[..., FetchedModel]
) -> None:
    (packages,) = (tmp_path / "venv").glob("lib/python3*/site-packages")
    corpus = packages / "speech_corpus"
    corpus.mkdir()
    for name in ("manifest.jsonl", "clean.flac"):
        (corpus / name).write_text("a recording")
    private = private_paths([corpus])
    assert exposure([tmp_path / "venv"], private, hides=True) is None
    assert exposure([tmp_path / "venv"], private) is not None  # A sandbox that hides nothing would show it.
    sandbox = BubblewrapSandbox(python, trusted=True, private=private)
    works(sandbox)
    model = make_model(
        "import sysconfig\n"
        "packages = sysconfig.get_path('purelib')\n"
        "print(os.listdir(packages + '/speech_corpus'), 'beside', len(os.listdir(packages)), flush=True)\n"
        "raise SystemExit(1)"
    )
    with pytest.raises(ModelCrashed, match=r"\[\] beside [1-9]"), sandbox.run(model, limits=LIMITS):
        pass


def test_an_unreadable_list_of_mounts_is_not_an_empty_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreadable(_path: Path) -> bytes:
        raise PermissionError("no")

    monkeypatch.setattr(Path, "read_bytes", unreadable)
    with pytest.raises(EngineUnavailable, match="mountinfo"):
        exposure([tmp_path], PrivatePaths((tmp_path / "state",)))


def test_a_state_folder_among_packages_is_refused_not_hidden(tmp_path: Path) -> None:
    state = tmp_path / "site-packages" / "state"
    assert exposure([tmp_path], private_paths([state])) is not None


def test_the_wallets_and_the_state_at_their_usual_places_are_always_kept_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (".bittensor", ".soundsright-subnet"):
        assert exposure([tmp_path / name / "venv"], private_paths()) is None
        assert exposure([tmp_path / name], private_paths()) is not None
    assert exposure([tmp_path], private_paths()) is not None
