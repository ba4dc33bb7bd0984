"""Checks that the audio of clips in a bundle is that of the signed sets.

The digest of a set follows from the samples of its clips. The recipe of a private clip has a salted digest, which
is signed too: once the recipe and the audio are disclosed, both are proved. Before that, the clip is withheld.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from soundsright.core.audio import digest_of_signals
from soundsright.core.competition import Competition
from soundsright.services.records import RoundBundle
from soundsright.services.replay.plan import ScoredPair, disclosed_clips
from soundsright.services.replay.report import Depth, ReplayReport, counted
from soundsright.services.replay.scoring import WITHHELD, signal_of
from soundsright.services.rounds import ClipSet, Difference, make_folder

CLIPS = "clips whose audio has the recorded digest"
DISCLOSED = "of them disclosed after the round"


def clips_again(
    bundle: RoundBundle,
    pairs: Sequence[ScoredPair],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ReplayReport:
    """Compute the digest of each clip among the results from its audio, and find the first difference.

    `progress` gets the number of clips that were looked at, and the number of all.

    Raises:
        BundleRefused: audio, or a disclosed recipe, is damaged or other than was signed.
    """
    digests = {
        (c.id, str(row.get("id"))): str(row.get("digest"))
        for c in bundle.document.competitions
        for row in bundle.manifest(c.id)
    }
    disclosed = disclosed_clips(bundle)
    proved = later = 0
    unchecked: list[tuple[str, str]] = []
    difference: Difference | None = None
    clips = sorted({(pair.line.competition, pair.line.id): pair for pair in pairs}.items())
    for number, (key, pair) in enumerate(clips, 1):
        progress(number, len(clips))
        if not (bundle.has_audio(pair.clean) and bundle.has_audio(pair.degraded)):
            withheld = pair.line.recipe.is_hidden and key not in disclosed
            why = WITHHELD if withheld else "The bundle has no audio of it."
            unchecked.append((f"{key[0]}: clip", why))
            continue
        digest = digest_of_signals(key[1], signal_of(bundle, pair.clean), signal_of(bundle, pair.degraded))
        if digest != digests.get(key):
            difference = Difference(key[0], "set", f"clip {key[1]}", digests.get(key, "nothing"), digest)
            break
        proved += 1
        later += key in disclosed
    checked = {CLIPS: proved, **({DISCLOSED: later} if later else {})}
    return ReplayReport(Depth.SCORE, checked, difference, counted(unchecked), is_whole=not unchecked)


def set_of_bundle(
    bundle: RoundBundle,
    competition: Competition,
    seed: int,
    recipes: Mapping[str, Mapping[str, object]],
    folder: Path,
) -> ClipSet | None:
    """The set of a competition, from the audio of the bundle, written to `folder`; None if a clip has no audio.

    Nobody can draw it again without the private recordings.
    """
    lines = {line["clip"]: line for line in bundle.clips() if line["competition"] == competition.id}
    if not all(bundle.has_audio(line[role]) for line in lines.values() for role in ("clean", "degraded")):
        return None
    digests: dict[str, str] = {}
    durations_s: dict[str, float] = {}
    for role in ("clean", "degraded"):
        make_folder(folder / role)
    for number, line in enumerate(lines.values()):
        # A stranger chose the ids of the clips: they name no files here.
        clip = line["clip"]
        if clip != f"{number:06d}":
            return None
        signals = [signal_of(bundle, line[role]) for role in ("clean", "degraded")]
        for role in ("clean", "degraded"):
            (folder / role / f"{clip}.wav").write_bytes(bundle.wav(line[role]))
        digests[clip] = digest_of_signals(clip, *signals)
        durations_s[clip] = len(signals[0]) / signals[0].sample_rate_hz
    own = {clip: dict(recipe) for clip, recipe in recipes.items()}
    return ClipSet(competition, seed, folder, digests, own, durations_s)
