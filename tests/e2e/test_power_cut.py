"""The power fails: what was answered is there when it is back. The state is on a disk of its own; the copy of that
disk, taken while the server is stopped right behind an answer, is what a power loss would have left: what the kernel
had not written to it by then is not in it."""

import hashlib
import os
import shutil
import signal
import subprocess

import pytest

from lib import processes
from lib.fake_runner import FakeRunner
from lib.machine import Disk
from lib.server import Pelton
from lib.wait import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists("/dev/loop-control") or
                                not shutil.which("mkfs.ext4"), reason="needs root, loop devices and mkfs.ext4")

JOB = {".pelton.yml": "jobs:\n  test:\n    checkout: false\n    steps: [echo hi]\n"}
LIVE = {".pelton.yml": """jobs:
  site:
    steps: ['true']
deploy:
  start: exec python3 -m http.server --bind 127.0.0.1 $PORT
""", "index.html": "still here"}


class Machine:
    """A server whose disk can lose its power."""

    def __init__(self, folder):
        self.disk = Disk(folder / "disk")
        self.server = Pelton(folder / "pelton", "--runners", "0", "--lease", "60s")
        self.server.state = self.disk.folder / "state"

    def start(self, *flags):
        return self.server.start(*flags)

    def power_cut(self, *flags):
        """Right now; and starts the server again."""
        os.kill(self.server.pid, signal.SIGSTOP)
        self.disk.cut()
        self.server.kill()
        processes.kill_all(self.disk.folder)
        self.disk.restore()
        (self.server.state / "blobs" / "boot").unlink(missing_ok=True)  # as another start of the machine finds it
        self.server.start(*flags)

    def close(self):
        try:
            self.server.close()
        finally:
            processes.kill_all(self.disk.folder)
            self.disk.close()


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path)
    yield machine
    machine.close()


@pytest.fixture
def server(machine):
    return machine.start()


def test_a_build_that_was_accepted_is_there(machine, server):
    server.push("hello", JOB)
    number = server.client.post("/api/repos/hello/builds", {}, expect=202)["id"]
    machine.power_cut()
    assert server.build(number)["status"] == "queued"


def test_without_waiting_for_the_disk_it_would_be_lost(machine):
    """So the cut is one: the test before can fail."""
    server = machine.start("--database-sync", "normal")
    server.push("hello", JOB)
    number = server.client.post("/api/repos/hello/builds", {}, expect=202)["id"]
    machine.power_cut()
    server.api("GET", f"/api/builds/{number}", expect=404)


def test_a_push_that_was_answered_is_in_the_repository_and_built(machine, server):
    work, first = server.push("hello", {**JOB, "a/b/c.txt": "x" * 100000})
    head = work.commit({"d.txt": "y"})
    second = work.push("main:refs/heads/deep/er/branch")
    machine.power_cut()
    assert work.git("ls-remote", server.git_url("hello"), "refs/heads/deep/er/branch").split()[0] == head
    assert server.build(first.build)["status"] == server.build(second.build)["status"] == "queued"
    again = work.path.parent / "again"
    subprocess.run(["git", "clone", "-q", "-b", "deep/er/branch", server.git_url("hello"), again], check=True)
    subprocess.run(["git", "-C", again, "fsck", "--full", "--strict"], check=True)
    assert (again / "d.txt").read_text() == "y"
    assert len(server.client.get("/api/builds")["builds"]) == 2


def test_a_cancel_that_was_answered_is_not_undone(machine, server):
    number = server.push("hello", JOB)[1].build
    server.api("POST", f"/api/builds/{number}/cancel")
    machine.power_cut()
    assert server.build(number)["status"] == "cancelled"


def test_a_token_and_a_repository_that_were_made_are_there(machine, server):
    token = server.client.post("/api/tokens", {"name": "me", "role": "user"})["token"]
    server.create_repo("hello")
    machine.power_cut()
    assert server.as_token(token).get("/api/repos")
    work = server.folder / "work"
    subprocess.run(["git", "clone", "-q", server.git_url("hello"), work], check=True)


def test_a_token_that_was_revoked_stays_so(machine, server):
    made = server.client.post("/api/tokens", {"name": "me", "role": "user"})
    machine.power_cut()
    server.api("DELETE", f"/api/tokens/{made['id']}")
    machine.power_cut()
    server.as_token(made["token"]).call("GET", "/api/repos", expect=401)


def test_a_lease_that_was_given_is_not_given_again(machine, server):
    runner = FakeRunner(server)
    number = server.push("hello", JOB)[1].build
    job = runner.take()
    machine.power_cut()
    runner.moved()
    other = FakeRunner(server, "other")
    assert not other.lease()["jobs"]
    runner.finish(job, b"hi\n")
    assert server.wait_build(number, "success")["jobs"][0]["attempt"] == job["attempt"]


