"""`verify` passes a model that a validator would rank. Otherwise it names the step, the reason and the remedy."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from soundsright.adapters.sandboxes.process import ProcessSandbox
from soundsright.core.audio import Audio, Clip, ClipRecipe, on_pcm16_grid
from soundsright.core.entry_rules import EntryRules
from soundsright.core.ports import SandboxLimits
from soundsright.core.submission import FetchedModel
from soundsright.services.local.verification import Step, Verification, verify

MakeModel = Callable[..., FetchedModel]
LIMITS = SandboxLimits(load_timeout_s=20.0, enhance_fixed_s=20.0, enhance_factor=0.1, step_timeout_s=20.0)

FAILING = """
import traceback
class M(Model):
    def {step}(self, r):
        try: self.work()
        except Exception:
            traceback.print_exc()
            r.json({{"detail": "Internal Server Error"}}, 500)
    def work(self):
    """
"""A model whose step replies 500 and logs why. Append the body of `work`."""


@pytest.fixture(scope="module")
def drawn() -> tuple[Clip, ...]:
    rng = np.random.default_rng(3)
    clips = []
    for number in range(2):
        speech = rng.standard_normal(16_000) * np.repeat(rng.uniform(0, 0.2, 16), 1_000)
        noise = 0.05 * rng.standard_normal(16_000)
        clean, degraded = (Audio(on_pcm16_grid(x), 16_000) for x in (speech, speech + noise))
        clips.append(Clip(f"c{number}", clean, degraded, ClipRecipe("s", "x", 0.0)))
    return tuple(clips)


def verified(
    app: str,
    make_model: MakeModel,
    drawn: Sequence[Clip],
    steps: list[Step] | None = None,
    limits: SandboxLimits = LIMITS,
) -> Verification:
    return verify(
        make_model(textwrap.dedent(app)),
        drawn,
        sandbox=ProcessSandbox(trusted=True),
        limits=limits,
        metrics=("ESTOI", "SI_SDR"),
        on_step=(steps if steps is not None else []).append,
    )


def test_a_model_that_returns_its_input_passes_and_equals_it(
    make_model: MakeModel, drawn: tuple[Clip, ...]
) -> None:
    steps: list[Step] = []
    result = verified("serve(Model())", make_model, drawn, steps)
    assert result.passed
    assert [c.better for c in result.comparisons] == [None, None]
    assert tuple(steps) == result.steps
    names = [
        "files",
        "Dockerfile",
        "prepare",
        "start",
        "enhance",
        "again after a reset",
        "again after a new start",
        "scores",
    ]
    assert [s.name for s in steps] == names
    assert result.timing.real_time_factor is not None


RANDOM = """
import random, struct
class M(Model):
    def enhanced(self):
        return {{n: self.changed(d) for n, d in self.files.items()}}
    def changed(self, d):
        samples = struct.unpack(f"<{{len(d) // 2 - 22}}h", d[44:])
        return wav(struct.pack(f"<{{len(samples)}}h", *(s + random.randint(-{size}, {size}) for s in samples)))
