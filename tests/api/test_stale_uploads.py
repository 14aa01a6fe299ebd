"""What an attempt was still sending when it lost its job."""

import http.client
import os

from lib.wait import SLOWER


def begin(bench, runner, job, path, size):
    """An upload whose headers and first half are there."""
    connection = http.client.HTTPConnection(bench.address, timeout=30 * SLOWER)
    connection.putrequest("PUT", f"/api/runner/jobs/{job['id']}/artifacts/{path}?attempt={job['attempt']}")
    connection.putheader("Authorization", f"Bearer {runner.client.token}")
    connection.putheader("Content-Length", str(size))
    connection.endheaders(os.urandom(size // 2))
    return connection


def test_an_upload_that_ends_after_its_job_is_refused_and_changes_nothing(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    runner.put(job, "kept", b"good")
    late = begin(bench, runner, job, "kept", 200_000)
    more = begin(bench, runner, job, "more", 200_000)
    runner.finish(job)
    for connection in (late, more):
        connection.send(os.urandom(100_000))
        answer = connection.getresponse()
        assert answer.status == 409 and b"StaleAttempt" in answer.read()
        connection.close()
    artifacts = bench.client.get(f"/api/builds/{number}/artifacts")["artifacts"]
    assert [(a["path"], a["size"]) for a in artifacts] == [("kept", 4)]
