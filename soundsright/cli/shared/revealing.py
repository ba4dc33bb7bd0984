"""The reveals of miners for a system beside the rounds: a federation, or a verifier of served models."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soundsright.adapters.state import SqlState
    from soundsright.config import ValidatorSettings
    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.services.validator import MinerReveals, PaymentContext


def miner_reveals(
    settings: ValidatorSettings, organiser: CompetitionRules, payment: PaymentContext, state: SqlState
) -> MinerReveals:
    """The collector of the reveals, under the organiser's rules. `state` is that of the validator's own rounds."""
    from soundsright.adapters.chains import DrandTimelock
    from soundsright.adapters.peers import SignedPeers, valid_signature
    from soundsright.cli.shared.opening import schedule_of
    from soundsright.core.endpoint import PeerNetworks
    from soundsright.core.text_files import comma_separated
    from soundsright.services.validator import REVEALS_SCOPE, MinerReveals

    return MinerReveals(
        payment.chain,
        SignedPeers(payment.account, PeerNetworks.of(settings.soundsright_peer_networks)),
        state.scoped(REVEALS_SCOPE),
        payment.clock,
        payment.health,
        valid_signature,
        schedule_of(settings, organiser),
        organiser.commitment,
        DrandTimelock(comma_separated(settings.drand_relays)),
        organiser.entry_rules.unsalted,
        state,
    )
