from .invariants import INVARIANTS, Violation
from .simulator import BackwardsChain, Simulated, simulate
from .world import World, draw_fake_clips, score_fake_clip

__all__ = [
    "INVARIANTS",
    "BackwardsChain",
    "Simulated",
    "Violation",
    "World",
    "draw_fake_clips",
    "score_fake_clip",
    "simulate",
]
