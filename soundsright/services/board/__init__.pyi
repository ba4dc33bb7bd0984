from .build import build_site
from .federation_page import SavedFederation, ShownFederation
from .server import LiveSite, board_app
from .status_feed import StatusFeed
from .status_view import GpuStatus, RoundStatus, RoundWatch
from .tiers_page import SavedTiers, ShownTiers

__all__ = [
    "GpuStatus",
    "LiveSite",
    "RoundStatus",
    "RoundWatch",
    "SavedFederation",
    "SavedTiers",
    "ShownFederation",
    "ShownTiers",
    "StatusFeed",
    "board_app",
    "build_site",
]
