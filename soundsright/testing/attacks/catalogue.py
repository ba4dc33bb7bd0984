"""All attacks, by name."""

from __future__ import annotations

from soundsright.core.errors import UsageError
from soundsright.testing.attacks.client_attacks import CLIENT_ATTACKS
from soundsright.testing.attacks.copy_attacks import COPY_ATTACKS
from soundsright.testing.attacks.harvests import HARVESTS
from soundsright.testing.attacks.prize_attacks import PRIZE_ATTACKS
from soundsright.testing.attacks.reveals import REVEAL_ATTACKS
from soundsright.testing.attacks.scenes import Attack
from soundsright.testing.attacks.signal_attacks import SIGNAL_ATTACKS

ATTACKS: tuple[Attack, ...] = (
    *SIGNAL_ATTACKS,
    *HARVESTS,
    *COPY_ATTACKS,
    *PRIZE_ATTACKS,
    *CLIENT_ATTACKS,
    *REVEAL_ATTACKS,
)


def attack_by_name(name: str) -> Attack:
    """The attack of that name.

    Raises:
        UsageError: there is none.
    """
    for attack in ATTACKS:
        if attack.name == name:
            return attack
    raise UsageError(f"There is no attack {name!r}", "Run `soundsright simulate --attack list` to see all attacks.")
