"""Pausing the queue, draining a runner, and who is given what."""

import os
import re

from lib.fake_runner import FakeRunner
from lib.wait import wait_for


def runner_row(server, name):
    """Nothing in it as long as the server does not know the runner."""
    rows = [row for row in server.client.get("/api/runners")["runners"] if row["name"] == name]
    return rows[0] if rows else {"status": None, "arch": None}


def job(*lines):
    return {".pelton.yml": "jobs:\n  test:\n    checkout: false\n    steps: [\"true\"]\n" + "".join(
        f"    {line}\n" for line in lines)}


# ---- pause


def test_nothing_new_starts_while_the_queue_is_paused_and_what_runs_goes_on(own_bench):
    bench = own_bench()
    runner = bench.runner(slots=2)
    number, running = bench.job(runner)
    paused = bench.client.post("/api/queue/pause", {"reason": "a new disk"}, expect=200)["paused"]
    assert paused["by"] == "admin" and paused["reason"] == "a new disk" and paused["since"]
    waiting = bench.build_of()
    assert runner.lease()["jobs"] == []
    runner.finish(running)
    assert bench.wait_build(number, "success")
    assert bench.build(waiting)["status"] == "queued"
    call = runner.lease_later()
    assert bench.client.post("/api/queue/resume", {}, expect=200)["paused"] is None
    assert call.result()["jobs"][0]["build"] == waiting


def test_a_pause_outlives_the_server(own_bench):
    bench = own_bench()
    bench.client.post("/api/queue/pause", {}, expect=200)
    bench.restart()
    assert bench.client.get("/api/queue")["paused"]["by"] == "admin"
    bench.build_of()
    assert bench.runner().lease()["jobs"] == []


def test_deploys_wait_for_the_end_of_a_pause(start_pelton):
    server = start_pelton()
    server.client.post("/api/queue/pause", {}, expect=200)
    work, push = server.push("app", {
        ".pelton.yml": "jobs:\n  a: {steps: [\"true\"]}\ndeploy: {branch: main, start: \"exec python3 -m http.server "
                       "$PORT\"}\n"})
    assert server.build(push.build)["status"] == "queued"
    server.client.post("/api/queue/resume", {}, expect=200)

    def built():
        jobs = {row["name"]: row for row in server.build(push.build)["jobs"]}
        return jobs["a"]["status"] == "success"

    wait_for("the build of it", built)
    server.wait_live(work.head())


def test_only_an_administrator_pauses_and_drains(own_bench):
    bench = own_bench()
    user = bench.as_token(bench.client.post("/api/tokens", {"name": "bob", "role": "user"})["token"])
    bench.runner().lease()
    for path in ("/api/queue/pause", "/api/queue/resume", "/api/runners/fake1/drain", "/api/runners/fake1/resume"):
        user.call("POST", path, {}, expect=403)
    user.call("DELETE", "/api/runners/fake1", expect=403)


def test_the_queue_is_counted_by_what_is_asked_and_by_repository(own_bench):
    bench = own_bench()
    number = bench.build_of(job("runs-on: {arch: aarch64, labels: {gpu: a100}}", "resources: {memory: 2G}"))
    other = bench.build_of()
    bench.more(bench.build(other)["repo"])
    queue = bench.client.get("/api/queue")
    assert (queue["queued"], queue["running"], queue["paused"]) == (3, 0, None)
    assert queue["projects"] == [{"name": bench.build(other)["repo"], "queued": 2},
                                 {"name": bench.build(number)["repo"], "queued": 1}]
    assert [(row["executor"], row["arch"], row["labels"], row["memory"], row["queued"]) for row in queue["fits"]] == [
        ("sandbox", "", {}, 0, 2), ("sandbox", "aarch64", {"gpu": "a100"}, 2 << 30, 1)]
    text = bench.run("queue").stdout
    assert "3 jobs wait for a runner, 0 run" in text
    assert re.search(r"1 +sandbox, aarch64, gpu=a100, 2(\.0)? GiB of memory", text)


