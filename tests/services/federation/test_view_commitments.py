"""All find the same views on a chain, also if a validator committed to something else since."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from soundsright.adapters.chains import LocalChain
from soundsright.adapters.chains.bittensor import BittensorChain
from soundsright.core.corpus_commitment import CorpusCommitment, corpus_commitment_in
from soundsright.core.errors import ChainUnavailable
from soundsright.core.federation_commitments import (
    UNKNOWN_WINNER,
    AllowlistCommitment,
    ViewCommitment,
    allowlist_commitment_in,
    winner_mark,
)
from soundsright.core.ports import LiveChain, TxResult
from soundsright.core.round_commitment import RoundCommitment
from soundsright.services.federation import commit_view, commitments_to_views, committed_views
from soundsright.services.federation.view_commitments import MAX_LATER
from soundsright.testing.fakechain.http import client, served_chain
from soundsright.testing.fakechain.ledger import Ledger
from soundsright.testing.fakechain.node import running_node
from tests.services.federation.published import ADDRESSES, VALIDATORS, sha

CORPUS = CorpusCommitment("cd" * 32, "0" * 16)
ROUND = RoundCommitment("2030-01-05", "ef" * 32)


class Bench:
    """A chain with three validators, each of which writes for itself."""

    def __init__(self, chains: list[LiveChain], advance: Callable[[int], object]) -> None:
        self.chains = chains
        self.advance = advance

    @property
    def chain(self) -> LiveChain:
        return self.chains[0]

    def commit(self, number: int, text: str) -> int:
        result = self.chains[number].publish(ADDRESSES[number], text)
        assert result.ok, result
        return result.block or self.chain.head().number

    def present(self, number: int) -> str:
        return next(each.digest for each in self.chain.commitments() if each.hotkey == ADDRESSES[number])


@pytest.fixture(params=["local", "http", "bittensor"])
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with contextlib.ExitStack() as stack:
        if request.param == "local":
            local = LocalChain(tmp_path / "chain.db")
            made = Bench([local] * 3, local.advance)
            register = local.register
        elif request.param == "http":
            local, url = stack.enter_context(served_chain(tmp_path / "chain.db"))
            made = Bench([client(url, account) for account in VALIDATORS], local.advance)
            register = local.register
        else:
            monkeypatch.setenv("BITTENSOR_RUNTIME_CACHE_DIR", str(tmp_path / "runtime"))
            monkeypatch.setenv("BTCLI_TOKEN_SYMBOLS_CACHE", str(tmp_path / "symbols"))
            node = stack.enter_context(running_node(Ledger()))
            chains: list[LiveChain] = [BittensorChain(node.url, 1, account) for account in VALIDATORS]
            made = Bench(chains, node.advance)
            register = node.register  # type: ignore[assignment]
        for address in ADDRESSES:
            register(address, permit=True)
        made.advance(5)
        yield made
        for chain in made.chains:
            chain.close()


def found(bench: Bench, epoch: int, until: int) -> list[str | None]:
    bench.advance(max(0, until - bench.chain.finalized().number))
    views = committed_views(bench.chain, ADDRESSES, epoch, until)
    assert list(views) == list(ADDRESSES)
    return list(views.values())


def test_a_view_is_found_beside_and_below_other_commitments(bench: Bench) -> None:
    epoch = bench.chain.head().number
    bench.commit(0, CORPUS.text)
    assert commit_view(bench.chains[0], ADDRESSES[0], epoch, sha(0)).ok
    assert corpus_commitment_in(bench.present(0)) == CORPUS
    assert commit_view(bench.chains[1], ADDRESSES[1], epoch, sha(1)).ok
    bench.commit(1, ROUND.text)
    bench.commit(1, CORPUS.text)
    until = bench.chain.head().number + 2
    assert found(bench, epoch, until) == [sha(0), sha(1), None]


def test_a_text_that_came_between_reading_and_writing_is_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, epoch = bench.chains[0], bench.chain.head().number
    bench.commit(0, CORPUS.text)
    publish, other = chain.publish, AllowlistCommitment("ab" * 32)

    def late(hotkey: str, text: str) -> TxResult:
        monkeypatch.setattr(chain, "publish", publish)
        bench.commit(0, other.text)
        return publish(hotkey, text)

    monkeypatch.setattr(chain, "publish", late)
    assert commit_view(chain, ADDRESSES[0], epoch, sha(0)).ok
    assert allowlist_commitment_in(bench.present(0)) == other
    until = bench.chain.head().number + 2
    assert found(bench, epoch, until)[0] == sha(0)


def test_views_of_other_epochs_and_of_another_time_do_not_count(bench: Bench) -> None:
    early = bench.commit(0, ViewCommitment(10**6, sha("early")).text)
    epoch = early + 1
    bench.advance(1)
    bench.commit(1, ViewCommitment(epoch - 1, sha("of the epoch before")).text)
    until = bench.chain.head().number + 1
    bench.advance(1)
    bench.commit(2, ViewCommitment(epoch, sha("late")).text)
    assert found(bench, epoch, until) == [None, None, None]
    # The text was made before the epoch's block, although it names that epoch.
    assert found(bench, 10**6, until) == [None, None, None]


def test_the_view_that_was_committed_last_in_time_counts_for_all(bench: Bench) -> None:
    epoch = bench.chain.head().number
    bench.commit(0, ViewCommitment(epoch, sha("first")).text)
    bench.advance(1)
    bench.commit(0, ViewCommitment(epoch, sha("second")).text)
    until = bench.chain.head().number
    bench.advance(1)
    bench.commit(0, ViewCommitment(epoch, sha("too late")).text)
    assert found(bench, epoch, until)[0] == sha("second")
    assert found(bench, epoch, until)[0] == sha("second"), "whenever it is asked"


def test_the_views_that_were_read_and_the_winners_stand_beside_the_view(bench: Bench) -> None:
    epoch = bench.chain.head().number
    bench.commit(0, CORPUS.text)
    marks = (winner_mark("DENOISING_16000HZ", "a"), UNKNOWN_WINNER)
    assert commit_view(bench.chains[0], ADDRESSES[0], epoch, sha(0), "5", marks).ok
    bench.advance(2)
    stated = commitments_to_views(bench.chain, ADDRESSES, epoch, bench.chain.finalized().number)
    assert stated[ADDRESSES[0]] == ViewCommitment(epoch, sha(0), CORPUS.text, "5", marks)
    assert found(bench, epoch, bench.chain.finalized().number) == [sha(0), None, None]


def test_a_repeated_commitment_writes_nothing(bench: Bench) -> None:
    epoch = bench.chain.head().number
    assert commit_view(bench.chains[0], ADDRESSES[0], epoch, sha(0)).ok
    head = bench.chain.head().number
    assert commit_view(bench.chains[0], ADDRESSES[0], epoch, sha(0)).ok
    assert bench.chain.head().number == head


def test_the_owners_list_stays_beside_the_view(bench: Bench) -> None:
    bench.commit(0, AllowlistCommitment(sha("list")).text)
    for epoch in (180, 360):
        assert commit_view(bench.chains[0], ADDRESSES[0], epoch, sha(epoch)).ok
        assert allowlist_commitment_in(bench.present(0)) == AllowlistCommitment(sha("list"))


def test_an_entry_of_the_hotkey_is_not_overwritten(bench: Bench) -> None:
    bench.commit(0, sha("entry"))
    refused = commit_view(bench.chains[0], ADDRESSES[0], 180, sha(0))
    assert not refused.ok
    assert "has an entry on the chain" in refused.message
    assert bench.present(0) == sha("entry")


def test_views_are_not_looked_up_before_their_last_block_is_final(bench: Bench) -> None:
    with pytest.raises(ChainUnavailable, match="is not final yet"):
        committed_views(bench.chain, ADDRESSES, 0, bench.chain.head().number + 1)


def test_a_validator_that_writes_all_the_time_has_no_view_and_costs_little(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "chain.db")
    chain.register(ADDRESSES[0])
    epoch = chain.head().number + 1
    chain.publish(ADDRESSES[0], ViewCommitment(epoch, sha(0)).text)
    for number in range(MAX_LATER):
        chain.publish(ADDRESSES[0], f"soundsright:other:{number}")
    assert committed_views(chain, ADDRESSES, epoch, chain.head().number)[ADDRESSES[0]] == sha(0)
    chain.publish(ADDRESSES[0], "soundsright:other:more")
    assert committed_views(chain, ADDRESSES, epoch, chain.head().number)[ADDRESSES[0]] is None


def test_a_validator_that_is_not_on_the_chain_has_no_view(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "chain.db")
    assert set(committed_views(chain, ADDRESSES, 0, 0).values()) == {None}
