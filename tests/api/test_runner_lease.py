"""docs/runner-protocol.md: who runs a job, for how long, and how it is told to stop."""

import contextlib
import http.client
import os
import sqlite3
import time

import pytest

from lib.fake_runner import FakeRunner, Later, stale
from lib.wait import SLOWER, wait_for

TWO_JOBS = {".pelton.yml": "jobs:\n  a:\n    steps: [echo a]\n  b:\n    needs: a\n    steps: [echo b]\n"}


def state_of(bench, number, job=0):
    return bench.build(number)["jobs"][job]["status"]


# ---- register


def test_a_registration_token_becomes_a_runners_own(bench):
    runner = bench.runner()
    listed = {r["id"]: r for r in bench.client.get("/api/runners")["runners"]}
    assert listed[runner.id]["name"] == runner.name and listed[runner.id]["slots"] == 2
    assert runner.client.get("/api/me")["role"] == "runner"
    runner.lease()
    wait_for("idle", lambda: {r["id"]: r for r in bench.client.get("/api/runners")["runners"]}[runner.id]["status"] == "idle")


@pytest.mark.parametrize("change", [{"name": ""}, {"name": "a b"}, {"name": "../x"}, {"name": "x" * 101}, {"name": "server"},
                                    {"name": None}, {"slots": -1}, {"slots": 1025}, {"slots": "2"}, {"executors": []},
                                    {"executors": ["deploy"]}, {"executors": [1]}, {"executors": ["x"] * 17}, {"arch": 1},
                                    {"labels": []}], ids=range(15))
def test_a_bad_registration_is_refused(bench, change):
    facts = {"name": "r", "arch": "x86_64", "executors": ["sandbox"], "slots": 1, **change}
    bench.client.call("POST", "/api/runner/register", facts, expect=400)


@pytest.mark.parametrize("change", [{"wait": -1}, {"wait": 61}, {"wait": "x"}, {"running": {}}, {"running": [{}]},
                                    {"running": [{"job": "x", "attempt": 1}]}, {"running": [{"job": 1, "attempt": 1}] * 4097},
                                    {"executors": None}], ids=range(8))
def test_a_bad_lease_call_is_refused(bench, change):
    runner = bench.runner()
    runner.client.call("POST", "/api/runner/lease", {**runner.facts(), **change}, expect=400)


# ---- lease


def test_a_runner_that_can_run_nothing_is_known_and_gets_nothing(bench):
    runner = bench.runner()
    bench.build_of()
    answer = runner.client.post("/api/runner/lease", {**runner.facts(), "executors": [], "wait": 0})
    assert answer["jobs"] == []
    listed = {r["id"]: r for r in bench.client.get("/api/runners")["runners"]}
    assert listed[runner.id]["executors"] == []
    bench.settle()


def test_a_job_says_all_that_its_runner_needs(bench):
    runner = bench.runner()
    work, push = bench.push(bench.name(), {".pelton.yml": """
env: {COLOUR: blue}
jobs:
  test:
    env: {LEVEL: "2"}
    timeout: 5m
    artifacts: ["out/**"]
    steps:
      - name: first
        run: make
        timeout: 1m
        working-directory: sub
        env: {A: b}
      - run: echo
        if: always()
"""})
    job = runner.take()
    assert (job["build"], job["attempt"], job["name"]) == (push.build, 1, "test")
    assert (job["commit"], job["ref"], job["branch"], job["event"]) == (work.head(), "refs/heads/main", "main", "push")
    assert job["project"]["name"] == work.path.name
    assert job["repository"]["url"] == f"{bench.url}/git/{work.path.name}.git"
    assert os.path.samefile(job["repository"]["path"], bench.state / "repos" / f"{work.path.name}.git")
    assert job["lease"] == 30 and job["env"] == {}
    spec = job["spec"]
    assert spec["kind"] == "steps" and spec["executor"] == "sandbox" and spec["checkout"] is True
    assert spec["timeout"] == 300_000_000 and spec["artifacts"] == ["out/**"]
    assert {**spec["env"], **job["env"]}["COLOUR"] == "blue" and spec["env"]["LEVEL"] == "2"
    first, second = spec["steps"]
    assert (first["name"], first["run"], first["timeout"]) == ("first", "make", 60_000_000)
    assert first["working_directory"] == "sub" and first["env"] == {"A": "b"} and second["if"] == "always()"


def test_a_waiting_lease_call_hears_of_a_new_job_at_once(bench):
    """The call came long before the job and would last for seconds more: only a wake can end it now."""
    runner = bench.runner()
    later = runner.lease_later()
    wait_for("waiter", lambda: [r for r in bench.client.get("/api/runners")["runners"] if r["id"] == runner.id and r["last_seen"]])
    for _ in range(5):
        number = bench.build_of()
        job = later.result()["jobs"][0]
        assert job["build"] == number
        runner.finish(job)
        build = bench.build(number)["jobs"][0]
        later = runner.lease_later()
        assert build["status"] == "success"
    bench.build_of()
    later.result()


