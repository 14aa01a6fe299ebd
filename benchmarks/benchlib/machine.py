"""What the machine itself does, and what processes cost it."""

import json
import os
import time
from pathlib import Path

SH = ["sh", "-c", "echo hi"]
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 1024 * 1024


def bwrap(folder):
    """A sandbox such as a step gets."""
    return ["bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
            "--new-session", "--die-with-parent", "--cap-drop", "ALL", "--uid", "1000", "--gid", "1000",
            "--hostname", "bench", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib",
            "/lib", "--symlink", "usr/lib64", "/lib64", "--ro-bind", "/etc", "/etc", "--proc", "/proc", "--dev",
            "/dev", "--tmpfs", "/tmp", "--tmpfs", "/home", "--dir", "/var", "--dir", "/run", "--bind", str(folder),
            "/work", "--remount-ro", "/", "--chdir", "/work", "--", *SH]


def spawn(rig, argv, count, at_a_time=1):
    """{"median_ms", "rate"} of running the program again and again."""
    return json.loads(rig.output(rig.tool("spawn"), count, at_a_time, *argv))


def memory(pid):
    """(PSS, RSS) in bytes."""
    sizes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        sizes[name] = int(rest.split()[0]) * 1024
    return sizes["Pss"], sizes["Rss"]


def rss(pid):
    """In bytes; 0 when the process is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def cpu(pid):
    """Seconds of CPU that the process has had, without its children's."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def timed(run):
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
