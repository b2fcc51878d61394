"""Kills a process at its n-th system call that writes, sends or syncs: every write boundary there is, in order.

It traces a forked child with ``ptrace``, so it sees what C libraries do as well as what Python does. Linux alone.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_CALLS = {
    "x86_64": {
        1: "write", 18: "pwrite64", 20: "writev", 44: "sendto", 46: "sendmsg", 74: "fsync", 75: "fdatasync",
        76: "truncate", 77: "ftruncate", 82: "rename", 83: "mkdir", 87: "unlink", 263: "unlinkat", 285: "fallocate",
        296: "pwritev", 316: "renameat2",
    },
    "aarch64": {
        64: "write", 68: "pwrite64", 66: "writev", 206: "sendto", 211: "sendmsg", 82: "fsync", 83: "fdatasync",
        45: "truncate", 46: "ftruncate", 34: "mkdirat", 35: "unlinkat", 47: "fallocate", 70: "pwritev",
        276: "renameat2",
    },
}  # fmt: skip
_TRACEME, _SYSCALL, _SETOPTIONS, _NEW_TASK, _SYSCALL_INFO = 0, 24, 0x4200, 0x4201, 0x420E
_OPTIONS = 0x01 | 0x08 | 0x100000  # TRACESYSGOOD, TRACECLONE, EXITKILL
_ENTRY = 1
_WALL = 0x40000000
_STOPPED = signal.SIGTRAP | 0x80
_MARK = b"\x00from here on\n"
_OVER = b"\x00until here\n"
_INFO = struct.Struct("=B3xIQQQ6Q")


class Death(NamedTuple):
    """How a run ended: the calls counted until then, by name, and what the child had written to its pipe."""

    calls: list[str]
    said: bytes
    killed: bool


class Mark:
    """What the child uses to speak: :meth:`begin` is where counting begins."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def begin(self) -> None:
        """Count write boundaries from here on."""
        os.write(self._fd, _MARK)

    def over(self) -> None:
        """Count no more."""
        os.write(self._fd, _OVER)

    def say(self, text: str) -> None:
        """Tell the parent something that it must know even when this process dies at once."""
        os.write(self._fd, text.encode() + b"\n")


def possible() -> str:
    """Why this system cannot trace a child; empty where it can."""
    if platform.system() != "Linux" or platform.machine() not in _CALLS:
        return f"trace a process on {platform.system()} {platform.machine()}"
    pid = os.fork()
    if pid == 0:
        os._exit(0 if _ptrace(_TRACEME, 0, 0, 0) == 0 else 1)
    _, status = os.waitpid(pid, 0)
    return "" if status == 0 else "trace a child process here: the system forbids it"


def run(work: Callable[[Mark], None], *, kill_at: int) -> Death:
    """Do ``work`` in a forked child and kill it right before its ``kill_at``-th write boundary; 0 kills it nowhere.

    This process has no other child and no other thread.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reading)
            _ptrace(_TRACEME, 0, 0, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            work(Mark(writing))
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    try:
        calls, killed, status = _trace(pid, writing, kill_at)
        said = b""
        while piece := os.read(reading, 65536):
            said += piece
    finally:
        os.close(reading)
    if not killed and status:
        raise RuntimeError(f"the traced process ended with status {status}: {said!r}")
    return Death(calls, said.replace(_MARK, b"").replace(_OVER, b""), killed)


def _trace(pid: int, pipe: int, kill_at: int) -> tuple[list[str], bool, int]:
    names = _CALLS[platform.machine()]
    write = next(number for number, name in names.items() if name == "write")
    os.waitpid(pid, _WALL)
    _ptrace(_SETOPTIONS, pid, 0, _OPTIONS)
    _ptrace(_SYSCALL, pid, 0, 0)
    calls: list[str] = []
    counting = False
    alive = {pid}
    while alive:
        task, status = _next(alive)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            alive.discard(task)
            if task == pid:
                _drain(alive)
                return calls, False, status
            continue
        alive.add(task)
        passed = 0
        if os.WSTOPSIG(status) == _STOPPED:
            op, number, first, length = _info(task)
            if op == _ENTRY and number in names:
                if number == write and first == pipe:
                    counting = {len(_MARK): True, len(_OVER): False}.get(length, counting)
                elif counting:
                    calls.append(names[number])
                    if len(calls) == kill_at:
                        os.kill(pid, signal.SIGKILL)
                        _drain(alive)
                        return calls, True, 0
        elif os.WSTOPSIG(status) not in {signal.SIGTRAP, signal.SIGSTOP}:
            passed = os.WSTOPSIG(status)
        _ptrace(_SYSCALL, task, 0, passed)
    return calls, False, 0


def _next(alive: set[int]) -> tuple[int, int]:
    """The next stop of any traced task; this process has no other children."""
    task, status = os.waitpid(-1, _WALL)
    if status >> 16:  # an event: a new thread, whose id the kernel keeps for us
        fresh = ctypes.c_ulong()
        _ptrace(_NEW_TASK, task, 0, ctypes.addressof(fresh))
        alive.add(int(fresh.value))
    return task, status & 0xFFFF


def _drain(alive: set[int]) -> None:
    for task in list(alive):
        try:
            while True:
                _, status = os.waitpid(task, _WALL)
                if os.WIFEXITED(status) or os.WIFSIGNALED(status):
                    break
        except ChildProcessError:
            continue


def _info(task: int) -> tuple[int, int, int, int]:
    buffer = ctypes.create_string_buffer(128)
    _ptrace(_SYSCALL_INFO, task, 128, ctypes.addressof(buffer))
    op, _, _, _, number, first, _, length, *_ = _INFO.unpack_from(buffer.raw)
    return op, number, first, length


def _ptrace(request: int, pid: int, address: int, data: int) -> int:
    function = ctypes.CDLL(None, use_errno=True).ptrace
    function.restype = ctypes.c_long
    function.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    return int(function(request, pid, address, data))