def test_a_lease_call_without_work_is_held_for_as_long_as_it_asks(bench):
    runner = bench.runner()
    start = time.monotonic()
    assert runner.lease(wait=1)["jobs"] == []
    assert time.monotonic() - start >= 1
    assert runner.lease(wait=0)["jobs"] == []


def test_a_runner_gets_no_more_jobs_than_it_has_slots(bench):
    runner = bench.runner(slots=2)
    number = bench.build_of()
    name = bench.build(number)["repo"]
    for _ in range(4):
        bench.more(name)
    first = runner.lease()["jobs"]
    assert len(first) == 2 and runner.lease()["jobs"] == []
    runner.finish(first[0])
    assert len(runner.lease()["jobs"]) == 1
    runner.slots = 3
    assert len(runner.lease()["jobs"]) == 1
    runner.slots = 0
    assert runner.lease()["jobs"] == []


def test_older_builds_come_first(bench):
    runner = bench.runner(slots=1)
    number = bench.build_of()
    name = bench.build(number)["repo"]
    numbers = [number] + [bench.more(name) for _ in range(3)]
    seen = []
    for _ in numbers:
        job = runner.take()
        seen.append(job["build"])
        runner.finish(job)
    assert seen == numbers


def test_a_job_goes_only_to_a_runner_with_its_executor(bench):
    other, right = bench.runner(executors=["shell"]), bench.runner(executors=["sandbox"])
    bench.build_of()
    assert other.lease()["jobs"] == []
    assert len(right.lease()["jobs"]) == 1


def test_a_job_goes_to_one_of_many_runners(bench):
    runners = [bench.runner() for _ in range(6)]
    later = [Later(lambda r=runner: r.lease(wait=2)) for runner in runners]
    number = bench.build_of()
    jobs = [job for call in later for job in call.result(30)["jobs"]]
    assert [job["build"] for job in jobs] == [number]


def test_every_job_of_a_burst_is_given_out_once(bench):
    runners = [bench.runner(slots=3) for _ in range(4)]
    number = bench.build_of()
    name = bench.build(number)["repo"]
    numbers = [number] + [bench.more(name) for _ in range(11)]

    def work(runner, count=0):
        while answer := runner.lease(wait=2)["jobs"]:
            count += len(answer)
            for job in answer:
                runner.finish(job, b"x\n")
        return count

    assert sum(call.result(60) for call in [Later(lambda r=runner: work(r)) for runner in runners]) == 12
    assert {bench.build(n)["status"] for n in numbers} == {"success"}
    assert {job["attempt"] for n in numbers for job in bench.build(n)["jobs"]} == {1}


def test_a_runner_that_hangs_up_takes_no_job_with_it(bench):
    runner, other = bench.runner(), bench.runner()
    connection = http.client.HTTPConnection(bench.address, timeout=30 * SLOWER)
    connection.request("POST", "/api/runner/lease", body=b'{"arch":"x86_64","executors":["sandbox"],"slots":2,"wait":30}',
                       headers={"Authorization": f"Bearer {runner.client.token}", "Content-Type": "application/json"})
    later = other.lease_later()
    connection.close()
    number = bench.build_of()
    assert later.result()["jobs"][0]["build"] == number


def test_what_needs_a_job_waits_for_it(bench):
    runner = bench.runner()
    number = bench.build_of(TWO_JOBS)
    job = runner.take()
    assert job["name"] == "a" and state_of(bench, number, 1) == "blocked" and runner.lease()["jobs"] == []
    later = runner.lease_later()
    runner.report(job, "success", log_size=0)
    runner.running.pop(job["id"])
    assert later.result()["jobs"][0]["name"] == "b"


def test_what_needs_a_failed_job_is_skipped(bench):
    runner = bench.runner()
    number = bench.build_of(TWO_JOBS)
    runner.finish(runner.take(), state="failed")
    build = bench.build(number)
    assert build["status"] == "failed"
    assert [job["status"] for job in build["jobs"]] == ["failed", "skipped"]
    assert build["jobs"][1]["reason"] == "dependency"


# ---- leases that end


@pytest.fixture
def short(own_bench):
    """A server whose leases last two seconds."""
    return own_bench("--lease", "2s")


