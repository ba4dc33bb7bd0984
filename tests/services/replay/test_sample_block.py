"""The block that draws a sample is read from the chain: its number follows from the signer's first commitment."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundsright.adapters.peers import valid_signature
from soundsright.core.errors import BundleRefused, UsageError
from soundsright.core.round_commitment import RoundCommitment
from soundsright.services.records import OpenedRound, open_bundle
from soundsright.services.replay import BLOCKS_AFTER, Sample, sample_block
from tests.services.rounds.subnet import ROUND_ID
from tests.services.validator.test_bundles import VERA, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.keeper.record(bench.outcome)
    bench.keeper.tend()
    return bench


@pytest.fixture
def opened(bench: Bench) -> OpenedRound:
    with open_bundle(bench.subnet.folder / "run/bundle", valid_signature=valid_signature) as bundle:
        return bundle.opened


def test_the_block_is_a_stated_number_after_the_commitment_for_everyone(bench: Bench, opened: OpenedRound) -> None:
    chain = bench.subnet.chain
    committed = chain.head().number
    chain.advance(40)
    block = sample_block(chain, opened, None)
    assert (block.committed, block.number) == (committed, committed + BLOCKS_AFTER)
    assert block.hash == chain.block_hash(committed + BLOCKS_AFTER)
    chain.advance(100)
    assert sample_block(chain, opened, committed) == block
    sentence = Sample(5, block.hash, block.number, block.committed).sentence
    assert f"{BLOCKS_AFTER} blocks after the signer committed to the bundle in block {committed}" in sentence


def test_a_signer_that_commits_again_does_not_draw_another_sample(bench: Bench, opened: OpenedRound) -> None:
    chain = bench.subnet.chain
    chain.advance(40)
    before = sample_block(chain, opened, None)
    chain.publish(VERA.address, RoundCommitment(ROUND_ID, bench.sha256()).text)
    chain.advance(40)
    assert sample_block(chain, opened, None) == before


def test_a_block_that_is_not_final_is_named(bench: Bench, opened: OpenedRound) -> None:
    chain = bench.subnet.chain
    number = chain.head().number + BLOCKS_AFTER
    chain.advance(BLOCKS_AFTER)
    with pytest.raises(UsageError, match=f"Block {number}, which draws the sample, is not final"):
        sample_block(chain, opened, None)


def test_without_a_commitment_or_with_another_one_nothing_is_drawn(tmp_path: Path, opened: OpenedRound) -> None:
    other = Bench(tmp_path / "other")
    with pytest.raises(BundleRefused, match="no commitment"):
        sample_block(other.subnet.chain, opened, None)
    other.subnet.chain.publish(VERA.address, RoundCommitment(ROUND_ID, "0" * 64).text)
    with pytest.raises(BundleRefused, match="committed to another document"):
        sample_block(other.subnet.chain, opened, None)
