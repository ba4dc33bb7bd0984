"""Publishing the own view of an epoch: copies of what it lists, then the view, then the commitment on the chain.

A validator signs one view of an epoch. It is recorded before it is published, so a restart publishes the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from soundsright.core.errors import InfrastructureFault, RequestRefused, UsageError
from soundsright.core.federation import View
from soundsright.core.ports import Account, Bucket, LiveChain, Records, TxResult
from soundsright.core.submission import is_sha256
from soundsright.services.federation.contents import Contents
from soundsright.services.federation.mirror import Mirror
from soundsright.services.federation.object_keys import view_key
from soundsright.services.federation.publishing import create_once
from soundsright.services.federation.view_commitments import commit_view
from soundsright.services.federation.views import open_view, sign_view, view_digest
from soundsright.services.records import ValidSignature

VIEWS = "federation:views"
"""The stream of the own views, by epoch."""


class ViewPublisher:
    """Signs views with `account`, and publishes them in the bucket `own` and on the chain. Use one thread."""

    def __init__(
        self,
        account: Account,
        own: Bucket,
        chain: LiveChain,
        contents: Contents,
        mirror: Mirror,
        records: Records,
        *,
        valid_signature: ValidSignature,
    ) -> None:
        self._account = account
        self._own = own
        self._chain = chain
        self._contents = contents
        self._mirror = mirror
        self._records = records
        self._valid_signature = valid_signature

    def own_view(self, epoch_block: int) -> View | None:
        """The view that this validator has signed for an epoch; None if it has signed none.

        Raises:
            InfrastructureFault: this machine's disk or state fails, or the view is lost.
            UsageError: the record of the state is damaged.
        """
        digest = self._recorded(epoch_block)
        return None if digest is None else open_view(self._raw(digest), valid_signature=self._valid_signature).view

    def publish(self, view: View, until_block: int, read: str = "", winners: tuple[str, ...] = ()) -> TxResult:
        """Publish a view, and commit to it if the chain has not come to `until_block` yet.

        `read` and `winners` are what else the commitment states: whose views were read, and marks of winners.

        If another view was signed for the epoch before, that one is published. A repeat changes nothing.

        Raises:
            UsageError: the own bucket has another view, or the record of the state is damaged.
            BucketUnavailable, BucketForbidden, BucketUnsuitable: the own bucket fails. Publish again later.
            InfrastructureFault: this machine's disk or state, or the chain, fails.
        """
        digest = self._recorded(view.epoch_block)
        if digest is None:
            signed = open_view(sign_view(view, self._account), valid_signature=self._valid_signature)
            digest = signed.digest
            self._contents.put(digest, signed.raw)
            self._records.append(VIEWS, str(view.epoch_block), {"digest": digest})
        raw = self._raw(digest)
        view = open_view(raw, valid_signature=self._valid_signature).view
        self._mirror.serve(_listed(view))
        key = view_key(view.epoch_block, self._account.address)
        create_once(self._own, key, raw, partial(self._is_same, digest))
        if self._chain.head().number >= until_block:
            return TxResult(False, "too_late", f"Block {until_block} is over, and with it the time for views")
        return commit_view(self._chain, self._account.address, view.epoch_block, digest, read, winners)

    def _recorded(self, epoch_block: int) -> str | None:
        record = self._records.latest(VIEWS, str(epoch_block))
        if record is None:
            return None
        digest = record.facts.get("digest")
        if not isinstance(digest, str) or not is_sha256(digest):
            raise UsageError(
                f"The record {record.position} of {VIEWS} is damaged",
                "Restore the last backup of the state database.",
            )
        return digest

    def _raw(self, digest: str) -> bytes:
        raw = self._contents.get(digest)
        if raw is None or not self._is_same(digest, raw):
            raise InfrastructureFault(
                f"The signed view {digest[:16]} is lost", "This validator signs a view again in the next epoch."
            )
        return raw

    def _is_same(self, digest: str, raw: bytes) -> bool:
        try:
            return view_digest(raw, valid_signature=self._valid_signature) == digest
        except RequestRefused:
            return False


def _listed(view: View) -> Iterator[str]:
    """The digests of everything that the view lists."""
    for digests in (*view.verdicts.values(), *view.evidence.values()):
        yield from digests.values()