def test_a_silent_runners_job_goes_to_another(short):
    dead, alive = short.runner(), short.runner()
    number, job = short.job(dead)
    dead.log(job, b"half\n")
    again = alive.lease_later().result(30)["jobs"][0]
    assert (again["id"], again["attempt"]) == (job["id"], 2)
    assert stale(dead.log(job, b"more\n", 5, expect=409))
    assert stale(dead.report(job, "success", log_size=5, expect=409))
    alive.finish(again, b"whole\n")
    build = short.build(number)
    assert build["status"] == "success" and build["jobs"][0]["attempt"] == 2
    assert short.log(number) == "whole\n"


def test_a_dead_runners_attempt_is_told_to_stop_when_it_is_back(short):
    dead, alive = short.runner(), short.runner()
    number, job = short.job(dead)
    again = alive.lease_later().result(30)["jobs"][0]
    stops = dead.lease()["stop"]
    assert [(s["job"], s["attempt"], s["reason"]) for s in stops] == [(job["id"], 1, "stale")]
    assert dead.heartbeat()["stop"] == stops
    alive.finish(again)


def test_a_heartbeat_keeps_a_lease(short):
    runner, other = short.runner(slots=1), short.runner()
    number, job = short.job(runner)
    later = Later(lambda: other.lease(wait=6))
    while not later.done:
        runner.heartbeat()
        later.thread.join(0.3)
    assert later.result()["jobs"] == []
    runner.finish(job)
    assert short.build(number)["jobs"][0]["attempt"] == 1


def test_a_job_that_is_lost_too_often_fails_as_lost(own_bench):
    bench = own_bench("--lease", "2s", "--max-attempts", "2")
    runner = bench.runner()
    number, job = bench.job(runner)
    runner.running.clear()
    second = runner.lease_later().result(30)["jobs"][0]
    assert second["attempt"] == 2
    build = bench.wait_build(number, "failed", timeout=30)
    assert build["jobs"][0]["reason"] == "lost"


def test_three_lost_attempts_are_enough_by_default(own_bench):
    bench = own_bench("--lease", "2s")
    runner = bench.runner()
    number, job = bench.job(runner)
    for attempt in 2, 3:
        runner.report(job, "lost")
        runner.running.clear()
        job = runner.take()
        assert (job["build"], job["attempt"]) == (number, attempt)
    runner.report(job, "lost")
    lost = bench.wait_build(number, "failed")["jobs"][0]
    assert lost["reason"] == "lost" and "in each of 3 attempts" in lost["message"]


def test_a_job_that_its_runner_does_not_know_of_is_queued_again(bench):
    """The answer of the lease call got lost on its way."""
    runner = bench.runner()
    number, job = bench.job(runner)
    runner.running.clear()
    again = Later(lambda: next(j for _ in range(200) for j in runner.lease(wait=1)["jobs"])).result(40)
    assert (again["id"], again["attempt"]) == (job["id"], 2)


# ---- cancel


def test_a_queued_build_is_cancelled_at_once(bench):
    number = bench.build_of(TWO_JOBS)
    answer = bench.client.post(f"/api/builds/{number}/cancel")
    assert answer["status"] == "cancelled"
    assert {job["status"] for job in bench.build(number)["jobs"]} == {"cancelled"}
    assert bench.runner().lease()["jobs"] == []


