"""A validator's reports to the owner's API: its verdicts, its opinion of the miners, and its winners.

The API only shows it. Whatever fails here changes no verdict and no weight.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from soundsright.core.errors import SoundsRightError
from soundsright.core.ports import Records
from soundsright.core.profiles import Profile
from soundsright.core.strict_json import NotStrictJson, strict_json
from soundsright.core.submission import Submission
from soundsright.services.federation import federation_steps
from soundsright.services.federation.context import SamplerContext
from soundsright.services.federation.doc_rules import with_doc_rules
from soundsright.services.federation.documents import list_of, object_of
from soundsright.services.federation.object_keys import metadata_key
from soundsright.services.federation.task import task_id
from soundsright.services.federation.verdict import open_verdict
from soundsright.services.federation.winners import RecordedWinners
from soundsright.services.federation_api import FederationReporter, MinerReport, Report
from soundsright.services.records import ValidSignature
from soundsright.services.rounds import screened, steps

_TASKS_SEARCHED = 20
_MAX_METADATA_BYTES = 8 << 20

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OwnReports:
    """Reads from the state of this validator what it tells the API. `records` has its winners."""

    context: SamplerContext
    records: Records
    valid_signature: ValidSignature

    def send_verdict(self, reporter: FederationReporter, task: int) -> None:
        """Send the verdict on a task that stands in the own bucket."""
        try:
            signed = steps.read(self.context.state, task_id(task), federation_steps.SIGNED)
            if signed is not None:
                found = open_verdict(signed.envelope.encode(), valid_signature=self.valid_signature)
                reporter.send_verdict(found.verdict, found.digest)
        except SoundsRightError as error:
            _log.warning("The owner's API does not get the verdict on task %d: %s", task, error)

    def opinion(self) -> Report:
        """The miners that have committed, by the rules of entry, and the winners paid now.

        Rules that need files, as those about copies, are applied when a task is judged. Their refusals come from
        the last task that this validator published, for entries that have not changed since.

        Raises:
            InfrastructureFault: the chain, a miner's seal or the state does not answer.
            UsageError: the record of the winners is damaged.
        """
        context = self.context
        now = context.chain.snapshot(context.chain.finalized().number)
        reveals = context.reveals(now)
        if context.rules.profile is not Profile.SOUNDSRIGHT:
            reveals = with_doc_rules(reveals, now.commitments)
        found = screened(
            now.commitments,
            reveals,
            now.neurons,
            context.organiser.competitions,
            entries_close_block=now.block.number,
            rules=context.organiser.entry_rules,
        )
        judged = self._last_refusals()
        committed = {each.hotkey: each.block for each in now.commitments}
        miners = [
            *(_report_of(each, committed[each.hotkey], judged) for each in found.submissions),
            *(MinerReport(each.hotkey, each.uid, False, each.code) for each in found.refusals),
        ]
        winners = RecordedWinners(self.records).last()
        return Report(
            tuple(sorted(miners, key=lambda miner: miner.hotkey)), {} if winners is None else winners.winners
        )

    def _last_refusals(self) -> _JudgedRefusals:
        """The refusals of the last published task. Without one, or if its object cannot be read, there are none."""
        state, bucket = self.context.state, self.context.bucket
        numbers = (name.removeprefix(task_id(0).removesuffix("0")) for name in state.rounds())
        tasks = sorted((int(number) for number in numbers if number.isdecimal()), reverse=True)[:_TASKS_SEARCHED]
        task = next((t for t in tasks if steps.read(state, task_id(t), federation_steps.PUBLISHED)), None)
        if task is None:
            return _JudgedRefusals()
        try:
            facts = object_of(strict_json(bucket.get(metadata_key(task), _MAX_METADATA_BYTES)))
            refusals = [object_of(each) for each in list_of(facts["refusals"])]
            codes = {(each["hotkey"], each["competition"]): str(each["code"]) for each in refusals}
        except (SoundsRightError, NotStrictJson, KeyError, TypeError) as error:
            _log.info("The refusals of task %d are not reported: %s", task, error)
            return _JudgedRefusals()
        return _JudgedRefusals(codes, task * self.context.rules.interval_blocks)


@dataclass(frozen=True)
class _JudgedRefusals:
    """The codes by hotkey and competition, and the task's first block. A later commitment was not judged."""

    codes: Mapping[tuple[str, str], str] = field(default_factory=dict)
    block: int = -1


def _report_of(entry: Submission, committed_block: int, judged: _JudgedRefusals) -> MinerReport:
    is_judged = committed_block < judged.block
    code = judged.codes.get((entry.hotkey, entry.competition.id), "") if is_judged else ""
    return MinerReport(entry.hotkey, entry.uid, not code, code)
