"""Continue a file of scored clips without losing scores.

If most recordings of the file differ from those to score, it belongs to another system, and resuming is refused.
Otherwise the scores of unchanged recordings are kept, also those of metrics that the present run does not measure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from soundsright.core.errors import UsageError
from soundsright.services.scoring.folder import (
    ClipFiles,
    FileDigests,
    ScoredClip,
    ScoreOptions,
    ScoreSet,
    digest_of_scoring,
    file_digests,
)


@dataclass(frozen=True)
class EarlierScores:
    """The scores of unchanged recordings, by clip, and the clips of the file whose scores are replaced."""

    kept: Mapping[str, ScoredClip]
    replaced: tuple[str, ...]


def earlier_scores(
    path: Path, scored: Mapping[str, ScoredClip], clips: ScoreSet, options: ScoreOptions
) -> EarlierScores:
    """The scores of the file `path` that belong to the recordings of `clips`.

    Raises:
        UsageError: most recordings differ, or the file was scored with another value of `align`.
    """
    by_id = {clip.id: clip for clip in clips.clips}
    kept = {
        name: each for name, each in scored.items() if name in by_id and _is_unchanged(by_id[name], each, options)
    }
    replaced = tuple(name for name in scored if name not in kept)
    if 2 * len(replaced) > len(scored):
        raise UsageError(
            f"{path} has scores of other recordings ({len(replaced)} of {len(scored)} differ)", "Name another file."
        )
    if any(each.align not in (None, options.align) for each in kept.values()):
        raise UsageError(
            f"{path} was scored {'without' if options.align else 'with'} --align",
            f"Name another file, or {'leave out' if options.align else 'add'} --align.",
        )
    return EarlierScores(kept, replaced)


def merged_scores(earlier: ScoredClip | None, scored: ScoredClip) -> ScoredClip:
    """`scored` with the earlier scores of the same recordings for metrics that it lacks.

    A new failure does not replace earlier scores: a metric of the present run is its cause.
    """
    if earlier is None or earlier.result.scores is None:
        return scored
    files = replace(scored.files, noisy=scored.files.noisy or earlier.files.noisy)
    if scored.result.scores is None:
        return replace(earlier, files=files, align=scored.align)
    scores = {**earlier.result.scores, **scored.result.scores}
    if scores.keys() == scored.result.scores.keys():
        return scored
    kept = {name: why for name, why in earlier.result.no_value.items() if name not in scored.result.scores}
    result = replace(scored.result, scores=scores, no_value={**kept, **scored.result.no_value})
    align = bool(scored.align)
    return ScoredClip(
        result, digest_of_scoring(result.clip_id, ScoreOptions(tuple(scores), align), files), files, scored.align
    )


def _is_unchanged(clip: ClipFiles, earlier: ScoredClip, options: ScoreOptions) -> bool:
    """Whether the recordings are those of the earlier scores. Noisy ones count only if both runs have them."""
    files = file_digests(clip)
    if earlier.files != FileDigests():
        noisy = (earlier.files.noisy, files.noisy)
        same_noisy = None in noisy or noisy[0] == noisy[1]
        return same_noisy and (earlier.files.clean, earlier.files.enhanced) == (files.clean, files.enhanced)
    # Lines of an early version have no hashes of files, only the digest of all inputs.
    metrics = options.metrics if earlier.result.scores is None else tuple(earlier.result.scores)
    return any(
        earlier.inputs == digest_of_scoring(clip.id, ScoreOptions(metrics, align), files) for align in (False, True)
    )
