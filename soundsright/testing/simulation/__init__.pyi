from .image_world import (
    BURNS,
    CLIPS,
    EXECUTOR_HOTKEY,
    ORGANISER,
    BoardOf,
    ExecutorParts,
    ImageValidator,
    ImitatedImages,
    SimulatedKey,
    TableOf,
    image_coordinator,
    image_reference,
    is_simulated_signature,
)
from .invariants import INVARIANTS, Violation
from .simulator import BackwardsChain, Simulated, simulate
from .world import World, draw_fake_clips, score_fake_clip

__all__ = [
    "BURNS",
    "CLIPS",
    "EXECUTOR_HOTKEY",
    "INVARIANTS",
    "ORGANISER",
    "BackwardsChain",
    "BoardOf",
    "ExecutorParts",
    "ImageValidator",
    "ImitatedImages",
    "Simulated",
    "SimulatedKey",
    "TableOf",
    "Violation",
    "World",
    "draw_fake_clips",
    "image_coordinator",
    "image_reference",
    "is_simulated_signature",
    "score_fake_clip",
    "simulate",
]
