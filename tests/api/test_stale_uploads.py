"""What an attempt was still sending when it lost its job."""

import http.client
import os

import pytest

from lib.wait import SLOWER, wait_for


def begin(bench, runner, job, method, path, first, size):
    """An upload of so many bytes of which the headers and the first ones are there."""
    connection = http.client.HTTPConnection(bench.address, timeout=30 * SLOWER)
    connection.putrequest(method, f"/api/runner/jobs/{job['id']}/{path}")
    connection.putheader("Authorization", f"Bearer {runner.client.token}")
    connection.putheader("Content-Length", str(size))
    connection.endheaders(first)
    return connection


def begin_artifact(bench, runner, job, path):
    return begin(bench, runner, job, "PUT", f"artifacts/{path}?attempt={job['attempt']}", os.urandom(100_000), 200_000)


def is_stale(connection, rest):
    connection.send(rest)
    answer = connection.getresponse()
    assert answer.status == 409 and b"StaleAttempt" in answer.read()
    connection.close()


def test_an_upload_that_ends_after_its_job_is_refused_and_changes_nothing(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    runner.put(job, "kept", b"good")
    late = begin_artifact(bench, runner, job, "kept")
    more = begin_artifact(bench, runner, job, "more")
    runner.finish(job)
    is_stale(late, os.urandom(100_000))
    is_stale(more, os.urandom(100_000))
    artifacts = bench.client.get(f"/api/builds/{number}/artifacts")["artifacts"]
    assert [(a["path"], a["size"]) for a in artifacts] == [("kept", 4)]


def log_of(bench, number, attempt):
    return bench.api("GET", f"/api/builds/{number}/logs?attempt={attempt}&offset=0", headers={"Accept": "text/plain"}).body


@pytest.mark.parametrize("end", ["ended", "lost"])
def test_a_log_that_comes_after_the_end_is_refused_and_changes_nothing(bench, end):
    """As the last words of a job process do that was killed while its network was slow."""
    runner = bench.runner()
    number, job = bench.job(runner)
    late = begin(bench, runner, job, "POST", "log?attempt=1&offset=0", b"first\n", 10)
    wait_for("the first line", lambda: log_of(bench, number, 1) == b"first\n")
    if end == "lost":
        assert wait_for("another attempt", lambda: runner.lease(running=[])["jobs"])[0]["attempt"] == 2
    else:
        runner.report(job, "failed", reason="exit", exit_code=1)
    is_stale(late, b"more")
    assert log_of(bench, number, 1) == b"first\n"


def test_a_log_whose_first_byte_comes_after_the_end_is_not_even_begun(bench):
    runner = bench.runner()
    _, job = bench.job(runner)
    late = begin(bench, runner, job, "POST", "log?attempt=1&offset=0", None, 4)
    runner.report(job, "failed", reason="exit", exit_code=1)
    is_stale(late, b"more")
    assert not list((bench.state / "blobs" / "logs").rglob(f"{job['id']}-1.log"))


def test_a_report_that_is_refused_leaves_the_log_as_it_was(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    runner.log(job, b"one\n")
    late = begin(bench, runner, job, "POST", "log?attempt=1&offset=4", b"two\n", 10)
    wait_for("the second line", lambda: log_of(bench, number, 1) == b"one\ntwo\n")
    gap = runner.report(job, "success", log_size=14, expect=409)
    assert gap.json["next"] == 8
    late.send(b"three\n")
    assert late.getresponse().status == 200
    runner.report(job, "success", log_size=14)
    assert log_of(bench, number, 1) == b"one\ntwo\nthree\n"
