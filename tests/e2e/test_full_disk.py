"""Disks that run full: the server's own and a runner's. What grows is refused with a reason, what runs ends with
one, all else goes on, and nobody has to do anything once there is room again."""

import os
import signal
from pathlib import Path

import pytest

from lib import processes
from lib.fake_runner import FakeRunner, Later
from lib.machine import small_disk
from lib.server import Pelton
from lib.wait import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")

MIB = 1 << 20
SIZE = 48 * MIB  # of the disk; a tenth of it is kept free
JOB = {".pelton.yml": "jobs:\n  test:\n    checkout: false\n    steps: [echo hi]\n"}
LOUD = """jobs:
  loud:
    checkout: false
    steps:
      - head -c 100000000 /dev/zero | tr '\\0' 'x' | fold -w 99
      - run: echo cleaning up
        if: always()
"""


class Ballast:
    """Takes the room of a disk, and gives it back."""

    def __init__(self, folder):
        self.folder, self.path = Path(folder), Path(folder) / "ballast"

    def free(self):
        disk = os.statvfs(self.folder)
        return disk.f_bavail * disk.f_frsize

    def leave(self, room):
        with open(self.path, "ab") as file:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size + max(self.free() - room, 1))

    def drop(self):
        self.path.unlink()


@pytest.fixture
def full(tmp_path):
    """(server, ballast): the server's state is on a small disk. Its clients' files are not."""
    with small_disk(tmp_path / "disk", SIZE):
        server = Pelton(tmp_path / "pelton", "--runners", "0", "--lease", "30s")
        server.state = tmp_path / "disk" / "state"
        server.flags += ["--allow-executor", "shell"]
        try:
            yield server, Ballast(tmp_path / "disk")
        finally:
            try:
                server.close()
            finally:
                processes.kill_all(tmp_path / "disk")


def fill_database(server):
    """The write-ahead log has room of its own for a while."""
    for i in range(5000):
        if server.api("POST", "/api/tokens", {"name": f"{i:090d}", "role": "read"}, expect=None).status == 507:
            return
    raise AssertionError("the database never runs out of room")


def start(full, *flags):
    server, ballast = full
    return server.start(*flags), ballast


def refused(reply):
    """Whether it says what is the matter, and where."""
    return reply.status == 507 and "the server's disk is nearly full" in reply.text and "MiB free in" in reply.text


def test_what_grows_is_refused_and_taken_again_when_there_is_room(full):
    server, ballast = start(full)
    work, push = server.push("hello", JOB)
    runner = FakeRunner(server)
    job = runner.take()
    ballast.leave(2 * MIB)
    assert refused(server.api("POST", "/api/repos/hello/builds", {}, expect=None))
    assert refused(server.api("POST", "/api/repos", {"name": "other"}, expect=None))
    assert refused(runner.log(job, b"x" * 1000, expect=None))
    assert refused(runner.put(job, "a", b"x", expect=None))
    work.commit({"b": "b"})
    failed = work.push(check=False)
    assert failed.status != 0 and "the server's disk is nearly full" in failed.text
    health = server.as_token(None).get("/health")
    assert health["status"] == "degraded" and "the server's disk is nearly full" in health["problems"][0]
    ballast.drop()
    assert server.as_token(None).get("/healthz")["status"] == "ok"
    runner.put(job, "a", b"x")
    runner.finish(job, b"done\n")
    server.wait_build(push.build, "success")
    assert work.push().build


