"""The processes that belong to a directory: what a server has started and what outlives it."""

import errno
import os
import select
import signal
from pathlib import Path

from .wait import SLOWER


def _belongs(pid, text):
    proc = Path("/proc") / str(pid)
    try:
        if text.encode() in (proc / "cmdline").read_bytes():
            return True
        cwd = os.readlink(proc / "cwd")
        return cwd == text or cwd.startswith(text + "/")
    except OSError:
        return False


def _own_line():
    """This process and those above it: pytest's own arguments may name the directory."""
    line, pid = set(), os.getpid()
    while pid > 0:
        line.add(pid)
        pid = parent_of(pid)
    return line


def _stat(pid):
    """Its state, its parent's pid and what else stands behind its name in /proc/PID/stat; nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def state_of(pid):
    """"R", "S", "T", "Z" …; "" when it is gone."""
    return next(iter(_stat(pid)), "")


def parent_of(pid):
    """0 when it is gone or has none."""
    return int((_stat(pid) or (None, 0))[1])


def processes_of(directory):
    """The pids whose command line or working directory names the directory."""
    own, text = _own_line(), str(directory)
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if pid not in own and _belongs(pid, text)]


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def wait_end(pid, timeout=20.0):
    """Whether the process, which need not be a child, is gone in time."""
    try:
        fd = os.pidfd_open(pid)
    except OSError as error:
        # EINVAL: its number is still that of a session or a group
        assert error.errno in (errno.ESRCH, errno.EINVAL), error
        return True
    try:
        return bool(select.select([fd], [], [], timeout * SLOWER)[0])
    finally:
        os.close(fd)


def alive(pid):
    """A zombie is not."""
    return state_of(pid) not in ("", "Z", "X")


def kill_all(directory):
    """Ends everything that belongs to the directory, also what starts meanwhile."""
    for _ in range(50):
        pids = [pid for pid in processes_of(directory) if alive(pid)]
        if not pids:
            return
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for pid in pids:
            wait_end(pid)
    raise AssertionError(f"these do not end: {[command_of(pid) for pid in pids]}")


def _own_groups():
    """Where this process's own control groups can be seen: each hierarchy of version 1, and version 2."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, own = line.split(":", 2)
        for mount in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified") if not controllers else (
                f"/sys/fs/cgroup/{controllers.removeprefix('name=')}",):
            yield Path(mount + own)


def remove_groups(*folders):
    """The control groups that runners and releases, which were killed, have left: their names are made from their folders.
    (A group that is not empty stays, which is no business of this one.)"""
    for folder in folders:
        st = os.stat(folder)
        names = (f"pelton-{st.st_dev:x}-{st.st_ino:x}", f"pelton-release-{folder.name}")
        for top in [top for own in _own_groups() for name in names for end in ("", "-*") for top in own.glob(name + end)]:
            for path, _, _ in os.walk(top, topdown=False):
                try:
                    os.rmdir(path)
                except OSError:
                    pass
