"""Draws the sets of an old round again and compares them with what its documents state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from soundsright.core.audio import Clip, digest_of_digests
from soundsright.core.competition import Competition, competition_by_id
from soundsright.core.errors import UsageError
from soundsright.core.ports import RoundSpeech, SpeechSource
from soundsright.core.schedule import seed_of_round
from soundsright.services.records import CompetitionDoc, Results, read_results
from soundsright.services.report.disclosure import manifest_lines
from soundsright.services.rounds import recipe_sha256, signal_sha256, unfit_of

if TYPE_CHECKING:
    from soundsright.data import Corpus


@dataclass(frozen=True)
class SetCheck:
    """The number of clips of a competition that were checked, and what is wrong with them.

    `unchecked` is the reason why the clips were not drawn again; it is empty if they were.
    """

    competition: str
    clips: int
    problems: tuple[str, ...]
    unchecked: str = ""


def check_sets(
    folder: Path,
    corpus_of_round: Callable[[int, str], Corpus],
    competitions: Sequence[Competition],
    *,
    speech_of: Callable[[Mapping[str, str]], RoundSpeech | None] = lambda _facts: None,
) -> Iterator[SetCheck]:
    """Draw each set of a run's folder again, from its seed and the recordings of its round.

    `corpus_of_round` gives the published recordings of a round by its number and the root of its corpus.
    `speech_of` gives what spoke a set with new speech, by its facts; None if this machine does not have it.

    Raises:
        UsageError: the run is not on a private corpus, a competition is not one of `competitions`, the corpus is
            another one, its recordings are not published yet, or a newer program drew the set.
    """
    results = read_results(folder / "results.json")
    stated = results.round.corpus
    if stated is None or stated.round is None:
        raise UsageError(
            f"The round in {folder} was not on a private corpus", "Give the folder of a round that was on this one."
        )
    corpus = corpus_of_round(stated.round, stated.digest)
    if corpus.digest != stated.digest:
        raise UsageError(
            f"The round in {folder} used the corpus {stated.digest}, and this one has the root {corpus.digest}",
            "Give the recordings that were published from the corpus of the round.",
        )
    for doc in results.competitions:
        competition = competition_by_id(doc.id, competitions)
        lines = list(manifest_lines(folder / "sets" / doc.id / "manifest.jsonl"))
        speech = speech_of(doc.speech) if doc.speech else None
        unchecked = _why_unchecked(doc.speech, speech) if doc.speech else ""
        problems = [*_problems_of_document(results, doc, lines)]
        if unchecked:
            digests = {str(line["id"]): str(line.get("digest")) for line in lines}
        else:
            with TemporaryDirectory(prefix="soundsright-speech-") as cache:
                source = None if speech is None else speech.of_set(doc.seed, results.round.clips, Path(cache))
                digests, wrong = _drawn_again(doc, competition, corpus, source, lines)
            problems += wrong
        if digest_of_digests(digests) != doc.set_digest:
            found = digest_of_digests(digests)
            problems.append(f"the set has the digest {found}, and the results state {doc.set_digest}")
        yield SetCheck(doc.id, len(lines), tuple(problems), unchecked)


def _why_unchecked(facts: Mapping[str, str], speech: RoundSpeech | None) -> str:
    """Why a set with new speech cannot be drawn again here; empty if it can."""
    stated = ", ".join(f"{name} {value}" for name, value in facts.items() if value and name in ("engine", "model"))
    if speech is None:
        return f"its speech was spoken for the round by {stated}, which is not installed here"
    if dict(speech.facts) != dict(facts):
        return f"its speech was spoken for the round by {stated}, and here is another version or other voices"
    if not speech.repeats_itself:
        return f"its speech was spoken for the round by {stated}, which never sounds the same twice"
    return ""


def _problems_of_document(
    results: Results, doc: CompetitionDoc, lines: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    if doc.seed != seed_of_round(results.round.seed_block_hash, doc.id):
        yield f"the seed {doc.seed} does not follow from the hash of block {results.round.seed_block}"
    if len(lines) != results.round.clips:
        yield f"the manifest has {len(lines)} clips, and the round had {results.round.clips}"


def _drawn_again(
    doc: CompetitionDoc,
    competition: Competition,
    corpus: Corpus,
    speech: SpeechSource | None,
    lines: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, str], list[str]]:
    """The digests of the clips by id, and the problems with their lines."""
    from soundsright.data import PUBLISHED_RECIPE, draw_clip

    recipe = replace(PUBLISHED_RECIPE, balance=doc.balance > 0)
    unfit = unfit_of(doc.values, tuple(doc.metric_weights))
    digests, problems = {}, []
    for index, line in enumerate(lines):
        clip = draw_clip(
            competition, doc.seed, index,
            corpus=corpus, recipe=recipe, speech=speech, noise=doc.noise, unfit=unfit,
        )  # fmt: skip
        digests[clip.id] = clip.digest
        if problem := _problem_of(clip, line):
            problems.append(f"clip {line['id']}: {problem}")
    return digests, problems


def _problem_of(clip: Clip, line: Mapping[str, Any]) -> str:
    """What is wrong with the line of a clip that was drawn again; empty if nothing is."""
    from soundsright.data import recipe_fields

    if (clip.id, clip.digest) != (line["id"], line.get("digest")):
        return "its audio is not that of its seed and recordings"
    if "degraded_sha256" in line and signal_sha256(clip.degraded) != line["degraded_sha256"]:
        return "its degraded audio has another digest"
    if "salt" in line and recipe_sha256(recipe_fields(clip.recipe), str(line["salt"])) != line.get("recipe_sha256"):
        return "its recipe is not the one to which the validator was bound"
    return ""
