"""What becomes of builds and jobs: retries, turns, times, cancels, and builds once more."""

import sqlite3

import pytest

from lib.wait import wait_for

FLAGS = ["--lease", "3s"]


def pipeline(head="", job=""):
    return {".pelton.yml": f"{head}\njobs:\n  test:\n    checkout: false\n    steps: [echo hi]\n{job}"
                           "  then:\n    needs: [test]\n    checkout: false\n    steps: [echo then]\n"}


def state_of(bench, number, name="test"):
    return next(job for job in bench.build(number)["jobs"] if job["name"] == name)


def finish_all(bench, runner, number, bad=()):
    """Runs the build's jobs; those named `bad` fail."""
    while bench.build(number)["status"] in ("queued", "running"):
        job = runner.take()
        assert job["build"] == number
        runner.put(job, job["name"], f"{job['name']} of {number}".encode())
        runner.finish(job, f"log of {job['name']}, attempt {job['attempt']}\n".encode(),
                      "failed" if job["name"] in bad else "success")
    return bench.build(number)


# ---- retry


def test_a_job_is_retried_by_its_own_rule_and_says_when(bench):
    runner = bench.runner()
    number = bench.build_of(pipeline(job="    retry: {times: 2, on: [exit], backoff: 1h}\n"))
    job = runner.take()
    runner.finish(job, b"first\n", "failed")
    seen = state_of(bench, number)
    assert seen["status"] == "blocked" and seen["retries"] == 1
    assert seen["waiting"].startswith("retry 1 of 2 in ")
    build = bench.build(number)
    assert (build["status"], build["retry_count"], build["max_retries"]) == ("running", 1, 2)
    listed = next(one for one in bench.client.get("/api/builds")["builds"] if one["id"] == number)
    assert (listed["retry_count"], listed["max_retries"]) == (1, 2)
    assert bench.api("POST", f"/api/builds/{number}/cancel").json["status"] == "cancelled"
    assert state_of(bench, number)["status"] == "cancelled"


REASONS = ["exit", "timeout", "oom", "infrastructure"]


@pytest.mark.parametrize("rule", ["1", "{times: 1, on: [%s]}"])
@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_that_a_rule_names_is_tried_again_and_all_of_these_without_a_list(bench, reason, rule):
    runner = bench.runner()
    number = bench.build_of(pipeline(job="    retry: " + rule.replace("%s", reason) + "\n"))
    for attempt in 1, 2:
        job = runner.take()
        assert (job["build"], job["attempt"]) == (number, attempt)
        runner.finish(job, b"", "failed", reason=reason)
    assert bench.wait_build(number, "failed")["jobs"][0]["reason"] == reason


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_that_a_rule_does_not_name_is_final(bench, reason):
    runner = bench.runner()
    others = ", ".join(other for other in REASONS if other != reason)
    number = bench.build_of(pipeline(job=f"    retry: {{times: 1, on: [{others}]}}\n"))
    runner.finish(runner.take(), b"", "failed", reason=reason)
    assert bench.wait_build(number, "failed")["jobs"][0]["attempt"] == 1


def test_logs_and_steps_of_earlier_attempts_stay_readable(bench):
    runner = bench.runner()
    number = bench.build_of(pipeline(job="    retry: {times: 1}\n"))
    job = runner.take()
    step = {"position": 0, "name": "echo hi", "state": "failed", "exit_code": 3, "started_at": 1, "log_start": 0}
    runner.finish(job, b"first\n", "failed", steps=[step], exit_code=3)
    again = runner.take()
    assert (again["id"], again["attempt"]) == (job["id"], 2)
    runner.finish(again, b"second\n")
    finish_all(bench, runner, number)
    logs = f"/api/builds/{number}/logs?job=test"
    text = {"Accept": "text/plain"}
    assert bench.api("GET", logs, headers=text).body == b"second\n"
    assert bench.api("GET", f"{logs}&attempt=1", headers=text).body == b"first\n"
    assert bench.api("GET", f"{logs}&attempt=1").json["logs"] == "first\n"
    assert "has had 2" in bench.api("GET", f"{logs}&attempt=3", expect=404).text
    rows = bench.api("GET", f"/api/builds/{number}/attempts?job=test").json["attempts"]
    assert [(row["attempt"], row["status"], row["reason"], row["exit_code"]) for row in rows] == [
        (1, "failed", "exit", 3), (2, "success", "", -1)]
    assert rows[0]["steps"][0]["exit_code"] == 3 and rows[0]["message"] == "step 1: exit status 1"
    assert len(bench.api("GET", f"/api/builds/{number}/attempts").json["attempts"]) == 3
    bench.api("GET", f"/api/builds/{number}/attempts?job=nope", expect=404)


