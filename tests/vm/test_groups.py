"""The whole program on a machine with nothing but control groups v2: as a service, as a user, with and without
delegation. For the machine of ./test vm, whose root group is ours to arrange.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from lib import processes
from lib.server import BINARY
from lib.wait import SLOWER, wait_for

if os.environ.get("PELTON_TEST_MACHINE") != "vm":
    pytest.skip("for the machine of ./test vm", allow_module_level=True)

GROUPS = Path("/sys/fs/cgroup")
SERVICE = "system.slice/pelton.service"
USER = 1000
LIMITS = {"memory.max": "67108864", "pids.max": "20", "cpu.max": "50000 100000"}

JOBS = """jobs:
  held:
    checkout: false
    resources: {memory: 64M, cpu: 0.5, processes: 20}
    steps: ["echo began; sleep 1000 & wait"]
  greedy:
    checkout: false
    resources: {memory: 64M}
    steps: [tail /dev/zero]
  bomb:
    checkout: false
    resources: {processes: 20}
    steps: ["for i in $(seq 40); do sleep 1000 & done"]
"""


class Group:
    """A control group as systemd makes one for a service. controllers: what it may give to groups in it; user: whom it
    is delegated to; None: to nobody but root, who needs no leave."""

    def __init__(self, name, controllers=("memory", "pids", "cpu"), user=None):
        self.path = GROUPS
        for part in Path(name).parts:
            for controller in controllers:
                (self.path / "cgroup.subtree_control").write_text(f"+{controller}")
            self.path /= part
            self.path.mkdir(exist_ok=True)
        for inside in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads") if user else ():
            os.chown(self.path / inside, user, user)

    def program(self, folder, user=None, leaf=""):
        """A pelton that is started in the group (or in a leaf of it) as the user."""
        script = Path(folder) / f"pelton{leaf}"
        drop = f"setpriv --reuid={user} --regid={user} --clear-groups " if user else ""
        script.write_text(f"#!/bin/sh\necho $$ >{self.path / leaf}/cgroup.procs && exec {drop}{BINARY} \"$@\"\n")
        script.chmod(0o755)
        return script

    def of_pelton(self):
        """The groups that runners and releases have made."""
        return sorted(path for path in self.path.rglob("pelton-*") if path.name != "pelton-main")

    def remove(self):
        """With all that is in it, as systemd does when a service is over."""
        (self.path / "cgroup.kill").write_text("1")
        wait_for(f"an end of {self.path}", lambda: "populated 0" in (self.path / "cgroup.events").read_text())
        for path in sorted(self.path.rglob("*/"), reverse=True):
            path.rmdir()
        self.path.rmdir()

    def slot(self, **values):
        """The slot's group whose files say this."""
        def fits(path):
            return all((path / name).read_text().strip() == value for name, value in values.items())
        return next((path for path in self.path.glob("pelton-*/slot-*") if fits(path)), None)


def procs(group):
    return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]


