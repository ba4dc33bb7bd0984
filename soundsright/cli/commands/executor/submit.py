"""`soundsright executor submit`: submit an image by its digest."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.options import env_file_option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import ExecutorSettings
from soundsright.core.errors import RequestRefused, UsageError

if TYPE_CHECKING:
    from soundsright.core.ports import AcceptedImage

_SETTINGS = (
    *("image_ref", "subnet_api_url", "subnet_api_hotkey"),
    *("netuid", "subtensor_chain_endpoint", "wallet", "hotkey", "wallet_path"),
)


@click.command("submit")
@env_file_option
@settings_options(ExecutorSettings, _SETTINGS)
def command(env_file: Path | None, **flags: Any) -> None:
    """Submit an image by its digest.

    \b
    soundsright executor submit --image-ref lab/gate@sha256:DIGEST --subnet-api-url http://10.0.0.7:9001

    Your hotkey has one image at a time. It stands until you submit another one, which you can do once the cool-down
    has passed. If the same image stands already, the command says so and changes nothing.
    """
    from soundsright.adapters.executors import HttpSubmissionBoard
    from soundsright.adapters.machine import SystemClock
    from soundsright.adapters.peers import Hotkey
    from soundsright.cli.shared.executor_services import ServiceHotkeys
    from soundsright.cli.shared.opening import check_clock, opened_chain
    from soundsright.core.sources import ImageRef

    settings = settings_from(ExecutorSettings, flags, env_file)
    if not settings.image_ref:
        raise UsageError(
            "IMAGE_REF is empty", "Give the image by its digest: --image-ref REPOSITORY@sha256:DIGEST."
        )
    if not settings.subnet_api_url:
        raise UsageError("SUBNET_API_URL is empty", "Ask the organiser for the address of the coordinator.")
    account = Hotkey.read(settings.hotkey_file)
    with closing(opened_chain(settings, account)) as chain:
        check_clock(chain, SystemClock().now())
        board = HttpSubmissionBoard(settings.subnet_api_url, ServiceHotkeys(settings, chain).coordinator, account)
    try:
        accepted = board.submit(ImageRef.of_text(settings.image_ref))
    except RequestRefused as refused:
        click.echo(f"Refused ({refused.code}): {refused.sentence}.", err=True)
        raise click.exceptions.Exit(1) from None
    click.echo(_sentence(accepted))


def _sentence(accepted: AcceptedImage) -> str:
    since, until = (_minute(time_s) for time_s in (accepted.submission.submitted_s, accepted.next_allowed_s))
    verb = "is submitted" if accepted.is_new else f"stands already, since {since}"
    return f"{accepted.submission.image} {verb}. You can submit another image from {until} on."


def _minute(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
