"""Every waiting job says why, in words that a person can act on."""

import json
import re
import sqlite3

import pytest

from lib.fake_runner import FakeRunner
from lib.wait import wait_for

NEEDS = """jobs:
  build: {checkout: false, steps: ["true"]}
  test: {checkout: false, steps: ["true"]}
  ship: {checkout: false, needs: [build, test], steps: ["true"]}
"""


def one(*lines):
    return {".pelton.yml": "jobs:\n  test:\n    checkout: false\n    steps: [\"true\"]\n" + "".join(
        f"    {line}\n" for line in lines)}


def why(bench, number, name="test"):
    return next(job for job in bench.build(number)["jobs"] if job["name"] == name)["waiting"]


def until(bench, number, pattern, name="test"):
    return wait_for(lambda: f"{pattern}: {why(bench, number, name)}",
                    lambda: re.fullmatch(pattern, why(bench, number, name)))


def test_a_job_waits_for_the_jobs_that_it_needs(bench):
    runner = bench.runner(slots=1)
    number = bench.build_of({".pelton.yml": NEEDS})
    assert why(bench, number, "ship") == "waiting for build, test"
    runner.finish(runner.take())
    assert why(bench, number, "ship") == "waiting for test"
    runner.finish(runner.take())
    job = runner.take()
    assert job["name"] == "ship" and why(bench, number, "ship") == ""


def test_without_a_runner_it_says_how_to_start_one(own_bench):
    bench = own_bench()
    assert why(bench, bench.build_of()).startswith("there is no runner; start one: pelton runner --server")


def test_no_runner_has_what_it_asks_for(own_bench):
    bench = own_bench()
    first, second = bench.runner(executors=["sandbox"]), bench.runner(executors=["sandbox"])
    second.labels = {"zone": "eu"}
    first.memory, second.memory = 4 << 30, 8 << 30
    first.lease(), second.lease()
    asks = {
        "runs-on: {arch: aarch64}": r"no runner has arch aarch64; runners: fake1 \(x86_64\), fake2 \(x86_64\)",
        "runs-on: {labels: {gpu: a100}}":
            r"no runner has label gpu=a100; runners: fake1 \(no label\), fake2 \(zone=eu\)",
        "resources: {memory: 16G}":
            r"no runner has 16 GiB of memory; runners: fake1 \(4 GiB of memory\), fake2 \(8 GiB of memory\)",
    }
    for line, text in asks.items():
        assert re.fullmatch(text, why(bench, bench.build_of(one(line))))
    both = bench.build_of(one("runs-on: {labels: {zone: eu}}", "resources: {memory: 6G}", "priority: -1"))
    assert second.take()["build"] == both
    far = bench.build_of(one("runs-on: {labels: {zone: us}}", "resources: {memory: 6G}"))
    assert why(bench, far) == ("no runner has label zone=us; runners: fake1 (no label; 4 GiB of memory), "
                               "fake2 (zone=eu)")


def test_no_runner_has_its_executor(own_bench):
    bench = own_bench("--allow-executor", "shell")
    bench.runner(executors=["sandbox"]).lease()
    number = bench.build_of(one("runs-on: {executor: shell}"))
    assert why(bench, number) == "no runner has executor shell; runners: fake1 (sandbox)"


def test_each_has_something_but_none_has_it_all(own_bench):
    bench = own_bench()
    gpu, eu = bench.runner(), bench.runner()
    gpu.labels, eu.arch = {"gpu": "yes"}, "aarch64"
    gpu.lease(), eu.lease()
    number = bench.build_of(one("runs-on: {arch: aarch64, labels: {gpu: \"yes\"}}"))
    assert why(bench, number) == ("no runner has executor sandbox, arch aarch64, label gpu=yes together; "
                                  "runners: fake1 (x86_64), fake2 (no label)")


def test_all_that_match_are_busy_since_and_how_many_are_before_it(own_bench):
    bench = own_bench()
    runners = [bench.runner(slots=1) for _ in range(3)]
    for runner in runners:
        bench.build_of()
        runner.take()
    waiting = [bench.build_of() for _ in range(3)]
    assert re.fullmatch(r"3 of 3 matching runners busy since \d+ s", why(bench, waiting[0]))
    assert re.fullmatch(r"3 of 3 matching runners busy since \d+ s; 1 job before it", why(bench, waiting[1]))
    assert re.fullmatch(r"3 of 3 matching runners busy since \d+ s; 2 jobs before it", why(bench, waiting[2]))


