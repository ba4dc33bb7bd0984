"""`soundsright federation verify`: check a signed verdict, view or proof."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from soundsright.cli.shared.addresses import checked_hotkey
from soundsright.cli.shared.options import FILE, option
from soundsright.core.errors import RequestRefused, UsageError, printable

_DIFFERS = 3
_REMEDY = "Give a file from a validator's bucket: a verdict, a view, or a proof of two verdicts."


@click.command("verify")
@click.argument("file", metavar="FILE", type=FILE)
@option("--signer", metavar="HOTKEY", help="Hotkey that must have signed it.")
def verify(file: Path, signer: str | None) -> int:
    """Check the signature of a verdict, a view or a proof, and say what it states.

    \b
    soundsright federation verify 12/evaluation_results/5F.json

    Exit code 3 means that it is not valid, or that another hotkey signed it.
    """
    from soundsright.adapters.peers import valid_signature

    checked_hotkey(signer, "--signer")
    raw = _read(file)
    try:
        by, sentence = _OPENERS[_schema(raw)](raw, valid_signature)
    except RequestRefused as refused:
        click.echo(f"Not valid ({refused.code}): {printable(refused.sentence)}.", err=True)
        return _DIFFERS
    if signer is not None and by != signer:
        click.echo(f"Not valid: {by} signed it, not {signer}.", err=True)
        return _DIFFERS
    click.echo(printable(sentence))
    return 0


def _read(file: Path) -> bytes:
    """The bytes of a file, up to the most that such a document has.

    Raises:
        UsageError: it cannot be read.
    """
    from soundsright.services.federation import MAX_EVIDENCE_BYTES, MAX_VIEW_BYTES

    most = max(MAX_EVIDENCE_BYTES, MAX_VIEW_BYTES)
    try:
        with file.open("rb") as stream:
            raw = stream.read(most + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror})", _REMEDY) from error
    if len(raw) > most:
        raise UsageError(f"{file} is larger than {most} bytes", _REMEDY)
    return raw


def _schema(raw: bytes) -> str:
    from soundsright.core.strict_json import NotStrictJson, strict_json

    try:
        facts = strict_json(raw)
    except NotStrictJson as error:
        raise UsageError(f"This is not a document of a federation ({error.fault})", _REMEDY) from None
    schema = facts.get("schema") if isinstance(facts, dict) else None
    if not isinstance(schema, str) or schema not in _OPENERS:
        raise UsageError("This is not a document of a federation", _REMEDY)
    return schema


def _verdict(raw: bytes, valid_signature: Any) -> tuple[str, str]:
    from soundsright.services.federation import open_verdict

    signed = open_verdict(raw, valid_signature=valid_signature)
    verdict = signed.verdict
    passed = sum(row.passed for row in verdict.rows)
    return verdict.validator, (
        f"Valid: {verdict.validator} judged task {verdict.task} at block {verdict.block}. {passed} of"
        f" {len(verdict.rows)} rows passed. Its digest is {signed.digest}."
    )


def _view(raw: bytes, valid_signature: Any) -> tuple[str, str]:
    from soundsright.services.federation import open_view

    signed = open_view(raw, valid_signature=valid_signature)
    view = signed.view
    count = sum(map(len, view.verdicts.values()))
    return view.validator, (
        f"Valid: {view.validator} had read {count} verdicts on {len(view.verdicts)} tasks by the epoch of block"
        f" {view.epoch_block}. Its digest is {signed.digest}."
    )


def _proof(raw: bytes, valid_signature: Any) -> tuple[str, str]:
    from soundsright.services.federation import open_evidence

    proof = open_evidence(raw, valid_signature=valid_signature)
    return proof.validator, (
        f"Valid: {proof.validator} signed two verdicts on task {proof.task}: {proof.digests[0]} and"
        f" {proof.digests[1]}."
    )


_OPENERS: Mapping[str, Any] = {
    "soundsright.verdict/1": _verdict,
    "soundsright.view/1": _view,
    "soundsright.equivocation/1": _proof,
}
