from .federation_reading import FederationRule
from .federation_simulator import (
    FEDERATION_INVARIANTS,
    MOST_DISAGREEMENTS,
    UNREACHABLE,
    FederationEpoch,
    SimulatedFederation,
    simulate_federation,
)
from .federation_views import Lie
from .image_simulator import IMAGE_INVARIANTS, ImagePeriod, SimulatedImages, reversed_order, simulate_images
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
from .tiers_simulator import (
    INTERVALS_OF_A_YEAR,
    TIERS_INVARIANTS,
    SimulatedProver,
    SimulatedTiers,
    intervals_to_challenger,
    simulate_tiers,
)
from .tiers_world import ProverKind
from .world import World, draw_fake_clips, score_fake_clip

__all__ = [
    "BURNS",
    "CLIPS",
    "EXECUTOR_HOTKEY",
    "FEDERATION_INVARIANTS",
    "IMAGE_INVARIANTS",
    "INTERVALS_OF_A_YEAR",
    "INVARIANTS",
    "MOST_DISAGREEMENTS",
    "ORGANISER",
    "TIERS_INVARIANTS",
    "UNREACHABLE",
    "BackwardsChain",
    "BoardOf",
    "ExecutorParts",
    "FederationEpoch",
    "FederationRule",
    "ImagePeriod",
    "ImageValidator",
    "ImitatedImages",
    "Lie",
    "ProverKind",
    "Simulated",
    "SimulatedFederation",
    "SimulatedImages",
    "SimulatedKey",
    "SimulatedProver",
    "SimulatedTiers",
    "TableOf",
    "Violation",
    "World",
    "draw_fake_clips",
    "image_coordinator",
    "image_reference",
    "intervals_to_challenger",
    "is_simulated_signature",
    "reversed_order",
    "score_fake_clip",
    "simulate",
    "simulate_federation",
    "simulate_images",
    "simulate_tiers",
]