def test_a_waiting_runner_is_told_to_stop_at_once(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    later = runner.lease_later()
    assert bench.client.post(f"/api/builds/{number}/cancel")["status"] != "cancelled"
    assert later.result()["stop"] == [{"job": job["id"], "attempt": 1, "reason": "user"}]
    assert bench.build(number)["finished_at"] is None
    assert runner.report(job, "running").json["stop"] is True
    runner.finish(job, b"stopped\n", "cancelled", reason="user")
    assert bench.build(number)["status"] == "cancelled"
    assert bench.log(number) == "stopped\n"


def test_cancelling_twice_is_one_cancel(bench):
    runner = bench.runner()
    number, job = bench.job(runner, files=TWO_JOBS)
    for _ in range(2):
        bench.client.post(f"/api/builds/{number}/cancel")
    assert state_of(bench, number, 1) == "cancelled"
    runner.finish(job, state="cancelled", reason="user")
    assert bench.build(number)["status"] == "cancelled"
    bench.api("POST", f"/api/builds/{number}/cancel", expect=409)


def test_a_job_that_ends_before_it_hears_of_the_cancel_has_ended(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    bench.client.post(f"/api/builds/{number}/cancel")
    runner.finish(job, state="success")
    assert bench.build(number)["status"] in ("success", "cancelled")
    assert bench.build(number)["finished_at"]


def test_a_silent_runner_does_not_hold_up_a_cancel_for_ever(short):
    runner = short.runner()
    number, _ = short.job(runner)
    short.client.post(f"/api/builds/{number}/cancel")
    assert short.wait_build(number, "cancelled", timeout=30)["jobs"][0]["attempt"] == 1


def test_an_unknown_build_cannot_be_cancelled(bench):
    bench.api("POST", "/api/builds/999999/cancel", expect=404)


def token_of(bench, runner):
    return next(t for t in bench.client.get("/api/tokens")["tokens"] if t["name"] == f"runner {runner.name}")


def refused_later(runner, wait=60):
    """A lease call that waits, and is to end with 401."""
    body = {**runner.facts(), "wait": wait}
    return Later(lambda: runner.client.call("POST", "/api/runner/lease", body, expect=401, timeout=90))


def wait_until_seen(bench, runner):
    """It has called; what follows in its call is to wait."""
    wait_for("call", lambda: any(r["last_seen"] for r in bench.client.get("/api/runners")["runners"] if r["id"] == runner.id))


def test_a_runners_revoked_token_ends_its_lease_calls(bench):
    runner = FakeRunner(bench.server, bench.name())
    bench.client.delete(f"/api/tokens/{token_of(bench, runner)['id']}", expect=204)
    runner.client.call("POST", "/api/runner/lease", runner.facts(), expect=401)


def test_a_lease_call_that_waits_ends_when_its_token_is_revoked(bench):
    """Nothing else ends it: it would be held for ten seconds, and answered 200."""
    runner = bench.runner()
    later = refused_later(runner)
    wait_until_seen(bench, runner)
    bench.client.delete(f"/api/tokens/{token_of(bench, runner)['id']}", expect=204)
    later.result(timeout=5)
    number = bench.build_of()
    assert state_of(bench, number) == "queued"
    assert bench.runner().take()["attempt"] == 1


def test_a_lease_call_whose_token_expires_while_it_waits_gets_no_job_and_keeps_it_from_nobody(bench):
    """The job wakes the call that has waited longest: it is refused, and the next one has the job."""
    runner, other = bench.runner(), bench.runner()
    with contextlib.closing(sqlite3.connect(bench.state / "pelton.db", timeout=30)) as db, db:
        db.execute("UPDATE token SET expires_at = ? WHERE id = ?",
                   (int((time.time() + 2 * SLOWER) * 1e6), token_of(bench, runner)["id"]))
    later = refused_later(runner)
    wait_until_seen(bench, runner)
    next_one = other.lease_later()
    wait_until_seen(bench, other)
    wait_for("expiry", lambda: token_of(bench, runner)["status"] == "expired")
    number = bench.build_of()
    later.result()
    job = next_one.result()["jobs"][0]
    assert (job["build"], job["attempt"]) == (number, 1)


def test_an_answer_has_no_more_jobs_than_can_be_sent_well(bench):
    runner = bench.runner(slots=40)
    script = "echo " + "x" * 400_000
    number = bench.build_of({".pelton.yml": "jobs:\n  m:\n    matrix: {n: [" + ", ".join(map(str, range(40))) + "]}\n"
                                            f"    steps: ['{script}']\n"})
    answers = [runner.lease()["jobs"]]
    while answers[-1]:
        assert sum(len(job["spec"]["steps"][0]["run"]) for job in answers[-1]) < 5 << 20
        answers.append(runner.lease()["jobs"])
    assert len(answers) > 3 and sorted(job["id"] for jobs in answers for job in jobs) == sorted(
        job["id"] for job in bench.build(number)["jobs"])


@pytest.mark.parametrize("named, ends", [("needs.m.result", False), ("needs.m.outputs.o1", True)])
def test_a_job_gets_the_outputs_that_it_names_if_they_are_not_too_many(bench, named, ends):
    number = bench.build_of({".pelton.yml": f"""jobs:
  m: {{matrix: {{n: [1, 2]}}, steps: ["true"]}}
  small: {{steps: ["true"]}}
  join:
    needs: [m, small]
    env: {{R: "${{{{ {named} }}}}", S: "${{{{ needs.small.outputs.o1 }}}}"}}
    steps: ["true"]
"""})
    runner = bench.runner(slots=1)
    for _ in range(3):
        job = runner.take()
        outputs = {f"o{i}": "x" * 60_000 for i in range(80)} if job["name"].startswith("m ") else {"o1": "few"}
        runner.finish(job, outputs=outputs)
    if ends:
        assert runner.lease()["jobs"] == []
        join = bench.build(number)["jobs"][3]
        assert (join["status"], join["reason"]) == ("failed", "invalid")
        assert "have 9600003 bytes together, and 8388608 are the limit; hand over files as artifacts" in join["message"]
    else:
        needs = {need["job"]: need["outputs"] for need in runner.take()["needs"]}
        assert needs == {"m (1)": {}, "m (2)": {}, "small": {"o1": "few"}}
