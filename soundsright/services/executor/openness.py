"""The recordings of a round's set: whether anybody may have heard them, and who committed to them when.

Ordinary rounds pay nobody on recordings that anybody may have heard, because a model can contain them. The same
holds for images. An executor says in its signed results what its set was drawn from. Blocks are counted, times are
in seconds.
"""

from __future__ import annotations

from soundsright.core.competition import Competition
from soundsright.core.errors import HistoryGone, InfrastructureFault
from soundsright.core.material import Material
from soundsright.core.ports import LiveChain
from soundsright.core.schedule import Schedule
from soundsright.services.executor.executor_steps import MaterialStep
from soundsright.services.rounds import committed_block, public_competitions, roots_of


def material_step(
    material: Material, competition: Competition, chain: LiveChain, hotkey: str, digest: str, seed_block: int
) -> MaterialStep:
    """The executor's statement on its recordings. `material` is that of the round, `digest` the challenge's.

    Raises:
        UsageError: there is no corpus, or it cannot be read.
        ChainUnavailable: the chain does not answer.
    """
    speech = material.speech_for(competition.sample_rate_hz)
    committed, is_known = None, True
    if material.is_private:
        try:
            committed = committed_block(chain, hotkey, roots_of(material), seed_block)
        except HistoryGone:
            is_known = False  # Validators look for themselves.
    return MaterialStep(
        digest,
        bool(public_competitions(material, (competition,))),
        {} if speech is None else dict(speech.facts),
        material.round_number,
        committed,
        is_known,
    )


def possible_corpus_rounds(chain: LiveChain, schedule: Schedule | None, seed_block: int) -> frozenset[int]:
    """The numbers that the ordinary round of a seed's block can have: one, or two near the start of a round.

    A node that is not an archive may no longer know the time of the block. Then its time is estimated from that of
    the last final block, to within a tenth of the time between the two and a minute.

    Raises:
        InfrastructureFault: the chain does not answer.
    """

    def number_at(time_s: float) -> int:
        number = None if schedule is None else schedule.last_started(time_s)
        return 0 if number is None else number

    try:
        return frozenset({number_at(chain.timestamp_s(seed_block))})
    except InfrastructureFault:
        head = chain.finalized().number
        head_s = chain.timestamp_s(head)
        recent = max(0, head - _RECENT_BLOCKS)
        block_s = (head_s - chain.timestamp_s(recent)) / max(1, head - recent)
        passed_s = (head - seed_block) * block_s
        around_s = 0.1 * passed_s + 60.0
        return frozenset(number_at(head_s - passed_s + each) for each in (-around_s, 0.0, around_s))


_RECENT_BLOCKS = 100
