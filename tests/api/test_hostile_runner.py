"""A runner that is broken or means ill: what it says is refused with a word or shown as it is, and hurts no other's job."""

import hashlib
import json

import pytest

from lib.client import raw_connection
from lib.hostile import LONG, Judge
from lib.world import STEP, World

BYTES = [bytes(range(256)), b"\0" * 5000, b"\xff\xfe\xfd", b"\x1b[2J\x1b]0;x\x07", b"\r\n" * 3000, b"\xed\xa0\x80", b"]]>", b"</script>",
         b'"},{"', b"\n\ndata: x\n\nevent: end\n\n", b"x" * 70_000, b""]
HASHES = ["", "x", "0" * 15, "0" * 16, "zz" * 8, "A" * 16, "0" * 63, "0" * 64, "0" * 65, "zz" * 32, "../" * 21 + "x", "A" * 64, "0" * 7000, "\xff" * 64]


@pytest.fixture(scope="module")
def shared_world(shared_server):
    return World(shared_server)


@pytest.fixture
def world(bench, shared_world):
    shared_world.fresh_job()
    return shared_world


@pytest.fixture
def judge(world):
    """Which fails when the job of another runner is not what it was."""
    bench, other = world.bench, world.bench.runner()
    number, job = bench.job(other, bench.more(world.name))
    made = Judge(bench)
    yield made
    made.sentence()
    other.log(job, b"mine\n")
    other.finish(job, offset=5)
    assert bench.build(number)["status"] == "success" and bench.log(number) == "mine\n"


def show(world, judge, what):
    """All that tells of the job."""
    number = world.job["build"]
    for path in (f"/api/builds/{number}", f"/api/builds/{number}/attempts", f"/api/builds/{number}/artifacts", "/api/builds",
                 "/api/runners", f"/api/ci/executions/{world.execution}"):
        judge.send(what, "GET", path)
    return judge.send(what, "GET", f"/api/builds/{number}/logs").json["logs"]


def test_whatever_is_logged_can_be_read(world, judge):
    at = 2  # "hi" is there
    for data in BYTES:
        assert world.runner.log(world.job, data, at).json["next"] == at + len(data)
        at += len(data)
        show(world, judge, repr(data[:20]))
    raw = world.bench.api("GET", f"/api/builds/{world.job['build']}/logs?offset=0", headers={"Accept": "text/plain"})
    assert raw.body == b"hi" + b"".join(BYTES)
    world.runner.report(world.job, "success", log_size=at)
    with world.bench.client.events(f"/api/builds/{world.job['build']}/logs") as events:
        names = [event.name for event in events]
    assert set(names) == {"log", "job", "end"} and names.count("end") == 1


@pytest.mark.parametrize("form, header", [
    ("jobs/{id}/artifacts/a?attempt=1", "X-Content-SHA256"),
    ("jobs/{id}/artifacts/b?attempt=1&name=n&mode=000&keep=2000000000000000000", "X-Content-SHA256"),
    ("jobs/{id}/cache?attempt=1&key=k", "X-Content-XXH64")])
def test_sums_that_do_not_fit_keep_nothing(world, judge, form, header):
    path = "/api/runner/" + form.format(id=world.job["id"])
    for value in HASHES:
        reply = judge.send(f"hash {value:.20}", "PUT", path, b"bytes", {header: value}, world.runner.client)
        assert reply.status in (400, 431), reply
    assert world.bench.client.get(f"/api/builds/{world.job['build']}/artifacts")["artifacts"] == []
    assert world.runner.client.call("POST", f"/api/runner/jobs/{world.job['id']}/cache", {"attempt": 1, "key": "k"}).json == {"id": 0}


NONSENSE = [
    ("steps", [STEP] * 10_001), ("steps", [STEP] * 3), ("steps", [{**STEP, "position": 2 ** 63 - 1}]),
    ("steps", [{**STEP, "log_start": 5, "log_end": 2}]), ("steps", [{**STEP, "log_start": 2 ** 62, "log_end": 2 ** 63 - 1}]),
    ("steps", [{**STEP, "log_end": 2 ** 63 - 1, "state": "running"}]), ("steps", [{**STEP, "started_at": 2 ** 63 - 1, "finished_at": 1}]),
    ("steps", [{**STEP, "started_at": 1, "finished_at": 2 ** 63 - 1}]), ("steps", [{**STEP, "name": "x" * LONG, "reason": "y" * LONG}]),
    ("outputs", {f"o{i}": "x" for i in range(101)}), ("outputs", {"x" * 65_537: "x"}), ("outputs", {"o": "x" * 65_537}),
    ("outputs", {f"o{i}": "x" * 65_536 for i in range(100)}), ("outputs", {"a\x01\n=": "\x7f"}), ("message", "x" * LONG),
    ("reason", "superseded"), ("exit_code", 2 ** 63 - 1), ("exit_code", -2 ** 63), ("pipeline", "x" * LONG),
    ("pipeline", "[" * 100_000), ("pipeline", "jobs: {a: &a [*a]}"), ("pipeline", "jobs: {step: {steps: [x]}}"),
    ("pipeline", "jobs: {" + ", ".join(f"j{i}: {{steps: [x]}}" for i in range(3000)) + "}")]


