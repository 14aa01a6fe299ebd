"""The server is out of reach for as long as it takes: jobs go on, keep their logs and results on disk, and bring
them when it is back. A job that has no more room for its log waits; nothing is lost."""

import hashlib
import os
import subprocess
import time
from pathlib import Path

import pytest

from lib import processes
from lib.machine import small_disk
from lib.server import base_env
from lib.wait import wait_for
from lib.writes import WRITES

MIB = 1 << 20
LINES = 400_000  # some 20 MiB: far more than a job process keeps in memory


class Elsewhere:
    """A runner of its own, which finds the server by its file. It ends with the test."""

    def __init__(self, server, folder, *flags):
        self.server, self.folder = server, folder
        folder.mkdir(parents=True, exist_ok=True)
        token = server.client.post("/api/tokens", {"name": "r", "role": "registration"})["token"]
        with open(folder.parent / "runner.log", "wb") as log:
            self.process = subprocess.Popen(
                [server.binary, "runner", "--server", server.url, "--server-file",
                 os.path.relpath(server.state / "server.json", folder.parent), "--dir", folder.name, "--name", "elsewhere",
                 "--allow-shell", *flags], env={**base_env(folder), "PELTON_TOKEN": token}, cwd=folder.parent,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)
        processes.kill_all(self.folder)


@pytest.fixture
def server(start_pelton):
    return start_pelton("--runners", "0", "--allow-executor", "shell", "--lease", "3s")


def begin(server, tmp_path, lines=LINES):
    """The build's number; its job has begun, and waits for the file `go`."""
    number = server.push("writes", {".pelton.yml": WRITES.format(folder=tmp_path, lines=lines)})[1].build
    wait_for("its begin", (tmp_path / "begun").exists)
    return number


def written(server, number, tmp_path):
    """The step's part of the log is what it wrote, to the last byte."""
    build = server.wait_build(number, "success", timeout=120)
    step = build["jobs"][0]["steps"][1]
    log = server.log(number).encode()[step["log_start"]:step["log_end"]]
    assert hashlib.sha256(log).digest() == hashlib.sha256((tmp_path / "written").read_bytes()).digest()
    assert build["jobs"][0]["attempt"] == 1
    return build


def job_is_over(folder):
    """The final report is kept behind the job's specification."""
    return any(path.read_bytes().count(b"\n") > 2 for path in (folder / "jobs").glob("slot-*.job"))


def test_a_job_that_ends_while_the_server_is_away_brings_all_of_it_later(server, tmp_path):
    with Elsewhere(server, tmp_path / "runner"):
        number = begin(server, tmp_path)
        server.kill()
        (tmp_path / "go").touch()
        wait_for("its end", (tmp_path / "through").exists, timeout=60)
        wait_for("its result on disk", lambda: job_is_over(tmp_path / "runner"))
        deadline = time.monotonic() + 4  # longer than the lease
        wait_for("the lease's end", lambda: time.monotonic() > deadline)
        server.start()
        written(server, number, tmp_path)


def test_the_server_may_go_away_again_and_again_in_between(server, tmp_path):
    with Elsewhere(server, tmp_path / "runner"):
        number = begin(server, tmp_path, 4 * LINES)
        (tmp_path / "go").touch()
        for _ in range(4):
            size = server.build(number)["jobs"][0]["log_size"]
            wait_for("more of its log", lambda before=size: server.build(number)["status"] != "running" or
                     server.build(number)["jobs"][0]["log_size"] > before)
            server.kill()
            server.start()
        written(server, number, tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")
def test_a_job_without_room_for_its_log_waits_for_the_server(server, tmp_path):
    """On a disk of 40 MiB, of which a tenth is kept free, the 80 MiB of its log have no room."""
    with small_disk(tmp_path / "disk", 40 * MIB), Elsewhere(server, tmp_path / "disk" / "runner"):
        number = begin(server, tmp_path, 4 * LINES)
        server.kill()
        (tmp_path / "go").touch()
        wait_for("the disk is nearly full", lambda: free(tmp_path / "disk") < 4 * MIB, timeout=60)
        before = (tmp_path / "written").stat().st_size
        deadline = time.monotonic() + 1
        wait_for("a while", lambda: time.monotonic() > deadline)
        assert not (tmp_path / "through").exists() and (tmp_path / "written").stat().st_size - before < 2 * MIB
        assert free(tmp_path / "disk") > MIB, "others on that disk have room left"
        server.start()
        written(server, number, tmp_path)


def test_no_more_of_a_log_waits_on_the_runners_disk_than_it_is_told(server, tmp_path):
    with Elsewhere(server, tmp_path / "runner", "--log-spool", "4M"):
        number = begin(server, tmp_path)
        server.kill()
        (tmp_path / "go").touch()

        def spooled():
            return sum(path.stat().st_blocks * 512 for path in (tmp_path / "runner" / "jobs").glob("slot-*.log"))

        wait_for("the spool to be full", lambda: spooled() >= 4 * MIB)
        deadline = time.monotonic() + 1
        wait_for("a while", lambda: time.monotonic() > deadline)
        assert not (tmp_path / "through").exists() and spooled() < 6 * MIB
        server.start()
        written(server, number, tmp_path)


def test_a_result_is_brought_by_the_next_runner_when_its_process_is_killed(server, tmp_path):
    with Elsewhere(server, tmp_path / "runner"):
        number = begin(server, tmp_path)
        server.kill()
        (tmp_path / "go").touch()
        wait_for("its result on disk", lambda: job_is_over(tmp_path / "runner"), timeout=60)
    assert not processes.processes_of(tmp_path / "runner")
    server.start()
    with Elsewhere(server, tmp_path / "runner"):
        written(server, number, tmp_path)


def test_a_result_whose_log_is_not_whole_is_thrown_away_and_the_job_runs_again(server, tmp_path):
    """As a power loss of the runner's machine may leave it."""
    with Elsewhere(server, tmp_path / "runner"):
        number = begin(server, tmp_path)
        server.kill()
        (tmp_path / "go").touch()
        wait_for("its result on disk", lambda: job_is_over(tmp_path / "runner"), timeout=60)
    spool = next((tmp_path / "runner" / "jobs").glob("slot-*.log"))
    os.truncate(spool, spool.stat().st_size - 1000)
    server.start()
    with Elsewhere(server, tmp_path / "runner"):
        build = server.wait_build(number, "success", timeout=120)
    assert build["jobs"][0]["attempt"] == 2
    assert server.log(number).encode().endswith(Path(tmp_path / "written").read_bytes()[-1000:])


def free(folder):
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
