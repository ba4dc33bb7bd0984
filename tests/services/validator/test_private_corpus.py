"""Validators that share a private corpus: the same weights, and nothing about living recordings in any document."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from soundsright.adapters.peers.keys import Hotkey, valid_signature
from soundsright.adapters.state.artifacts import Artifacts
from soundsright.cli.commands.corpus import command as corpus_command
from soundsright.core.audio import pcm16
from soundsright.core.competition_rules import CompetitionRules, Measures
from soundsright.core.corpus_commitment import CorpusCommitment, corpus_commitment_in
from soundsright.core.errors import UsageError
from soundsright.core.material import Material
from soundsright.core.rulesets import SOUNDSRIGHT_V3
from soundsright.corpus import PrivateCorpus, add_to_corpus, publish_retired
from soundsright.services.board.build import build_site
from soundsright.services.http.state import Health
from soundsright.services.records import (
    CheckedBundle,
    OfferedRecord,
    bundle_bytes,
    check_audio,
    check_bundle,
    feedback_of,
    open_bundle,
    read_runs,
    results_of,
    scores_of,
    write_bundle,
)
from soundsright.services.report import disclose, write_round
from soundsright.services.rounds import commitment_to, opened, recipe_sha256, signal_sha256, steps
from soundsright.services.rounds.clipset import read_wav
from soundsright.services.rounds.hiding import PRIVATE_FOLDER
from soundsright.services.rounds.scoring import score_files
from soundsright.services.validator.retention import forget_old_rounds
from soundsright.services.validator.service import ValidatorService
from soundsright.services.validator.setup import SubnetSettings, ValidatorContext, Work
from soundsright.services.validator.view import ValidatorView
from soundsright.testing import FakeHub, FakeSandbox, InlinePool
from soundsright.testing.simulation.world import score_fake_clip
from soundsright.testing.state import MemoryState
from tests.services.private_corpus import SPEAKERS, USES, private_material, recordings
from tests.services.validator.test_service import COMPETITION, SCHEDULE, VICTOR, Bench, finish

VERA = Hotkey.of_seed("vera")
CLIPS = 6
FLOORS = {"PESQ_WB": 0.0, "ESTOI": -1.0}


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return private_material(tmp_path_factory.mktemp("home"))


def published(outcome: Any, folder: Path) -> Mapping[str, Mapping[str, object]]:
    """What the command `validator` writes for a round."""
    results = results_of(outcome)
    write_round(folder, results, scores_of(outcome))
    return {f.hotkey: f.as_json() for f in feedback_of(outcome, results).values()}


class PrivateValidator:
    """A validator of the bench's subnet with a state, a folder and a corpus of its own."""

    def __init__(
        self,
        bench: Bench,
        account: Hotkey,
        material: Material,
        clips: int = CLIPS,
        scorer: Callable[..., Any] = score_fake_clip,
    ) -> None:
        self.bench = bench
        self.account = account
        self.state = MemoryState()
        self.health = Health(bench.clock)
        self.folder = bench.folder / account.address
        bench.chain.register(account.address, stake=2_000.0, permit=True)
        self.context = ValidatorContext(
            SubnetSettings(
                CompetitionRules((COMPETITION,), SOUNDSRIGHT_V3),
                Measures(clips, tuple(FLOORS), FLOORS, material),
                SCHEDULE,
            ),
            Work(
                hub=bench.hub,
                sandbox=FakeSandbox(bench.hub.behaviour),
                pool=InlinePool({score_files: scorer}),
                folder=self.folder,
                slots=1,
                workers=1,
                publish=published,
                artifacts=Artifacts(self.folder / "artifacts"),
            ),
            chain=bench.chain,
            account=account,
            state=self.state,
            peers=bench.peers,
            clock=bench.clock,
            health=self.health,
            valid_signature=valid_signature,
        )
        self.service = ValidatorService(self.context)

    def finish(self, number: int) -> Path:
        """Run the round of that number. Returns its folder."""
        bench = self.bench
        state, bench.state = bench.state, self.state
        try:
            finish(self.service, bench, SCHEDULE.id_of(number))
            self.service.tick()
        finally:
            bench.state = state
        return self.folder / "rounds" / SCHEDULE.id_of(number)

    def problem(self) -> str:
        """The problems of its corpus and its rounds."""
        return " ".join(text for name, text in self.health.problems().items() if name != "start")

    def weights(self) -> dict[int, float]:
        return self.bench.chain.weights(self.account.address)


