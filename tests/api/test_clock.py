"""The server's wall clock is set while it runs: what lasts for a while lasts as long all the same."""

import os
import struct

import pytest

from lib.server import BINARY
from lib.wait import wait_for

SHIM = BINARY.parent / "tests/lib/clock-shim.so"
HOUR = 3600


class Clock:
    """Of a server that is started with its env; what it is off is in a file that the server maps."""

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(8))
        self.env = {"LD_PRELOAD": str(SHIM), "CLOCK_SHIM": str(path),
                    "ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0"}

    def set(self, seconds):
        with open(self.path, "r+b") as file:
            file.write(struct.pack("q", seconds))


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path / "clock")


def job(*lines):
    return {".pelton.yml": "jobs:\n  test:\n    checkout: false\n    steps: [\"true\"]\n" + "".join(
        f"    {line}\n" for line in lines)}


@pytest.mark.parametrize("by", [-HOUR, HOUR])
def test_a_dead_runners_job_is_given_to_another_although_the_clock_is_set(own_bench, clock, by):
    bench = own_bench("--lease", "2s", env=clock.env)
    dead, other = bench.runner(), bench.runner()
    number, _ = bench.job(dead)
    clock.set(by)
    again = other.lease_later().result(timeout=40)["jobs"][0]
    assert (again["build"], again["attempt"]) == (number, 2)
    other.finish(again)
    bench.wait_build(number, "success")
    assert "the clock was set" in bench.server_log()


def test_a_job_that_no_runner_takes_fails_although_the_clock_is_set_back(own_bench, clock):
    bench = own_bench(env=clock.env)
    number = bench.build_of(job("queue-timeout: 2s"))
    clock.set(-HOUR)
    assert bench.wait_build(number, "failed")["reason"] == "timeout"


def test_a_time_that_lasts_for_an_hour_is_not_over_when_the_clock_is_set_forward(own_bench, clock):
    bench = own_bench(env=clock.env)
    runner = bench.runner()
    waits = bench.build_of(job("queue-timeout: 1h", "priority: -1"))
    runs, _ = bench.job(bench.runner(slots=1), bench.build_of(
        {".pelton.yml": "timeout: 1h\njobs:\n  test: {checkout: false, steps: [\"true\"]}\n"}))
    clock.set(2 * HOUR)
    passed = bench.build_of(job("queue-timeout: 1s", "runs-on: {arch: aarch64}"))
    bench.wait_build(passed, "failed")  # what is due has been looked at since
    assert bench.build(waits)["status"] == "queued" and bench.build(runs)["status"] == "running"
    assert runner.take()["build"] == waits


def test_a_runner_that_is_gone_is_not_taken_for_one_that_is_there(own_bench, clock):
    bench = own_bench(env=clock.env)
    clock.set(HOUR)
    bench.runner().lease()
    for now, status in (0, "idle"), (60, "away"):  # set while it is down: nobody knows by how much
        bench.stop()
        clock.set(now)
        bench.start()
        assert bench.client.get("/api/runners")["runners"][0]["status"] == status
