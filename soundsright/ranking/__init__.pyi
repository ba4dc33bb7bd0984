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
from .components import (
    MeasuredComponents,
    VarianceComponents,
    components_to_json,
    fitted_components,
    measured_components,
    shipped_components,
)
from .efficiency import (
    EfficiencyScore,
    RankedImage,
    efficiency_score,
    pareto_front,
    quality_of_means,
    ranked_images,
)
from .emission import Emission, KnownPayees, combined_emission
from .examined import Examined, TitleModel
from .gaming import Flag, flags, shipped_honest_systems
from .leaderboard import decide
from .looks import Look, WholeSet, look_at, look_ends
from .power import (
    MOST_CLIPS,
    StudyDesign,
    StudyTest,
    cheapest_design,
    enough_groups,
    fewest_clips,
    least_detectable_effect,
    standard_error,
    study_power,
)
from .rank_sets import RankSet, rank_confidence_sets
from .sequential import SequentialResult, Verdict, first_verdicts, sequential_comparison
from .statistics import PairedComparison, holm, mean_estimate, paired_comparison
from .trial import trial_round
from .weights import weights_of

__all__ = [
    "MOST_CLIPS",
    "Champion",
    "ClusteredMean",
    "ClusteredMeans",
    "Contender",
    "EfficiencyScore",
    "Emission",
    "Examined",
    "Flag",
    "KnownPayees",
    "Look",
    "Loss",
    "LossOver",
    "MeasuredComponents",
    "OrganiserDecisions",
    "PairedComparison",
    "RankSet",
    "RankedImage",
    "SequentialResult",
    "SetApart",
    "Speech",
    "StudyDesign",
    "StudyTest",
    "Title",
    "TitleModel",
    "VarianceComponents",
    "Verdict",
    "WholeSet",
    "award",
    "champions_after",
    "cheapest_design",
    "clustered_mean",
    "clustered_means",
    "clustered_p_values",
    "combined_emission",
    "components_to_json",
    "decide",
    "efficiency_score",
    "enough_groups",
    "fewest_clips",
    "first_verdicts",
    "fitted_components",
    "flags",
    "holm",
    "least_clustered_mean",
    "least_detectable_effect",
    "look_at",
    "look_ends",
    "mean_estimate",
    "measured_components",
    "paired_comparison",
    "pareto_front",
    "quality_of_means",
    "rank_confidence_sets",
    "ranked_images",
    "sequential_comparison",
    "set_apart",
    "shipped_components",
    "shipped_honest_systems",
    "standard_error",
    "study_power",
    "trial_round",
    "weights_of",
]
