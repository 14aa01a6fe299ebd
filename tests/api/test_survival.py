"""The server and its runner die at any time, and nothing of a build is lost."""

import contextlib
import http.client
import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from lib import processes
from lib.fake_runner import Later
from lib.server import base_env
from lib.wait import wait_for

SHELL = """
jobs:
  long:
    runs-on: {{executor: shell}}
    checkout: false
    steps:
      - |
        i=0
        while [ ! -e {stop} ]; do i=$((i+1)); echo "line $i"; {pause}; done
        echo "the end after $i"
"""


def long_job(folder, pause="sleep 0.02"):
    """A pipeline whose job writes lines until the file `stop` is there."""
    stop = folder / "stop"
    return {".pelton.yml": SHELL.format(stop=stop, pause=pause)}, stop


def assert_no_hole(text):
    lines = text.splitlines()
    numbers = [int(line.split()[1]) for line in lines if line.startswith("line ")]
    assert numbers == list(range(1, len(numbers) + 1)), f"{len(numbers)} lines; the first wrong one is " + next(
        f"{n} at {i}" for i, n in enumerate(numbers, 1) if n != i)
    assert f"the end after {len(numbers)}" in lines
    return len(numbers)


def log_size(server, number):
    return server.build(number)["jobs"][0]["log_size"]


def runner_of(server):
    return server.process_of("pelton runner")


@pytest.fixture
def real(start_pelton):
    return start_pelton("--allow-executor", "shell")


def test_a_killed_servers_build_goes_on_to_its_end(real, tmp_path):
    files, stop = long_job(tmp_path)
    number = real.push("long", files)[1].build
    for _ in range(3):
        size = wait_for("lines", lambda: log_size(real, number)) or 0
        real.kill()
        real.start()
        wait_for("more lines", lambda: log_size(real, number) > size, timeout=60)
    stop.touch()
    build = real.wait_build(number, "success")
    assert build["jobs"][0]["attempt"] == 1
    assert assert_no_hole(real.log(number)) > 3


TIMED = {
    "job": "    timeout: 6s\n    steps:\n      - touch {begun}; sleep 1000\n",
    "step": "    steps:\n      - {{run: 'touch {begun}; sleep 1000', timeout: 6s}}\n",
}


@pytest.mark.parametrize("killed", ["server", "runner"])
@pytest.mark.parametrize("whose", TIMED)
def test_the_time_of_a_job_or_step_is_over_although_server_or_runner_was_killed_in_it(real, tmp_path, whose, killed):
    begun = tmp_path / "begun"
    number = real.push("timed", {".pelton.yml": "jobs:\n  t:\n    runs-on: {executor: shell}\n    checkout: false\n"
                                                + TIMED[whose].format(begun=begun)})[1].build
    wait_for("its begin", begun.exists)
    if killed == "server":
        real.kill()
        real.start()
    else:
        os.kill(runner_of(real), signal.SIGKILL)
    job = real.wait_build(number, "failed")["jobs"][0]
    assert (job["reason"], job["attempt"]) == ("timeout", 1)


def test_what_a_power_loss_left_of_a_running_jobs_log_as_zeros_is_asked_for_again(real, tmp_path):
    """A file system may have kept a log's size and not its bytes."""
    files, stop = long_job(tmp_path)
    number = real.push("long", files)[1].build
    wait_for("lines", lambda: log_size(real, number) > 200)
    real.kill()
    log = real.state / "blobs" / "logs" / "0" / "1-1.log"
    with open(log, "r+b") as file:
        file.seek(100)
        file.write(bytes(log.stat().st_size - 100))
    (real.state / "blobs" / "boot").unlink()  # the machine has started anew
    real.start()
    stop.touch()
    assert real.wait_build(number, "success")["jobs"][0]["attempt"] == 1
    assert "\0" not in real.log(number) and assert_no_hole(real.log(number)) > 3


def test_a_server_that_cannot_note_that_it_mended_the_logs_starts_and_says_so(start_pelton):
    server = start_pelton("--runners", "0")
    server.kill()
    boot = server.state / "blobs" / "boot"
    boot.unlink()
    boot.mkdir()  # as good as a full disk
    server.start()
    assert server.client.get("/health")["status"] == "ok" and "mend the logs of running jobs" in server.server_log()


