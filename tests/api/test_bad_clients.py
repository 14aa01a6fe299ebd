"""Clients that mean ill or are broken: they cost little, and the others are served."""

import contextlib
import resource
import socket
import threading

import pytest

from lib.client import raw_connection, request
from lib.wait import SLOWER, wait_for

MANY = 10_000


@pytest.fixture(autouse=True)
def descriptors():
    """As many of our own as the machine allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_many(address, count, say=b""):
    found = []
    for _ in range(count):
        connection = raw_connection(address)
        if say:
            connection.sendall(say)
        found.append(connection)
    return found


def close_all(connections):
    for connection in connections:
        connection.close()


def is_closed(connection, timeout=0.0):
    """Whether the server has ended the connection."""
    connection.settimeout(timeout or 0.001)
    try:
        while data := connection.recv(65536):
            assert data
        return True
    except (BlockingIOError, TimeoutError):
        return False
    except OSError:
        return True


def test_ten_thousand_connections_that_say_nothing_leave_the_others_served(own_bench, descriptors):
    if descriptors < MANY + 1000:
        pytest.skip(f"only {descriptors} descriptors")
    bench = own_bench()
    silent = open_many(bench.address, MANY)
    try:
        for _ in range(20):
            assert bench.client.get("/health")["status"] == "ok"
        runner = bench.runner()
        number, job = bench.job(runner)
        runner.finish(job, b"x\n")
        assert bench.build(number)["status"] == "success"
    finally:
        close_all(silent)
    assert bench.client.get("/health")["status"] == "ok"


def test_a_connection_that_says_nothing_is_closed(own_bench):
    bench = own_bench("--idle-timeout", "1s")
    silent = open_many(bench.address, 20)
    half = open_many(bench.address, 20, b"GET /health HTTP/1.1\r\n")
    done = open_many(bench.address, 20, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    for connection in silent + half + done:
        assert is_closed(connection, timeout=20 * SLOWER)
        connection.close()


def test_a_stream_without_news_is_not_closed_as_idle(own_bench):
    bench = own_bench("--idle-timeout", "1s")
    number = bench.build_of()
    with bench.client.events("/api/events") as events, bench.client.events(f"/api/builds/{number}/logs") as logs:
        silent = raw_connection(bench.address)
        assert is_closed(silent, timeout=20 * SLOWER)
        bench.api("POST", f"/api/builds/{number}/cancel")
        assert logs.until(lambda event: event.name == "end")
        assert events.until(lambda event: event.json["type"] == "completed")


@pytest.mark.parametrize("head", [
    "GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    "POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n\r\n",
    "POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n"],
    ids=["header", "body", "chunk"])
def test_a_request_that_comes_byte_by_byte_for_ever_is_ended(own_bench, head):
    """Each byte comes well before the connection would count as idle."""
    bench = own_bench("--request-timeout", "1s", "--idle-timeout", "3600s")
    pause = threading.Event()
    with raw_connection(bench.address) as connection:
        connection.sendall(head.encode())

        def ended():
            try:
                connection.sendall(b"x")
            except OSError:
                return True
            pause.wait(0.05)
            return is_closed(connection)

        wait_for("end of the request", ended, timeout=20)
    assert bench.client.get("/health")["status"] == "ok"


def test_a_body_that_never_ends_is_refused(bench):
    """Chunks without end, to a route with a limit: ended at the limit, whatever comes."""
    head = (f"POST /api/repos HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bench.token}\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n").encode()
    with raw_connection(bench.address) as connection:
        connection.sendall(head)
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 512 * 1024 * 1024:
                connection.sendall(b"100000\r\n" + b"[" * 0x100000 + b"\r\n")
                sent += 0x100000
        assert sent < 512 * 1024 * 1024
    assert bench.client.get("/health")["status"] == "ok"


def test_clients_that_read_a_byte_now_and_then_hold_up_nobody(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    runner.finish(job, b"z" * 20_000_000)
    ask = (f"GET /api/builds/{number}/logs HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\n"
           f"Authorization: Bearer {bench.token}\r\n\r\n").encode()
    slow = []
    for _ in range(100):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.settimeout(20 * SLOWER)
        host, _, port = bench.address.rpartition(":")
        connection.connect((host, int(port)))
        connection.sendall(ask)
        slow.append(connection)
    try:
        for _ in range(5):
            for connection in slow:
                assert connection.recv(1)
            assert bench.build(number)["status"] == "success"
            assert len(bench.api("GET", f"/api/builds/{number}/logs", headers={"Accept": "text/plain"}).body) == 20_000_000
    finally:
        close_all(slow)


def test_clients_that_stall_in_git_leave_git_to_the_others(own_bench):
    """As many as there are workers ask for a pack and read nothing of it, or send half a body."""
    bench = own_bench("--workers", "4", "--idle-timeout", "2s")
    work, _ = bench.push("some", {"Makefile": "all:\n"})
    half = (f"POST /git/some.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bench.token}\r\n"
            "Content-Type: application/x-git-receive-pack-request\r\nContent-Length: 100000\r\n\r\n0000").encode()
    stalled = open_many(bench.address, 12, half)
    try:
        work.commit({"x": "y"})
        assert work.push().builds
    finally:
        close_all(stalled)


def test_descriptors_that_run_out_stop_nothing(own_bench):
    """A server with few descriptors, and more connections than it can take."""
    bench = own_bench(descriptors=700)
    runner = bench.runner()
    number, job = bench.job(runner)
    crowd = []
    with contextlib.suppress(OSError):
        for _ in range(1500):
            crowd.append(raw_connection(bench.address, timeout=5))
    with contextlib.suppress(OSError):
        for connection in crowd:
            connection.sendall(f"GET /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bench.token}\r\n\r\n".encode())
    assert bench.process.poll() is None
    close_all(crowd)

    def served():
        try:
            return request(bench.address, "GET", "/health", timeout=5).status == 200
        except OSError:
            return False

    wait_for("answer", served)
    runner.finish(job, b"x\n")
    assert bench.build(number)["status"] == "success"
    assert bench.build_of()
    assert bench.process.poll() is None


def test_a_crowd_over_the_limit_is_told_to_come_again(own_bench):
    bench = own_bench("--connections", "50")
    crowd = open_many(bench.address, 49, f"GET /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
                                         f"{bench.token}\r\n\r\n".encode())
    for connection in crowd:
        assert connection.recv(20).startswith(b"HTTP/1.1 200")
    more = open_many(bench.address, 30)
    answers = []
    for connection in more:
        try:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            answers.append(connection.recv(4096)[9:12])
        except OSError:
            answers.append(b"")
    assert b"503" in answers and set(answers) <= {b"503", b"200", b""}
    close_all(crowd + more)
    wait_for("answer", lambda: served_once(bench))


def served_once(bench):
    try:
        return request(bench.address, "GET", "/health", timeout=5).status == 200
    except OSError:
        return False
