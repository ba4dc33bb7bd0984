"""A federation beside the rounds of `soundsright validator`, if the organiser's file gives it a share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from soundsright.cli.shared.beside import settings_beside
from soundsright.cli.shared.federation_parts import FEDERATION, AgreedRules, agreed_rules
from soundsright.config import FederationSettings

if TYPE_CHECKING:
    from pathlib import Path

    from soundsright.adapters.state import SqlState
    from soundsright.config import ValidatorSettings
    from soundsright.core.ports import LiveChain, Pool
    from soundsright.services.validator import PaymentContext, Subsystem


@dataclass(frozen=True)
class FederationBeside:
    """A federation beside rounds. Without `agreed` there is none. A dry run judges nothing."""

    settings: FederationSettings
    agreed: AgreedRules | None
    dry_run: bool

    def check(self, chain: LiveChain, own: str) -> None:
        """Check the settings of the buckets, and that the hotkey `own` is on the owner's list.

        Raises:
            UsageError: a setting is missing or malformed, or the hotkey is not listed.
            ChainUnavailable: the chain does not answer.
        """
        from soundsright.cli.shared.federation_service import check_listed, check_places

        if self.agreed is not None:
            check_places(self.settings, own)
            check_listed(self.settings, self.agreed, chain, own)

    def subsystems(self, payment: PaymentContext) -> tuple[Subsystem, ...]:
        """The system that pays the federation's winners, if there is a federation."""
        from soundsright.cli.shared.federation_service import federation_system

        if self.agreed is None:
            return ()
        draws = not self.dry_run
        return (federation_system(self.settings, self.agreed, payment, dry_run=self.dry_run, draws=draws),)

    def sampler(
        self, payment: PaymentContext, state: SqlState, pool: Pool, lost: Callable[[], None]
    ) -> AbstractContextManager[object]:
        """Judges the tasks of this validator's turns while the block runs. Raises as `running_sampler`."""
        from soundsright.cli.shared.federation_service import running_sampler

        if self.agreed is None or self.dry_run:
            return nullcontext()
        return running_sampler(self.settings, self.agreed, payment, state, pool, lost=lost)


def federation_beside(
    settings: ValidatorSettings, flags: dict[str, Any], env_file: Path | None, *, dry_run: bool
) -> FederationBeside:
    """The federation of the organiser's file, with the settings of `soundsright federation serve`.

    Raises:
        UsageError: it has a share, and a setting cannot be used or contradicts the file.
    """
    from soundsright.library import organiser_of

    organiser = organiser_of(settings.soundsright_ruleset, begun=True)
    if FEDERATION not in organiser.emission.paying:
        return FederationBeside(FederationSettings(), None, dry_run)
    own = settings_beside(FederationSettings, settings, flags, env_file)
    return FederationBeside(own, agreed_rules(own), dry_run)
