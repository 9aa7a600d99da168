"""The folder of `--storage.path`: created, locked, and not writable for other users."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
from pathlib import Path

from exporter.logs import fields

logger = logging.getLogger(__name__)

_LOCK = "lock"
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
_OTHERS_WRITE = stat.S_IWOTH
_OTHERS = stat.S_IRWXO


class Folder:
    """The folder of one exporter.  Its group may write to it (Kubernetes' `fsGroup`), other users may not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def hold(self) -> None:
        """Create and lock the folder; lock it again if another folder took its place.

        Raises OSError, with a text for the user.  It has no errno if only the user can help: another exporter uses the
        folder, or other users may write to it.
        """
        if self._lock is not None and self._is_ours(self._lock):
            self._refuse_others()
            return
        self.release()
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._refuse_others()
        self._lock = self._locked()

    def release(self) -> None:
        """Unlock the folder for another exporter."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def open(self, name: str) -> None:
        """Create the file `name` if it is missing, and check that it is safe to use.

        Raises OSError if it cannot be opened, ValueError if it is not a file of this exporter.
        """
        # O_NONBLOCK: a pipe must not block; O_NOFOLLOW: a link would lead out of the folder
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(self.path / name, flags, 0o600)
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise ValueError("it is not a regular file")
            if found.st_mode & _OTHERS and found.st_uid == os.geteuid():
                os.fchmod(handle, stat.S_IMODE(found.st_mode) & ~_OTHERS)  # the group keeps its rights: see Kubernetes
                if found.st_mode & _OTHERS_WRITE:
                    logger.warning("anyone could write to the store and no longer can", extra=fields(file=name))
            elif found.st_mode & _OTHERS_WRITE:
                raise ValueError("anyone may write to it, and it belongs to another user")
        finally:
            os.close(handle)

    def _is_ours(self, lock: int) -> bool:
        held = os.fstat(lock)
        try:
            found = (self.path / _LOCK).lstat()
        except FileNotFoundError:
            return False
        return (held.st_dev, held.st_ino) == (found.st_dev, found.st_ino)

    def _refuse_others(self) -> None:
        found = self.path.stat()
        mode = stat.S_IMODE(found.st_mode)
        if not mode & _OTHERS_WRITE:
            return
        if found.st_uid == os.geteuid() and not mode & stat.S_ISVTX:  # a sticky one, such as /tmp, is meant for all
            self.path.chmod(mode & ~_OTHERS_WRITE)
            logger.warning("anyone could write to the folder and no longer can", extra=fields(path=self.path))
            return
        raise OSError(
            f"--storage.path={self.path}: anyone may write to this folder (mode {mode:o}) and change the "
            "stored answers; name a folder inside it, which is made for this user alone, or take the right from others"
        )

    def _locked(self) -> int | None:
        handle = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return handle  # some network file systems have no locks: the user must give each exporter a folder
            os.close(handle)
            if error.errno not in {errno.EAGAIN, errno.EACCES}:
                raise
            raise OSError(f"{self.path}: another exporter stores its answers there; give each a folder") from None
        return handle
