"""What a validator of a federation tells the owner's API: its verdicts, its opinion of the miners, and its winners.

The API only shows it. Whatever fails here changes no verdict and no weight.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from soundsright.core.errors import SoundsRightError
from soundsright.core.ports import Records
from soundsright.core.profiles import Profile
from soundsright.services.federation import federation_steps
from soundsright.services.federation.context import SamplerContext
from soundsright.services.federation.doc_rules import with_doc_rules
from soundsright.services.federation.task import task_id
from soundsright.services.federation.verdict import open_verdict
from soundsright.services.federation.winners import RecordedWinners
from soundsright.services.federation_api import FederationReporter, MinerReport, Report
from soundsright.services.records import ValidSignature
from soundsright.services.rounds import screened, steps

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
        """The miners that have committed, by the rules of entry that need no files, and the winners paid now.

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
        miners = [
            *(MinerReport(each.hotkey, each.uid, True) for each in found.submissions),
            *(MinerReport(each.hotkey, each.uid, False, each.code) for each in found.refusals),
        ]
        winners = RecordedWinners(self.records).last()
        return Report(
            tuple(sorted(miners, key=lambda miner: miner.hotkey)), {} if winners is None else winners.winners
        )
