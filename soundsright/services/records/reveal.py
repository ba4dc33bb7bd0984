"""The reveal of an entry: the document in which a miner shows validators the model behind its commitment.

The miner signs it for one round. So a validator can pass it on, and others can check that it is the miner's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soundsright.core.errors import EntryRefused
from soundsright.core.ports import Account
from soundsright.core.sources import ModelRef
from soundsright.core.submission import Reveal
from soundsright.services.records.signed import ValidSignature

REVEAL_SCHEMA = "soundsright.reveal/2"


class RevealDocument(BaseModel):
    """A reveal as it is sent. `key` is empty, or the key of a sealed archive."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    document_schema: Annotated[Literal["soundsright.reveal/2"], Field(alias="schema")] = "soundsright.reveal/2"
    round: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
    hotkey: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9_.-]+$")]
    salt: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    content: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    namespace: Annotated[str, Field(max_length=96)]
    name: Annotated[str, Field(max_length=96)]
    revision: Annotated[str, Field(max_length=40)]
    competition: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
    key: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    signature: Annotated[str, Field(pattern=r"^0x[0-9a-f]{128}$")]

    @property
    def reveal(self) -> Reveal:
        """The revealed entry.

        Raises:
            EntryRefused: `bad_reference` or `bad_revision`.
        """
        model = ModelRef(self.namespace, self.name, self.revision)
        return Reveal(model, self.competition, self.salt, self.content, self.key)

    def as_json(self) -> dict[str, Any]:
        """The document as JSON values."""
        return self.model_dump(by_alias=True)


@dataclass(frozen=True)
class SignedReveal:
    """A reveal and its signature in hex with `0x`. The signature is empty if the chain revealed the entry."""

    hotkey: str
    reveal: Reveal
    signature: str

    def document(self, round_id: str) -> dict[str, Any]:
        """The document to send to validators of that round."""
        return reveal_document(self.reveal, self.hotkey, round_id, self.signature)


def reveal_document(reveal: Reveal, hotkey: str, round_id: str, signature: str) -> dict[str, Any]:
    """A signed reveal as JSON values."""
    return RevealDocument(
        round=round_id,
        hotkey=hotkey,
        salt=reveal.salt,
        content=reveal.content_hash,
        namespace=reveal.model.namespace,
        name=reveal.model.name,
        revision=reveal.model.revision,
        competition=reveal.competition_id,
        key=reveal.archive_key,
        signature=signature,
    ).as_json()


def sign_reveal(reveal: Reveal, account: Account, round_id: str) -> dict[str, Any]:
    """The document in which the account reveals its entry of a round."""
    signature = account.sign(reveal.signed_text(account.address, round_id).encode())
    return reveal_document(reveal, account.address, round_id, f"0x{signature.hex()}")


def open_reveal(
    raw: bytes | dict[str, Any], *, hotkey: str, round_id: str, valid_signature: ValidSignature
) -> SignedReveal:
    """Parse the reveal of that hotkey for that round, and verify its signature.

    Raises:
        EntryRefused: `bad_reveal`, `wrong_hotkey`, `bad_reference` or `bad_revision`.
    """
    try:
        if isinstance(raw, bytes):
            document = RevealDocument.model_validate_json(raw)
        else:
            document = RevealDocument.model_validate(raw)
    except (ValidationError, ValueError):
        raise EntryRefused("bad_reveal", "The miner's reply is not a reveal") from None
    if document.hotkey != hotkey:
        raise EntryRefused("wrong_hotkey", f"The reveal names the hotkey {document.hotkey[:60]!r}")
    if document.round != round_id:
        raise EntryRefused("bad_reveal", f"The reveal is for the round {document.round!r}, not for {round_id}")
    reveal = document.reveal
    message = reveal.signed_text(hotkey, round_id).encode()
    if not valid_signature(hotkey, message, bytes.fromhex(document.signature[2:])):
        raise EntryRefused("bad_reveal", "The reveal is not signed by its hotkey")
    return SignedReveal(hotkey, reveal, document.signature)