def test_two_validators_with_one_corpus_commit_to_it_and_set_the_same_weights(
    tmp_path: Path, material: Material
) -> None:
    bench = Bench(tmp_path)
    validators = [PrivateValidator(bench, account, material) for account in (VICTOR, VERA)]
    for validator in validators:
        validator.service.tick()
    committed = {c.hotkey: corpus_commitment_in(c.digest) for c in bench.chain.commitments()}
    root = PrivateCorpus.open(Path(str(material.corpus)), Path(str(material.key_file))).root
    own = committed[VICTOR.address]
    assert own is not None
    assert own == committed[VERA.address]
    assert own.root == root
    bench.to_seed(10)
    folders = [validator.finish(0) for validator in validators]
    first, second = (validator.weights() for validator in validators)
    assert first == second
    assert len(first) > 0
    assert all(not validator.problem() for validator in validators)
    # Their documents are the same too: also the digests of the recipes, whose salt follows from the key.
    names = ["scores.jsonl", f"sets/{COMPETITION.id}/manifest.jsonl"]
    assert all((folders[0] / name).read_text() == (folders[1] / name).read_text() for name in names)
    results = json.loads((folders[0] / "results.json").read_text())
    corpus = results["round"]["corpus"]
    assert corpus["digest"] == root
    assert corpus["unpaid"] == []
    assert corpus["private_clips"] == CLIPS
    assert corpus["committed_block"] <= results["round"]["entries_close_block"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"root": "cd" * 32}, ("cd" * 32, "soundsright corpus export")),
        ({"parameters": "f" * 16}, ("f" * 16, "SOUNDSRIGHT_CLIPS")),
    ],
)
def test_a_validator_with_another_corpus_is_named_with_both_values_and_a_remedy(
    tmp_path: Path, material: Material, change: dict[str, str], words: tuple[str, str]
) -> None:
    bench = Bench(tmp_path)
    victor = PrivateValidator(bench, VICTOR, material)
    bench.chain.register(VERA.address, stake=2_000.0, permit=True)
    own = commitment_to(material, CLIPS)
    other: CorpusCommitment = replace(own, **change)
    bench.chain.publish(VERA.address, other.text)
    victor.service.tick()
    problem = victor.problem()
    assert VERA.address in problem
    assert all(word in problem for word in words)
    assert (own.root if "root" in change else own.parameters) in problem


def test_a_validator_that_starts_after_the_close_pays_nobody_and_says_why(
    tmp_path: Path, material: Material
) -> None:
    bench = Bench(tmp_path)
    bench.to_seed(10)
    victor = PrivateValidator(bench, VICTOR, material)
    folder = victor.finish(0)
    assert not victor.weights()
    assert "had not committed the root of its corpus" in (folder / "report.html").read_text()
    # It has committed to it by now, so the next round pays.
    bench.to_seed(11)
    victor.finish(1)
    assert victor.weights()


