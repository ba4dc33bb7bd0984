"""The checks of a validator's machine in a federation. Only its own bucket is written to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from soundsright.cli.shared.federation_parts import (
    agreed_rules,
    own_bucket,
    peer_buckets,
    peer_places,
    source_bucket,
)
from soundsright.cli.shared.preflight_checks import Preflight, check_digests, digests_of
from soundsright.config import FederationSettings
from soundsright.core.errors import InfrastructureFault, UsageError

T = TypeVar("T")


@dataclass(frozen=True)
class FederationPreflight(Preflight):
    """The machine and the settings of `soundsright federation serve`."""

    settings: FederationSettings

    def checks(self) -> dict[str, Callable[[], str]]:
        """The checks by name, in the order in which a validator of a federation needs them."""
        return {
            "keys": self.keys,
            "chain": self.chain,
            "clock": self.clock,
            "rules": self.rules,
            "libraries": self.libraries,
            "engine": self.engine,
            "database": self.database,
            "process": self.process,
            "peers": self.peers,
            "bucket": self.bucket,
            "reading": self.reading,
            "rights": self.rights,
            "allowlist": self.allowlist,
        }

    @property
    def own(self) -> str:
        """The address of this validator's hotkey."""
        from soundsright.adapters.peers import Hotkey

        return Hotkey.read(self.settings.hotkey_file).address

    def rules(self) -> str:
        agreed = agreed_rules(self.settings)
        check_digests(self.rules_digest, {**digests_of(agreed.organiser), "[federation]": agreed.rules.digest})
        return f"{self.settings.soundsright_ruleset} has the digest {agreed.rules.digest} of [federation]"

    def process(self) -> str:
        """Look for another process that judges or sets weights with this hotkey and state."""
        from soundsright.adapters.machine import SystemClock
        from soundsright.adapters.state import SqlState
        from soundsright.services.validator import in_use, living_holder

        if not self.database_file.exists():
            return "No other process uses this state"
        with closing(SqlState(self.database_file)) as state:
            for lease in ("validator", f"federation:{self.own}"):
                holder = living_holder(state, lease, clock=SystemClock())
                if holder is not None:
                    raise in_use(holder, f"the state in {self.settings.folder} with this hotkey")
        return "No other process uses this state"

    def peers(self) -> str:
        places = peer_places(self.settings, self.own)
        return f"PEER_VALIDATORS has {len(places)} validators, and this one is among them"

    def bucket(self) -> str:
        """Create an object in the own bucket, and check that it refuses to create it twice."""
        from soundsright.adapters.buckets import check_bucket

        check_bucket(own_bucket(self.settings), writes=True)
        return f"{self.settings.r2_own_bucket} can be written, and refuses to replace what is published"

    def reading(self) -> str:
        """Read from every peer's bucket, and from the owner's."""
        from soundsright.adapters.buckets import check_bucket

        peer_places(self.settings, self.own)
        buckets = peer_buckets(self.settings)
        for hotkey, bucket in buckets.items():
            _named(hotkey, partial(check_bucket, bucket, writes=False))
        check_bucket(source_bucket(self.settings), writes=False)
        return f"{len(buckets)} buckets of validators and the owner's can be read"

    def rights(self) -> str:
        """Check that no key for a peer's bucket may write there.

        A bucket that its validator has not checked yet is left alone: see `may_write`.
        """
        from soundsright.adapters.buckets import may_write

        own, unchecked = self.own, 0
        buckets = {hotkey: bucket for hotkey, bucket in peer_buckets(self.settings).items() if hotkey != own}
        for hotkey, bucket in buckets.items():
            writes = _named(hotkey, partial(may_write, bucket))
            if writes:
                raise UsageError(
                    f"The keys for the bucket of {hotkey} may write there",
                    "Ask for keys that only read, and tell its owner: you could remove its verdicts.",
                )
            unchecked += writes is None
        checked = f"The keys of {len(buckets) - unchecked} peers' buckets only read"
        return f"{checked}; of {unchecked} this cannot be found out" if unchecked else checked

    def allowlist(self) -> str:
        """Read the owner's list as of the present epoch, and look for the own hotkey on it."""
        from soundsright.cli.shared.federation_reading import known_list
        from soundsright.cli.shared.opening import opened_chain
        from soundsright.ranking import OUTVOTING

        own, agreed = self.own, agreed_rules(self.settings)
        with closing(opened_chain(self.settings, None)) as chain:
            listed = known_list(self.settings, agreed, chain, chain.finalized().number)
        if own not in listed.validators:
            raise UsageError(
                f"The owner's list of validators does not have this hotkey, {own}",
                "Ask the owner to add it with `soundsright federation validator add`, and to publish the list.",
            )
        missing = [
            hotkey for hotkey in listed.validators if hotkey not in {peer.hotkey for peer in self.settings.peers}
        ]
        if missing:
            raise UsageError(
                f"PEER_VALIDATORS has no entry for {missing[0]}, which is on the owner's list",
                "Add that validator with its bucket.",
            )
        count, place = len(listed.validators), listed.validators.index(own)
        found = f"The owner's list has {count} validators, and this one is number {place}"
        return found if count >= OUTVOTING else f"{found}; fewer than {OUTVOTING} cannot outvote one that lies"


def _named(hotkey: str, ask: Callable[[], T]) -> T:
    """The answer of a peer's bucket. An error names the peer."""
    try:
        return ask()
    except InfrastructureFault as error:
        raise InfrastructureFault(f"The bucket of {hotkey}: {error.problem}", error.remedy) from error
