from .access import GatewayAccess, Listener
from .app import gateway_app
from .enhancing import Enhanced, Gateway
from .settings import GatewayLimits

__all__ = ["Enhanced", "Gateway", "GatewayAccess", "GatewayLimits", "Listener", "gateway_app"]