def test_the_command_line_pauses_and_resumes(own_bench):
    bench = own_bench()
    assert "pelton resume" in bench.run("pause", "--reason", "a new disk").stderr
    assert re.search(r"^paused by admin, just now: a new disk", bench.run("queue").stdout)
    bench.run("resume")
    assert "paused" not in bench.run("queue").stdout


# ---- drain


def test_a_drained_runner_takes_nothing_new_and_is_told_to_end_when_it_is_idle(own_bench):
    bench = own_bench()
    runner = bench.runner(slots=2)
    number, running = bench.job(runner)
    call = runner.lease_later()
    row = bench.client.post("/api/runners/fake1/drain", {}, expect=200)
    assert row["status"] == "draining" and row["drained_by"] == "admin"
    waiting = bench.build_of()
    runner.finish(running)
    answer = call.result()
    assert answer["drain"] is True and answer["jobs"] == []
    assert runner_row(bench, "fake1")["status"] == "drained"
    bench.wait_build(number, "success")
    assert bench.build(waiting)["status"] == "queued"
    assert bench.client.post("/api/runners/fake1/resume", {}, expect=200)["drained_by"] is None
    assert runner.take()["build"] == waiting


def test_another_runner_takes_what_a_drained_one_does_not(own_bench):
    bench = own_bench()
    first, second = bench.runner(), bench.runner()
    calls = [first.lease_later(), second.lease_later()]
    bench.client.post("/api/runners/fake1/drain", {}, expect=200)
    assert calls[0].result()["drain"] is True
    number = bench.build_of()
    assert calls[1].result()["jobs"][0]["build"] == number


def test_a_drain_outlives_server_and_registration(own_bench):
    bench = own_bench()
    bench.runner().lease()
    bench.client.post("/api/runners/fake1/drain", {}, expect=200)
    bench.restart()
    assert FakeRunner(bench.server, "fake1").lease()["drain"] is True


def test_a_runner_that_is_not_there_or_the_servers_own_seat_cannot_be_drained(own_bench):
    bench = own_bench()
    assert "no runner called" in bench.client.call("POST", "/api/runners/nobody/drain", {}, expect=404).json["message"]
    assert "pause" in bench.client.call("POST", "/api/runners/server/drain", {}, expect=400).json["message"]


def test_a_runner_that_calls_or_has_jobs_is_not_removed_and_it_is_said_what_to_do(own_bench):
    bench = own_bench()
    runner = bench.runner()
    runner.lease()
    refusal = bench.client.call("DELETE", "/api/runners/fake1", expect=409).json["message"]
    assert "pelton runner drain fake1" in refusal and "called" in refusal
    number, running = bench.job(runner)
    bench.client.post("/api/runners/fake1/drain", {}, expect=200)
    refusal = bench.client.call("DELETE", "/api/runners/fake1", expect=409).json["message"]
    assert "has 1 job:" in refusal and "pelton runner drain fake1" in refusal
    runner.finish(running)
    bench.wait_build(number, "success")
    bench.client.call("DELETE", "/api/runners/fake1", expect=204)


def test_a_removed_runner_is_nobody_and_its_name_and_its_builds_stay(own_bench):
    bench = own_bench()
    runner = bench.runner()
    number, running = bench.job(runner)
    runner.finish(running)
    bench.wait_build(number, "success")
    bench.client.post("/api/runners/fake1/drain", {}, expect=200)
    said = bench.run("runner", "rm", "fake1")
    assert "removed" in said.stderr
    assert runner_row(bench, "fake1")["status"] is None
    runner.client.call("POST", "/api/runner/lease", runner.facts(), expect=401)
    assert bench.build(number)["jobs"][0]["runner"] == f"fake1 (removed {runner.id})"
    bench.client.call("DELETE", "/api/runners/fake1", expect=404)
    bench.restart()
    again = FakeRunner(bench.server, "fake1")
    assert again.id != runner.id and "drain" not in again.lease()
    assert bench.build(number)["jobs"][0]["runner"] == f"fake1 (removed {runner.id})"


