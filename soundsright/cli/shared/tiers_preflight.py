"""The checks of the machine of a verifier or a prover. They read, and write nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from soundsright.cli.shared.preflight_checks import Preflight
from soundsright.config import TiersSettings
from soundsright.core.errors import UsageError


@dataclass(frozen=True)
class VerifierPreflight(Preflight):
    """The machine and the settings of `soundsright tiers verify`."""

    settings: TiersSettings

    def checks(self) -> dict[str, Callable[[], str]]:
        """The checks by name, in the order in which a verifier needs them."""
        return {
            "keys": self.keys,
            "chain": self.chain,
            "clock": self.clock,
            "rules": self.rules,
            "libraries": self.libraries,
            "engine": self.engine,
            "recordings": self.recordings,
            "database": self.database,
            "counters": self.counters,
            "gateway": self.gateway,
            "provers": self.provers,
        }

    def chain(self) -> str:
        from soundsright.adapters.peers import Hotkey
        from soundsright.cli.shared.opening import opened_chain
        from soundsright.services.validator import check_account

        settings = self.settings
        account = Hotkey.read(settings.hotkey_file)
        pays = not settings.neuron_disable_set_weights
        with closing(opened_chain(settings, account)) as chain:
            block = chain.finalized()
            check_account(chain, account.address, sets_weights=pays)
        may = "has a permit" if pays else "is registered"
        return f"{settings.subtensor_chain_endpoint} is at block {block.number}, and the hotkey {may}"

    def rules(self) -> str:
        """Compare the settings with [tiers], and show its digest."""
        from soundsright.cli.shared.tiers_running import check_share
        from soundsright.cli.shared.tiers_service import agreed_tiers
        from soundsright.library import organiser_of

        organiser = organiser_of(self.settings.soundsright_ruleset, begun=True)
        agreed_tiers(self.settings, organiser)
        check_share(self.settings, organiser)
        return super().rules()

    def recordings(self) -> str:
        from soundsright.cli.shared.tiers_service import present_material
        from soundsright.library import organiser_of
        from soundsright.services.rounds import opened

        material = present_material(self.settings, organiser_of(self.settings.soundsright_ruleset, begun=True))
        opened(material)
        if material.is_private:
            return "The private corpus has recordings for the present round"
        return "The recordings are public: a prover may have heard them before"

    def gateway(self) -> str:
        from soundsright.services.http import listening

        settings = self.settings
        if settings.neuron_axon_off:
            return "NEURON_AXON_OFF is true, so there is no gateway"
        host, port = settings.gateway_host, settings.gateway_port
        listening(host, port, host_variable="GATEWAY_HOST", port_variable="GATEWAY_PORT").close()
        if not settings.listener_keys and not settings.tiers_open_demo:
            raise UsageError(
                "Nobody can use the gateway", "Set TIERS_API_KEYS, TIERS_OPEN_DEMO or NEURON_AXON_OFF."
            )
        return f"GATEWAY_PORT {port} is free; keys of listeners: {len(settings.listener_keys)}"

    def provers(self) -> str:
        """Ask the hotkeys on the chain which of them serve a model."""
        from soundsright.adapters.peers import Hotkey
        from soundsright.adapters.provers import HttpLiveProvers
        from soundsright.cli.shared.opening import opened_chain
        from soundsright.cli.shared.tiers_direct import listed_provers
        from soundsright.core.endpoint import PeerNetworks

        account = Hotkey.read(self.settings.hotkey_file)
        live = HttpLiveProvers(account, PeerNetworks.of(self.settings.soundsright_peer_networks))
        with closing(opened_chain(self.settings, account)) as chain:
            found = listed_provers(chain, account.address, live, None)
        return f"{len(found.provers)} hotkeys serve a model that can be reached from here"


@dataclass(frozen=True)
class ProverPreflight(Preflight):
    """The machine and the settings of `soundsright tiers prove`. Its hotkey needs no permit."""

    settings: TiersSettings

    def checks(self) -> dict[str, Callable[[], str]]:
        """The checks by name, in the order in which a prover needs them."""
        return {
            "keys": self.keys,
            "chain": self.chain,
            "clock": self.clock,
            "rules": self.rules,
            "engine": self.engine,
            "port": self.port,
            "address": self.address,
        }

    def chain(self) -> str:
        from soundsright.adapters.peers import Hotkey
        from soundsright.cli.shared.opening import opened_chain

        settings = self.settings
        own = Hotkey.read(settings.hotkey_file).address
        with closing(opened_chain(settings, None)) as chain:
            block = chain.finalized()
            if own not in {neuron.hotkey for neuron in chain.neurons()}:
                raise UsageError(f"The hotkey {own} is not registered", "Register it, then check again.")
        return f"{settings.subtensor_chain_endpoint} is at block {block.number}, and the hotkey is registered"

    def engine(self) -> str:
        """Open the sandbox, or call the model that runs elsewhere."""
        from soundsright.cli.shared.prover_running import model_runner

        if not self.settings.prover_model_endpoint:
            return super().engine()
        from soundsright.adapters.peers import request

        model_runner(self.settings)
        reply = request(self.settings.prover_model_endpoint, "GET", "/status/", timeout_s=10)
        if reply.status != 200:
            raise UsageError(
                f"The model at {self.settings.prover_model_endpoint} answers /status/ with {reply.status}",
                "Start it, or clear PROVER_MODEL_ENDPOINT.",
            )
        return f"The model at {self.settings.prover_model_endpoint} answers"

    def port(self) -> str:
        from soundsright.services.http import listening

        port = self.settings.prover_port
        listening("0.0.0.0", port, host_variable="PROVER_PORT", port_variable="PROVER_PORT").close()
        return f"PROVER_PORT {port} is free"

    def address(self) -> str:
        settings = self.settings
        if not settings.axon_external_ip:
            raise UsageError(
                "AXON_EXTERNAL_IP is empty", "Give the IPv4 address at which verifiers reach this machine."
            )
        return f"{settings.axon_external_ip}:{settings.prover_port} will be published: open that port to verifiers"