def test_what_reads_or_ends_goes_on_while_the_disk_is_full(full):
    server, ballast = start(full)
    number = server.push("hello", JOB)[1].build
    other = server.client.post("/api/repos/hello/builds", {}, expect=202)["id"]
    runner = FakeRunner(server)
    jobs = runner.lease()["jobs"]
    runner.log(jobs[0], b"half")
    ballast.leave(2 * MIB)
    runner.heartbeat()
    runner.report(jobs[0], "success", log_size=4)
    assert server.build(number)["status"] == "success" and server.log(number) == "half"
    server.api("POST", f"/api/builds/{other}/cancel")
    runner.report(jobs[1], "cancelled", log_size=0)
    assert server.build(other)["status"] == "cancelled"
    made = server.client.post("/api/tokens", {"name": "x", "role": "read"})
    server.api("DELETE", f"/api/tokens/{made['id']}")
    server.restart()
    assert server.build(number)["status"] == "success"


def test_a_push_that_is_larger_than_the_room_is_refused_and_leaves_none_of_it(full):
    server, ballast = start(full)
    work, _ = server.push("hello", JOB)
    work.commit({"big": os.urandom(80 * MIB)})
    before = ballast.free()
    assert "exceeds maximum allowed size" in work.push(check=False).text and work.status != 0
    wait_for("its end", lambda: ballast.free() > before - MIB)
    assert server.as_token(None).get("/health")["status"] == "ok"
    work.git("reset", "-q", "--hard", "HEAD~1")
    work.commit({"small": "x"})
    assert work.push().build


def test_jobs_wait_say_why_and_start_when_there_is_room(full):
    server, ballast = start(full)
    number = server.push("hello", JOB)[1].build
    ballast.leave(2 * MIB)
    runner = FakeRunner(server)
    assert not runner.lease()["jobs"]
    assert "the server's disk is nearly full" in server.build(number)["jobs"][0]["waiting"]
    later = runner.lease_later()
    ballast.drop()
    assert later.result(60)["jobs"][0]["build"] == number


def test_a_runner_that_waits_is_woken_when_there_is_room(full):
    server, ballast = start(full)
    number = server.push("hello", JOB)[1].build
    runner, other = FakeRunner(server), FakeRunner(server, "other", executors=["docker"])
    ballast.leave(2 * MIB)
    # its call ends by itself before the other's could, and nothing is there for it
    clock = Later(lambda: other.lease(wait=9))
    later = Later(lambda: runner.lease(wait=60))
    wait_for("both", lambda: all(one["last_seen"] for one in server.client.get("/api/runners")["runners"]
                                 if one["id"] in (runner.id, other.id)))
    ballast.drop()
    assert [job["build"] for job in later.result()["jobs"]] == [number]
    assert not clock.done, "it has waited for the end of its call"


def test_a_job_whose_log_fills_the_servers_disk_fails_for_that_with_what_was_kept(full, tmp_path):
    """The runner has a disk of its own. Another job, which is quiet, does not notice."""
    server, _ = start(full)
    folder = tmp_path / "elsewhere"
    token = server.client.post("/api/tokens", {"name": "r", "role": "registration"})["token"]
    with second_runner(server, folder, token):
        quiet = {".pelton.yml": f"jobs:\n  quiet:\n    checkout: false\n    runs-on: {{executor: shell}}\n    steps:\n"
                                f"      - while [ ! -e {tmp_path}/stop ]; do sleep 0.1; done; echo fine\n"}
        calm = server.push("quiet", quiet)[1].build
        loud = server.push("loud", {".pelton.yml": LOUD})[1].build
        build = server.wait_build(loud, "failed")
        job = build["jobs"][0]
        assert job["reason"] == "infrastructure" and "the server's disk is nearly full" in job["message"]
        log = server.log(loud)
        assert len(log) == job["log_size"] and len(log) > 5 * MIB
        body = log.partition("\n")[2].replace("\n", "")
        assert set(body) == {"x"}, "the log is what the step wrote, as far as it goes"
        assert job["steps"][0]["log_end"] <= job["log_size"]
        assert job["steps"][1]["status"] == "success", "what cleans up has run"
        (tmp_path / "stop").touch()
        wait_for("its end", lambda: server.build(calm)["status"] != "running")
        assert server.build(calm)["jobs"][0]["reason"] in ("", "infrastructure")  # "fine" itself finds no room
    assert server.as_token(None).get("/health")["status"] == "degraded"


