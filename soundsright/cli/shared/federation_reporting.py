"""Let a validator of a federation report to the owner's API, if its address is set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.config import FederationSettings
    from soundsright.core.ports import LiveChain, Records
    from soundsright.services.federation import SamplerContext


def api_hotkey(settings: FederationSettings, chain: LiveChain) -> str:
    """API_HOTKEY, or the hotkey of the chain's owner.

    Raises:
        UsageError: it is empty, and the chain has no owner.
        ChainUnavailable: the chain does not answer.
    """
    hotkey = settings.api_hotkey or chain.owner()
    if hotkey is None:
        raise UsageError("API_HOTKEY is empty, and the chain has no owner", "Set it to the hotkey of the API.")
    return hotkey


@contextmanager
def reporting(
    settings: FederationSettings, context: SamplerContext, records: Records
) -> Iterator[Callable[[int], None]]:
    """Send reports on the miners from a thread. Gives what a sampler calls for each published task.

    Without API_URL, nothing is sent.

    Raises:
        UsageError: API_HOTKEY is empty, and the chain has no owner.
        ChainUnavailable: the chain does not answer.
    """
    if not settings.api_url:
        yield lambda _task: None
        return
    from soundsright.adapters.peers import SignedService, valid_signature
    from soundsright.services.federation import OwnReports
    from soundsright.services.federation_api import FederationReporter

    service = SignedService(
        settings.api_url,
        api_hotkey(settings, context.chain),
        context.account,
        name="The owner's API",
        setting="API_URL",
    )
    own = OwnReports(context, records, valid_signature)
    reporter = FederationReporter(service, opinion=own.opinion, every_s=settings.miner_validation_interval)
    with closing(reporter.start()):
        yield partial(own.send_verdict, reporter)
