from .apart import OrganiserDecisions, SetApart, Speech, set_apart
from .awards import Contender, Loss, LossOver, Title, award
from .champions import Champion, champions_after
from .clustered import (
    ClusteredMean,
    ClusteredMeans,
    clustered_mean,
    clustered_means,
    clustered_p_values,
    least_clustered_mean,
)
from .examined import Examined, TitleModel
from .gaming import Flag, flags, shipped_honest_systems
from .leaderboard import decide
from .looks import Look, look_at, look_ends
from .rank_sets import RankSet, rank_confidence_sets
from .sequential import SequentialResult, Verdict, first_verdicts, sequential_comparison
from .statistics import PairedComparison, holm, mean_estimate, paired_comparison
from .trial import trial_round
from .weights import weights_of

__all__ = [
    "Champion",
    "ClusteredMean",
    "ClusteredMeans",
    "Contender",
    "Examined",
    "Flag",
    "Look",
    "Loss",
    "LossOver",
    "OrganiserDecisions",
    "PairedComparison",
    "RankSet",
    "SequentialResult",
    "SetApart",
    "Speech",
    "Title",
    "TitleModel",
    "Verdict",
    "award",
    "champions_after",
    "clustered_mean",
    "clustered_means",
    "clustered_p_values",
    "decide",
    "first_verdicts",
    "flags",
    "holm",
    "least_clustered_mean",
    "look_at",
    "look_ends",
    "mean_estimate",
    "paired_comparison",
    "rank_confidence_sets",
    "sequential_comparison",
    "set_apart",
    "shipped_honest_systems",
    "trial_round",
    "weights_of",
]
