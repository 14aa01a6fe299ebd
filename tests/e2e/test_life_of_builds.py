"""Cancels, times, retries, turns and builds once more, with real runners and real processes."""

import os
import socket
import threading
import time
import uuid
from pathlib import Path

import pytest

from lib.processes import state_of
from lib.wait import SLOWER, wait_for

EXECUTORS = ["sandbox", "shell"]


@pytest.fixture
def server(start_pelton):
    return start_pelton("--allow-executor", "shell", "--cancel-grace", "1s")


@pytest.fixture
def mark():
    """A word that the processes of a test have on their command lines."""
    return f"mark-{uuid.uuid4().hex}"


def commands():
    """Of every process but this one: (pid, its arguments)."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if int(pid) != os.getpid():
                yield int(pid), Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            pass


def marked(mark):
    return [pid for pid, arguments in commands() if any(mark in argument for argument in arguments)]


def sleeping(mark):
    """The sleepers that have begun: the shell that starts one has the mark in its script only."""
    return [pid for pid, arguments in commands() if mark in arguments]


def stopped(mark):
    """The processes of the step that are stopped, once two are: the shell and what it began."""
    found = [pid for pid in marked(mark) if state_of(pid) == "T"]
    return len(found) >= 2 and found


def job(executor, *steps, rest=""):
    """A pipeline with one job; each step a script."""
    text = f"jobs:\n  test:\n    checkout: false\n    runs-on: {{executor: {executor}}}\n{rest}    steps:\n"
    for step in steps:
        condition = "        if: always()\n" if step.startswith("# always") else ""
        lines = "".join(f"          {line}\n" for line in step.splitlines())
        text += f"      - run: |\n{lines}{condition}"
    return {".pelton.yml": text}


def sleeper(mark):
    """A command that does nothing for an hour, and can be told from others."""
    return f"sh -c 'while :; do sleep 0.1; done' {mark}"


def begin(server, mark, files, until=sleeping):
    """A build whose step has come to its sleeper: its number."""
    number = server.push(f"p{mark[-8:]}", files)[1].build
    wait_for(lambda: f"the step\n{server.log(number)}", lambda: until(mark))
    return number


def cancel(server, number):
    assert server.api("POST", f"/api/builds/{number}/cancel").status == 200
    return server.wait_build(number, "cancelled")


# ---- cancel


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_step_that_ignores_sigterm_is_killed_after_the_grace(server, mark, executor):
    number = begin(server, mark, job(executor, f"trap '' TERM\n{sleeper(mark)}"))
    assert cancel(server, number)["reason"] == "user"
    assert marked(mark) == []


@pytest.mark.parametrize("executor", EXECUTORS)
def test_what_a_step_has_sent_to_the_background_ends_with_it(server, mark, executor):
    number = begin(server, mark, job(executor, f"setsid {sleeper(mark)} > /dev/null 2>&1 &\n"
                                               f"(setsid {sleeper(mark)} &) &\nwait\nsleep 1000"))
    cancel(server, number)
    assert marked(mark) == []


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_step_that_is_stopped_is_killed_after_the_grace(server, mark, executor):
    number = begin(server, mark, job(executor, f"{sleeper(mark)} & kill -STOP $! && kill -STOP $$"),
                   until=stopped)
    cancel(server, number)
    assert marked(mark) == []


@pytest.mark.parametrize("executor", EXECUTORS)
def test_clean_up_steps_run_after_a_cancel(server, mark, executor):
    number = begin(server, mark, job(executor, sleeper(mark), "echo not this", "# always\necho cleaned up"))
    seen = cancel(server, number)
    assert "\ncleaned up\n" in server.log(number) and "\nnot this\n" not in server.log(number)
    assert [step["status"] for step in seen["jobs"][0]["steps"]] == ["cancelled", "skipped", "success"]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_step_hears_of_a_cancel_before_its_children_die(server, mark, executor):
    number = begin(server, mark, job(executor, f"trap 'echo told; sleep 0.2; echo cleaned; exit 1' TERM\n"
                                               f"{sleeper(mark)} & wait\necho went on"))
    cancel(server, number)
    assert "\ntold\ncleaned\n" in server.log(number) and "\nwent on\n" not in server.log(number)


def test_a_cancel_is_seen_within_a_second_after_the_end(server, mark, tmp_path):
    last = tmp_path / "last"
    number = begin(server, mark, job("shell", f"trap 'date +%s.%N > {last}; exit 1' TERM\n{sleeper(mark)} & wait"))
    with server.client.events("/api/events") as events:
        server.api("POST", f"/api/builds/{number}/cancel")
        events.until(lambda event: event.json["type"] == "completed" and event.json["build"]["id"] == number)
        assert time.time() - float(last.read_text()) < SLOWER
    assert server.build(number)["status"] == "cancelled"


class Silent:
    """An HTTP server that hears and never answers."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.heard = threading.Event()
        self.kept = []
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            try:
                self.kept.append(self.socket.accept()[0])
            except OSError:
                return
            self.heard.set()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}/x.git"