def test_a_server_that_stops_in_order_leaves_its_jobs_running(real, tmp_path):
    files, stop = long_job(tmp_path)
    number = real.push("long", files)[1].build
    size = wait_for("lines", lambda: log_size(real, number))
    real.stop()
    stop.touch()
    real.start()
    build = real.wait_build(number, "success")
    assert build["jobs"][0]["attempt"] == 1
    assert_no_hole(real.log(number))
    assert log_size(real, number) >= size


def test_a_job_that_ends_while_the_server_is_away_is_told_afterwards(real, tmp_path):
    files, stop = long_job(tmp_path, pause="sleep 0.01")
    number = real.push("long", files)[1].build
    wait_for("lines", lambda: log_size(real, number))
    real.kill()
    job = real.process_of("pelton job")
    stop.touch()
    shell = [pid for pid, command in real.processes().items() if "the end after" in command]
    assert all(processes.wait_end(pid) for pid in shell) and processes.alive(job)
    real.start()
    real.wait_build(number, "success")
    assert_no_hole(real.log(number))


def test_each_process_says_in_ps_what_it_is(real, tmp_path):
    files, stop = long_job(tmp_path)
    number = real.push("long", files)[1].build
    wait_for("lines", lambda: log_size(real, number))
    job, folder = real.build(number)["jobs"][0]["id"], f"{real.state}/runner"
    said = processes.command_of(real.process_of("pelton job"))
    assert said == f"pelton job {job} --dir {folder}"
    assert "pelton runner --server " in processes.command_of(real.process_of("pelton runner"))
    assert "pelton server --state " in processes.command_of(real.process_of("pelton server"))
    stop.touch()
    real.wait_build(number, "success")


def test_a_killed_runners_job_is_taken_over_by_the_next(real, tmp_path):
    files, stop = long_job(tmp_path)
    number = real.push("long", files)[1].build
    size = wait_for("lines", lambda: log_size(real, number))
    old = runner_of(real)
    os.kill(old, signal.SIGKILL)
    assert processes.wait_end(old)
    wait_for("another runner", lambda: runner_of(real) != old)
    wait_for("more lines", lambda: log_size(real, number) > size)
    stop.touch()
    build = real.wait_build(number, "success")
    assert build["jobs"][0]["attempt"] == 1
    assert_no_hole(real.log(number))


def test_server_and_runner_killed_together_lose_nothing(real, tmp_path):
    files, stop = long_job(tmp_path)
    number = real.push("long", files)[1].build
    wait_for("lines", lambda: log_size(real, number))
    runner = runner_of(real)
    real.kill()
    os.kill(runner, signal.SIGKILL)
    assert processes.wait_end(runner)
    real.start()
    stop.touch()
    assert real.wait_build(number, "success")["jobs"][0]["attempt"] == 1
    assert_no_hole(real.log(number))


def test_a_killed_job_process_is_a_lost_attempt_and_leaves_nothing_behind(start_pelton, tmp_path):
    real = start_pelton("--allow-executor", "shell")
    files, stop = long_job(tmp_path)
    number = real.push("long", files)[1].build
    wait_for("lines", lambda: log_size(real, number))
    wait_for("its step", lambda: real.build(number)["jobs"][0]["steps"])
    first = {pid for pid, command in real.processes().items() if "the end after" in command or command == "sleep 0.02"}
    job = real.process_of("pelton job")
    os.kill(job, signal.SIGKILL)
    wait_for("second attempt", lambda: real.build(number)["jobs"][0]["attempt"] == 2, timeout=60)
    lost = real.client.get(f"/api/builds/{number}/attempts")["attempts"][0]
    assert (lost["status"], lost["reason"], lost["message"]) == ("failed", "lost", "its job process was killed by SIGKILL"), lost
    assert [step["status"] for step in lost["steps"]] == ["failed"] and lost["steps"][0]["finished_at"]
    wait_for("end of the first one's steps", lambda: not any(processes.alive(pid) for pid in first))
    stop.touch()
    real.wait_build(number, "success")
    assert_no_hole(real.log(number))