@pytest.mark.parametrize("state", ["success", "failed", "running", "cancelled", "lost"])
def test_reports_that_tell_nonsense(world, judge, state):
    for field, value in NONSENSE:
        if field in ("outputs", "pipeline") and state not in ("success", "failed"):
            continue  # it is not even looked at
        attempt = world.fresh_job()
        body = json.dumps({"attempt": attempt, "state": state, field: value}).encode()
        path, what = f"/api/runner/jobs/{world.job['id']}", f"{field} = {value!r:.60}"
        first = judge.send(what, "PATCH", path, body, client=world.runner.client)
        again = judge.send(what, "PATCH", path, body, client=world.runner.client)
        assert again.status == (409 if state == "lost" and first.status == 200 else first.status), f"{what}: {first}, then {again}"
        show(world, judge, what)


def test_calls_in_the_wrong_order(world, judge):
    job, client = world.job, world.runner.client
    path = f"/api/runner/jobs/{job['id']}"
    world.runner.report(job, "success", log_size=2)
    calls = [("PATCH", path, {"attempt": 1, "state": state}) for state in ("running", "failed", "lost", "cancelled", "success")]
    calls += [("POST", f"{path}/cache", {"attempt": 1, "key": "k"}), ("POST", f"{path}/downloads", {"attempt": 1})]
    for method, address, body in calls:
        reply = judge.send("late", method, address, json.dumps(body).encode(), client=client)
        assert reply.status == (200 if body.get("state") == "success" else 409), reply
    for method, address in (("POST", f"{path}/log?attempt=1&offset=2"), ("PUT", f"{path}/artifacts/x?attempt=1"),
                            ("PUT", f"{path}/cache?attempt=1&key=k"), ("GET", f"{path}/artifacts/x?attempt=1")):
        reply = judge.send("late", method, address, b"x" if method != "GET" else None,
                           {"X-Content-SHA256": hashlib.sha256(b"x").hexdigest()}, client)
        assert reply.status == 409, reply
    assert show(world, judge, "late") == "hi"
    assert world.bench.build(job["build"])["status"] == "success"


def test_what_it_says_to_run_is_only_its_own(world, judge):
    runner, job = world.runner, world.job
    numbers = (1, 0, -1, 2 ** 63 - 1)
    others = [{"job": number, "attempt": attempt} for number in (*numbers, job["id"] + 1) for attempt in numbers]
    own = [{"job": job["id"], "attempt": 1}]
    for running in (others, own * 4096, own + others, [], own * 4097):
        for address, more in (("/api/runner/heartbeat", {}), ("/api/runner/lease", {**world.facts(), "wait": 0})):
            body = json.dumps({**more, "running": running}).encode()
            reply = judge.send(f"{len(running)} running", "POST", address, body, client=runner.client)
            if len(running) > 4096:
                assert reply.status == 400
            else:
                assert job["id"] not in [stop["job"] for stop in reply.json["stop"]] and reply.json.get("jobs", []) == []


def test_uploads_that_break_off_keep_nothing(world, judge):
    token, number = world.runner.client.token, world.job["id"]
    for address in ("log?attempt=1&offset=2", "artifacts/a?attempt=1", "cache?attempt=1&key=k"):
        method = "POST" if address.startswith("log") else "PUT"
        for framing in ("Content-Length: 100000", "Transfer-Encoding: chunked"):
            with raw_connection(world.bench.address) as connection:
                connection.sendall(f"{method} /api/runner/jobs/{number}/{address} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
                                   f"X-Content-SHA256: {'0' * 64}\r\n{framing}\r\n\r\n1000\r\nxx".encode())
    assert world.bench.client.get(f"/api/builds/{world.job['build']}/artifacts")["artifacts"] == []
    assert world.runner.client.call("POST", f"/api/runner/jobs/{number}/cache", {"attempt": 1, "key": "k"}).json == {"id": 0}
    show(world, judge, "broken off")
