"""Sources by the words that a user gives for them: the shipped material, an installed corpus, a folder, or a kind
of noise.

Rates in Hz. Speech that is spoken on demand comes from above this layer: `SourceChoice.sources` accepts any
`SpeechSource`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundsright.core.errors import UsageError
from soundsright.core.ports import SpeechSource
from soundsright.data.corpora import Corpus
from soundsright.data.directories import Listing, noise_listing, rir_listing, speech_listing
from soundsright.data.installed import is_installed_corpus, refuse_private
from soundsright.data.noise_kinds import BABBLE, NOISE_KINDS, Babble, FormulaNoise, MixedNoise, NoiseMenu
from soundsright.data.recipe import AnySetTask, SetRecipe
from soundsright.data.recordings import Recording, RecordingSet
from soundsright.data.sources import NoiseSource, RecordedNoise, Rooms, RoomSource, Sources
from soundsright.data.splits import Split

SHIPPED = "shipped"
SIMULATED = "simulated"
RECORDINGS = "recordings"
"""The noise of the shipped recordings alone; `shipped` is mixed noise, which has all kinds too."""

_GROUPS = {"speech": "speakers", "noise": "noises", "rooms": "rooms"}


@dataclass
class SourceChoice:
    """Turns words into sources of one rate and one split (None: all of the material).

    `groups_by` has the rule that finds the speaker, the noise recording or the room in a path, by the role
    `speech`, `noise` or `rooms`. `provenance` gathers where each source comes from, `skipped` the files that could
    not be used, by path, and `guessed` the sources whose groups are only guessed, by the kind of the groups.
    """

    sample_rate_hz: int
    split: Split | None = None
    corpus_root: Path | None = None
    allow_upsampled: bool = False
    groups_by: Mapping[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    guessed: dict[str, list[str]] = field(default_factory=dict)
    _corpora: dict[str, Corpus] = field(default_factory=dict)

    def note(self, role: str, **facts: Any) -> None:
        """Record where a source comes from, for the description of the set."""
        self.provenance.setdefault(role, []).append(facts)

    def speech(self, name: str = SHIPPED) -> RecordingSet:
        """The speech of `shipped`, an installed corpus, or a folder.

        Raises:
            UsageError: the folder is missing, or nothing in it can be used.
        """
        _refuse_misspelt(name, (SHIPPED,))
        if _is_corpus(name):
            return self._noted("speech", name, self.corpus(name).speech_for(self.sample_rate_hz, self.split))
        return self._folder("speech", name, speech_listing)

    def noise(self, names: str, speech: SpeechSource) -> NoiseSource:
        """The noise of `shipped`, `recordings`, installed corpora, folders and kinds, separated by commas.

        Several names share the clips equally. Babble takes its voices from `speech`, that of `shipped` from the
        shipped speech, so that no utterance is synthesised for it.

        Raises:
            UsageError: a kind is unknown, or as `speech`.
        """
        parts: list[NoiseSource] = []
        for name in (word.strip() for word in names.split(",")):
            if not name:
                raise UsageError(f"{names!r} has an empty name between two commas", "Remove one of the commas.")
            if name == RECORDINGS and not Path(name).is_dir():
                parts.append(RecordedNoise(self._recorded_noise(SHIPPED)))
            elif name == SHIPPED:
                voices = self.corpus().voices_for(self.sample_rate_hz, self.split)
                parts.append(MixedNoise.of(self._recorded_noise(name), voices))
                for kind in (*NOISE_KINDS, *([BABBLE] if voices else [])):
                    self.note("noise", name=kind)
            elif is_installed_corpus(name):
                parts.append(RecordedNoise(self._recorded_noise(name)))
            elif name == BABBLE:
                self.note("noise", name=BABBLE)
                parts.append(Babble(speech))
            elif name in NOISE_KINDS:
                parts.append(FormulaNoise(name))
                self.note("noise", name=name)
            elif not Path(name).is_dir():
                raise _no_such_noise(name)
            else:
                parts.append(RecordedNoise(self._folder("noise", name, noise_listing), seeks_sound=True))
        return parts[0] if len(parts) == 1 else NoiseMenu(tuple(parts))

    def rooms(self, name: str, recipe: SetRecipe) -> RoomSource:
        """The rooms of `shipped` (simulated and a few measured ones), `simulated`, a corpus, or a folder.

        Raises:
            UsageError: as `speech`.
        """
        _refuse_misspelt(name, (SIMULATED, SHIPPED))
        if name == SIMULATED:
            measured = RecordingSet(())
            self.note("rooms", name=SIMULATED)
        elif _is_corpus(name):
            measured = self._noted("rooms", name, self.corpus(name).rirs_for(self.sample_rate_hz, self.split))
        else:
            measured = self._folder("rooms", name, rir_listing)
        return Rooms(measured, recipe.measured_rirs, recipe.rt60_s, self.split)

    def sources(
        self,
        task: AnySetTask,
        recipe: SetRecipe,
        *,
        speech: str | SpeechSource = SHIPPED,
        noise: str = SHIPPED,
        rooms: str = SHIPPED,
        in_order: bool = False,
    ) -> Sources:
        """All sources that the task needs.

        Raises:
            UsageError: as the methods above.
        """
        spoken = self.speech(speech) if isinstance(speech, str) else speech
        return Sources(
            speech=spoken,
            noise=self.noise(noise, spoken) if task.has_noise else None,
            rooms=self.rooms(rooms, recipe) if task.has_room else None,
            in_order=in_order,
            split=self.split,
        )

    def corpus(self, name: str = SHIPPED) -> Corpus:
        """The corpus of that name, read when it is first needed. `shipped` is the one at `corpus_root`.

        Raises:
            UsageError: there is none, or its manifest cannot be read.
        """
        if name not in self._corpora:
            self._corpora[name] = Corpus.open(self.corpus_root if name == SHIPPED else name)
        return self._corpora[name]

    def _recorded_noise(self, name: str) -> RecordingSet:
        return self._noted("noise", name, self.corpus(name).noise_for(self.sample_rate_hz, self.split))

    def _noted(self, role: str, name: str, recordings: RecordingSet) -> RecordingSet:
        self.note(role, name=name, recordings=len(recordings), digest=self.corpus(name).digest)
        self._mark_guesses(role, name, recordings.recordings)
        return recordings

    def _folder(self, role: str, name: str, listing_of: Callable[..., Listing]) -> RecordingSet:
        refuse_private(Path(name))
        by = self.groups_by.get(role, "")
        listing = listing_of(
            Path(name), self.sample_rate_hz, allow_upsampled=self.allow_upsampled, split=self.split, by=by
        )
        self.skipped |= listing.skipped
        self._mark_guesses(role, name, listing.recordings)
        self.note(
            role,
            name=name,
            layout=listing.layout,
            recordings=len(listing.recordings),
            speakers=len({r.speaker for r in listing.recordings}) if role == "speech" else None,
            digest=listing.digest,
            **({"groups_by": by} if by else {}),
        )
        return RecordingSet(listing.recordings)

    def _mark_guesses(self, role: str, name: str, recordings: Iterable[Recording]) -> None:
        if any(recording.group_is_guessed for recording in recordings):
            self.guessed.setdefault(_GROUPS[role], []).append(name)


def _is_corpus(name: str) -> bool:
    return name == SHIPPED or is_installed_corpus(name)


def _refuse_misspelt(name: str, words: tuple[str, ...]) -> None:
    near = difflib.get_close_matches(name.lower(), words, n=1)
    if near and name not in words and not _is_corpus(name) and not Path(name).exists():
        raise UsageError(f"There is no folder {name}", f"Did you mean {near[0]}?")


def _no_such_noise(name: str) -> UsageError:
    """The error of a name that is neither a word for noise nor a folder: a wrong path, or a misspelt word."""
    words = (SHIPPED, RECORDINGS, *NOISE_KINDS, BABBLE)
    near = difflib.get_close_matches(name.lower(), words, n=1)
    if Path(name).exists():
        return UsageError(f"{name} is a file, not a folder", "Give the folder of its recordings.")
    if near:
        return UsageError(f"There is no noise {name!r}", f"Did you mean {near[0]}?")
    if Path(name).name != name or name.startswith((".", "~")):
        return UsageError(f"There is no folder {name}", "Give a folder of noise.")
    return UsageError(
        f"Unknown kind of noise {name!r}, and no folder of this name",
        f"Choose from {', '.join(words)}, or give a folder that exists.",
    )


def measured_share(rooms: str) -> float:
    """The share of measured rooms among those that the word names, if the user asks for no other share.

    >>> measured_share("shipped"), measured_share("rirs/arni")
    (0.0, 1.0)
    """
    return 0.0 if rooms in (SHIPPED, SIMULATED) else 1.0
