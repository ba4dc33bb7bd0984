from .build import build_site
from .pages import AudioAccess, Site
from .server import LiveSite, board_app
from .status_feed import StatusFeed
from .status_view import GpuStatus, RoundStatus, RoundWatch

__all__ = [
    "AudioAccess",
    "GpuStatus",
    "LiveSite",
    "RoundStatus",
    "RoundWatch",
    "Site",
    "StatusFeed",
    "board_app",
    "build_site",
]
