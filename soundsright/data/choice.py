"""Sources by the words that a user gives for them: the shipped material, an installed corpus, a folder, or a kind
of noise.

Rates in Hz. Speech that is spoken on demand comes from above this layer: `SourceChoice.sources` accepts any
`SpeechSource`.
"""

from __future__ import annotations

from collections.abc import Callable
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
from soundsright.data.recordings import RecordingSet
from soundsright.data.sources import NoiseSource, RecordedNoise, Rooms, RoomSource, Sources
from soundsright.data.splits import Split

SHIPPED = "shipped"
SIMULATED = "simulated"
RECORDINGS = "recordings"
"""The noise of the shipped recordings alone; `shipped` is mixed noise, which has all kinds too."""


@dataclass
class SourceChoice:
    """Turns words into sources of one rate and one split (None: all of the material).

    `provenance` gathers where each source comes from, `skipped` the files that could not be used, by path.
    """

    sample_rate_hz: int
    split: Split | None = None
    corpus_root: Path | None = None
    allow_upsampled: bool = False
    provenance: dict[str, Any] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    _corpora: dict[str, Corpus] = field(default_factory=dict)

    def note(self, role: str, **facts: Any) -> None:
        """Record where a source comes from, for the description of the set."""
        self.provenance.setdefault(role, []).append(facts)

    def speech(self, name: str = SHIPPED) -> RecordingSet:
        """The speech of `shipped`, an installed corpus, or a folder.

        Raises:
            UsageError: the folder is missing, or nothing in it can be used.
        """
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
            elif name in NOISE_KINDS or not Path(name).is_dir():
                parts.append(FormulaNoise(name))
                self.note("noise", name=name)
            else:
                parts.append(RecordedNoise(self._folder("noise", name, noise_listing)))
        return parts[0] if len(parts) == 1 else NoiseMenu(tuple(parts))

    def rooms(self, name: str, recipe: SetRecipe) -> RoomSource:
        """The rooms of `shipped` (simulated and a few measured ones), `simulated`, a corpus, or a folder.

        Raises:
            UsageError: as `speech`.
        """
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
        return recordings

    def _folder(self, role: str, name: str, listing_of: Callable[..., Listing]) -> RecordingSet:
        refuse_private(Path(name))
        listing = listing_of(
            Path(name), self.sample_rate_hz, allow_upsampled=self.allow_upsampled, split=self.split
        )
        self.skipped |= listing.skipped
        self.note(
            role,
            name=name,
            layout=listing.layout,
            recordings=len(listing.recordings),
            speakers=len({r.speaker for r in listing.recordings}) if role == "speech" else None,
            digest=listing.digest,
        )
        return RecordingSet(listing.recordings)


def _is_corpus(name: str) -> bool:
    return name == SHIPPED or is_installed_corpus(name)


def measured_share(rooms: str) -> float:
    """The share of measured rooms among those that the word names, if the user asks for no other share.

    >>> measured_share("shipped"), measured_share("rirs/arni")
    (0.0, 1.0)
    """
    return 0.0 if rooms in (SHIPPED, SIMULATED) else 1.0