def test_a_follower_reads_every_attempt_whole(bench):
    runner = bench.runner()
    number = bench.build_of(pipeline(job="    retry: {times: 1}\n"))
    job = runner.take()
    runner.log(job, b"one ")
    with bench.client.events(f"/api/builds/{number}/logs?job=test") as events:
        seen = events.until(lambda event: event.name == "log")
        runner.finish(job, b"and more\n", "failed", offset=4)
        runner.finish(runner.take(), b"two\n")
        seen += events.until(lambda event: event.name == "job")
    text = [(event.json["attempt"], event.json["text"]) for event in seen if event.name == "log"]
    assert "".join(part for attempt, part in text if attempt == 1) == "one and more\n"
    assert "".join(part for attempt, part in text if attempt == 2) == "two\n"
    finish_all(bench, runner, number)


def test_artifacts_of_a_failed_attempt_do_not_remain(bench):
    runner = bench.runner()
    number = bench.build_of(pipeline(job="    retry: {times: 1}\n"))
    job = runner.take()
    runner.put(job, "half", b"half")
    runner.finish(job, b"", "failed")
    runner.finish(runner.take())
    finish_all(bench, runner, number)
    assert [a["path"] for a in bench.client.get(f"/api/builds/{number}/artifacts")["artifacts"]] == ["then"]


# ---- turns


def test_a_build_waits_for_its_group_and_says_behind_which(bench):
    runner = bench.runner()
    name = bench.name()
    first = bench.push(name, pipeline("concurrency: {group: deploy, cancel: none}"))[1].build
    second = bench.more(name)
    seen = bench.build(second)
    assert seen["status"] == "queued" and seen["held"] is True and seen["concurrency_group"] == "deploy"
    assert state_of(bench, second)["waiting"] == f"concurrency group deploy: behind build {first}"
    finish_all(bench, runner, first)
    assert bench.build(second)["held"] is False
    finish_all(bench, runner, second)


def test_a_newer_build_is_told_of_by_the_one_that_it_supersedes(bench):
    runner = bench.runner()
    name = bench.name()
    first = bench.push(name, pipeline("concurrency: deploy"))[1].build
    job = runner.take()
    second = bench.more(name)
    with bench.client.events("/api/events") as events:
        third = bench.more(name)
        told = events.until(lambda event: event.json["build"]["id"] == second and event.json["type"] == "completed")[-1]
    assert (told.json["build"]["status"], told.json["reason"]) == ("cancelled", "superseded")
    seen = bench.build(second)
    assert (seen["status"], seen["reason"], seen["message"]) == (
        "cancelled", "superseded", f"superseded by build {third}")
    listed = {build["id"]: build for build in bench.client.get(f"/api/builds?waiting=1&repo={name}")["builds"]}
    assert (listed[second]["status"], listed[second]["reason"]) == ("cancelled", "superseded")
    assert "superseded" in next(line for line in bench.run("builds", "--repo", name).stdout.splitlines()
                                if line.split()[0] == str(second))
    runner.finish(job)
    finish_all(bench, runner, first)
    finish_all(bench, runner, third)


