"""The warning of a validator whose recordings are public: nobody is paid on them, or they are paid nevertheless."""

from __future__ import annotations

from collections.abc import Sequence

import click

from soundsright.core.competition import Competition
from soundsright.core.material import Material
from soundsright.core.unpaid import PUBLIC_CORPUS


def warn_of_public_recordings(material: Material, competitions: Sequence[Competition], *, pays: bool) -> None:
    """Say which competitions pay nobody, or pay nevertheless, because their recordings are public.

    Raises:
        UsageError: there is no corpus, or it cannot be read.
    """
    from soundsright.services.records import payment_sentence
    from soundsright.services.rounds import opened, public_competitions, steps

    public = public_competitions(material, competitions)
    if public:
        unpaid, reason = ((), "") if pays else (public, PUBLIC_CORPUS)
        facts = steps.CorpusStep(opened(material).digest, public, unpaid=unpaid, reason=reason)
        click.echo(f"Warning: {payment_sentence(facts)}", err=True)
