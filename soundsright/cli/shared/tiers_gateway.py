"""The gateway of a verifier, as the settings choose it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soundsright.adapters.peers import Hotkey
    from soundsright.config import TiersSettings
    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.services.gateway import GatewayAccess
    from soundsright.services.verifier import ServingProvers

_PER_ADDRESS, _PER_KEY, _PER_DEMO = 600, 240, 12
"""Requests in a minute: of an address, of a key, and of an address without a key."""


@contextmanager
def served_gateway(
    settings: TiersSettings, organiser: CompetitionRules, account: Hotkey, provers: ServingProvers
) -> Iterator[str]:
    """Serve listeners while the block runs. Gives a sentence on where they reach the gateway.

    Raises:
        UsageError: the port is in use, or the address does not belong to this machine.
    """
    if settings.neuron_axon_off:
        yield "It has no gateway, because NEURON_AXON_OFF is true."
        return
    from soundsright.adapters.provers import HttpLiveProvers, HttpProvers
    from soundsright.cli.shared.opening import http_limits
    from soundsright.cli.shared.tiers_service import agreed_tiers
    from soundsright.core.endpoint import PeerNetworks
    from soundsright.services.gateway import Gateway, GatewayLimits, gateway_app
    from soundsright.services.http import HttpService, listening

    networks = PeerNetworks.of(settings.soundsright_peer_networks)
    limits = GatewayLimits(timeout_s=agreed_tiers(settings, organiser).timeout_s)
    gateway = Gateway(provers, HttpProvers(account, networks), organiser.competitions, limits)
    app = gateway_app(gateway, HttpLiveProvers(account, networks), _access(settings))
    sock = listening(
        settings.gateway_host, settings.gateway_port, host_variable="GATEWAY_HOST", port_variable="GATEWAY_PORT"
    )
    service = HttpService(app, sock, name="gateway", limits=http_limits(settings), has_streams=True).start()
    try:
        yield f"Listeners reach the gateway at http://{settings.gateway_host}:{service.port}/try{_who(settings)}"
    finally:
        service.close()


def _access(settings: TiersSettings) -> GatewayAccess:
    from soundsright.adapters.peers import RateLimit
    from soundsright.services.gateway import GatewayAccess

    limits = [RateLimit(per_minute=each, burst=each).check for each in (_PER_ADDRESS, _PER_KEY, _PER_DEMO)]
    return GatewayAccess(settings.listener_keys, settings.tiers_open_demo, *limits)


def _who(settings: TiersSettings) -> str:
    """The end of the sentence: who may use the gateway."""
    if settings.tiers_open_demo:
        return ", also without a key."
    if settings.listener_keys:
        return ", with a key of TIERS_API_KEYS."
    return ". Nobody can use it: set TIERS_API_KEYS, or TIERS_OPEN_DEMO=true."