def test_a_running_build_is_superseded_when_it_has_really_ended(bench):
    runner = bench.runner()
    name = bench.name()
    first = bench.push(name, pipeline("concurrency: {group: deploy, cancel: running}"))[1].build
    job = runner.take()
    waiting = runner.lease_later()
    second = bench.more(name)
    assert waiting.result()["stop"] == [{"job": job["id"], "attempt": 1, "reason": "superseded"}]
    assert bench.build(second)["held"] is True
    runner.finish(job, b"", "cancelled")
    assert bench.build(first)["message"] == f"superseded by build {second}"
    assert bench.build(second)["held"] is False
    finish_all(bench, runner, second)


# ---- times


def test_a_build_ends_when_its_time_is_over(bench):
    runner = bench.runner()
    number = bench.build_of(pipeline("timeout: 1s"))
    job = runner.take()
    waiting = runner.lease_later()
    assert waiting.result()["stop"] == [{"job": job["id"], "attempt": 1, "reason": "timeout"}]
    runner.finish(job, b"", "cancelled")
    seen = bench.build(number)
    assert (seen["status"], seen["reason"]) == ("failed", "timeout")
    assert seen["message"] == "the build's time of 1 s is over"


def test_a_job_that_no_runner_takes_in_time_fails_and_says_why(bench):
    bench.runner()
    number = bench.build_of(pipeline(job="    queue-timeout: 1s\n    runs-on: {arch: riscv64}\n"))
    seen = bench.wait_build(number, "failed")
    message = seen["jobs"][0]["message"]
    assert seen["jobs"][0]["reason"] == "timeout"
    assert message.startswith("no runner took it within its queue-timeout of 1 s: ") and "riscv64" in message


def test_a_time_that_was_over_while_the_server_was_away_counts_when_it_is_back(own_bench):
    bench = own_bench()
    number = bench.build_of(pipeline(job="    queue-timeout: 2s\n"))
    bench.server.kill()
    bench.server.start()
    assert bench.wait_build(number, "failed")["jobs"][0]["reason"] == "timeout"


def test_a_builds_time_that_was_over_while_the_server_was_away_ends_it_when_it_is_back(own_bench):
    bench = own_bench()
    runner = bench.runner()
    number, job = bench.job(runner, files=pipeline(head="timeout: 1h"))
    bench.server.kill()
    with sqlite3.connect(bench.state / "pelton.db") as database:
        database.execute("UPDATE timer SET due_at = 1 WHERE kind = 'build'")
    database.close()
    bench.server.start()
    stop = runner.moved().lease_later().result()["stop"]
    assert [(order["job"], order["reason"]) for order in stop] == [(job["id"], "timeout")]
    runner.finish(job, b"", "cancelled")
    build = bench.wait_build(number, "failed")
    assert build["reason"] == "timeout" and state_of(bench, number, "then")["status"] == "cancelled"


# ---- cancel


def test_a_cancel_says_who_and_a_second_one_is_the_same(bench):
    runner = bench.runner()
    number = bench.build_of(pipeline())
    job = runner.take()
    for _ in range(2):
        assert bench.api("POST", f"/api/builds/{number}/cancel").json["status"] == "running"
    runner.finish(job, b"", "cancelled")
    seen = bench.build(number)
    assert (seen["status"], seen["reason"], seen["message"]) == ("cancelled", "user", "cancelled by admin")
    bench.api("POST", f"/api/builds/{number}/cancel", expect=409)


def test_a_held_build_is_cancelled_at_once(bench):
    runner = bench.runner()
    name = bench.name()
    first = bench.push(name, pipeline("concurrency: {group: g, cancel: none}"))[1].build
    second = bench.more(name)
    assert bench.api("POST", f"/api/builds/{second}/cancel").json["status"] == "cancelled"
    finish_all(bench, runner, first)


# ---- once more


@pytest.mark.parametrize("body, said", [({"only": "failed"}, 'field "only": unknown; expected "jobs"'),
                                        ({"job": "all"}, 'field "job": unknown; did you mean "jobs"?')])
