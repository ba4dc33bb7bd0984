"""The speech and the recordings of a validator's sets, from its settings and the organiser's file."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from soundsright.config import ValidatorSettings
from soundsright.core.competition import Competition
from soundsright.core.competition_rules import CompetitionRules

if TYPE_CHECKING:
    from soundsright.adapters.speech import FreshSpeech
    from soundsright.core.material import Material

_log = logging.getLogger(__name__)


def speech_of(
    settings: ValidatorSettings, organiser: CompetitionRules, competitions: Sequence[Competition]
) -> FreshSpeech | None:
    """The speech that the organiser's file or SOUNDSRIGHT_SPEECH names; None for recordings.

    Raises:
        UsageError: it is not installed, has no key or is too expensive.
        InfrastructureFault: its program fails to speak.
    """
    from soundsright.library import SpeechChoice, check_price, chosen_speech

    if organiser.speech and settings.soundsright_speech not in ("auto", organiser.speech):
        _log.warning(
            "SOUNDSRIGHT_SPEECH is ignored, because [material] of %s chooses %s",
            settings.soundsright_ruleset,
            organiser.speech,
        )
    key = settings.openai_api_key
    speech = chosen_speech(
        SpeechChoice(
            organiser.speech or settings.soundsright_speech,
            corpus=settings.soundsright_corpus,
            openai_key=key.get_secret_value() if key else "",
            openai_model=settings.openai_tts_model,
            workers=settings.soundsright_workers or os.cpu_count() or 1,
        )
    )
    check_price(speech, competitions, clips=settings.soundsright_clips, max_usd=settings.soundsright_speech_max_usd)
    return speech


def material_of(
    settings: ValidatorSettings, organiser: CompetitionRules, competitions: Sequence[Competition]
) -> Material:
    """The recordings and the speech of the sets. Raises as `speech_of`."""
    from soundsright.core.material import Material

    speech = speech_of(settings, organiser, competitions)
    return Material(
        settings.soundsright_corpus, settings.soundsright_corpus_key, speech=speech, noise=organiser.noise
    )
