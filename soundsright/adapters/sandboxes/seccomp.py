"""Which system calls a model may make: one policy, as a BPF program for bubblewrap and as a profile for an engine.

The policy denies calls that need a privilege, that reach into other processes or the kernel, or that models do not
need: mounts, namespaces, modules, keys, tracing, BPF, performance counters, io_uring, userfaultfd, clocks, memory
policies, memory that outlives its process, and flushing the disks of the machine. It allows Unix, Internet and
netlink sockets only: a VSOCK socket would reach the hypervisor past every network namespace. The policy is narrower
than the default profile of container engines.
"""

from __future__ import annotations

import errno
import platform
import struct
from typing import Any

from soundsright.adapters.sandboxes.seccomp_table import syscall_numbers
from soundsright.core.errors import EngineUnavailable

_DENIED_NAMES = """
    _sysctl acct add_key afs_syscall bpf chroot clock_adjtime clock_settime create_module delete_module
    epoll_ctl_old epoll_wait_old fanotify_init fanotify_mark finit_module fsconfig fsmount fsopen fspick
    get_kernel_syms get_mempolicy getpmsg init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl
    kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind migrate_pages mount mount_setattr move_mount
    move_pages msgget nfsservctl open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root process_vm_readv
    process_vm_writev ptrace putpmsg query_module quotactl quotactl_fd reboot request_key security set_mempolicy
    set_mempolicy_home_node setdomainname sethostname setns settimeofday shmget swapoff swapon sync syncfs sysfs
    syslog tuxcall
    umount umount2 unshare uselib userfaultfd ustat vhangup vserver
"""

DENIED_CALLS = frozenset(_DENIED_NAMES.split())

UNCOUNTED_MEMORY_CALLS = frozenset({"memfd_create", "memfd_secret"})
"""Calls that allocate memory outside any process. Deny them too if no control group counts that memory."""

NEW_NAMESPACES = 0x7E02_0000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""

SOCKET_FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
PERSONALITIES = (0x0, 0x8, 0x2_0000, 0x2_0008, 0xFFFF_FFFF)
"""Linux, its 32-bit and uname variants, and the value that asks for the current personality."""

_BY_ARGUMENT = frozenset({"clone", "clone3", "socket", "personality"})
_ARCHITECTURES = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
_ENGINE_ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
_X32_BIT = 0x4000_0000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL_PROCESS, _ERRNO, _ALLOW = 0x8000_0000, 0x0005_0000, 0x7FFF_0000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENT_0_AT = 0, 4, 16


def bpf_program(machine: str | None = None, *, also_denied: frozenset[str] = frozenset()) -> bytes:
    """The policy as an array of `struct sock_filter` (8 bytes each), for a little-endian machine.

    `machine` is a name as `platform.machine()` gives it, by default that of this machine.

    Raises:
        EngineUnavailable: for a machine other than x86_64 and aarch64.

    >>> len(bpf_program("x86_64")) % 8
    0
    """
    machine = machine or platform.machine()
    if machine not in _ARCHITECTURES:
        raise EngineUnavailable(
            f"The bubblewrap sandbox has no system-call filter for {machine}, only for "
            f"{' and '.join(_ARCHITECTURES)}",
            "Use the docker sandbox on this machine.",
        )
    numbers = syscall_numbers(machine)
    refused, unknown = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    if machine == "x86_64":
        code += _return_if((_AT_LEAST, _X32_BIT), unknown)
    # The flags of clone3 are in memory, where a filter cannot read them. After ENOSYS the C library uses clone.
    code += _return_if((_EQUAL, numbers["clone3"]), unknown)
    for name in sorted((DENIED_CALLS | also_denied) & numbers.keys()):
        code += _return_if((_EQUAL, numbers[name]), refused)
    # Report success and do nothing: libraries that pin their threads continue, on the cores assigned to the model.
    code += _return_if((_EQUAL, numbers["sched_setaffinity"]), _ERRNO)
    code += _return_if((_AT_LEAST, max(numbers.values()) + 1), unknown)
    code += _with_argument(numbers["clone"], [*_return_if((_ANY_BIT, NEW_NAMESPACES), refused), _return(_ALLOW)])
    for name, allowed, otherwise in (
        ("socket", tuple(SOCKET_FAMILIES.values()), _ERRNO | errno.EAFNOSUPPORT),
        ("personality", PERSONALITIES, refused),
    ):
        body = [step for value in allowed for step in _return_if((_EQUAL, value), _ALLOW)]
        code += _with_argument(numbers[name], [*body, _return(otherwise)])
    code.append(_return(_ALLOW))
    return b"".join(struct.pack("<HBBI", *step) for step in code)


_Step = tuple[int, int, int, int]


def _return(action: int) -> _Step:
    return (_RETURN, 0, 0, action)


def _return_if(test: tuple[int, int], action: int) -> list[_Step]:
    """Return the action if the test is true. Otherwise continue."""
    operation, value = test
    return [(operation, 0, 1, value), _return(action)]


def _with_argument(number: int, body: list[_Step]) -> list[_Step]:
    """For one system call, load the low half of its first argument (the tested ones are ints), then run `body`."""
    return [(_EQUAL, 0, len(body) + 1, number), (_LOAD, 0, 0, _ARGUMENT_0_AT), *body]


def engine_profile() -> dict[str, Any]:
    """The policy as a container engine's seccomp profile, which denies every call that it does not name."""
    names: set[str] = set()
    for machine in _ARCHITECTURES:
        names |= syscall_numbers(machine).keys()
    allowed = sorted(names - DENIED_CALLS - _BY_ARGUMENT)

    def rule(names: list[str], action: str = "SCMP_ACT_ALLOW", **conditions: Any) -> dict[str, Any]:
        return {"names": names, "action": action, **conditions}

    def first_argument(value: int, operation: str = "SCMP_CMP_EQ", second: int = 0) -> dict[str, Any]:
        return {"args": [{"index": 0, "value": value, "valueTwo": second, "op": operation}]}

    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": list(_ENGINE_ARCHITECTURES.values()),
        "syscalls": [
            rule(allowed),
            rule(["clone"], **first_argument(NEW_NAMESPACES, "SCMP_CMP_MASKED_EQ")),
            rule(["clone3"], "SCMP_ACT_ERRNO", errnoRet=errno.ENOSYS),
            *(rule(["socket"], **first_argument(family)) for family in SOCKET_FAMILIES.values()),
            *(rule(["personality"], **first_argument(value)) for value in PERSONALITIES),
        ],
    }
