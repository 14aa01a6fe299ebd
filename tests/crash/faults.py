"""Writes and fsyncs that fail: the page that a process with shim.c in it and the harness share."""

import errno
import mmap
import struct
from pathlib import Path

WRITE, SYNC = 0, 1
ERRORS = (errno.ENOSPC, errno.EIO)
_WISH = struct.Struct("=qqq")  # left, error, hits


class Faults:
    def __init__(self, path):
        self.path = Path(path)
        self.path.write_bytes(bytes(2 * _WISH.size))
        with open(self.path, "r+b") as file:
            self._page = mmap.mmap(file.fileno(), 2 * _WISH.size)

    def env(self, shim):
        return {"LD_PRELOAD": str(shim), "CRASH_SHIM": str(self.path)} if shim else {}

    def wish(self, what, count, error):
        """The count-th write or fsync from now on fails with the error."""
        hits = self.hits(what)
        _WISH.pack_into(self._page, what * _WISH.size, 0, error, hits)
        _WISH.pack_into(self._page, what * _WISH.size, count, error, hits)

    def clear(self):
        for what in (WRITE, SYNC):
            _WISH.pack_into(self._page, what * _WISH.size, 0, 0, self.hits(what))

    def hits(self, what):
        return _WISH.unpack_from(self._page, what * _WISH.size)[2]

    def close(self):
        self._page.close()
