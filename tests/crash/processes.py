"""The processes of a world: found in /proc by what they are, never by their name alone."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from lib.processes import alive, command_of, parent_of, state_of


def environment(pid):
    """{} when it is gone or is not ours to read."""
    try:
        pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    return dict(pair.decode(errors="replace").partition("=")[::2] for pair in pairs if b"=" in pair)


def stands(pid):
    """Whether every thread of it is stopped, or it is gone: none is in the kernel for a write or a sync any more."""
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            if stat.read_text().rpartition(")")[2].split()[0] not in "TtZX":
                return False
        except OSError:
            continue
    return True


def name_of(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def all_pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def is_below(path, folder):
    return path == str(folder) or path.startswith(f"{folder}/")


def working_folder(pid):
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


@dataclass(frozen=True)
class Held:
    """A job process: the job and attempt that it runs."""
    pid: int
    job: int
    attempt: int


def lock_holders():
    """{(major, minor, inode): pid} of every record lock (proc(5))."""
    holders = {}
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if "->" not in words and words[1] == "POSIX":
            major, minor, inode = words[5].split(":")
            holders[int(major, 16), int(minor, 16), int(inode)] = int(words[4])
    return holders


def job_processes(runner_folder):
    """Those of a runner that hold a slot's file: the kernel knows who has its lock (src/runner/jobfile.h)."""
    found, holders = [], lock_holders()
    for path in Path(runner_folder).glob("jobs/slot-*.job"):
        try:
            st = path.stat()
            pid = holders.get((os.major(st.st_dev), os.minor(st.st_dev), st.st_ino), 0)
            with open(path, encoding="utf-8", errors="replace") as file:
                first = file.readline()
        except OSError:
            continue
        if pid > 0 and name_of(pid) == "pelton job" and first.startswith('{"job":'):
            job, _, attempt = first.strip(' {}\n').partition(",")
            found.append(Held(pid, int(job.partition(":")[2]), int(attempt.partition(":")[2])))
    return found


def steps_of(world):
    """{pid: environment} of every process that a step of this world has started."""
    found = {}
    for pid in all_pids():
        env = environment(pid)
        if env.get("CRASH_WORLD") == world and "PELTON_JOB" in env and alive(pid):
            found[pid] = env
    return found


def belonging_to(folder):
    """Whose command line or working folder names the folder; not this process, nor those above it."""
    above, pid = set(), os.getpid()
    while pid > 0:
        above.add(pid)
        pid = parent_of(pid)
    return [pid for pid in all_pids()
            if pid not in above and alive(pid)
            and (str(folder) in command_of(pid) or is_below(working_folder(pid), folder))]


def send(pid, number):
    """Whether it was there."""
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False


def kill_all(find):
    """Kills what find() gives until it gives nothing any more."""
    for _ in range(100):
        pids = find()
        if not pids:
            return True
        for pid in pids:
            send(pid, signal.SIGKILL)
    return False