class second_runner:
    """A runner of the program's own at the folder."""

    def __init__(self, server, folder, token, *flags):
        self.server, self.folder, self.token, self.flags = server, folder, token, flags

    def __enter__(self):
        import subprocess
        from lib.server import base_env
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = open(self.folder.parent / f"{self.folder.name}.log", "wb")
        command = [self.server.binary, "runner", "--server", self.server.url, "--dir", self.folder, "--name", "elsewhere",
                   "--allow-shell", *self.flags]
        self.process = subprocess.Popen(command, env={**base_env(self.folder), "PELTON_TOKEN": self.token},
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.log.close()
        processes.kill_all(self.folder)


def test_a_job_that_fills_its_runners_disk_fails_for_that(full, tmp_path):
    server, _ = start(full)
    token = server.client.post("/api/tokens", {"name": "r", "role": "registration"})["token"]
    with small_disk(tmp_path / "elsewhere", 16 * MIB), second_runner(server, tmp_path / "elsewhere" / "runner", token):
        greedy = {".pelton.yml": "jobs:\n  greedy:\n    checkout: false\n    steps: ['head -c 50000000 /dev/zero > big']\n"}
        work, push = server.push("greedy", greedy)
        job = server.wait_build(push.build, "failed")["jobs"][0]
        assert job["reason"] == "infrastructure"
        assert "the disk of runner elsewhere is full" in job["message"] and str(tmp_path / "elsewhere") in job["message"]
        # its workspace is gone: the next one has room
        work.commit(JOB)
        server.wait_build(work.push().build, "success")


CACHED = """
jobs:
  t:
    checkout: false
    cache: {key: big, paths: [big]}
    steps: ['test -e big && echo there || echo not there; %s']
"""


def test_a_cache_that_its_runner_has_no_room_for_is_said_and_not_fetched_for_ever(full, tmp_path):
    server, _ = start(full)
    token = server.client.post("/api/tokens", {"name": "r", "role": "registration"})["token"]
    work = server.work("cached", {".pelton.yml": CACHED % "head -c 20000000 /dev/urandom > big"})
    with second_runner(server, tmp_path / "roomy" / "runner", token):
        server.wait_build(work.push().build, "success")
    work.commit({".pelton.yml": CACHED % ""})
    with small_disk(tmp_path / "elsewhere", 16 * MIB), second_runner(server, tmp_path / "elsewhere" / "runner", token):
        number = work.push().build
        server.wait_build(number, "success")
        assert "cache: big: keep what came: " in server.log(number) and "\nnot there\n" in server.log(number)


def test_a_cache_is_kept_by_a_runner_that_has_no_room_for_it_twice(full, tmp_path):
    server, _ = start(full)
    token = server.client.post("/api/tokens", {"name": "r", "role": "registration"})["token"]
    work = server.work("cached", {".pelton.yml": CACHED % "head -c 20000000 /dev/urandom > big"})
    with small_disk(tmp_path / "elsewhere", 36 * MIB), second_runner(server, tmp_path / "elsewhere" / "runner", token):
        number = work.push().build
        server.wait_build(number, "success")
        assert "cache: big kept, " in server.log(number)
        assert [cache["key"] for cache in server.client.get("/api/repos/cached/caches")["caches"]] == ["big"]


def test_a_runner_without_room_takes_no_job_until_it_has_some(full, tmp_path):
    server, _ = start(full)
    token = server.client.post("/api/tokens", {"name": "r", "role": "registration"})["token"]
    with small_disk(tmp_path / "elsewhere", 32 * MIB):
        ballast = Ballast(tmp_path / "elsewhere")
        ballast.leave(MIB)
        with second_runner(server, tmp_path / "elsewhere" / "runner", token) as runner:
            number = server.push("hello", JOB)[1].build
            log = tmp_path / "elsewhere" / "runner.log"
            wait_for("its complaint", lambda: "is nearly full" in log.read_text())
            wait_for("the reason", lambda: server.build(number)["jobs"][0]["waiting"].endswith(
                "takes no jobs until there is room on its disk"))
            assert server.build(number)["status"] == "queued"
            ballast.drop()
            server.wait_build(number, "success")


def test_a_disk_without_any_room_loses_nothing_that_was_accepted(full):
    """In spite of the reserve: the database itself cannot write."""
    server, ballast = start(full, "--min-free-space", "0")
    number = server.push("hello", JOB)[1].build
    runner = FakeRunner(server)
    job = runner.take()
    runner.log(job, b"all\n")
    ballast.leave(0)
    fill_database(server)
    assert server.api("POST", "/api/repos/hello/builds", {}, expect=None).status == 507
    assert runner.report(job, "success", log_size=4, expect=None).status == 507
    assert server.build(number)["status"] == "running"
    ballast.drop()
    runner.report(job, "success", log_size=4)
    assert server.build(number)["status"] == "success" and server.log(number) == "all\n"
    server.restart()
    assert server.build(number)["status"] == "success"
    assert len(server.client.get("/api/builds")["builds"]) == 1


def test_leases_still_end_after_the_disk_was_full(full):
    """The thread that ends them has met the full disk, and goes on."""
    server, ballast = start(full, "--min-free-space", "0", "--lease", "2s", "--max-attempts", "1")
    number = server.push("hello", JOB)[1].build
    runner = FakeRunner(server)
    runner.take()
    ballast.leave(0)
    fill_database(server)
    wait_for("its complaint", lambda: "end lost leases" in server.server_log())
    ballast.drop()
    build = server.wait_build(number, "failed")
    assert build["jobs"][0]["reason"] == "lost"


def test_a_release_that_has_no_room_fails_and_the_one_before_stays(full):
    server, ballast = start(full, "--runners", "1")
    pipeline = "jobs:\n  site:\n    steps:\n      - truncate -s {size} big\ndeploy:\n" \
               "  start: exec python3 -m http.server --bind 127.0.0.1 $PORT\n  files: [big, index.html]\n"
    work, push = server.push("site", {".pelton.yml": pipeline.format(size=1), "index.html": "here"})
    server.wait_build(push.build, "success")
    work.commit({".pelton.yml": pipeline.format(size=60 * MIB)})  # nothing, in a workspace or an archive
    build = server.wait_build(work.push().build, "failed")
    deploy = next(job for job in build["jobs"] if job["kind"] == "deploy")
    assert deploy["reason"] == "infrastructure" and "disk is nearly full" in deploy["message"]
    assert server.page("site").text == "here"
    wait_for("room", lambda: ballast.free() > 10 * MIB)


def test_a_deploy_waits_for_room_and_what_is_live_does_not_mind(full):
    server, ballast = start(full, "--runners", "1")
    files = {".pelton.yml": "jobs:\n  site:\n    steps: ['true']\ndeploy:\n"
                            "  start: exec python3 -m http.server --bind 127.0.0.1 $PORT\n", "index.html": "here"}
    work, push = server.push("site", files)
    server.wait_live(work.head())
    release = server.api("GET", f"/api/builds/{push.build}/artifacts/.pelton/release.tar.zst").body
    server.restart()
    work.url = server.git_url("site")
    second = work.commit()
    number = work.push().build
    runner = FakeRunner(server)
    job = runner.take()
    runner.put(job, ".pelton/release.tar.zst", release)
    ballast.leave(2 * MIB)
    runner.finish(job)
    waits = next(job for job in server.build(number)["jobs"] if job["kind"] == "deploy")
    assert waits["status"] == "queued" and "the server's disk is nearly full" in waits["waiting"]
    assert server.page("site").status == 200
    ballast.drop()
    server.wait_live(second)
