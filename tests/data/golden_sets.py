"""Writes `golden_sets.json`, the digests of small default sets. Run it after a change that should change sets.

The digests of sets without variation are those of the first version, and those of sets without balance are those of
0.3. They must never change, because older sets are completed with them.
"""

import json
import tempfile
from pathlib import Path

from soundsright.core.material import MIXED_NOISE, RECORDED_NOISE
from soundsright.data import SetJob, generate_set
from soundsright.data.clips import corpus_sources
from soundsright.data.corpora import Corpus
from soundsright.data.recipe import PUBLISHED_RECIPE, SetRecipe, SetTask

KINDS = {
    "": (PUBLISHED_RECIPE, MIXED_NOISE),
    "_no_balance": (SetRecipe(balance=False), RECORDED_NOISE),
    "_no_variation": (SetRecipe(variation=False, balance=False), RECORDED_NOISE),
}

if __name__ == "__main__":
    digests = {}
    corpus = Corpus.open()
    with tempfile.TemporaryDirectory() as folder:
        for name, (recipe, noise) in KINDS.items():
            for task in SetTask:
                for rate in (16_000, 48_000):
                    job = SetJob(
                        out=Path(folder) / f"{task}{rate}{name}", task=task, sample_rate_hz=rate, count=4, seed=3,
                        sources=corpus_sources(corpus, rate, recipe, noise=noise), recipe=recipe,
                    )  # fmt: skip
                    digests[f"{task}_{rate}{name}"] = generate_set(job).digest
    (Path(__file__).parent / "golden_sets.json").write_text(json.dumps(digests, indent=2) + "\n")