def test_a_runner_that_has_never_called_is_removed_at_once(own_bench):
    bench = own_bench()
    bench.runner()
    bench.client.call("DELETE", "/api/runners/fake1", expect=204)


def test_what_is_no_runner_of_others_is_not_removed(start_pelton):
    server = start_pelton()
    assert "no runner called" in server.client.call("DELETE", "/api/runners/nobody", expect=404).json["message"]
    assert "deploys" in server.client.call("DELETE", "/api/runners/server", expect=400).json["message"]
    server.client.post("/api/runners/local/drain", {}, expect=200)
    assert "--runners" in server.client.call("DELETE", "/api/runners/local", expect=409).json["message"]
    server.run("runner", "rm", "local", expect=6)


def runner_processes(server):
    return [pid for pid, command in server.processes().items() if " runner " in f" {command} "]


def test_the_servers_own_runner_ends_when_drained_and_comes_back_when_resumed(start_pelton):
    server = start_pelton()
    wait_for("its runner", lambda: runner_row(server, "local")["status"] == "idle")
    assert "takes nothing new" in server.run("runner", "drain", "local").stderr
    wait_for("the end of its runner", lambda: not runner_processes(server))
    assert "pelton runner resume local" in server.server_log()
    assert "drained by admin" in server.run("runners").stdout
    server.restart()
    number = server.push("hello", job())[1].build
    assert "drained by admin" in server.build(number)["jobs"][0]["waiting"] and not runner_processes(server)
    server.run("runner", "resume", "local")
    server.wait_build(number, "success")


def test_a_running_job_ends_before_its_drained_runner_does(start_pelton, tmp_path):
    server = start_pelton("--allow-executor", "shell")
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    _, push = server.push("slow", {".pelton.yml": "jobs:\n  test:\n    checkout: false\n    runs-on: {executor: shell}\n"
                                                  f"    steps: [\"read line < {gate}\"]\n"})
    wait_for("its begin", lambda: server.build(push.build)["status"] == "running")
    server.run("runner", "drain", "local")
    assert runner_row(server, "local")["status"] == "draining"
    gate.write_text("go on\n")
    server.wait_build(push.build, "success")
    wait_for("the end of its runner", lambda: not runner_processes(server))


# ---- who is given what


def test_projects_take_turns(own_bench):
    bench = own_bench()
    runner = bench.runner(slots=10)
    busy = bench.build_of()
    more = [bench.more(bench.build(busy)["repo"]) for _ in range(3)]
    other = bench.build_of()
    order = [taken["build"] for _ in range(2) for taken in runner.lease(wait=5)["jobs"]]
    assert order == [busy, other, *more]


def test_a_job_of_higher_priority_is_next(own_bench):
    bench = own_bench()
    plain, urgent = bench.build_of(), bench.build_of(job("priority: 10"))
    runner = bench.runner(slots=2)
    assert [taken["build"] for taken in runner.lease()["jobs"]] == [urgent, plain]


def test_a_job_wakes_the_runner_that_it_fits(own_bench):
    bench = own_bench()
    plain, gpu, arm = bench.runner(), bench.runner(), bench.runner()
    gpu.labels, arm.arch = {"gpu": "a100"}, "aarch64"
    calls = [runner.lease_later() for runner in (plain, gpu, arm)]
    wait_for("three that wait", lambda: all(
        runner_row(bench, f"fake{i}")["arch"] == arch for i, arch in ((1, "x86_64"), (2, "x86_64"), (3, "aarch64"))))
    for call, line in ((calls[2], "runs-on: {arch: aarch64}"), (calls[1], "runs-on: {labels: {gpu: a100}}")):
        number = bench.build_of(job(line))
        assert call.result()["jobs"][0]["build"] == number
    number = bench.build_of()
    assert calls[0].result()["jobs"][0]["build"] == number
