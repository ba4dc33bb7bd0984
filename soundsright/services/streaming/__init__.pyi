from .conversation import DistantFrames, Frames, StreamBounds, StreamSummary, StreamTerms, converse
from .places import StreamPlaces

__all__ = ["DistantFrames", "Frames", "StreamBounds", "StreamPlaces", "StreamSummary", "StreamTerms", "converse"]