def test_a_lease_that_was_waited_for_is_not_given_again_either(machine, server):
    runner = FakeRunner(server)
    number = server.push("hello", JOB)[1].build
    runner.finish(runner.take(), b"hi\n")
    for _ in range(5):
        call = runner.lease_later()
        assert not call.done
        number = server.client.post("/api/repos/hello/builds", {}, expect=202)["id"]
        job = call.result()["jobs"][0]
        machine.power_cut()
        runner.moved()
        assert server.build(number)["status"] == "running", server.build(number)
        runner.finish(job, b"hi\n")


@pytest.mark.parametrize("size", [1, 3000, 5_000_000])
def test_a_result_that_was_taken_is_kept_with_all_of_its_log(machine, server, size):
    runner = FakeRunner(server)
    number = server.push("hello", JOB)[1].build
    log = (b"a line of the log\n" * (size // 18 + 1))[:size]
    runner.finish(runner.take(), log)
    machine.power_cut()
    assert server.build(number)["status"] == "success"
    assert server.log(number).encode() == log


@pytest.mark.parametrize("size", [3000, 5_000_000])
def test_the_log_of_an_attempt_that_was_lost_is_kept_too(machine, server, size):
    runner = FakeRunner(server)
    number = server.push("hello", JOB)[1].build
    log = (b"a line of the log\n" * (size // 18 + 1))[:size]
    runner.log(runner.take(), log)
    again = wait_for("another attempt", lambda: runner.lease(running=[])["jobs"])[0]
    assert again["attempt"] == 2
    machine.power_cut()
    first = server.api("GET", f"/api/builds/{number}/logs?attempt=1&offset=0", headers={"Accept": "text/plain"})
    assert first.body == log


def test_an_artifact_that_was_taken_is_kept_to_its_last_byte(machine, server):
    runner = FakeRunner(server)
    number = server.push("hello", JOB)[1].build
    job = runner.take()
    contents = {"a.bin": os.urandom(3_000_000), "deep/er/b.txt": b"b", "same.txt": b"b"}
    for path, data in contents.items():
        runner.put(job, path, data)
    machine.power_cut()
    for path, data in contents.items():
        got = server.api("GET", f"/api/builds/{number}/artifacts/{path}")
        assert hashlib.sha256(got.body).digest() == hashlib.sha256(data).digest()


def test_whatever_is_cut_while_artifacts_go_each_row_has_its_file(machine, server):
    runner = FakeRunner(server)
    number = server.push("hello", JOB)[1].build
    for turn in range(6):
        job = runner.take()
        for i in range(30):
            runner.put(job, f"deep/{i}", b"the same in every build, %d" % i, name="x", keep=1 if (turn + i) % 3 else -1)
        runner.finish(job)
        machine.power_cut()
        runner.moved()
        for build in range(1, number + 1):
            for row in server.client.get(f"/api/builds/{build}/artifacts")["artifacts"]:
                path = f"/api/builds/{build}/artifacts/{row['path']}"
                got = server.api("GET", path, expect=(200, 410))
                gone = row["path"] not in [r["path"] for r in server.client.get(f"/api/builds/{build}/artifacts")["artifacts"]]
                assert got.status == 200 and hashlib.sha256(got.body).hexdigest() == row["sha256"] or gone and row["expires_at"]
        number = server.client.post("/api/repos/hello/builds", {}, expect=202)["id"]


def test_what_is_live_comes_back(machine):
    server = machine.start("--runners", "1")
    work, _ = server.push("site", LIVE)
    server.wait_live(work.head())
    machine.power_cut("--runners", "1")
    assert server.wait_live(work.head())["status"] == "live"
    server.wait_page("site", lambda page: page.status == 200 and "still here" in page.text)


def test_power_cuts_at_any_time_lose_no_build_that_was_accepted(machine, server):
    """Many commits, checkpoints and new rounds of the write-ahead log are between the cuts."""
    server.push("hello", JOB)
    known = {}
    runner = FakeRunner(server, slots=1000)
    for cut in range(4):
        for _ in range(60):
            number = server.client.post("/api/repos/hello/builds", {}, expect=202)["id"]
            known[number] = "queued"
            if number % 3 == 0:
                server.api("POST", f"/api/builds/{number}/cancel")
                known[number] = "cancelled"
        for job in runner.lease()["jobs"][:40]:
            runner.finish(job, b"done\n" * 2000)
            known[job["build"]] = "success"
        machine.power_cut()
        runner.moved()
        for number, status in known.items():
            found = server.build(number)["status"]
            assert found == status or (status == "queued" and found == "running"), (cut, number, found)
