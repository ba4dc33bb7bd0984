"""The places of a clip in which an entry's output looks hallucinated, as pages show them."""

from __future__ import annotations

from soundsright.core.errors import InfrastructureFault
from soundsright.metrics import clip_hallucination
from soundsright.services.records import REFERENCES, UNPROCESSED, RunCompetition
from soundsright.services.rounds import read_wav

MOST_PLACES = 20
MAX_SIGNAL_BYTES = 64 << 20


def places_of(c: RunCompetition, clip: str, signal: str) -> list[dict[str, float | str]]:
    """The flagged places in the audio of an entry: `from` and `to` in seconds, and `text`.

    It is empty for the clean and the degraded signal, and if audio is missing, broken or too large.
    """
    paths = [c.signal(name, clip) for name in ("clean", signal, "degraded")]
    if signal in (*REFERENCES, UNPROCESSED) or None in paths:
        return []
    try:
        if any(path.stat().st_size > MAX_SIGNAL_BYTES for path in paths if path):
            return []
        clean, enhanced, degraded = (read_wav(path) for path in paths if path)
        found = clip_hallucination(clean, enhanced, degraded)
    except (InfrastructureFault, OSError, ValueError):
        # The page says elsewhere that this signal cannot be played.
        return []
    if found is None:
        return []
    longest = sorted(found.places, key=lambda p: p.start_s - p.end_s)[:MOST_PLACES]
    return [
        {"from": round(p.start_s, 3), "to": round(p.end_s, 3), "text": str(p)}
        for p in sorted(longest, key=lambda p: p.start_s)
    ]
