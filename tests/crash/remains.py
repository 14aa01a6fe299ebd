"""Whether anything of a finished job is left: processes, control groups, mounts, workspaces, spools."""

import os
from pathlib import Path

from . import processes

GROUPS = Path("/sys/fs/cgroup")


def of_jobs(world):
    """Processes that jobs have left, and job processes: {pid: command line}."""
    pids = set(world.steps()) | {held.pid for runner in world.runners for held in runner.jobs()}
    pids |= {pid for runner in world.runners for pid in processes.belonging_to(runner.folder)
             if pid != (runner.pid if runner.up else 0)}
    return {pid: f"{processes.state_of(pid)} {processes.command_of(pid)}" for pid in pids if processes.alive(pid)}


def of_slots(runner):
    """Files that a slot has after its job, but for an empty folder and an empty file."""
    found = []
    for path in sorted(runner.folder.glob("jobs/*")):
        if path.suffix == ".log" or path.stat().st_size > 0:
            found.append(f"{path} ({path.stat().st_size} bytes)")
    for path in sorted(runner.folder.glob("work/*")):
        found += [str(inside) for inside in sorted(path.iterdir())[:3]]
    return found


def group_name(runner):
    """Of the runner's control groups: as fill_host in src/runner/runner.c makes it."""
    st = os.stat(runner.folder)
    return f"pelton-{st.st_dev:x}-{st.st_ino:x}"


def of_groups(runner):
    """Control groups of the runner that are still there after its end, or have somebody in them."""
    name = group_name(runner)
    found = []
    for folder, names, _ in os.walk(GROUPS):
        found += [f"{folder}/{one}" for one in names if one.startswith(name)]
    return found


def of_mounts(world, own):
    """Mounts below the world that are not its own."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    mounts = [line.split()[4] for line in lines]
    return [mount for mount in mounts if processes.is_below(mount, world.folder) and mount not in own]


def of_processes(world):
    """Everything of the world, when all of it was asked to end."""
    pids = set(processes.belonging_to(world.folder)) | set(world.steps())
    return {pid: processes.command_of(pid) for pid in pids}
