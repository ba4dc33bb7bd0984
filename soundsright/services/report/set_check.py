"""Draws the sets of an old round again and compares them with what its documents state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundsright.core.audio import Clip, digest_of_digests
from soundsright.core.competition import Competition, competition_by_id
from soundsright.core.errors import UsageError
from soundsright.core.schedule import seed_of_round
from soundsright.services.records import CompetitionDoc, Results, read_results
from soundsright.services.report.disclosure import manifest_lines
from soundsright.services.rounds import recipe_sha256, signal_sha256, unfit_of

if TYPE_CHECKING:
    from soundsright.data import Corpus


@dataclass(frozen=True)
class SetCheck:
    """The number of clips of a competition that were drawn again, and what is wrong with them."""

    competition: str
    clips: int
    problems: tuple[str, ...]


def check_sets(
    folder: Path, corpus_of_round: Callable[[int, str], Corpus], competitions: Sequence[Competition]
) -> Iterator[SetCheck]:
    """Draw each set of a run's folder again, from its seed and the recordings of its round.

    `corpus_of_round` gives the published recordings of a round by its number and the root of its corpus.

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
        yield SetCheck(doc.id, len(lines), tuple(_problems(results, doc, competition, corpus, lines)))


def _problems(
    results: Results,
    doc: CompetitionDoc,
    competition: Competition,
    corpus: Corpus,
    lines: Sequence[Mapping[str, Any]],
) -> Iterator[str]:
    from soundsright.data import PUBLISHED_RECIPE, draw_clip

    recipe = replace(PUBLISHED_RECIPE, balance=doc.balance > 0)
    unfit = unfit_of(doc.values, tuple(doc.metric_weights))
    if doc.seed != seed_of_round(results.round.seed_block_hash, doc.id):
        yield f"the seed {doc.seed} does not follow from the hash of block {results.round.seed_block}"
    if len(lines) != results.round.clips:
        yield f"the manifest has {len(lines)} clips, and the round had {results.round.clips}"
    digests = {}
    for index, line in enumerate(lines):
        clip = draw_clip(competition, doc.seed, index, corpus=corpus, recipe=recipe, noise=doc.noise, unfit=unfit)
        digests[clip.id] = clip.digest
        if problem := _problem_of(clip, line):
            yield f"clip {line['id']}: {problem}"
    if digest_of_digests(digests) != doc.set_digest:
        yield f"the set has the digest {digest_of_digests(digests)}, and the results state {doc.set_digest}"


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