def test_a_rerun_with_a_field_that_there_is_not_repeats_nothing(bench, body, said):
    runner = bench.runner()
    number = bench.build_of(pipeline())
    finish_all(bench, runner, number)
    assert rerun(bench, number, body, expect=400).json["message"] == said
    assert bench.client.get("/api/builds?limit=1")["builds"][0]["id"] == number


def rerun(bench, number, body=None, expect=202, **options):
    return bench.api("POST", f"/api/builds/{number}/rerun", body or {}, expect=expect, **options)


def test_a_build_runs_once_more_as_a_new_one(bench):
    runner = bench.runner()
    old = bench.build_of(pipeline())
    finish_all(bench, runner, old)
    before = bench.build(old)
    new = rerun(bench, old).json["id"]
    assert new != old and bench.build(new)["rerun_of"] == old
    assert finish_all(bench, runner, new)["status"] == "success"
    assert bench.build(old) == before


def test_only_failed_jobs_run_once_more_and_the_others_keep_log_and_artifacts(bench):
    runner = bench.runner()
    old = bench.build_of(pipeline())
    assert finish_all(bench, runner, old, bad=["then"])["status"] == "failed"
    new = rerun(bench, old, {"jobs": "failed"}).json["id"]
    copied = state_of(bench, new)
    assert copied["status"] == "success" and copied["copied"] is True
    assert finish_all(bench, runner, new)["status"] == "success"
    assert bench.log(new) == "== job test ==\nlog of test, attempt 1\n== job then ==\nlog of then, attempt 1\n"
    text = {"Accept": "text/plain"}
    assert bench.api("GET", f"/api/builds/{new}/logs?job=test", headers=text).body == b"log of test, attempt 1\n"
    assert bench.api("GET", f"/api/builds/{new}/artifacts/test").body == f"test of {old}".encode()
    assert bench.api("GET", f"/api/builds/{new}/artifacts/then").body == f"then of {new}".encode()
    assert bench.api("GET", f"/api/builds/{new}/attempts?job=test").json["attempts"][0]["status"] == "success"


def test_one_job_runs_once_more_with_what_depends_on_it(bench):
    runner = bench.runner()
    old = bench.build_of(pipeline())
    finish_all(bench, runner, old)
    new = rerun(bench, old, {"jobs": ["then"]}).json["id"]
    assert state_of(bench, new)["copied"] is True
    assert finish_all(bench, runner, new)["status"] == "success"
    whole = rerun(bench, old, {"jobs": ["test"]}).json["id"]
    assert state_of(bench, whole)["copied"] is False and state_of(bench, whole, "then")["status"] == "blocked"
    finish_all(bench, runner, whole)


def test_what_cannot_run_once_more_says_why(bench):
    runner = bench.runner()
    number = bench.build_of(pipeline())
    assert "has not finished" in rerun(bench, number, expect=409).text
    finish_all(bench, runner, number)
    assert "no job of build" in rerun(bench, number, {"jobs": "failed"}, expect=409).text
    assert "did you mean 'then'" in rerun(bench, number, {"jobs": ["the"]}, expect=400).text
    rerun(bench, 999_999, expect=404)


@pytest.mark.parametrize("jobs", [[], [1], "some", 3, {"a": 1}])
def test_a_wish_for_other_jobs_than_can_be_is_refused(bench, jobs):
    runner = bench.runner()
    number = bench.build_of(pipeline())
    finish_all(bench, runner, number)
    assert '"jobs' in rerun(bench, number, {"jobs": jobs}, expect=400).text


# ---- triggers