def test_a_job_whose_process_was_killed_after_a_cancel_is_cancelled_and_no_step_of_it_runs(start_pelton, tmp_path):
    real = start_pelton("--allow-executor", "shell", "--cancel-grace", "10m")
    number = real.push("deaf", {".pelton.yml": "jobs: {a: {runs-on: {executor: shell}, checkout: false, steps: "
                                               "[\"trap : TERM; echo on; while :; do sleep 0.02 || :; done\"]}}\n"})[1].build
    wait_for("its step", lambda: "\non\n" in real.log(number) and real.build(number)["jobs"][0]["steps"])
    real.api("POST", f"/api/builds/{number}/cancel", expect=200)
    os.kill(real.process_of("pelton job"), signal.SIGKILL)
    job = real.wait_build(number, "cancelled")["jobs"][0]
    assert job["message"] == "it was to stop when its job process was killed by SIGKILL"
    assert [step["status"] for step in job["steps"]] == ["cancelled"] and job["steps"][0]["finished_at"]


def lease_of(server):
    """Until when the one running job is leased, in seconds since 1970."""
    with contextlib.closing(sqlite3.connect(f"file:{server.state}/pelton.db?mode=ro", uri=True)) as database:
        return database.execute("SELECT lease_until FROM job WHERE state = 'running'").fetchone()[0] / 1e6


def test_a_server_that_was_stopped_until_after_the_leases_end_loses_none(start_pelton, tmp_path):
    real = start_pelton("--allow-executor", "shell", "--lease", "3s")
    stop = tmp_path / "stop"
    quiet = f"while [ ! -e {stop} ]; do sleep 0.05; done"
    number = real.push("long", {".pelton.yml": "jobs:\n  quiet:\n    runs-on: {executor: shell}\n    checkout: false\n"
                                f"    steps: ['{quiet}']\n"})[1].build
    wait_for("its step", lambda: [c for c in real.processes().values() if quiet in c])
    real.process.send_signal(signal.SIGSTOP)
    wait_for("end of the lease", lambda: time.time() > lease_of(real) + 0.2)
    real.process.send_signal(signal.SIGCONT)
    wait_for("a new lease", lambda: lease_of(real) > time.time() + 1)
    stop.touch()
    assert real.wait_build(number, "success")["jobs"][0]["attempt"] == 1


def test_a_cancel_during_a_restart_still_stops_the_job(real, tmp_path):
    files, stop = long_job(tmp_path)
    number = real.push("long", files)[1].build
    wait_for("lines", lambda: log_size(real, number))
    real.api("POST", f"/api/builds/{number}/cancel")
    real.kill()
    real.start()
    real.wait_build(number, "cancelled")
    wait_for("end of its processes", lambda: not [c for c in real.processes().values() if "the end after" in c])


def test_a_queued_build_waits_for_the_next_server(start_pelton):
    server = start_pelton("--runners", "0")
    number = server.push("one", {".pelton.yml": "jobs: {a: {checkout: false, steps: [echo hi]}}\n"})[1].build
    server.kill()
    server.flags = []
    server.start()
    server.wait_build(number, "success")
    assert "hi" in server.log(number)


def test_a_push_while_the_server_is_down_is_built_at_its_start(start_pelton):
    server = start_pelton("--runners", "0")
    work, first = server.push("one", {"Makefile": "all:\n"})
    bare = str(server.state / "repos" / "one.git")
    server.kill()
    head = work.commit({"x": "y"}, "while it was away")
    work.url = bare
    push = work.push("main", "HEAD:refs/heads/other")
    assert "THE PUSH IS STORED, BUT NOT BUILT YET (2 refs)" in push.text and "NO BUILD" not in push.text  # told once
    work.git("tag", "v1")
    work.push("v1")
    server.start()

    def builds():
        found = server.client.get("/api/builds?repo=one")["builds"]
        return found if len(found) >= 4 else None

    found = wait_for(lambda: f"builds: {server.client.get('/api/builds')}", builds)
    assert len(found) == 4
    assert {b["commit_hash"] for b in found if b["id"] != first.build} == {head}
    assert {b["branch"] for b in found} == {"main", "other", "refs/tags/v1"}
    server.restart()
    work.commit({"x": "z"})
    work.url = server.git_url("one")
    work.push()
    assert server.client.get("/api/builds?repo=one")["total"] == 5


