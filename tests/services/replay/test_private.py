"""A round on a private corpus: its clips are withheld while recordings live, and checked once they retired."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest

from soundsright.core.errors import BundleRefused
from soundsright.core.material import PUBLIC_MATERIAL
from soundsright.services.records import RoundBundle, check_bundle, open_bundle, write_bundle
from soundsright.services.replay import (
    ReplayReport,
    RunPorts,
    clips_again,
    decided_again,
    pairs_of,
    run_again,
    scored_again,
)
from soundsright.services.rounds import score_files
from soundsright.testing import FakeSandbox, InlinePool
from tests.services.private_corpus import USES, private_material
from tests.services.validator.test_private_corpus import CLIPS, PrivateValidator
from tests.services.validator.test_service import COMPETITION, VICTOR, Bench

ENTRIES = 2


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Bench]:
    """The bundle of one round, as it can be made while its recordings live, and after they retired."""
    folder = tmp_path_factory.mktemp("private")
    bench = Bench(folder)
    material = private_material(tmp_path_factory.mktemp("home"))
    victor = PrivateValidator(bench, VICTOR, material, scorer=score_files)
    victor.service.tick()
    bench.to_seed(10)
    run = victor.finish(0)
    write_bundle(run, folder / "before.zip")
    for number in range(1, USES + 1):
        bench.to_seed(10 + number)
        victor.finish(number)
    write_bundle(run, folder / "after.zip")
    return folder / "before.zip", folder / "after.zip", bench


def reports(bundle: RoundBundle) -> tuple[ReplayReport, ReplayReport, ReplayReport]:
    check_bundle(bundle)
    pairs = pairs_of(bundle)
    return decided_again(bundle), clips_again(bundle, pairs), scored_again(bundle, pairs, InlinePool())


def test_before_the_recordings_retire_all_clips_are_withheld_and_the_round_is_decided(
    bundles: tuple[Path, Path, Bench],
) -> None:
    with open_bundle(bundles[0]) as bundle:
        decided, clips, scores = reports(bundle)
    assert (decided.difference, clips.difference, scores.difference) == (None, None, None)
    assert set(clips.checked.values()) == set(scores.checked.values()) == {0}
    why = "The audio is withheld, because its recordings are private."
    assert [(each.part, each.why) for each in clips.unchecked] == [(f"{COMPETITION.id}: clip ({CLIPS})", why)]
    assert {each.why for each in scores.unchecked} == {why}


def test_after_they_retired_recipes_and_audio_prove_every_clip(bundles: tuple[Path, Path, Bench]) -> None:
    with open_bundle(bundles[1]) as bundle:
        decided, clips, scores = reports(bundle)
    assert [each.difference for each in (decided, clips, scores)] == [None, None, None]
    assert [each.unchecked for each in (decided, clips, scores)] == [(), (), ()]
    assert list(clips.checked.values()) == [CLIPS, CLIPS]
    assert scores.checked == {"scores computed again": CLIPS * (ENTRIES + 1)}


@pytest.mark.parametrize(("retired", "answers"), [(False, 0), (True, CLIPS * ENTRIES)])
def test_models_hear_the_disclosed_clips_once_the_recordings_retired(
    bundles: tuple[Path, Path, Bench], tmp_path: Path, retired: bool, answers: int
) -> None:
    before, after, bench = bundles
    ports = RunPorts(bench.hub, FakeSandbox(bench.hub.behaviour), InlinePool(), PUBLIC_MATERIAL, tmp_path)
    with open_bundle(after if retired else before) as bundle:
        report = run_again(bundle, pairs_of(bundle), ports)
    assert report.difference is None
    assert report.checked["answers given again"] == answers
    part = f"{COMPETITION.id}: " + ("drawing the set" if retired else "answers")
    assert [each.part for each in report.unchecked] == [part]


def test_another_recipe_than_was_signed_is_refused(bundles: tuple[Path, Path, Bench], tmp_path: Path) -> None:
    forged = tmp_path / "forged.zip"
    with ZipFile(bundles[1]) as archive, ZipFile(forged, "w") as out:
        for name in archive.namelist():
            raw = archive.read(name)
            out.writestr(name, raw.replace(b'"speaker":"', b'"speaker":"x') if "disclosed/" in name else raw)
    with open_bundle(forged) as bundle, pytest.raises(BundleRefused, match="which was signed"):
        decided_again(bundle)