def shown_files(validator: PrivateValidator, round_folder: Path, out: Path) -> dict[str, bytes]:
    """Everything that others get of a round: documents, pages, bundles, feedback and the API, by name."""
    files = {
        str(path.relative_to(round_folder)): path.read_bytes()
        for path in round_folder.rglob("*")
        if path.is_file() and PRIVATE_FOLDER not in path.parts
    }
    (run,) = read_runs([round_folder])
    build_site([run], out, audio_bytes=1 << 26)
    files |= {f"site/{p.relative_to(out)}": p.read_bytes() for p in out.rglob("*") if p.is_file()}
    whole = io.BytesIO()
    write_bundle(round_folder, whole)
    for name, content in (("bundle", whole.getvalue()), ("small bundle", bundle_bytes(round_folder))):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files |= {f"{name}/{member}": archive.read(member) for member in archive.namelist()}
    for hotkey, bodies in validator.bench.peers.feedback.items():
        files |= {f"feedback/{hotkey}/{n}": body for n, body in enumerate(bodies)}
    view = ValidatorView(validator.state, (COMPETITION,), SCHEDULE, validator.service.chain_time_s)
    api = [view.current_models(), view.best_models(), view.competition_scores(), validator.health.events()]
    files["api"] = json.dumps([*api, validator.health.problems()], default=str).encode()
    return files


def secrets_of(round_folder: Path, material: Material) -> Iterator[tuple[str, bytes]]:
    """The samples of every 50 ms of private audio, and the ids, speakers, texts and names of living recordings."""
    for path in sorted((round_folder / PRIVATE_FOLDER).rglob("*.wav")):
        audio = read_wav(path)
        samples = pcm16(audio.samples).astype("<i2")
        window = audio.sample_rate_hz // 20
        for start in range(0, len(samples) - window, window):
            yield str(path), samples[start : start + window].tobytes()
    recordings = opened(material).corpus
    for recording in (*recordings.speech, *recordings.noise):
        yield "id", recording.id.encode()
        if recording.text:
            yield "text", recording.text.encode()
    for name in (*SPEAKERS, "studio-take", "studio-noise", "whisper"):
        yield "name", name.encode()