def test_a_push_that_the_server_refuses_to_hear_of_is_told_so_and_found_by_comparing(start_pelton):
    server = start_pelton("--runners", "0", "--compare-refs", "1s")
    work, first = server.push("one", {"Makefile": "all:\n"})
    (server.state / "hook.token").write_text("plt_" + "x" * 40 + "\n")
    head = work.commit({"x": "y"})
    work.url = str(server.state / "repos" / "one.git")
    push = work.push()
    assert "answers 401" in push.text and "NOT BUILT YET (1 ref)" in push.text
    assert "is back" not in push.text and "--compare-refs" in push.text and "hook.token" in push.text

    def found():
        return server.client.get("/api/builds?repo=one")["total"] == 2

    wait_for("the build", found)
    assert server.client.get("/api/builds?repo=one&limit=1")["builds"][0]["commit_hash"] == head
    server.restart()
    work.commit({"x": "z"})
    assert "NOT BUILT" not in work.push().text


def test_a_push_to_the_bare_repositorys_path_is_built(start_pelton):
    server = start_pelton("--runners", "0")
    work = server.work("one", {"Makefile": "all:\n"})
    work.url = str(server.state / "repos" / "one.git")
    push = work.push()
    assert server.build(push.build)["commit_hash"] == work.head()


def test_a_branch_deleted_while_the_server_is_down_is_no_build(start_pelton):
    server = start_pelton("--runners", "0")
    work, _ = server.push("one", {"Makefile": "all:\n"})
    work.push("HEAD:refs/heads/gone")
    server.kill()
    work.url = str(server.state / "repos" / "one.git")
    work.push(":refs/heads/gone", check=False)
    server.start()
    work.url = server.git_url("one")
    work.commit({"x": "y"})
    work.push()
    assert server.client.get("/api/builds?repo=one")["total"] == 3
    # the same branch pushed again is a new state of it
    push = work.push("HEAD~1:refs/heads/gone")
    assert push.builds and server.client.get("/api/builds?repo=one")["total"] == 4


def test_a_server_killed_under_load_starts_with_all_that_it_had_acknowledged(start_pelton):
    server = start_pelton("--runners", "0")
    name = server.push("one", {"Makefile": "all:\n"})[0].path.name
    for _ in range(3):
        acknowledged = []

        def start_builds():
            try:
                while True:
                    acknowledged.append(server.client.post(f"/api/repos/{name}/builds", {}, timeout=10)["id"])
            except (OSError, http.client.HTTPException):  # it was killed
                return

        calls = [Later(start_builds) for _ in range(4)]
        wait_for("builds", lambda: len(acknowledged) >= 20)
        server.kill()
        for call in calls:
            call.result(60)
        server.start()
        have = server.client.get("/api/builds?limit=1")["total"]
        assert have >= len(acknowledged)
        for number in acknowledged:
            assert server.build(number)["id"] == number
    assert len(acknowledged) == len(set(acknowledged))


def test_a_second_server_of_a_state_directory_is_refused(start_pelton):
    server = start_pelton("--runners", "0")
    done = subprocess.run([server.binary, "server", "--state", server.state, "--listen", "127.0.0.1:0"],
                          capture_output=True, text=True, env=base_env(server.folder), timeout=60, check=False)
    assert done.returncode != 0 and "another server" in done.stderr
    assert server.client.get("/health")["status"] == "ok"


def test_a_real_line_of_many_megabytes_goes_through_a_job(real):
    size = 200_000_000
    files = {".pelton.yml": "jobs:\n  big:\n    runs-on: {executor: shell}\n    checkout: false\n    steps:\n"
                            f"      - head -c {size} /dev/zero | tr '\\0' x\n"}
    number = real.push("big", files)[1].build
    real.wait_build(number, "success", timeout=120)
    assert log_size(real, number) >= size
    with real.client.stream(f"/api/builds/{number}/logs", {"Accept": "text/plain"}) as stream:
        count = 0
        while data := stream.read(1 << 20):
            count += data.count(b"x")
    assert count >= size


def test_time_flows_forward_in_what_is_told(real):
    number = real.push("one", {".pelton.yml": "jobs: {a: {runs-on: {executor: shell}, checkout: false, steps: [echo hi]}}\n"})[1].build
    build = real.wait_build(number, "success")
    job = build["jobs"][0]
    times = [job["created_at"], job["queued_at"], job["started_at"], job["finished_at"]]
    assert times == sorted(times) and None not in times
    assert build["started_at"] <= build["finished_at"] <= time.strftime("%Y-%m-%dT%H:%M:%SZ~", time.gmtime(time.time() + 60))
