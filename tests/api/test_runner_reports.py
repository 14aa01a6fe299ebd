"""docs/runner-protocol.md: what a runner tells of its attempt: log, report, artifacts."""

import hashlib
import http.client
import os
import time

import pytest

from lib.fake_runner import gap, stale
from lib.wait import SLOWER, wait_for


# ---- log


def test_a_log_is_appended_piece_by_piece(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    assert runner.log(job, b"one\n").json == {"next": 4}
    assert runner.log(job, b"two\n", 4).json == {"next": 8}
    assert runner.log(job, b"", 8).json == {"next": 8}
    assert bench.log(number) == "one\ntwo\n"


def test_bytes_that_are_there_already_are_skipped(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    runner.log(job, b"0123456789")
    assert runner.log(job, b"0123456789").json["next"] == 10
    assert runner.log(job, b"56789abc", 5).json["next"] == 13
    assert runner.log(job, b"23", 2).status == 200
    assert bench.log(number) == "0123456789abc"


def test_a_gap_is_refused_and_told(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    assert gap(runner.log(job, b"x", 5, expect=409)) == 0
    runner.log(job, b"abc")
    assert gap(runner.log(job, b"x", 2 ** 62, expect=409)) == 3
    assert gap(runner.log(job, b"", 4, expect=409)) == 3
    assert gap(runner.log(job, b"x" * 100_000, 4, expect=409)) == 3
    assert bench.log(number) == "abc"


@pytest.mark.parametrize("query", ["", "attempt=1&offset=-1", "attempt=x&offset=0", "attempt=1&offset=99999999999999999999",
                                   "attempt=0&offset=0", "attempt=-1&offset=0"])
def test_a_log_call_with_bad_numbers_is_refused(bench, query):
    runner = bench.runner()
    number, job = bench.job(runner)
    runner.client.call("POST", f"/api/runner/jobs/{job['id']}/log?{query}", b"x", expect=400 if query else (400, 409))
    assert bench.log(number) == "No logs available yet"


def test_a_stale_attempt_changes_nothing(bench):
    runner, thief = bench.runner(), bench.runner()
    number, job = bench.job(runner)
    for other in (runner, thief):
        attempt = 2 if other is runner else 1
        wrong = {**job, "attempt": attempt}
        assert stale(other.log(wrong, b"x", expect=409))
        assert stale(other.report(wrong, "success", log_size=0, expect=409))
        assert stale(other.put(wrong, "x", b"x", expect=409))
        assert stale(other.client.call("GET", f"/api/runner/jobs/{job['id']}/artifacts/x?attempt={attempt}", expect=409))
    assert bench.log(number) == "No logs available yet"
    assert bench.client.get(f"/api/builds/{number}/artifacts")["artifacts"] == []
    assert bench.build(number)["status"] in ("queued", "running")
    runner.finish(job)
    assert stale(runner.log(job, b"late", expect=409))
    assert stale(runner.put(job, "late", b"late", expect=409))


def test_an_unknown_job_is_stale_too_or_not_found(bench):
    runner = bench.runner()
    runner.log({"id": 999_999, "attempt": 1}, b"x", expect=(404, 409))
    runner.report({"id": 999_999, "attempt": 1}, "success", expect=(404, 409))


def test_a_big_log_arrives_whole_in_one_call(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    data = b"".join(b"line %d\n" % i for i in range(1_000_000))
    runner.finish(job, data)
    reply = bench.api("GET", f"/api/builds/{number}/logs", headers={"Accept": "text/plain"})
    assert hashlib.sha256(reply.body).digest() == hashlib.sha256(data).digest()


def test_a_log_call_that_is_cut_keeps_what_came(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    connection = http.client.HTTPConnection(bench.address, timeout=30 * SLOWER)
    connection.putrequest("POST", f"/api/runner/jobs/{job['id']}/log?attempt=1&offset=0")
    connection.putheader("Authorization", f"Bearer {runner.client.token}")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders(b"x" * 5000)
    wait_for("bytes", lambda: bench.build(number)["jobs"][0]["log_size"] == 5000)
    connection.close()
    assert gap(runner.log(job, b"y", 6000, expect=409)) == 5000
    runner.finish(job, b"end", offset=5000)
    assert bench.log(number) == "x" * 5000 + "end"


# ---- report


def test_steps_are_told_as_they_are(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    now = int(time.time() * 1e6)
    step = {"position": 0, "name": "echo hi", "state": "running", "started_at": now, "log_start": 0}
    assert runner.report(job, "running", steps=[step]).json == {"state": "running", "stop": False}
    assert bench.build(number)["jobs"][0]["steps"][0]["status"] == "running"
    runner.log(job, b"hi\n")
    done = {**step, "state": "success", "exit_code": 0, "finished_at": now + 1_500_000, "log_end": 3}
    runner.finish(job, offset=3, steps=[done])
    seen = bench.build(number)["jobs"][0]["steps"]
    assert len(seen) == 1 and seen[0]["status"] == "success" and seen[0]["exit_code"] == 0
    assert seen[0]["duration_seconds"] == 1.5 and (seen[0]["log_start"], seen[0]["log_end"]) == (0, 3)


def test_a_final_report_counts_once_however_often_it_comes(bench):
    runner = bench.runner()
    with bench.client.events("/api/events") as events:
        number, job = bench.job(runner)
        for _ in range(3):
            runner.report(job, "failed", reason="exit", message="step 1: exit status 7", exit_code=7, log_size=0)
        after = bench.build_of()
        seen = events.until(lambda event: event.json["build"]["id"] == after)
    assert [e.json["type"] for e in seen if e.json["build"]["id"] == number].count("completed") == 1
    done = bench.build(number)
    assert done["status"] == "failed" and done["jobs"][0]["exit_code"] == 7
    assert done["jobs"][0]["message"] == "step 1: exit status 7" and done["jobs"][0]["attempt"] == 1


def test_another_end_after_the_end_is_stale(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    runner.report(job, "success", log_size=0)
    assert stale(runner.report(job, "failed", reason="exit", exit_code=1, log_size=0, expect=409))
    assert stale(runner.report(job, "running", expect=409))
    assert bench.build(number)["status"] == "success"


def test_an_end_with_a_short_log_is_refused_until_the_log_is_there(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    runner.log(job, b"abc")
    assert gap(runner.report(job, "success", log_size=10, expect=409)) == 3
    assert bench.build(number)["finished_at"] is None
    runner.log(job, b"defghij", 3)
    runner.report(job, "success", log_size=10)
    assert bench.build(number)["status"] == "success"


@pytest.mark.parametrize("fields", [{"state": "won"}, {"state": 1}, {"state": None}, {"state": "skipped"}, {"attempt": None},
                                    {"attempt": "1"}, {"steps": {}}, {"steps": [{}]}, {"steps": [{"position": 0}]},
                                    {"steps": [{"position": 0, "name": "x", "state": "success"}] * 10001},
                                    {"log_size": "x"}, {"exit_code": 1.5}], ids=range(12))
def test_a_bad_report_is_refused(bench, fields):
    runner = bench.runner()
    number, job = bench.job(runner)
    body = {"attempt": 1, "state": "running", **fields}
    runner.client.call("PATCH", f"/api/runner/jobs/{job['id']}", body, expect=400)
    runner.finish(job)
    assert bench.build(number)["status"] == "success"


@pytest.mark.parametrize("steps", [[{"position": -1, "name": "x", "state": "success"}],
                                   [{"position": 2 ** 62, "name": "x", "state": "success"}],
                                   [{"position": 0, "name": "x", "state": "success"}] * 2,
                                   [{"position": 0, "name": "x" * 100_000, "state": "success"}],
                                   [{"position": 0, "name": "\u0000", "state": "success"}],
                                   [{"position": 0, "name": "x", "state": "won"}],
                                   [{"position": 0, "name": "x", "state": "success", "log_start": -5, "log_end": 2 ** 62}]],
                         ids=range(7))
def test_odd_steps_are_refused_or_kept_and_harm_nothing(bench, steps):
    runner = bench.runner()
    number, job = bench.job(runner)
    runner.report(job, "running", steps=steps, expect=(200, 400))
    runner.finish(job)
    assert bench.build(number)["status"] == "success"


# ---- artifacts


def test_an_artifact_is_kept_and_given_back_whole(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    data = os.urandom(3_000_000)
    kept = runner.put(job, "dist/a b/ü%?#.bin", data).json
    assert kept == {"path": "dist/a b/ü%?#.bin", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    runner.put(job, "empty", b"")
    listed = bench.client.get(f"/api/builds/{number}/artifacts")["artifacts"]
    assert [(a["path"], a["size"], a["job"]) for a in listed] == [("dist/a b/ü%?#.bin", len(data), "test"), ("empty", 0, "test")]
    path = listed[0]["url"].removeprefix(bench.url)
    reply = bench.client.call("GET", path)
    assert reply.body == data and reply.headers["X-Content-SHA256"] == kept["sha256"]
    assert reply.headers["Content-Disposition"] == "attachment"
    part = bench.client.call("GET", path, headers={"Range": "bytes=1000000-1000009"}, expect=206)
    assert part.body == data[1_000_000:1_000_010]
    bench.client.call("GET", path, headers={"If-None-Match": reply.headers["ETag"]}, expect=304)
    same = bench.client.call("GET", f"/artifacts/{job['commit']}/dist/a%20b/%C3%BC%25%3F%23.bin")
    assert same.body == data
    own = runner.client.call("GET", f"/api/runner/jobs/{job['id']}/artifacts/empty?attempt=1")
    assert own.body == b""


def test_an_artifact_that_came_damaged_is_not_kept(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    reply = runner.put(job, "a", b"data", sha256="0" * 64, expect=400)
    assert "sha256" in reply.json["message"].lower().replace("-", "")
    runner.put(job, "a", b"data", sha256="nonsense", expect=400)
    assert bench.client.get(f"/api/builds/{number}/artifacts")["artifacts"] == []
    bench.client.call("GET", f"/api/builds/{number}/artifacts/a", expect=404)
    runner.put(job, "a", b"data", sha256=hashlib.sha256(b"data").hexdigest().upper(), expect=(201, 400))


def test_an_artifact_put_again_is_the_newer_one(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    for data in (b"old", b"newer"):
        runner.put(job, "a", data)
        assert bench.client.call("GET", f"/api/builds/{number}/artifacts/a").body == data
    assert len(bench.client.get(f"/api/builds/{number}/artifacts")["artifacts"]) == 1


@pytest.mark.parametrize("path", ["..%2fx", "a%2f..%2f..%2fx", "%2fetc%2fx", "a%2f%2fb", ".", "..", "a%2f.", "a%00b", "a%2f",
                                  "a%0ab", "%ff%fe", "x" * 5000, "%2e%2e/x", "a/%2e%2e/%2e%2e/x"], ids=range(14))
def test_a_path_that_leaves_its_root_is_refused(bench, path):
    runner = bench.runner()
    number, job = bench.job(runner)
    before = {p for p in bench.state.rglob("*")}
    reply = runner.client.call("PUT", f"/api/runner/jobs/{job['id']}/artifacts/{path}?attempt=1", b"evil",
                               headers={"X-Content-SHA256": hashlib.sha256(b"evil").hexdigest()}, expect=None)
    if reply.status == 201:  # a name that is odd, and stays inside
        assert path in ("a%0ab",), reply
    else:
        assert reply.status in (400, 404, 405, 414), reply
        assert bench.client.get(f"/api/builds/{number}/artifacts")["artifacts"] == []
        new = [p for p in set(bench.state.rglob("*")) - before if p.is_file() and b"evil" in p.read_bytes()]
        assert [p for p in new if "pelton.db" not in p.name] == []


def test_a_link_in_the_store_is_not_followed(bench):
    """Whoever can write the state directory already has won; but a link there must not make us write elsewhere."""
    runner = bench.runner()
    number, job = bench.job(runner)
    victim = bench.folder / "victim"
    victim.write_text("mine")
    place = bench.state / "blobs" / "artifacts" / job["commit"]
    assert place.parent.is_dir()
    place.mkdir()
    (place / "a").symlink_to(victim)
    (place / "d").symlink_to(bench.folder)
    runner.put(job, "a", b"evil", expect=None)
    runner.put(job, "d/victim", b"evil", expect=None)
    assert victim.read_text() == "mine"


def test_an_upload_that_is_cut_leaves_nothing(own_bench):
    bench = own_bench("--idle-timeout", "2s")
    runner = bench.runner()
    number, job = bench.job(runner)
    before = sizes(bench)
    connection = http.client.HTTPConnection(bench.address, timeout=30 * SLOWER)
    connection.putrequest("PUT", f"/api/runner/jobs/{job['id']}/artifacts/a?attempt=1")
    connection.putheader("Authorization", f"Bearer {runner.client.token}")
    connection.putheader("Content-Length", "10000000")
    connection.endheaders(os.urandom(2_000_000))
    wait_for("upload", lambda: sizes(bench) >= before + 1_000_000)
    connection.close()
    wait_for("end of it", lambda: sizes(bench) < before + 1_000_000)
    assert bench.client.get(f"/api/builds/{number}/artifacts")["artifacts"] == []
    runner.finish(job)


def sizes(bench):
    """Bytes below blobs/, files without a name included."""
    total = sum(p.stat().st_size for p in (bench.state / "blobs").rglob("*") if p.is_file() and "log" not in str(p.parent))
    for fd in os.listdir(f"/proc/{bench.pid}/fd"):
        try:
            if os.readlink(f"/proc/{bench.pid}/fd/{fd}").endswith("(deleted)"):
                total += os.stat(f"/proc/{bench.pid}/fd/{fd}").st_size
        except OSError:
            pass
    return total