@pytest.fixture
def silent():
    server = Silent()
    yield server
    server.socket.close()


def push_submodule(server, silent, head=""):
    """A build whose checkout does not come to an end."""
    work = server.work("sub", {".pelton.yml": f"jobs:\n  test:\n{head}    steps: [echo never]\n",
                               ".gitmodules": f'[submodule "x"]\n\tpath = x\n\turl = {silent.url}\n'})
    work.git("update-index", "--add", "--cacheinfo", f"160000,{work.head()},x")
    work.git("commit", "-qm", "submodule")
    number = work.push().build
    assert silent.heard.wait(30 * SLOWER), server.log(number)
    return number


def test_a_cancel_ends_a_checkout(server, silent):
    number = push_submodule(server, silent)
    cancel(server, number)
    assert "\nnever\n" not in server.log(number)


ENDLESS = "truncate -s 400G big"  # its sum alone takes minutes


def reads(pid, name):
    try:
        return any(os.readlink(f"/proc/{pid}/fd/{fd}").endswith(f"/{name}") for fd in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False


def begin_upload(server, rest):
    number = server.push("big", job("sandbox", ENDLESS, rest=f"    artifacts: [big]\n{rest}"))[1].build
    wait_for("the upload", lambda: any(reads(pid, "big") for pid in server.processes()))
    return number


def test_a_cancel_ends_the_upload_of_artifacts(server):
    number = begin_upload(server, "")
    cancel(server, number)
    assert server.client.get(f"/api/builds/{number}/artifacts")["artifacts"] == []


# ---- times


def test_the_time_of_a_step_is_the_steps_own(server, mark):
    files = job("sandbox", sleeper(mark), "# always\necho and on")
    files[".pelton.yml"] = files[".pelton.yml"].replace(f"{mark}\n", f"{mark}\n        timeout: 1s\n")
    number = server.push("step-time", files)[1].build
    seen = server.wait_build(number, "failed")
    assert seen["jobs"][0]["reason"] == "timeout" and "timed out" in seen["jobs"][0]["message"]
    assert "\nand on\n" in server.log(number) and marked(mark) == []


def test_the_time_of_a_job_is_that_of_all_its_steps(server, mark):
    number = server.push("job-time", job("sandbox", "sleep 1", sleeper(mark), rest="    timeout: 2s\n"))[1].build
    seen = server.wait_build(number, "failed")
    assert seen["jobs"][0]["reason"] == "timeout" and "the job's time is over" in seen["jobs"][0]["message"]
    assert marked(mark) == []


def test_the_time_of_a_job_runs_during_its_checkout(server, silent):
    seen = server.wait_build(push_submodule(server, silent, "    timeout: 3s\n"), "failed")
    assert seen["jobs"][0]["reason"] == "timeout"


def test_the_time_of_a_job_runs_during_its_upload(server):
    seen = server.wait_build(begin_upload(server, "    timeout: 3s\n"), "failed")
    assert seen["jobs"][0]["reason"] == "timeout"


def test_the_time_of_a_build_ends_all_its_jobs(server, mark):
    text = (f"timeout: 2s\njobs:\n  a:\n    checkout: false\n    steps:\n      - {sleeper(mark)}\n"
            "  b:\n    needs: [a]\n    steps: [echo never]\n")
    seen = server.wait_build(server.push("build-time", {".pelton.yml": text})[1].build, "failed")
    assert (seen["reason"], seen["message"]) == ("timeout", "the build's time of 2 s is over")
    assert [(j["status"], j["reason"]) for j in seen["jobs"]] == [("cancelled", "timeout")] * 2
    assert marked(mark) == []


# ---- retry, turns, once more


def test_a_job_that_fails_once_is_retried_and_both_logs_stay(server, tmp_path):
    was = tmp_path / "was"
    files = job("shell", f"echo attempt $PELTON_ATTEMPT\n[ -e {was} ] || {{ touch {was}; exit 7; }}",
                rest="    retry: {times: 2, on: [exit], backoff: 1s}\n")
    number = server.push("retried", files)[1].build
    seen = server.wait_build(number, "success")
    assert (seen["jobs"][0]["attempt"], seen["jobs"][0]["retries"]) == (2, 1)
    assert "\nattempt 1\n" in server.run("logs", number, "--attempt", 1).stdout
    assert "\nattempt 2\n" in server.run("logs", number).stdout
    rows = server.client.get(f"/api/builds/{number}/attempts")["attempts"]
    assert [(row["attempt"], row["status"], row["exit_code"]) for row in rows] == [(1, "failed", 7), (2, "success", 0)]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_what_no_program_can_be_given_is_the_pipelines_mistake_and_not_tried_again(server, executor):
    number = server.push("long", {".pelton.yml": f"""
jobs:
  script:
    runs-on: {{executor: {executor}}}
    retry: 1
    steps: ["true {"x" * 131072}"]
  variable:
    runs-on: {{executor: {executor}}}
    retry: 1
    env: {{LONG: {"x" * 131072}}}
    steps: ["true"]
"""})[1].build
    for row in server.wait_build(number, "failed")["jobs"]:
        assert (row["reason"], row["attempt"]) == ("invalid", 1) and "longer than a program can be given" in row["message"], row


def test_a_newer_push_stops_the_older_one_and_starts_when_it_has_ended(server, mark):
    files = job("sandbox", sleeper(mark))
    files[".pelton.yml"] = 'concurrency: {group: "${{ branch }}", cancel: running}\n' + files[".pelton.yml"]
    work, push = server.push("turns", files)
    wait_for("the step", lambda: marked(mark))
    work.commit({".pelton.yml": files[".pelton.yml"].replace(sleeper(mark), "echo newer")})
    newer = work.push().build
    seen = server.wait_build(push.build, "cancelled")
    assert (seen["reason"], seen["message"]) == ("superseded", f"superseded by build {newer}")
    assert marked(mark) == []
    server.wait_build(newer, "success")


def test_failed_jobs_run_once_more_with_what_the_others_made(server, tmp_path):
    good = tmp_path / "good"
    text = ("jobs:\n  make:\n    checkout: false\n    steps: ['echo made > made']\n    artifacts: [made]\n"
            "  check:\n    needs: [make]\n    checkout: false\n    runs-on: {executor: shell}\n"
            f"    steps: ['test -e {good}']\n")
    old = server.push("again", {".pelton.yml": text})[1].build
    server.wait_build(old, "failed")
    good.touch()
    out = server.run("rerun", old, "--failed", "--follow")
    new = max(build["id"] for build in server.client.get("/api/builds")["builds"])
    assert f"build {new}" in out.stdout + out.stderr
    assert server.wait_build(new, "success")["rerun_of"] == old
    assert server.api("GET", f"/api/builds/{new}/artifacts/made").body == b"made\n"
    assert server.build(old)["status"] == "failed"


def test_a_matrix_runs_again_whole_by_its_name(server):
    text = ("jobs:\n  m:\n    matrix: {n: [1, 2]}\n    checkout: false\n    steps: ['true']\n"
            "  more:\n    checkout: false\n    steps: ['true']\n")
    old = server.push("whole", {".pelton.yml": text})[1].build
    server.wait_build(old, "success")
    server.run("rerun", old, "--job", "m", "--follow")
    server.run("build", "start", "whole", "--job", "m", "--follow")
    again, started = (server.build(build["id"]) for build in reversed(server.client.get("/api/builds?limit=2")["builds"]))
    assert [(job["name"], job["copied"]) for job in again["jobs"]] == [("m (1)", False), ("m (2)", False), ("more", True)]
    assert [job["name"] for job in started["jobs"]] == ["m (1)", "m (2)"]


def test_an_old_build_that_runs_again_does_not_take_back_what_is_live(server):
    page = "jobs: {test: {steps: ['true']}}\ndeploy: {branch: main, start: 'exec python3 -m http.server $PORT', files: ['*']}\n"
    work, push = server.push("site", {".pelton.yml": page, "index.html": "one"})
    server.wait_live(work.head())
    work.commit({"index.html": "two"})
    newer = work.push().build
    server.wait_live(work.head())
    server.wait_build(newer, "success")
    again = server.client.post(f"/api/builds/{push.build}/rerun", {}, expect=202)["id"]
    seen = server.wait_build(again, "success")
    deploy = next(j for j in seen["jobs"] if j["kind"] == "deploy")
    assert deploy["status"] == "skipped" and "main is not at" in deploy["message"]
    server.wait_page("site", lambda reply: b"two" in reply.body)
    same = server.client.post(f"/api/builds/{newer}/rerun", {}, expect=202)["id"]
    server.wait_build(same, "success")
    live = [d for d in server.deployments() if d["status"] == "live"]
    assert [d["build_id"] for d in live] == [same]
