"""The material of a round: it is opened once, and a round never continues on other material."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from soundsright.core.errors import UsageError
from soundsright.core.material import Material
from soundsright.core.shipped import datasets_folder
from soundsright.services.rounds.opening import material_digest, opened
from soundsright.services.rounds.plan import check_same_plan, plan_facts
from tests.services.rounds.spoken import Spoken
from tests.services.rounds.subnet import Subnet


def test_workers_open_the_same_corpus_from_its_pickled_name() -> None:
    material = pickle.loads(pickle.dumps(Material()))
    assert opened(material).digest == material_digest(Material())
    assert opened(material).corpus.speech is opened(material).corpus.speech


def test_a_corpus_that_was_changed_is_opened_again(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    shutil.copytree(datasets_folder(), folder, symlinks=True)
    before = opened(Material(folder))
    manifest = folder / "manifest.jsonl"
    lines = manifest.read_text(encoding="utf-8").splitlines(keepends=True)
    manifest.write_text("".join(lines[:-1]), encoding="utf-8")
    after = opened(Material(folder))
    assert after.digest == material_digest(Material(folder)) != before.digest


def test_a_round_does_not_continue_on_other_material(tmp_path: Path) -> None:
    subnet = Subnet(tmp_path)
    began = plan_facts(subnet.plan())
    plan = subnet.plan()
    with pytest.raises(UsageError, match="corpus round null, now 3"):
        check_same_plan("r", began, {**plan_facts(plan), "corpus_round": 3})
    old_row = {name: value for name, value in began.items() if not name.startswith("corpus")}
    check_same_plan("r", old_row, plan_facts(plan))


def test_a_round_does_not_continue_with_another_version_of_the_synthesiser(tmp_path: Path) -> None:
    plan = Subnet(tmp_path).plan()

    def facts_with(model: str) -> dict[str, object]:
        return plan_facts(
            replace(plan, measures=replace(plan.measures, material=Material(speech=Spoken([], model))))
        )

    check_same_plan("r", facts_with("1.51"), facts_with("1.51"))
    with pytest.raises(UsageError, match=r'speech \{"engine": "spoken", "model": "1.51"\}, now .*"1.52"'):
        check_same_plan("r", facts_with("1.51"), facts_with("1.52"))
    with pytest.raises(UsageError, match=r'speech \{"engine": "spoken", "model": "1.51"\}, now \{\}'):
        check_same_plan("r", facts_with("1.51"), plan_facts(plan))
