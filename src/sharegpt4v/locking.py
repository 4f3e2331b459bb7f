"""One writer at a time: an exclusive lock on whatever must not be written by two processes.

The lock is `flock` on a small file beside the path, `<path>.lock`, which says who holds it. The kernel gives the lock
back when the holder ends, however it ends, so a killed run locks nobody out and no lock ever has to be removed by hand.

What holds across machines: on NFS (Linux, since kernel 2.6.12) `flock` is a lock of the server, so it also excludes
writers on other Slurm nodes, unless the file system is mounted with `nolock` or `local_lock=flock`. Lustre and BeeGFS
need their mount option for `flock`; with Lustre's `localflock` the lock only excludes writers on the same node. Where
locks are not supported at all, nothing is written and one line says so. When a node dies, the server of an NFS may take
a minute or two until it gives the lock back. A child process that was forked while the lock was held holds it too.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from sharegpt4v.errors import UserError, printable
from sharegpt4v.files import writing

LONGEST_HOLDER = 500  # bytes that are read of what a lock file says
UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


class WriterLock:
    """The right to write `path`, a file or a folder that need not exist; held until `release` or the end of the block.

    When another process (or another `WriterLock` of this one) holds it, a `UserError` says so at once: which process,
    on which host, since when (UTC), with which command.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._lock_path = Path(f"{self.path}.lock")
        self._descriptor: int | None = None
        with writing(self._lock_path):
            self._lock_path.parent.mkdir(parents=True, exist_ok=True)
            # Whoever releases the lock removes its file, and a lock on a removed file excludes nobody.
            while self._descriptor is None:
                self._descriptor = self._acquire()

    def _acquire(self) -> int | None:
        """Lock the lock file and return its descriptor; None when the file was removed meanwhile."""
        descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, self._lock_path):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, _holder().encode())
                return descriptor
            os.close(descriptor)
            return None
        except OSError as error:
            holder = printable(os.pread(descriptor, LONGEST_HOLDER, 0).decode(errors="replace"))
            os.close(descriptor)
            if error.errno in UNSUPPORTED:
                raise UserError(
                    f"{self._lock_path}: this file system has no locks ({error.strerror}); mount it with locks, or "
                    "work in a folder of another one"
                ) from None
            if isinstance(error, BlockingIOError):
                raise UserError(
                    f"{self.path}: {holder or 'another process'} is writing it; wait until that has ended, then run "
                    "the same command again"
                ) from None
            raise

    def release(self) -> None:
        """Let the next writer in; does nothing the second time."""
        if self._descriptor is not None:
            self._lock_path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> WriterLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _holder() -> str:
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    since = datetime.now(UTC).isoformat(sep=" ", timespec="seconds")
    return f"process {os.getpid()} on {socket.gethostname()} (since {since}: {command[:200]})"