def test_the_same_key_is_the_same_build(bench):
    runner = bench.runner()
    name = bench.name()
    first = bench.push(name, pipeline())[1].build
    key = {"Idempotency-Key": "0b7c"}
    one = bench.api("POST", f"/api/repos/{name}/builds", {}, headers=key, expect=202).json
    two = bench.api("POST", f"/api/repos/{name}/builds", {}, headers=key, expect=202).json
    assert one == two and one["id"] != first
    other = {"Idempotency-Key": "other"}
    assert bench.api("POST", f"/api/repos/{name}/builds", {}, headers=other, expect=202).json["id"] != one["id"]
    finish_all(bench, runner, first)
    once = bench.api("POST", f"/api/builds/{first}/rerun", {}, headers={"Idempotency-Key": "r"}, expect=202).json
    twice = bench.api("POST", f"/api/builds/{first}/rerun", {}, headers={"Idempotency-Key": "r"}, expect=202).json
    assert once["id"] == twice["id"]
    bench.api("POST", f"/api/builds/{first}/rerun", {}, headers=key, expect=409)
    for bad in ("", "x" * 201):
        bench.api("POST", f"/api/repos/{name}/builds", {}, headers={"Idempotency-Key": bad}, expect=400)


def test_an_attempt_that_was_lost_is_another_one_and_counts_apart(bench):
    runner, other = bench.runner(), bench.runner()
    number = bench.build_of(pipeline(job="    retry: {times: 1}\n"))
    job = runner.take()
    runner.running.clear()
    again = other.take()
    assert (again["id"], again["attempt"]) == (job["id"], 2)
    assert state_of(bench, number)["retries"] == 0
    other.finish(again, b"", "failed")
    wait_for("the retry", lambda: state_of(bench, number)["retries"] == 1)
    finish_all(bench, other, number)


def builds_of(bench, name):
    return bench.client.get(f"/api/builds?repo={name}")["builds"]


def silence(bench, name):
    """From now on the repository's hook says nothing."""
    hook = bench.server.state / "repos" / f"{name}.git" / "hooks" / "post-receive"
    hook.write_text("#!/bin/sh\ncat > /dev/null\n")
    return hook


def test_a_push_whose_hook_was_not_heard_is_found_at_once(bench):
    name = bench.name()
    work = bench.work(name, pipeline())
    silence(bench, name)
    push = work.push()
    assert push.builds == []
    found = wait_for("a build", lambda: builds_of(bench, name))
    assert [build["commit_hash"] for build in found] == [work.head()]


def test_a_push_that_could_not_be_taken_is_found_when_it_can(bench):
    name = bench.name()
    work = bench.work(name, pipeline())
    repository = bench.server.state / "repos" / f"{name}.git"
    aside = repository / "aside"
    hook = repository / "hooks" / "post-receive"
    told = hook.read_text()
    # while the hook speaks, the commit cannot be read
    hook.write_text(told.replace("#!/bin/sh\n", f"#!/bin/sh\nmv {repository}/objects {aside}\n", 1))
    push = work.push(check=False)
    assert push.builds == []
    aside.rename(repository / "objects")
    wait_for("a build", lambda: builds_of(bench, name))


def test_a_ref_that_changes_behind_our_back_is_found_now_and_then(own_bench):
    bench = own_bench("--compare-refs", "1s")
    name = bench.name()
    work, push = bench.push(name, pipeline())
    first = push.build
    commit = work.commit({"more": "x"})
    url = str(bench.server.state / "repos" / f"{name}.git")
    silence(bench, name)
    work.git("push", url, "main:main", "main:refs/heads/nested/deep/branch", "main:refs/tags/v1")
    found = wait_for("three more builds", lambda: builds_of(bench, name)[:-1] if len(builds_of(bench, name)) == 4 else None)
    assert {build["commit_hash"] for build in found} == {commit}
    assert {build["branch"] for build in found} == {"main", "nested/deep/branch", "refs/tags/v1"}
    work.git("push", url, ":refs/heads/nested/deep/branch")
    again = work.commit({"more": "y"})
    work.git("push", url, "main:main")
    wait_for("another", lambda: builds_of(bench, name)[0]["commit_hash"] == again)
    assert len(builds_of(bench, name)) == 5 and builds_of(bench, name)[-1]["id"] == first
