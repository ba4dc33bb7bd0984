"""The filter of system calls. The tests interpret its BPF program as the kernel does."""

from __future__ import annotations

import errno
import struct

import pytest

from soundsright.adapters.sandboxes.seccomp import DENIED_CALLS, UNCOUNTED_MEMORY_CALLS, bpf_program, engine_profile
from soundsright.adapters.sandboxes.seccomp_table import syscall_numbers
from soundsright.core.errors import EngineUnavailable

ALLOW, ERRNO, KILL = 0x7FFF_0000, 0x0005_0000, 0x8000_0000
ARCHITECTURES = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}


def verdict(
    machine: str,
    number: int,
    argument: int = 0,
    architecture: int | None = None,
    also_denied: frozenset[str] = frozenset(),
) -> int:
    """The program's result for a system call, by an interpreter of the five operations that it uses."""
    program = bpf_program(machine, also_denied=also_denied)
    steps = [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]
    data = struct.pack("<IIQQ", number, architecture or ARCHITECTURES[machine], 0, argument)
    accumulator, at = 0, 0
    while True:
        operation, if_true, if_false, value = steps[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif operation == 0x06:
            return int(value)
        else:
            test = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[
                operation
            ]
            at += if_true if test else if_false


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_every_denied_call_is_refused_and_every_other_allowed(machine: str) -> None:
    for name, number in syscall_numbers(machine).items():
        if name in DENIED_CALLS:
            assert verdict(machine, number) == ERRNO | errno.EPERM, name
        elif name == "sched_setaffinity":
            assert verdict(machine, number) == ERRNO
        elif name not in {"clone3", "socket", "personality", "clone"}:
            assert verdict(machine, number) == ALLOW, name


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_some_calls_are_allowed_by_their_arguments(machine: str) -> None:
    numbers = syscall_numbers(machine)
    assert verdict(machine, numbers["clone"], 0x0100_0011) == ALLOW
    assert verdict(machine, numbers["clone"], 0x1000_0000) == ERRNO | errno.EPERM
    assert verdict(machine, numbers["clone3"]) == ERRNO | errno.ENOSYS
    assert verdict(machine, numbers["socket"], 1) == ALLOW
    for family in (17, 38, 40):
        assert verdict(machine, numbers["socket"], family) == ERRNO | errno.EAFNOSUPPORT
    assert verdict(machine, numbers["personality"], 0x0400_0000) == ERRNO | errno.EPERM


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_unknown_calls_fail_and_other_architectures_are_killed(machine: str) -> None:
    assert verdict(machine, 9_999) == ERRNO | errno.ENOSYS
    assert verdict(machine, 1, architecture=0x4000_0003) == KILL
    if machine == "x86_64":
        assert verdict(machine, 0x4000_0001) == ERRNO | errno.ENOSYS


def test_another_machine_is_refused_with_a_remedy() -> None:
    with pytest.raises(EngineUnavailable, match="riscv64"):
        bpf_program("riscv64")


def test_the_profile_for_engines_has_the_same_policy() -> None:
    profile = engine_profile()
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    allowed = {name for rule in profile["syscalls"] if "args" not in rule for name in rule["names"]} - {"clone3"}
    assert not allowed & DENIED_CALLS
    assert allowed | DENIED_CALLS | {"clone", "clone3", "socket", "personality"} >= set(syscall_numbers("x86_64"))
    families = {rule["args"][0]["value"] for rule in profile["syscalls"] if rule["names"] == ["socket"]}
    assert families == {1, 2, 10, 16}


def test_calls_for_uncounted_memory_are_denied_on_request() -> None:
    number = syscall_numbers("x86_64")["memfd_create"]
    assert verdict("x86_64", number) == ALLOW
    assert verdict("x86_64", number, also_denied=UNCOUNTED_MEMORY_CALLS) == ERRNO | errno.EPERM
