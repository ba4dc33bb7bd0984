"""Programs that a demo starts: their keys, their output, and their end."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundsright.cli.shared.programs import Programs, free_port
from soundsright.core.errors import InfrastructureFault


def test_a_program_runs_with_its_own_key_until_the_block_ends(tmp_path: Path) -> None:
    port = str(free_port())
    with Programs(tmp_path, {}) as programs:
        address = programs.address("organiser")
        programs.start("chain", ["chain", "serve", "--port", port, "--block-every", "0"], WALLET="organiser")
        programs.wait(lambda: address in programs.output("chain") or None, "the chain", timeout_s=60)
        status = programs.run(
            "miner", ["chain", "status"], timeout_s=60, SUBTENSOR_CHAIN_ENDPOINT=f"http://127.0.0.1:{port}"
        )
        assert "block" in status.lower()
    assert programs.address("organiser") == address
    with pytest.raises(InfrastructureFault, match="does not answer"), Programs(tmp_path, {}) as programs:
        programs.run(
            "miner", ["chain", "status"], timeout_s=60, SUBTENSOR_CHAIN_ENDPOINT=f"http://127.0.0.1:{port}"
        )


def test_a_program_that_ends_is_named_with_its_last_lines(tmp_path: Path) -> None:
    with Programs(tmp_path, {}) as programs:
        programs.start("executor", ["executor", "serve"])
        with pytest.raises(InfrastructureFault, match=r"executor ended with 2: .*SUBNET_API_URL is empty"):
            programs.wait(lambda: None, "the executor answers", timeout_s=60)


def test_what_does_not_come_in_time_is_named(tmp_path: Path) -> None:
    with Programs(tmp_path, {}) as programs, pytest.raises(InfrastructureFault, match="the table: not within 0 s"):
        programs.wait(lambda: None, "the table", timeout_s=0.0)