def test_what_is_busy_with_its_memory_counts_as_busy(own_bench):
    bench = own_bench()
    runner = bench.runner(slots=4)
    runner.memory = 4 << 30
    bench.build_of(one("resources: {memory: 3G}"))
    runner.take()
    number = bench.build_of(one("resources: {memory: 2G}"))
    assert re.fullmatch(r"1 of 1 matching runner busy since \d+ s", why(bench, number))


def kept_back(bench, runner, *big_lines, settings=""):
    """A runner with room for a small job, which it keeps for a big one that has waited long: (small build, big build,
    the job that runs). The runner's call waits."""
    runner.memory = 4 << 30
    bench.build_of(one("resources: {memory: 1G}"))
    running = runner.take()
    lines = one("resources: {memory: 4G}", *big_lines)[".pelton.yml"]
    big = bench.build_of({".pelton.yml": settings + lines})
    bench.stop()
    with sqlite3.connect(bench.state / "pelton.db") as database:
        database.execute("UPDATE job SET queued_at = queued_at - 40000000 WHERE state = 'queued'")
    database.close()
    bench.start()
    runner.moved()
    small = bench.more(bench.build(running["build"])["repo"])
    return small, big, running


def test_a_job_that_is_kept_back_for_a_bigger_one_says_for_which(own_bench):
    bench = own_bench()
    runner = bench.runner(slots=4)
    small, big, _ = kept_back(bench, runner)
    assert runner.lease()["jobs"] == []
    assert re.fullmatch(rf"kept back for job test of build {big}, which has waited for 4\d s", why(bench, small))
    assert re.fullmatch(r"1 of 1 matching runner busy since \d+ s", why(bench, big))
    urgent = bench.build_of(one("priority: 1"))
    assert why(bench, urgent) == "about to start" and runner.lease()["jobs"][0]["build"] == urgent


def cancelled(bench, big):
    bench.api("POST", f"/api/builds/{big}/cancel", expect=(200, 202))


def superseded(bench, big):
    bench.more(bench.build(big)["repo"])


def taken_elsewhere(bench, big):
    other = bench.runner(slots=1)
    other.memory = 4 << 30
    assert other.lease()["jobs"][0]["build"] == big


LEAVES = {"cancelled": (cancelled, "", ()),
          "superseded": (superseded, "concurrency: {group: one, cancel: queued}\n", ("runs-on: {arch: x86_64}",)),
          "taken by another runner": (taken_elsewhere, "", ())}


@pytest.mark.parametrize("how", LEAVES)
def test_what_was_kept_for_a_job_that_waits_no_more_is_given_to_the_next(own_bench, how):
    bench = own_bench()
    runner = bench.runner(slots=4)
    leave, settings, lines = LEAVES[how]
    small, big, _ = kept_back(bench, runner, *lines, settings=settings)
    call = runner.lease_later()
    until(bench, small, rf"kept back for job test of build {big}, .*")
    leave(bench, big)
    assert [job["build"] for job in call.result()["jobs"]] == [small]


def test_what_matches_has_not_been_heard_of(own_bench):
    bench = own_bench()
    bench.runner().lease()
    bench.stop()
    with sqlite3.connect(bench.state / "pelton.db") as database:
        database.execute("UPDATE runner SET last_seen = last_seen - 300000000")
    database.close()
    bench.start()
    number = bench.build_of()
    assert why(bench, number) == "1 matching runner, fake1, not heard of since 5 min"
    FakeRunner(bench.server, "never")
    until(bench, number, "2 matching runners, all out of reach: fake1 not heard of since 5 min, never never heard of")


def test_a_runner_without_room_on_its_disk_is_not_called_busy(own_bench):
    bench = own_bench()
    runner = bench.runner(slots=1)
    number, running = bench.job(runner)
    runner.slots = 0  # as it asks then (docs/runner-protocol.md)
    runner.lease()
    number = bench.build_of()
    closed = "1 matching runner, fake1, takes no jobs until there is room on its disk"
    assert why(bench, number) == closed
    runner.finish(running)
    assert why(bench, number) == closed
    bench.build_of()
    other = bench.runner(slots=1)
    other.take()
    number = bench.build_of()
    assert re.fullmatch(r"1 of 2 matching runners busy since \d+ s, fake1 takes no jobs until there is room on its disk; .*",
                        why(bench, number))
    runner.slots = 1
    assert len(runner.lease()["jobs"]) == 1


