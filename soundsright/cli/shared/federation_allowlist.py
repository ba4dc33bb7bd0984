"""The owner's file with the list of validators. It has exactly the bytes that are published."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.core.errors import ChainUnavailable, UsageError, printable
from soundsright.core.federation import MAX_VALIDATORS, allowlist_json
from soundsright.core.federation_commitments import beside_view, view_commitment_in
from soundsright.core.ss58 import is_address
from soundsright.core.strict_json import NotStrictJson, strict_json
from soundsright.core.text_files import text_of_file

if TYPE_CHECKING:
    from soundsright.cli.shared.federation_parts import AgreedRules
    from soundsright.core.ports import Bucket, LiveChain

FILE_NAME = "allowlist.json"

_MAX_BYTES = 65_536
_REMEDY = "Give the file that `soundsright federation validator add` wrote."


@dataclass(frozen=True)
class Listed:
    """A list of validators, and the number of blocks of their turns."""

    validators: tuple[str, ...]
    interval: int

    @property
    def text(self) -> str:
        """The bytes that are published, as text."""
        return allowlist_json(self.validators, self.interval)


@dataclass(frozen=True)
class AllowlistFile:
    """The list in the file at `path`."""

    path: Path

    def read(self) -> Listed:
        """The list.

        Raises:
            UsageError: there is no such file, or it has no list in the form that is published.
        """
        text = text_of_file(self.path, _MAX_BYTES, _REMEDY)
        try:
            value = strict_json(text.encode(), 3)
            listed = Listed(tuple(value["validators"]), value["interval"])
            is_list = type(listed.interval) is int and all(map(is_address, listed.validators))
            if not is_list or not 1 <= len(listed.validators) <= MAX_VALIDATORS or listed.text != text:
                raise ValueError
        except (NotStrictJson, KeyError, TypeError, ValueError):
            raise UsageError(f"{self.path} is not a list of validators as it is published", _REMEDY) from None
        return listed

    def add(self, hotkeys: Iterable[str], interval: int) -> int:
        """Add hotkeys, and return how many there are. A new file gets turns of `interval` blocks.

        Raises:
            UsageError: a hotkey is no address or on the list already, or the file has turns of another length.
        """
        before = self.read() if self.path.exists() else Listed((), interval)
        self.check_interval(before, interval)
        return self._write(Listed((*before.validators, *_checked(hotkeys, before.validators)), interval))

    def check_interval(self, listed: Listed, interval: int) -> None:
        """Check that the list is for turns of that length.

        Raises:
            UsageError: it is not.
        """
        if listed.interval != interval:
            raise UsageError(
                f"{self.path} has turns of {listed.interval} blocks, and the rules have {interval}",
                "Remove the file, and add its hotkeys again.",
            )

    def remove(self, hotkeys: Iterable[str]) -> int:
        """Remove hotkeys, and return how many are left.

        Raises:
            UsageError: one is not on the list, or none would be left.
        """
        before, gone = self.read(), tuple(hotkeys)
        for hotkey in gone:
            if hotkey not in before.validators:
                raise UsageError(f"{_shown(hotkey)} is not in {self.path}", "List it to see who is.")
        left = tuple(hotkey for hotkey in before.validators if hotkey not in gone)
        if not left:
            raise UsageError(f"{self.path} would have no validator", "Add another one first.")
        return self._write(Listed(left, before.interval))

    def _write(self, listed: Listed) -> int:
        if len(listed.validators) > MAX_VALIDATORS:
            raise UsageError(
                f"{len(listed.validators)} validators are more than {MAX_VALIDATORS}", "Remove some first."
            )
        temporary = self.path.with_name(f".{self.path.name}.new")
        temporary.write_text(listed.text, encoding="utf-8")
        temporary.replace(self.path)
        return len(listed.validators)


def publish(file: AllowlistFile, agreed: AgreedRules, chain: LiveChain, bucket: Bucket, owner: str) -> str:
    """Publish the list in the bucket and commit to it as the owner. Returns its digest. A repeat changes nothing.

    Raises:
        UsageError: the file has no list for these rules, `owner` is not the chain's owner, or the chain refuses it.
        BucketUnavailable, BucketForbidden: the bucket cannot be written.
        ChainUnavailable: the chain does not answer, or did not accept the commitment yet.
    """
    from soundsright.services.federation import publish_allowlist

    listed, rules = file.read(), agreed.rules
    file.check_interval(listed, rules.interval_blocks)
    if chain.owner() != owner:
        raise UsageError(
            f"This hotkey is {owner}, and the chain's owner is {chain.owner() or 'nobody'}",
            "Only the owner's commitment counts: give its WALLET and HOTKEY.",
        )
    return publish_allowlist(
        listed.text.encode(),
        bucket,
        lambda text: _commit(chain, owner, text),
        profile=rules.profile,
        interval=rules.interval_blocks,
    )


def _commit(chain: LiveChain, owner: str, wanted: str) -> None:
    """Commit to the list, and keep a view that the owner's hotkey has for its part as a validator."""
    present = next((each.digest for each in chain.commitments() if each.hotkey == owner), "")
    if beside_view(present) == wanted:
        return
    view = view_commitment_in(present)
    text = wanted if view is None else replace(view, beside=wanted).text
    result = chain.publish(owner, text)
    if result.unknown or (not result.ok and result.retryable):
        raise ChainUnavailable(
            f"The chain did not confirm the commitment ({result.message or result.code})", "Publish it again."
        )
    if not result.ok:
        raise UsageError(
            f"The chain refused the commitment of {owner} ({result.message or result.code})",
            "Check NETUID, WALLET and HOTKEY.",
        )


def _checked(hotkeys: Iterable[str], present: Iterable[str]) -> tuple[str, ...]:
    known, new = set(present), []
    for hotkey in hotkeys:
        if not is_address(hotkey):
            raise UsageError(f"{_shown(hotkey)} is not an address", "Give the SS58 address of a hotkey.")
        if hotkey in known:
            raise UsageError(f"{hotkey} is on the list already", "Leave it out.")
        known.add(hotkey)
        new.append(hotkey)
    return tuple(new)


def _shown(text: str) -> str:
    return repr(printable(text[:60]))
