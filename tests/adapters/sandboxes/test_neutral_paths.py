"""A model in bubblewrap reads no path of the host, and every command still finds its interpreter and packages."""

from __future__ import annotations

import os
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from soundsright.adapters.sandboxes.bubblewrap import BubblewrapSandbox
from soundsright.adapters.sandboxes.interpreter import host_view, neutral_view
from soundsright.core.errors import ModelCrashed
from soundsright.core.ports import DegradedClip, SandboxLimits
from soundsright.core.submission import FetchedModel

pytestmark = pytest.mark.bubblewrap
LIMITS = SandboxLimits(load_timeout_s=30.0)

MakeModel = Callable[..., FetchedModel]


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The interpreter of a new virtual environment, whose path names its operator."""
    folder = tmp_path / "operator-of-this-machine" / "venv"
    venv.EnvBuilder(symlinks=True).create(folder)
    for parent in (tmp_path, folder.parent, folder):
        parent.chmod(0o755)
    return folder / "bin" / "python"


def works(sandbox: BubblewrapSandbox) -> BubblewrapSandbox:
    if (obstacle := sandbox.available()) is not None:
        pytest.skip(f"bubblewrap: {obstacle}")
    return sandbox


def printed(sandbox: BubblewrapSandbox, model: FetchedModel) -> str:
    """The output of a model that ends at once."""
    with pytest.raises(ModelCrashed) as caught, sandbox.run(model, limits=LIMITS):
        pass
    return caught.value.log


def test_no_mount_no_variable_and_no_interpreter_names_a_path_of_the_host(
    python: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    sandbox = works(BubblewrapSandbox(python, trusted=True))
    names = ["operator-of-this-machine", str(tmp_path), f"{Path.home()}/"]
    seen = printed(
        sandbox,
        make_model(
            f"""
import sys
texts = [repr([sys.executable, sys.prefix, sys.base_prefix, sys.path, sys.argv, dict(os.environ)])]
for name in ("self/mountinfo", "self/maps", "self/cmdline", "1/cmdline", "self/environ"):
    texts.append(open("/proc/" + name, errors="replace").read())
texts.append(open(sys.prefix + "/pyvenv.cfg").read())
lines = [line for text in texts for line in text.splitlines()]
print([line for line in lines if any(name in line for name in {names!r})])
print(len(texts), "texts,", sum("/opt/environment" in line for line in lines), "lines", flush=True)
raise SystemExit(1)
""".strip()
        ),
    )
    assert seen.startswith("[]\n7 texts,"), seen
    assert " 0 lines" not in seen


def test_a_program_of_the_environment_and_a_child_find_the_packages(python: Path, make_model: MakeModel) -> None:
    """A script in the environment names its interpreter by a path that does not exist in the sandbox."""
    (packages,) = python.parents[1].glob("lib/python3*/site-packages")
    (packages / "kept_here.py").write_text("NAME = 'a package of the environment'\n")
    script = python.parent / "serve-it"
    script.write_text(
        f"#!{python}\nimport kept_here, sys\nprint(kept_here.NAME, sys.argv[1:], flush=True)\nsys.exit(1)\n"
    )
    script.chmod(0o755)
    sandbox = works(BubblewrapSandbox(python, trusted=True))
    by_name = make_model(name="by-name", dockerfile='FROM python:3.11\nCMD ["serve-it", "now"]\n')
    assert "a package of the environment ['now']" in printed(sandbox, by_name)
    child = make_model(
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'import kept_here; print(kept_here.NAME)'])\n"
        "subprocess.run('python3 -c \"import kept_here; print(kept_here.NAME)\"', shell=True)\n"
        "raise SystemExit(1)",
        name="child",
    )
    assert printed(sandbox, child).count("a package of the environment") == 2


def test_an_interpreter_without_an_environment_moves_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "python" / "bin").mkdir(parents=True)
    (tmp_path / "python" / "lib" / "python3.11").mkdir(parents=True)
    real = tmp_path / "python" / "bin" / "python3.11"
    real.write_text(f"#!/bin/sh\nprintf '%s\\n' {tmp_path}/python {tmp_path}/python {tmp_path}/python\n")
    real.chmod(0o755)
    view = neutral_view(real)
    assert view is not None
    assert str(view.program) == "/opt/python/bin/python3.11"
    assert {str(source): str(target) for source, target in view.binds} == {str(tmp_path / "python"): "/opt/python"}
    assert str(host_view(real).program) == str(real)


def test_an_interpreter_that_cannot_move_runs_at_its_own_path(
    python: Path, make_model: MakeModel, clips: tuple[DegradedClip, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interpreter can name its library by an absolute path, so that a trial at another path fails."""
    monkeypatch.setattr(
        "soundsright.adapters.sandboxes.bubblewrap.neutral_view",
        lambda python: host_view(python)._replace(binds=()),
    )
    sandbox = works(BubblewrapSandbox(python, trusted=True))
    assert str(python) in printed(sandbox, make_model("import sys\nprint(sys.executable)\nraise SystemExit(1)"))


def test_a_file_system_below_the_model_is_still_seen(tmp_path: Path, make_model: MakeModel) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    model = make_model(
        "print(open('/model/data/weights').read(), flush=True)\nraise SystemExit(1)", name="with-a-mount"
    )
    (model.path / "data").mkdir()
    source = tmp_path / "source"
    source.mkdir()
    (source / "weights").write_text("weights of the mount")
    mounted = subprocess.run(["mount", "--bind", source, model.path / "data"], capture_output=True)
    if mounted.returncode:
        pytest.skip("no mounts here")
    try:
        assert "weights of the mount" in printed(works(BubblewrapSandbox(trusted=True)), model)
    finally:
        subprocess.run(["umount", model.path / "data"], check=True)


def test_the_interpreter_is_the_one_of_the_host_with_all_its_extensions(
    python: Path, make_model: MakeModel
) -> None:
    """An interpreter with a shared library would take the system's, if it has one of another version."""
    code = "import _ctypes, _hashlib, _sqlite3, _ssl, sys; print(sys.version)"
    version = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert version in printed(works(BubblewrapSandbox(python, trusted=True)), make_model(code))
