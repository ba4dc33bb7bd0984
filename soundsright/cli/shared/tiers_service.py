"""The verifier of served models as the settings choose it: its rules, its counters, and the system that pays."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from soundsright.cli.shared.revealing import miner_reveals
from soundsright.cli.shared.speech_settings import material_of
from soundsright.config import RULES_OF_TIER_SETTINGS, TiersSettings
from soundsright.core.errors import UsageError
from soundsright.core.tiers_rules import TiersRules, tiers_rules
from soundsright.core.toml_location import toml_text

if TYPE_CHECKING:
    from soundsright.adapters.state import SqlState
    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.core.material import Material
    from soundsright.core.ports import Counters, Pool
    from soundsright.core.schedule import Schedule
    from soundsright.services.validator import PaymentContext
    from soundsright.services.verifier import TiersSubsystem, VerifierContext

TIERS = "tiers"
"""The system's name in [emission]."""


def agreed_tiers(settings: TiersSettings, organiser: CompetitionRules) -> TiersRules:
    """The rules in the organiser's file. Without a table [tiers], the settings change the default ones.

    Raises:
        UsageError: a setting contradicts the file.
    """
    if organiser.tiers is None:
        return tiers_rules(**settings.given_tier_rules)
    for name, key in RULES_OF_TIER_SETTINGS.items():
        own, agreed = getattr(settings, name), getattr(organiser.tiers, key)
        if name in settings.model_fields_set and own != agreed:
            raise UsageError(
                f"{name.upper()} is {toml_text(own)}, and {key} in [tiers] of {settings.soundsright_ruleset} is"
                f" {toml_text(agreed)}",
                f"Clear {name.upper()}: all verifiers need the organiser's value.",
            )
    return organiser.tiers


def opened_counters(settings: TiersSettings, state: SqlState) -> Counters:
    """The counters of the tiers: in Redis if the settings name one, otherwise in the state's database.

    Raises:
        StateUnavailable: Redis does not answer.
    """
    from soundsright.adapters.state import RedisCounters, SqlCounters

    server = settings.redis
    if server is not None:
        return RedisCounters(server, scope=f"{TIERS}-{settings.netuid}")
    return SqlCounters.beside(state, scope=TIERS)


@contextmanager
def opened_verifier(
    settings: TiersSettings, organiser: CompetitionRules, payment: PaymentContext, state: SqlState, pool: Pool
) -> Iterator[TiersSubsystem]:
    """The system that verifies provers and pays them. It starts with its first tick.

    Raises:
        UsageError: no sandbox can be used, or recordings are missing.
        StateUnavailable: Redis does not answer.
    """
    from soundsright.services.verifier import TiersSubsystem

    counters = opened_counters(settings, state)
    try:
        context = verifier_context(settings, organiser, payment, state, pool, counters)
        subsystem = TiersSubsystem(context, poll_s=min(1.0, context.rules.step_s / 4))
        try:
            yield subsystem
        finally:
            subsystem.close()
    finally:
        if settings.redis is not None:
            counters.close()


def present_material(settings: TiersSettings, organiser: CompetitionRules) -> Material:
    """The material of private clips now.

    Raises:
        UsageError: the settings of the recordings or the speech cannot be used.
    """
    from soundsright.cli.shared.opening import schedule_of

    material = material_of(settings, organiser, organiser.competitions)
    return _as_of(material, schedule_of(settings, organiser), time.time())


def _as_of(material: Material, schedule: Schedule, now_s: float) -> Material:
    """The material with the recordings that a private corpus has for the round at that time."""
    if not material.is_private:
        return material
    number = schedule.last_started(now_s)
    return replace(material, round_number=0 if number is None else number + 1)


def verifier_context(
    settings: TiersSettings,
    organiser: CompetitionRules,
    payment: PaymentContext,
    state: SqlState,
    pool: Pool,
    counters: Counters,
) -> VerifierContext:
    """Everything that a verifier works with. Raises as `opened_verifier`."""
    from soundsright.adapters.provers import HttpProvers
    from soundsright.adapters.sandboxes import usable_cpus
    from soundsright.adapters.state import SqlRecords
    from soundsright.cli.shared.opening import opened_hub, opened_sandbox, sandbox_choice, schedule_of
    from soundsright.core.endpoint import PeerNetworks
    from soundsright.services.rounds import opened
    from soundsright.services.verifier import SCOPE, VerifiedEntries, VerifierContext

    rules = agreed_tiers(settings, organiser)
    folder = settings.folder / TIERS
    material = material_of(settings, organiser, organiser.competitions)
    schedule = schedule_of(settings, organiser)

    def material_now() -> Material:
        return _as_of(material, schedule, payment.clock.now())

    opened(material_now())
    reveals = miner_reveals(settings, organiser, payment, state)
    return VerifierContext(
        rules,
        payment.account.address,
        VerifiedEntries(payment.chain, state, reveals, organiser.competitions, organiser.entry_rules),
        HttpProvers(payment.account, PeerNetworks.of(settings.soundsright_peer_networks)),
        # Rounds remove what they no longer need from their own cache, and would remove the models of provers.
        opened_hub(settings.model_copy(update={"state_folder": folder})),
        opened_sandbox(settings, sandbox_choice(settings), round_id=TIERS),
        pool,
        payment.clock,
        state.scoped(SCOPE),
        SqlRecords.beside(state),
        counters,
        folder,
        payment.health,
        material=material_now,
        fetch_limits=organiser.fetch_limits,
        vpermit_tao_limit=settings.neuron_vpermit_tao_limit,
        workers=settings.soundsright_workers or len(usable_cpus()),
    )