@pytest.fixture
def folder():
    path = Path(tempfile.mkdtemp(prefix="vm-"))
    path.chmod(0o755)
    yield path
    processes.kill_all(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def make_group():
    """Group, for this test only."""
    groups = []

    def make(*arguments, **options):
        groups.append(Group(*arguments, **options))
        return groups[-1]

    yield make
    for group in groups:
        group.remove()


@pytest.fixture
def start(folder, make_group, start_pelton):
    """start(group, user): a server in the group, whose runner has found out what it may use."""
    def run(group, user=None):
        if user:
            os.chown(folder, user, user)
        server = start_pelton("--slots", "3", "--cancel-grace", "1s", "--allow-executor", "shell", folder=folder,
                              binary=group.program(folder, user))
        wait_for(lambda: f"a runner: {server.server_log()}", lambda: "takes jobs" in server.server_log())
        return server
    return run


def job_of(build, name):
    return next(job for job in build["jobs"] if job["name"] == name)


def wait_job(server, build, name, *states):
    def ended():
        job = job_of(server.build(build), name)
        return job if job["status"] in states else None
    return wait_for(lambda: f"{states} of {name}: {server.build(build)}\n{server.server_log()}", ended, 30)


def wait_log(server, build, word):
    wait_for(lambda: f"{word} in {server.log(build)}\n{server.server_log()}", lambda: word in server.log(build))


def cancel(server, build):
    assert server.api("POST", f"/api/builds/{build}/cancel").status == 200
    return server.wait_build(build, "cancelled")


def nothing_left(group):
    wait_for(lambda: f"an end of {group.of_pelton()}", lambda: not group.of_pelton())


@pytest.mark.parametrize("user", [None, USER], ids=["root", "user"])
def test_a_service_with_delegation_limits_its_jobs_and_leaves_nothing(start, make_group, user):
    group = make_group(SERVICE if not user else f"user.slice/user-{user}.slice/run.scope", user=user)
    server = start(group, user)
    _, push = server.push("jobs", {".pelton.yml": JOBS})
    wait_log(server, push.build, "began")
    slot = group.slot(**LIMITS)
    assert slot and procs(slot), group.of_pelton()
    assert (slot / "memory.swap.max").read_text() in ("0\n",)
    greedy, bomb = (wait_job(server, push.build, name, "failed") for name in ("greedy", "bomb"))
    assert (greedy["reason"], "64 MiB" in greedy["message"]) == ("oom", True), greedy
    assert bomb["reason"] == "exit" and "fork" in server.log(push.build).lower()
    cancel(server, push.build)
    assert not any(procs(path) for path in group.path.glob("pelton-*/slot-*"))
    assert procs(group.path) == [] and server.pid in procs(group.path / "pelton-main")
    assert "control groups" not in server.server_log()
    server.stop()
    nothing_left(group)


def test_a_cancel_ends_what_forks_all_the_time_and_ignores_signals(start, make_group):
    group = make_group(SERVICE)
    server = start(group)
    storm = "trap '' TERM; echo began; f() { sleep 0.01; f & f & }; f & while :; do sleep 1; done"
    _, push = server.push("storm", {".pelton.yml": f"""jobs:
  storm:
    checkout: false
    runs-on: {{executor: shell}}
    resources: {{processes: 60}}
    steps: ["{storm}"]
"""})
    wait_log(server, push.build, "began")
    slot = group.slot(**{"pids.max": "60"})
    wait_for("a storm", lambda: len(procs(slot)) > 10)
    cancel(server, push.build)
    assert not [pid for path in group.path.glob("pelton-*/slot-*") for pid in procs(path)]
    server.stop()
    nothing_left(group)


def held(executor, mark):
    return {".pelton.yml": f"""jobs:
  held:
    checkout: false
    runs-on: {{executor: {executor}}}
    resources: {{memory: 64M}}
    steps: ["setsid sleep 1000 {mark} & echo began; sleep 1000"]
"""}


def test_a_restart_finds_the_groups_again(start, make_group, folder):
    """Also what is not a child of anybody's any more is found: the server, the runner and the job process die."""
    group = make_group(SERVICE)
    server = start(group)
    _, push = server.push("held", held("shell", ""))
    wait_log(server, push.build, "began")
    server.stop()
    # the group gives its controllers away, so that it takes no process: systemd's DelegateSubgroup=
    server.binary = group.program(folder, leaf="pelton-main")
    server.start()
    slot = group.slot(**{"memory.max": "67108864"})
    left = procs(slot)
    assert len(left) >= 2 and server.build(push.build)["jobs"][0]["attempt"] == 1
    server.kill()
    for pid, command in server.processes().items():
        if "pelton" in command and pid not in left:
            os.kill(pid, signal.SIGKILL)
    assert any(processes.alive(pid) for pid in left)
    server.start()
    wait_for(lambda: f"an end of {left}", lambda: not any(processes.alive(pid) for pid in left))
    cancel(server, push.build)
    server.stop()
    nothing_left(group)


def test_a_user_without_delegation_is_told_what_to_do(start, make_group):
    group = make_group(f"user.slice/user-{USER}.slice/session-1.scope")
    server = start(group, USER)
    assert "no control groups of our own; steps are killed process by process; memory is limited by setrlimit" in \
        server.server_log()
    assert "cpu is not limited" in server.server_log() and "systemd-run --user --scope -p Delegate=yes" in \
        server.server_log()
    _, push = server.push("jobs", {".pelton.yml": JOBS})
    wait_log(server, push.build, "began")
    greedy, bomb = (wait_job(server, push.build, name, "failed") for name in ("greedy", "bomb"))
    assert (greedy["reason"], bomb["reason"]) == ("exit", "exit") and "fork" in server.log(push.build).lower()
    cancel(server, push.build)  # of the job that asked for few processes: those of others of the user do not count
    assert group.of_pelton() == []


def test_a_service_with_a_part_of_the_controllers_uses_these(start, make_group):
    """As systemd gives them to a service without Delegate=: accounting needs no cpu."""
    group = make_group("plain.slice/pelton.service", controllers=("memory", "pids"))
    server = start(group)
    assert "not all control groups are ours to use; cpu is not limited" in server.server_log()
    _, push = server.push("jobs", {".pelton.yml": JOBS})
    wait_log(server, push.build, "began")
    slot = group.slot(**{"memory.max": "67108864", "pids.max": "20"})
    assert slot and not (slot / "cpu.max").exists()
    assert wait_job(server, push.build, "greedy", "failed")["reason"] == "oom"
    cancel(server, push.build)


def test_a_pelton_in_a_step_does_not_keep_the_next_step_out(start, make_group):
    group = make_group(SERVICE)
    server = start(group)
    _, push = server.push("nested", {"Makefile": "all:\n\techo made inside\n", ".pelton.yml": f"""jobs:
  outer:
    runs-on: {{executor: shell}}
    steps: ["rm .pelton.yml; {BINARY} run", "echo after"]
"""})
    server.wait_build(push.build, "success")
    assert "made inside" in server.log(push.build) and "after" in server.log(push.build)
    server.stop()
    nothing_left(group)


def test_a_run_by_hand_says_what_was_too_much_and_leaves_nothing(folder):
    """In the root group, which may have processes and give controllers too."""
    (folder / ".pelton.yml").write_text(JOBS)
    done = subprocess.run([BINARY, "run", "greedy"], cwd=folder, env={"PATH": os.environ["PATH"], "HOME": str(folder)},
                          capture_output=True, text=True, timeout=60 * SLOWER, check=False)
    assert done.returncode == 1 and "out of memory: over the limit of 64 MiB" in done.stdout + done.stderr
    assert [path for path in GROUPS.glob("pelton-*")] == []


def test_a_release_has_its_limits_in_a_group_of_its_own_as_long_as_it_is_there(start, make_group):
    group = make_group(SERVICE)
    server = start(group)
    work, push = server.push("page", {"index.html": "one", ".pelton.yml": """jobs:
  page: {steps: ["true"]}
deploy: {start: "busybox httpd -f -p $PORT", job: page, files: [index.html], resources: {memory: 32M}}
"""})
    server.wait_live(work.head())
    releases = list(group.path.glob("pelton-release-*/slot-0"))
    assert [(path / "memory.max").read_text().strip() for path in releases] == [str(32 << 20)]
    assert procs(releases[0])
