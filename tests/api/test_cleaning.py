"""What a job has of time after a cancel or its timeout, and who ends it when it does not end itself."""

import os
import signal

import pytest

from lib import processes
from lib.wait import wait_for

FLAGS = ("--allow-executor", "shell", "--cancel-grace", "500ms", "--cleanup-time")


def pipeline(*steps, timeout="1h", more=""):
    steps = "".join(f"      - {step}\n" for step in steps)
    return {".pelton.yml": f"jobs:\n  t:\n    runs-on: {{executor: shell}}\n    checkout: false\n    timeout: {timeout}\n"
                           f"{more}    steps:\n{steps}"}


def always(script):
    return "{if: always(), run: '" + script + "'}"


def job_of(server, number):
    return server.build(number)["jobs"][0]


def wait_log(server, number, text):
    wait_for(f"{text} in the log", lambda: text in server.log(number))


def cancel(server, number):
    server.api("POST", f"/api/builds/{number}/cancel", expect=200)


@pytest.mark.parametrize("adopted", [False, True], ids=["its runner", "another runner"])
@pytest.mark.parametrize("why", ["cancel", "timeout"])
def test_a_job_process_that_hangs_is_killed_with_its_steps(start_pelton, why, adopted):
    server = start_pelton(*FLAGS, "1s")
    _, push = server.push("hung", pipeline("echo began; sleep 1000", timeout="2s" if why == "timeout" else "1h"))
    wait_log(server, push.build, "began")
    process = server.process_of("pelton job")
    os.kill(process, signal.SIGSTOP)
    if adopted:
        os.kill(server.process_of("pelton runner"), signal.SIGKILL)
    if why == "cancel":
        cancel(server, push.build)
    server.wait_build(push.build, "cancelled" if why == "cancel" else "failed")
    job = job_of(server, push.build)
    assert (job["status"], job["reason"]) == (("cancelled", "user") if why == "cancel" else ("failed", "timeout"))
    assert "its job process hung and was killed" in job["message"]
    assert [step["status"] for step in job["steps"]] != ["running"] and job["attempt"] == 1
    wait_for("the step to be gone", lambda: not [
        pid for pid, command in server.processes().items() if "sleep 1000" in command and processes.alive(pid)])


@pytest.mark.parametrize("adopted", [False, True], ids=["its runner", "another runner"])
def test_a_job_process_that_hangs_when_it_is_done_is_killed_too(start_pelton, adopted):
    """It has said how its job has ended, and has a large workspace to clear away."""
    server = start_pelton(*FLAGS, "1s")
    _, push = server.push("done", pipeline("seq 60000 | xargs touch"))
    server.wait_build(push.build, "success")
    process = server.process_of("pelton job")
    os.kill(process, signal.SIGSTOP)
    workspace = server.state / "runner" / "work" / "slot-0"
    assert list(workspace.iterdir())
    if adopted:
        os.kill(server.process_of("pelton runner"), signal.SIGKILL)
    wait_for("its end", lambda: not processes.alive(process) and not list(workspace.iterdir()), timeout=60)
    assert server.build(push.build)["status"] == "success"


def test_all_that_cleans_up_has_its_time_together(start_pelton):
    server = start_pelton(*FLAGS, "2s")
    steps = [always(f"echo step {n}; sleep 1000") for n in range(3)]
    _, push = server.push("steps", pipeline("sleep 1000", *steps, timeout="1s"))
    server.wait_build(push.build, "failed")
    job, log = job_of(server, push.build), server.log(push.build)
    assert job["reason"] == "timeout"
    assert [step["status"] for step in job["steps"]] == ["failed", "failed", "skipped", "skipped"]
    assert "step 2/4: the time for cleaning up is over after" in log
    assert "step 3/4: does not run: the time for cleaning up is over" in log and "step 2\n" not in log


def test_a_cancel_does_not_end_the_step_that_cleans_up(start_pelton, tmp_path):
    server = start_pelton(*FLAGS, "60s")
    go_on = tmp_path / "go on"
    files = pipeline("true", always(f'echo begins; while ! [ -e "{go_on}" ]; do sleep 0.02; done; echo goes on'),
                     "echo never")
    files[".pelton.yml"] += "  other: {runs-on: {executor: shell}, checkout: false, steps: [echo too; sleep 1000]}\n"
    _, push = server.push("cleans", files)
    wait_log(server, push.build, "begins")
    wait_log(server, push.build, "too\n")
    cancel(server, push.build)
    # both are told at once
    wait_for("the other's end", lambda: server.build(push.build)["jobs"][1]["status"] == "cancelled")
    go_on.touch()
    server.wait_build(push.build, "cancelled")
    job, log = job_of(server, push.build), server.log(push.build)
    assert [step["status"] for step in job["steps"]] == ["success", "success", "skipped"]
    assert "goes on" in log and "never\n" not in log


@pytest.mark.parametrize("why", ["cancel", "timeout"])
def test_what_is_ended_in_a_download_has_only_the_time_for_cleaning_up(start_pelton, why):
    """The server stands still while the job waits for what it has to download."""
    server = start_pelton(*FLAGS, "1s")
    files = pipeline(always("echo cleans; sleep 1000"), timeout="2s" if why == "timeout" else "1h",
                     more="    needs: make\n    download: out\n")
    files[".pelton.yml"] = files[".pelton.yml"].replace("jobs:\n", """jobs:
  make:
    runs-on: {executor: shell}
    checkout: false
    steps: ["head -c 300000000 /dev/urandom > big"]
    artifacts: [{name: out, paths: [big]}]
""")
    _, push = server.push("downloads", files)

    def job():
        return next(job for job in server.build(push.build)["jobs"] if job["name"] == "t")

    def process():
        """Its job process: the runner has heard of it, and not only the server given it."""
        return [pid for pid, command in server.processes().items() if f"pelton job {job()['id']} " in command]

    running = wait_for("the job", lambda: job()["status"] == "running" and process(), 60)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        for pid in running if why == "cancel" else ():
            os.kill(pid, signal.SIGTERM)  # as its runner tells it
        wait_for("the cleaning step", lambda: any("sleep 1000" in command for command in server.processes().values()))
    finally:
        os.kill(server.pid, signal.SIGCONT)
    wait_for("an end", lambda: job()["status"] not in ("queued", "running"))
    assert [step["status"] for step in job()["steps"]] == ["failed"]
    assert "the time for cleaning up is over" in server.log(push.build)
