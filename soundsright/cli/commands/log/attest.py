"""`soundsright log attest`: a signed document in the shape that tools for supply chains read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from soundsright.cli.shared.options import ANY_PATH, FILE_OR_STDOUT, env_file_option, option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import Settings
from soundsright.core.errors import RequestRefused, UsageError


@click.command("attest")
@click.argument("file", metavar="FILE", type=ANY_PATH)
@option("--key", type=ANY_PATH, help="Private key in PEM, Ed25519 or ECDSA P-256. [default: the wallet's hotkey]")
@option("--out", type=FILE_OR_STDOUT, default=Path("-"), help="File to write; - prints it.")
@env_file_option
@settings_options(Settings, ("wallet", "hotkey", "wallet_path"))
def command(*, file: Path, key: Path | None, out: Path, env_file: Path | None, **flags: Any) -> None:
    """Write a signed document as an in-toto Statement in a DSSE envelope.

    \b
    soundsright log attest round.json --key cosign.pem --out round.intoto.json

    The subjects are the document and the files that it names by digest. With a key in PEM, the tools of sigstore
    can verify the envelope. No network is needed.
    """
    from soundsright.adapters.peers import Hotkey, PemKey, valid_signature
    from soundsright.cli.shared.log_source import document_bytes
    from soundsright.core.dsse import IN_TOTO_TYPE, dsse_envelope, pre_authentication
    from soundsright.services.log import Admission, any_signer, statement_of

    try:
        document, entry = Admission(valid_signature, check_signer=any_signer).opened(document_bytes(file))
    except RequestRefused as refused:
        raise UsageError(
            f"{file}: {refused.sentence}", "Give a signed document, such as the round.json of a bundle."
        ) from refused
    payload = statement_of(document, entry)
    message = pre_authentication(IN_TOTO_TYPE, payload)
    if key is not None:
        pem = PemKey.read(key)
        text = dsse_envelope(payload, {pem.key_id: pem.sign(message)})
    else:
        account = Hotkey.read(settings_from(Settings, flags, env_file).hotkey_file)
        text = dsse_envelope(payload, {account.address: account.sign(message)})
    if str(out) == "-":
        click.echo(text)
        return
    part = out.with_name(f".{out.name}.part")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(out)
    click.echo(f"{out}: attests {entry.kind} of {entry.signer}")