def test_a_drained_runner_is_no_help(own_bench):
    bench = own_bench()
    bench.runner().lease()
    bench.client.post("/api/runners/fake1/drain", {}, expect=200)
    assert why(bench, bench.build_of()) == "1 matching runner, fake1, drained by admin"


def test_a_paused_queue_says_by_whom_and_why(own_bench):
    bench = own_bench()
    bench.runner().lease()
    ann = bench.as_token(bench.client.post("/api/tokens", {"name": "ann", "role": "admin"})["token"])
    ann.post("/api/queue/pause", {}, expect=200)
    number = bench.build_of()
    until(bench, number, r"queue paused by ann since \d+ s")
    ann.post("/api/queue/pause", {"reason": "the disk is changed"}, expect=200)
    until(bench, number, r"queue paused by ann since \d+ s: the disk is changed")


def test_the_list_of_builds_says_it_for_those_that_have_not_begun(own_bench):
    bench = own_bench()
    bench.runner(executors=["sandbox"]).lease()
    number = bench.build_of(one("runs-on: {arch: aarch64}"))
    listed = bench.client.get("/api/builds?waiting=1")["builds"][0]
    assert listed["id"] == number
    assert listed["waiting"] == "no runner has arch aarch64; runners: fake1 (x86_64)"
    assert "waiting" not in bench.client.get("/api/builds")["builds"][0]


def waits_for_a_need(bench, runner):
    runner.lease()
    return bench.build_of({".pelton.yml": "jobs:\n  first: {checkout: false, steps: [\"true\"]}\n"
                                          "  test: {checkout: false, needs: [first], steps: [\"true\"]}\n"})


def waits_for_its_group(bench, runner):
    first = bench.build_of({".pelton.yml": "concurrency: turn\n" + one()[".pelton.yml"]})
    bench.job(runner, first)
    return bench.more(bench.build(first)["repo"])


def waits_for_a_retry(bench, runner):
    number, job = bench.job(runner, files=one("retry: {times: 2, backoff: 1h}"))
    runner.finish(job, b"", "failed")
    return number


def waits_for_the_end_of_a_pause(bench, runner):
    bench.run("pause", "--reason", "a new disk")
    return bench.build_of()


def waits_for_a_runner(bench, runner):
    bench.job(runner)
    return bench.build_of()


def waits_for_a_bigger_job(bench, runner):
    runner.slots = 4
    small, _, _ = kept_back(bench, runner)
    assert runner.lease()["jobs"] == []
    return small


def waits_for_a_disk(bench, runner):
    runner.slots = 0
    runner.lease()
    return bench.build_of()


WAITS = {
    waits_for_a_need: r"waiting for first",
    waits_for_its_group: r"concurrency group turn: behind build 1",
    waits_for_a_retry: r"retry 1 of 2 in \d+ min",
    waits_for_the_end_of_a_pause: r"queue paused by admin since \d+ s: a new disk",
    waits_for_a_runner: r"1 of 1 matching runner busy since \d+ s",
    waits_for_a_bigger_job: r"kept back for job test of build 2, which has waited for \d+ s",
    waits_for_a_disk: r"1 matching runner, fake\d+, takes no jobs until there is room on its disk",
}


@pytest.mark.parametrize("wait", WAITS, ids=lambda wait: wait.__name__)
def test_each_reason_is_shown_by_the_command_line(own_bench, wait):
    bench = own_bench()
    number = wait(bench, bench.runner(slots=1))
    assert re.search(WAITS[wait], bench.run("build", "show", number).stdout)


def test_the_command_line_says_it(own_bench):
    bench = own_bench()
    bench.runner(executors=["sandbox"]).lease()
    number = bench.build_of(one("runs-on: {arch: aarch64}"))
    text = "no runner has arch aarch64; runners: fake1 (x86_64)"
    assert text in bench.run("build", "show", str(number)).stdout
    assert text in bench.run("builds").stdout
    assert json.loads(bench.run("build", "show", str(number), "--json").stdout)["jobs"][0]["waiting"] == text
