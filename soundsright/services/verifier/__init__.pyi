from .attempts import KeptFailure, deltas_of, failures_in, kept_failures
from .bank import NOT_REPEATABLE, OWN_RUN_FAILED, Bank, Entrant, set_seed
from .context import SCOPE, VPERMIT_TAO_LIMIT, VerifierContext
from .entries import VerifiedEntries
from .history import BankSeed, LadderRow, PastInterval, PastMove, TiersHistory, TiersReader
from .history_facts import (
    attempt_facts,
    attempt_sentence,
    bank_facts,
    decision_sentence,
    ladder_facts,
    prover_facts,
    row_facts,
    state_sentence,
)
from .ladder import Ladder, ladder_after, last_ladder
from .moves import close_interval, recorded_steps
from .serving import LastCheck, ServingProver, ServingProvers
from .subsystem import TIERS, TiersSubsystem
from .verifier import Verifier
from .verifier_steps import AskedStep, BankStep, CountedAttempt, bank_of, round_of

__all__ = [
    "NOT_REPEATABLE",
    "OWN_RUN_FAILED",
    "SCOPE",
    "TIERS",
    "VPERMIT_TAO_LIMIT",
    "AskedStep",
    "Bank",
    "BankSeed",
    "BankStep",
    "CountedAttempt",
    "Entrant",
    "KeptFailure",
    "Ladder",
    "LadderRow",
    "LastCheck",
    "PastInterval",
    "PastMove",
    "ServingProver",
    "ServingProvers",
    "TiersHistory",
    "TiersReader",
    "TiersSubsystem",
    "VerifiedEntries",
    "Verifier",
    "VerifierContext",
    "attempt_facts",
    "attempt_sentence",
    "bank_facts",
    "bank_of",
    "close_interval",
    "decision_sentence",
    "deltas_of",
    "failures_in",
    "kept_failures",
    "ladder_after",
    "ladder_facts",
    "last_ladder",
    "prover_facts",
    "recorded_steps",
    "round_of",
    "row_facts",
    "set_seed",
    "state_sentence",
]
