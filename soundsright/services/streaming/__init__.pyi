from .conversation import Frames, StreamBounds, StreamSummary, StreamTerms, converse
from .places import StreamPlaces

__all__ = ["Frames", "StreamBounds", "StreamPlaces", "StreamSummary", "StreamTerms", "converse"]
