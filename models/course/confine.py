"""What the operating system itself forbids the learner's process, once all that it needs is loaded.

Python code can undo whatever Python code guards. The kernel's own means cannot be undone from inside, and cost a call each:

    another user      when the grader is root: the process may signal or trace nobody else's
    no network        a network namespace with nothing in it
    Landlock          no path can be opened, read, made or removed; no signals to processes outside; Linux 5.13 and newer
    seccomp           only the system calls of plain computing: memory, clocks, threads, reading and writing open files

Each is left out where it is not to be had: other systems, other processors, containers that forbid it. ``confine``
returns the names of those in force, for the instructor's report.
Sources: the man pages landlock(7), seccomp(2), prctl(2), unshare(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import signal
import struct
import sys
from collections.abc import Callable

# Numbers of the permitted system calls: read write readv writev close fstat newfstatat lseek, mmap munmap mprotect mremap
# madvise brk membarrier, rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack, futex set_robust_list get_robust_list rseq
# restart_syscall, sched_yield sched_getaffinity getcpu, the clock_ family, nanosleep gettimeofday time times getrusage,
# getrandom sysinfo uname, getpid gettid getppid and the user's numbers, exit exit_group.
PERMITTED = {
    "x86_64": (0, 1, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 19, 20, 24, 25, 28, 35, 39, 60, 63, 96, 98, 99, 100, 102, 104, 107,
               108, 110, 131, 186, 201, 202, 204, 219, 228, 229, 230, 231, 262, 273, 274, 309, 318, 324, 334),
    "aarch64": (57, 62, 63, 64, 65, 66, 79, 80, 93, 94, 98, 99, 100, 101, 113, 114, 115, 123, 124, 128, 132, 134, 135, 139,
                153, 160, 165, 169, 172, 173, 174, 175, 176, 177, 178, 179, 168, 214, 215, 216, 222, 226, 233, 278, 283, 293),
}  # fmt: skip
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CLONE = {"x86_64": 56, "aarch64": 220}
MEMORY_CALLS = {"x86_64": (9, 10), "aarch64": (222, 226)}  # mmap, mprotect: their third argument is the protection
CLONE3 = 435
CLONE_THREAD, CLONE_NEWNET, PROT_EXEC = 0x10000, 0x40000000, 4
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
LANDLOCK_CREATE, LANDLOCK_RESTRICT = 444, 446
NOBODY = 65534


def confine() -> list[str]:
    """Give up, for good, what computing does not need; the names of the means that are now in force."""
    if not sys.platform.startswith("linux"):
        return []
    libc = ctypes.CDLL(None, use_errno=True)
    steps: dict[str, Callable[[ctypes.CDLL], None]] = {
        "no network": lambda libc: _check(libc.unshare(CLONE_NEWNET)),
        "another user": _become_nobody,
        "Landlock": _landlock,
        "seccomp": _seccomp,
    }
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    done = []
    for name, step in steps.items():
        with contextlib.suppress(OSError, KeyError, AttributeError):
            step(libc)
            done.append(name)
        if name == "another user":  # changing the user resets both
            libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # it does not outlive the supervisor
    return done


def _check(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _become_nobody(libc: ctypes.CDLL) -> None:
    if os.getuid() != 0:
        raise PermissionError
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _landlock(libc: ctypes.CDLL) -> None:
    """A ruleset that handles every right and grants none."""
    version = _check(libc.syscall(LANDLOCK_CREATE, None, 0, 1))
    files = (1 << (13 + (version >= 2) + (version >= 3) + (version >= 5))) - 1
    rights = struct.pack("<QQQ", files, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _check(libc.syscall(LANDLOCK_CREATE, rights, size, 0))
    try:
        _check(libc.syscall(LANDLOCK_RESTRICT, ruleset, 0))
    finally:
        os.close(ruleset)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def _seccomp(libc: ctypes.CDLL) -> None:
    code = program(platform.machine())
    filter = _Program(len(code) // 8, code)
    _check(libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(filter), 0, 0))


def program(machine: str) -> bytes:
    """The filter, in the kernel's packet-filter code: 8 bytes each of operation, jump if true, jump if false, number."""
    load, equal, bits, answer = 0x20, 0x15, 0x45, 0x06  # ld [k]; jeq k; jset k; ret k
    allow, deny, absent = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS

    def line(operation: int, number: int, true: int = 0, false: int = 0) -> bytes:
        return struct.pack("<HBBI", operation, true, false, number)

    code = line(load, 4) + line(equal, AUDIT_ARCH[machine], 1, 0) + line(answer, deny) + line(load, 0)
    code += line(equal, CLONE3, 0, 1) + line(answer, absent)  # its flags lie in memory; the C library then takes clone
    code += line(equal, CLONE[machine], 0, 3) + line(load, 16) + line(bits, CLONE_THREAD, 0, 1) + line(answer, allow)
    for number in MEMORY_CALLS[machine]:  # no memory that can be executed
        code += line(load, 0) + line(equal, number, 0, 3) + line(load, 32) + line(bits, PROT_EXEC, 0, 1) + line(answer, deny)
    code += line(load, 0)
    for number in PERMITTED[machine]:
        code += line(equal, number, 0, 1) + line(answer, allow)
    return code + line(answer, deny)
