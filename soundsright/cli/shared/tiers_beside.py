"""Tiers beside the rounds of `soundsright validator`, if the organiser's file gives them a share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.beside import settings_beside
from soundsright.cli.shared.tiers_gateway import served_gateway
from soundsright.cli.shared.tiers_service import TIERS, agreed_tiers, opened_verifier
from soundsright.config import TiersSettings
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from soundsright.adapters.peers import Hotkey
    from soundsright.adapters.state import SqlState
    from soundsright.config import ValidatorSettings
    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.core.ports import Pool
    from soundsright.services.validator import PaymentContext, Subsystem


@dataclass(frozen=True)
class TiersBeside:
    """Tiers beside rounds. Without an `organiser` there are none. A dry run verifies nobody."""

    settings: TiersSettings
    organiser: CompetitionRules | None

    @contextmanager
    def verifier(
        self, payment: PaymentContext, account: Hotkey, state: SqlState, pool: Pool
    ) -> Iterator[tuple[Subsystem, ...]]:
        """The system that verifies provers and pays them, with its gateway, while the block runs.

        Raises:
            UsageError: no sandbox can be used, recordings are missing, or the gateway's port is in use.
            StateUnavailable: Redis does not answer.
        """
        if self.organiser is None:
            yield ()
            return
        with (
            opened_verifier(self.settings, self.organiser, payment, state, pool) as verifier,
            served_gateway(self.settings, self.organiser, account, verifier) as gateway,
        ):
            click.echo(f"{account.address} verifies provers. {gateway}")
            yield (verifier,)


def tiers_beside(
    settings: ValidatorSettings, flags: dict[str, Any], env_file: Path | None, *, dry_run: bool
) -> TiersBeside:
    """The tiers of the organiser's file, with the settings of `soundsright tiers verify`.

    Raises:
        UsageError: they have a share, and a setting cannot be used or contradicts the file.
    """
    from soundsright.library import organiser_of

    organiser = organiser_of(settings.soundsright_ruleset, begun=True)
    if TIERS not in organiser.emission.paying:
        return TiersBeside(TiersSettings(), None)
    own = settings_beside(TiersSettings, settings, flags, env_file)
    agreed_tiers(own, organiser)
    if own.neuron_disable_set_weights:
        raise UsageError(
            "NEURON_DISABLE_SET_WEIGHTS is true, and `soundsright validator` sets weights",
            "Clear it, or run `soundsright tiers verify`.",
        )
    return TiersBeside(own, None if dry_run else organiser)