serve(M())
"""


@pytest.mark.parametrize(("size", "repeatable"), [(2_000, False), (20, True)])
def test_a_model_that_does_not_repeat_itself_passes_but_is_told_that_nobody_would_serve_it(
    make_model: MakeModel, drawn: tuple[Clip, ...], size: int, repeatable: bool
) -> None:
    result = verified(RANDOM.format(size=size), make_model, drawn)
    assert result.passed
    step = next(s for s in result.steps if s.name == "again after a new start")
    hints = [hint for hint in result.hints if hint.startswith("not_repeatable")]
    assert step.passed
    assert "both runs agree by" in step.message
    assert (step.message.endswith("not_repeatable"), len(hints)) == ((False, 0) if repeatable else (True, 1))
    if hints:
        assert "less than 33 dB" in hints[0]
        assert "Fix every seed" in hints[0]


@pytest.mark.parametrize(
    ("app", "step", "reason", "remedy"),
    [
        ("raise SystemExit('no weights')", "start", "no weights", "Read the log"),
        ("import time; time.sleep(60)", "start", "loading took longer", "Load faster"),
        ("import no_such_package", "start", "No module named 'no_such_package'", "requirements.txt"),
        (
            "class M(Model):\n    def enhance(self, r):\n        import time; time.sleep(60)\nserve(M())",
            "enhance",
            "enhance took longer",
            "Enhance faster",
        ),
        (
            "class M(Model):\n    def enhance(self, r): r.json({'ok': 1})\nserve(M())",
            "enhance",
            '"status": true',
            "docs/reference/protocol.md",
        ),
        (
            "class M(Model):\n    def enhanced(self): return {}\nserve(M())",
            "enhance",
            "2 of 2 clips failed",
            "under its original name",
        ),
        (
            f"{FAILING.format(step='enhance')}    import no_such_package\nserve(M())",
            "enhance",
            "answered 500",
            "requirements.txt",
        ),
        (
            "class M(Model):\n    def enhanced(self):\n"
            "        return {n: d[:-2] for n, d in self.files.items()}\nserve(M())",
            "enhance",
            "claims",
            "linear PCM",
        ),
        (
            "class M(Model):\n    def enhanced(self):\n"
            "        return {n: wav(bytes(len(d) - 44)) for n, d in self.files.items()}\nserve(M())",
            "scores",
            "scores the floor",
            "silent",
        ),
        (
            "class M(Model):\n    def reset(self, r): r.json({'status': False})\nserve(M())",
            "again after a reset",
            "/reset/",
            "docs/reference/protocol.md",
        ),
    ],
)
def test_each_failure_is_named_with_its_remedy(
    app: str, step: str, reason: str, remedy: str, make_model: MakeModel, drawn: tuple[Clip, ...]
) -> None:
    limits = LIMITS
    if "sleep" in app:
        limits = {
            "start": replace(LIMITS, load_timeout_s=2.0),
            "enhance": replace(LIMITS, enhance_fixed_s=1.0),
        }[step]
    result = verified(app, make_model, drawn, limits=limits)
    assert not result.passed
    assert next(s.name for s in result.steps if not s.passed) == step
    assert reason in result.reason
    assert remedy in result.remedy


@pytest.mark.parametrize(
    ("work", "logged", "remedy"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'", "requirements.txt"),
        (
            "\n        try: import no_such_package\n"
            "        except ImportError: traceback.print_exc()\n"
            "        eval('def (')",
            "SyntaxError: invalid syntax",
            "Read the log above",
        ),
    ],
)
def test_the_log_of_a_model_that_fails_to_load_is_shown(
    work: str, logged: str, remedy: str, make_model: MakeModel, drawn: tuple[Clip, ...]
) -> None:
    result = verified(f"{FAILING.format(step='prepare')}    {work}\nserve(M())", make_model, drawn)
    assert "POST /prepare/ answered 500" in result.reason
    assert logged in result.log
    assert remedy in result.remedy


def test_an_organisers_rules_of_entry_apply(make_model: MakeModel, drawn: tuple[Clip, ...]) -> None:
    model = make_model("serve(Model())")
    sandbox = ProcessSandbox(trusted=True)
    result = verify(model, drawn, sandbox=sandbox, limits=LIMITS, rules=EntryRules(needs_licence=True))
    assert (result.steps[-1].name, result.reason) == ("files", "The repository has no licence file at its root")
    assert result.remedy == "Add a LICENSE file."


def test_a_refused_dockerfile_is_named_by_its_line(make_model: MakeModel, drawn: tuple[Clip, ...]) -> None:
    model = make_model(dockerfile='FROM a\nVOLUME /x\nCMD ["python", "app.py"]\n')
    result = verify(model, drawn, sandbox=ProcessSandbox(trusted=True), limits=LIMITS)
    assert "line 2" in result.reason
    assert "Change the lines" in result.remedy


def test_a_missing_package_of_the_model_server_names_the_interpreter(
    make_model: MakeModel, drawn: tuple[Clip, ...]
) -> None:
    result = verified("""raise ModuleNotFoundError("No module named 'uvicorn'")""", make_model, drawn)
    python = ProcessSandbox(trusted=True).interpreter
    assert result.reason == f"uvicorn is missing for the interpreter that runs models ({python})."
    assert result.remedy == f"Run: {python} -m pip install uvicorn"


TEMPLATE = Path(__file__).parents[3] / "models" / "template"


def template_with(stream: str, make_model: MakeModel) -> FetchedModel:
    """The template whose `Stream.process` ends with other lines."""
    model = make_model("")
    for path in (*TEMPLATE.glob("app/*.py"), TEMPLATE / "Dockerfile"):
        target = model.path / path.relative_to(TEMPLATE)
        target.parent.mkdir(exist_ok=True)
        target.write_text(path.read_text())
    enhance = model.path / "app" / "enhance.py"
    enhance.write_text(enhance.read_text().replace("        return frame\n", textwrap.indent(stream, 8 * " ")))
    return model


@pytest.mark.parametrize(
    ("stream", "problem"),
    [
        ("return frame\n", ""),
        ("return 0.5 * frame\n", "The stream differs from the enhanced clip: they agree to 6.0 dB"),
        ("return frame[:-1]\n", "stream"),
        ("import time; time.sleep(0.03)\nreturn frame\n", "so the stream falls behind"),
        ("raise ValueError\n", "stream"),
    ],
)
def test_a_stream_must_give_what_the_clip_gives(
    stream: str, problem: str, make_model: MakeModel, drawn: tuple[Clip, ...]
) -> None:
    limits = replace(LIMITS, step_timeout_s=3.0)
    model = template_with(stream, make_model)
    result = verify(model, drawn, sandbox=ProcessSandbox(trusted=True), limits=limits, metrics=("SI_SDR",))
    assert result.passed == (not problem)
    assert problem in result.reason
    step = next(each for each in result.steps if each.name == "stream")
    assert step.passed == (not problem)
    if not problem:
        assert "the same output as for the clip, 0 ms later" in step.message