def forms(secret: bytes) -> Iterator[bytes]:
    """The secret as it is, and inside base64 at each of its three alignments."""
    yield secret
    for skipped in range(3):
        yield base64.b64encode(secret[skipped : skipped + 3 * ((len(secret) - skipped) // 3)])


def leaks(files: Mapping[str, bytes], secrets: list[tuple[str, bytes]]) -> set[tuple[str, str]]:
    """The kinds of secrets that the files contain, each with the files that contain the first one found."""
    whole = b"\n".join(files.values())
    found: dict[str, bytes] = {}
    for kind, secret in secrets:
        if kind not in found and any(form in whole for form in forms(secret)):
            found[kind] = secret
    return {
        (name, kind)
        for kind, secret in found.items()
        for name, data in files.items()
        if any(form in data for form in forms(secret))
    }


def bundle_of(folder: Path, out: Path) -> CheckedBundle:
    """The round's bundle as it can be made now, checked with all audio that it must have."""
    write_bundle(folder, out)
    with open_bundle(out, valid_signature=valid_signature) as bundle:
        checked = check_bundle(bundle)
        assert check_audio(bundle, checked) == len(checked.signals - checked.hidden)
    return checked


def offered(folder: Path, signals: frozenset[str]) -> tuple[set[str], bool]:
    """The signals that a leaderboard offers of the round's record, and whether it offers the recipes."""
    record = OfferedRecord(folder)
    heard = {s for s in signals if any(record.made(f"audio/{s[:2]}/{s}.{kind}") for kind in ("flac", "wav"))}
    return heard, record.made(f"disclosed/{COMPETITION.id}.jsonl") is not None


def with_audio(files: Mapping[str, bytes]) -> set[str]:
    """The files that contain FLAC, plain or as base64."""
    return {name for name, data in files.items() if b"fLaC" in data or base64.b64encode(b"fLaC\0\0") in data}


def test_nothing_of_living_recordings_is_shown_and_everything_once_they_retired(
    tmp_path: Path, material: Material
) -> None:
    bench = Bench(tmp_path)
    victor = PrivateValidator(bench, VICTOR, material)
    victor.service.tick()
    bench.to_seed(10)
    folder = victor.finish(0)
    round_material = replace(material, round_number=0)
    secrets = list(secrets_of(folder, round_material))
    assert len(secrets) > 500
    before = shown_files(victor, folder, tmp_path / "site")
    assert len([name for name in before if name.startswith("feedback/")]) == 2
    assert leaks(before, secrets) == set()
    assert with_audio(before) == set()
    assert "stay private until their recordings retire" in before["report.html"].decode()
    bound = {line["id"]: line for line in _lines(before[f"sets/{COMPETITION.id}/manifest.jsonl"])}
    assert all(set(line) == {"id", "digest", "degraded_sha256", "recipe_sha256"} for line in bound.values())
    hidden = bundle_of(folder, tmp_path / "before.zip")
    assert len(hidden.hidden) == len(hidden.signals) > 0
    assert offered(folder, hidden.signals) == (set(), False)

    # The recordings of round 0 are used in `USES` rounds.
    for number in range(1, USES + 1):
        bench.to_seed(10 + number)
        victor.finish(number)
    after = shown_files(victor, folder, tmp_path / "site")
    assert not (folder / PRIVATE_FOLDER).exists()
    shown = bundle_of(folder, tmp_path / "after.zip")
    assert (shown.disclosed, len(shown.hidden)) == (CLIPS, 0)
    assert offered(folder, shown.signals) == (set(shown.signals), True)
    # The same search now finds samples, ids and speakers, so it would have found them before.
    assert {Path(kind).suffix or kind for _, kind in leaks(after, secrets)} == {".wav", "id", "name"}
    line = _lines(after[f"sets/{COMPETITION.id}/manifest.jsonl"])[0]
    assert line["speaker"] in SPEAKERS
    recipe = {name: value for name, value in line.items() if name not in {*bound[line["id"]], "salt"}}
    assert recipe_sha256(recipe, line["salt"]) == bound[line["id"]]["recipe_sha256"]
    degraded = after[f"sets/{COMPETITION.id}/degraded/{line['id']}.wav"]
    samples, rate = soundfile.read(io.BytesIO(degraded), dtype="float32")
    audio = read_wav(folder / "sets" / COMPETITION.id / "degraded" / f"{line['id']}.wav")
    assert rate == audio.sample_rate_hz
    assert np.array_equal(samples, audio.samples)
    assert signal_sha256(audio) == bound[line["id"]]["degraded_sha256"]
    assert {"report.html"} <= with_audio(after)
    assert line["speaker"] in after["report.html"].decode()
    assert line["speaker"] in after["scores.jsonl"].decode()
    assert "stay private" not in after["report.html"].decode()
    # The scores and decisions are still the same.
    assert json.loads(after["results.json"])["competitions"] == json.loads(before["results.json"])["competitions"]
    # The latest round is private as a whole.
    latest = victor.folder / "rounds" / SCHEDULE.id_of(USES)
    secrets = list(secrets_of(latest, replace(material, round_number=USES)))
    assert leaks(shown_files(victor, latest, tmp_path / "site"), secrets) == set()


def test_a_model_cannot_publish_what_it_hears_in_the_output_of_a_clip_that_retires_earlier(
    tmp_path: Path, material: Material
) -> None:
    """Clips of one set retire at different times, and a model can write any clip into the output of another."""
    bench = Bench(tmp_path)
    victor = PrivateValidator(bench, VICTOR, material)
    victor.service.tick()
    bench.to_seed(10)
    folder = victor.finish(0)
    lines = _lines((folder / PRIVATE_FOLDER / "sets" / COMPETITION.id / "manifest.jsonl").read_bytes())
    first = lines[0]["private_ids"]

    partly = disclose(folder, lambda recordings: set(recordings) <= set(first))
    assert partly.published
    assert partly.still_private
    assert list(folder.glob("sets/*/degraded/*.wav"))
    assert not list(folder.glob("enhanced/*/*.wav"))
    whole = disclose(folder, lambda _recordings: True)
    assert whole.still_private == 0
    assert len(list(folder.glob("enhanced/*/*.wav"))) == 2 * CLIPS


def _lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.decode().splitlines()]


def test_another_corpus_opens_no_round_of_this_one(tmp_path: Path, material: Material) -> None:
    bench = Bench(tmp_path)
    victor = PrivateValidator(bench, VICTOR, material)
    victor.service.tick()
    bench.to_seed(10)
    folder = victor.finish(0)
    other = PrivateValidator(bench, VICTOR, private_material(tmp_path, count=14, name="other"))
    other.service._corpus.disclose(victor.folder / "rounds", 9)
    assert "has no recording" in other.problem()
    assert (folder / PRIVATE_FOLDER).is_dir()
    assert steps.read(victor.state, SCHEDULE.id_of(0), steps.CORPUS) is not None


@pytest.mark.parametrize("grows", [False, True])
def test_a_stranger_draws_the_sets_again_from_the_published_recordings(tmp_path: Path, grows: bool) -> None:
    material = private_material(tmp_path / "home")
    bench = Bench(tmp_path)
    victor = PrivateValidator(bench, VICTOR, material)
    victor.service.tick()
    bench.to_seed(10)
    folder = victor.finish(0)
    corpus = PrivateCorpus.open(Path(str(material.corpus)), Path(str(material.key_file)))
    if grows:
        corpus = add_to_corpus(corpus, recordings(4, first=100)).corpus
    published_folder = tmp_path / "published"
    publish_retired(corpus, published_folder, through=USES - 2)
    runs = ["verify", str(published_folder), "--root", corpus.root, "--run", str(folder)]
    early = CliRunner().invoke(corpus_command, runs)
    assert isinstance(early.exception, UsageError)
    assert "live until round 1" in str(early.exception)

    victor.service._corpus.disclose(victor.folder / "rounds", USES)
    publish_retired(corpus, published_folder, through=USES)
    checked = CliRunner().invoke(corpus_command, runs)
    assert checked.exit_code == 0, checked.output
    assert f"{CLIPS} clips drawn again from seed and root; they are those of the round" in checked.output

    # One who changed a recipe afterwards is found.
    manifest = folder / "sets" / COMPETITION.id / "manifest.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    lines[0]["recipe_sha256"] = "0" * 64
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    changed = CliRunner().invoke(corpus_command, runs)
    assert changed.exit_code == 1
    assert "clip 000000: its recipe is not the one" in changed.output


def test_an_old_private_round_loses_its_audio_and_keeps_what_will_be_published(tmp_path: Path) -> None:
    state = MemoryState()
    kept = [
        f"{PRIVATE_FOLDER}/sets/{COMPETITION.id}/manifest.jsonl",
        "scores.jsonl",
        f"sets/{COMPETITION.id}/manifest.jsonl",
    ]
    audio = [
        f"{PRIVATE_FOLDER}/enhanced/1-alice/000000.wav",
        f"{PRIVATE_FOLDER}/sets/{COMPETITION.id}/clean/000000.wav",
        f"sets/{COMPETITION.id}/degraded/000001.wav",
    ]
    for round_id in ("old", "new"):
        state.begin_round(round_id, {})
        for name in (*kept, *audio):
            path = tmp_path / "rounds" / round_id / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
    forget_old_rounds(
        state,
        folder=tmp_path / "rounds",
        hub=FakeHub(tmp_path / "model"),
        artifacts=Artifacts(tmp_path / "artifacts"),
        keep=1,
        now_s=0.0,
    )

    def files(round_id: str) -> list[str]:
        folder = tmp_path / "rounds" / round_id
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    assert files("old") == sorted(kept)
    assert files("new") == sorted((*kept, *audio))
