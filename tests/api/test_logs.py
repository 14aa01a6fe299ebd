"""Reading and following the log of a build: every byte once, in every form, from every place."""

import json
import os

import pytest

from lib.client import raw_connection
from lib.fake_runner import Later
from lib.wait import wait_for
from lib.websocket import WebSocket

JOBS = {".pelton.yml": "jobs:\n  one: {steps: [a]}\n  two: {steps: [b], needs: one}\n  three: {steps: [c], needs: two}\n"}
ODD = "plain\nüöä €uro 𝄞 clef\r\x1b[31mred\x1b[0m\ttab \x07 \"q\" \\ </script> \u2028 end\nno newline at the end 𝄞".encode()


def logs(number, query=""):
    return f"/api/builds/{number}/logs{query}"


def plain(bench, number, query="", **headers):
    return bench.api("GET", logs(number, query), headers={"Accept": "text/plain", **headers}, expect=(200, 206))


def follow(bench, number, query="", last_id=None):
    """Follows to the end: (text by job, events)."""
    with bench.client.events(logs(number, query), last_id=last_id, timeout=60) as events:
        seen = events.until(lambda event: event.name == "end")
        assert events.line() == b"", "something comes after the end"
    return texts(seen), seen


def texts(events):
    """{job: text}; asserts that the pieces of a job follow each other without a hole."""
    found, ends = {}, {}
    for event in events:
        if event.name == "log":
            piece = event.json
            key = (piece["job"], piece["attempt"])
            assert ends.get(key, piece["offset"]) == piece["offset"], f"a hole or a repeat at {event}"
            ends[key] = piece["offset"] + len(piece["text"].encode())
            found[piece["job"]] = found.get(piece["job"], "") + piece["text"]
    return found


def run_jobs(bench, runner, log_of):
    """Runs all that is queued, one after the other."""
    while jobs := runner.lease()["jobs"]:
        for job in jobs:
            runner.finish(job, log_of(job["name"]))


# ---- at rest


def test_a_finished_log_reads_the_same_in_every_form(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    runner.finish(job, ODD)
    assert plain(bench, number).body == ODD
    assert bench.log(number) == ODD.decode()
    assert follow(bench, number)[0] == {"test": ODD.decode()}
    assert plain(bench, number, "?follow=1").body == ODD
    assert plain(bench, number, "?job=test").body == ODD


def test_bytes_that_are_no_text_stay_as_they_are_in_plain_form(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    data = bytes(range(256)) * 300 + b"\xf0\x9f\xff\xc3"
    runner.finish(job, data)
    assert plain(bench, number).body == data
    assert plain(bench, number, "?follow=1").body == data
    text = bench.log(number)
    assert "\ufffd" in text and "ABC" in text
    with bench.client.events(logs(number)) as events:
        seen = events.until(lambda event: event.name == "end")
    assert "".join(event.json["text"] for event in seen if event.name == "log").count("ABC") == 300


@pytest.mark.parametrize("where, status, start, end", [("0-4", 206, 0, 5), ("5-", 206, 5, None), ("-7", 206, -7, None),
                                                       ("3-3", 206, 3, 4), ("0-999999", 206, 0, None)])
def test_a_range_of_a_log_is_given(bench, where, status, start, end):
    runner = bench.runner()
    number, job = bench.job(runner)
    runner.finish(job, ODD)
    reply = plain(bench, number, Range=f"bytes={where}")
    assert reply.status == status and reply.body == ODD[start:end]
    assert reply.headers["Content-Range"].endswith(f"/{len(ODD)}")


def test_a_range_behind_the_end_is_refused(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    runner.finish(job, ODD)
    reply = bench.api("GET", logs(number), headers={"Range": "bytes=999999-"}, expect=416)
    assert reply.headers["Content-Range"] == f"bytes */{len(ODD)}"
    for odd in ("bytes=x-y", "bytes=5-2", "lines=1-2", "bytes=", "bytes=-"):
        bench.api("GET", logs(number), headers={"Range": odd}, expect=(200, 416))


def test_an_offset_reads_from_there_on(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    runner.finish(job, ODD)
    for offset in (0, 1, 7, 8, len(ODD) - 1, len(ODD), len(ODD) + 5):
        assert plain(bench, number, f"?offset={offset}").body == ODD[offset:]
    for bad in ("-1", "x", "99999999999999999999", "1e3"):
        bench.api("GET", logs(number, f"?offset={bad}"), expect=400)


def test_a_growing_log_is_read_piece_by_piece(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    have = b""
    for piece in (b"one\n", b"", b"two\n", b"three"):
        runner.log(job, piece, len(have))
        have += piece
        assert plain(bench, number).body == have
        assert plain(bench, number, f"?offset={len(have) - len(piece)}").body == piece
        assert bench.log(number) == have.decode() or not have


def test_many_jobs_are_one_after_the_other(bench):
    runner = bench.runner()
    number = bench.build_of(JOBS)
    run_jobs(bench, runner, lambda name: f"log of {name}\n".encode())
    whole = "".join(f"== job {name} ==\nlog of {name}\n" for name in ("one", "two", "three"))
    assert plain(bench, number).text == whole
    assert bench.log(number) == whole
    assert follow(bench, number)[0] == {name: f"log of {name}\n" for name in ("one", "two", "three")}
    assert plain(bench, number, "?job=two").text == "log of two\n"
    assert follow(bench, number, "?job=two")[0] == {"two": "log of two\n"}
    reply = bench.api("GET", logs(number, "?job=four"), expect=404)
    assert "four" in reply.json["message"]
    for query in ("offset=3", "attempt=1"):
        reply = bench.api("GET", logs(number, f"?{query}"), expect=400)
        assert "say of which one (job)" in reply.json["message"]


def test_a_job_of_a_build_that_is_not_there_is_a_build_not_found(bench):
    reply = bench.api("GET", logs(999_999, "?job=one"), expect=404)
    assert reply.json["message"] == "Build not found: 999999"


def test_a_build_without_jobs_that_ran_ends_its_followers(bench):
    number = bench.build_of({".pelton.yml": "jobs: [nonsense]\n"})
    assert bench.build(number)["status"] == "failed"
    seen = follow(bench, number)[1]
    assert seen[-1].name == "end" and seen[-1].json["status"] == "failed"
    assert "line 1" in seen[-1].json["message"]
    assert plain(bench, number, "?follow=1").body == b""


# ---- following


def test_a_follower_that_is_there_before_the_job_sees_it_all(bench):
    runner = bench.runner()
    number = bench.build_of()
    call = Later(lambda: follow(bench, number))
    job = runner.take()
    at = 0
    for i in range(200):
        piece = f"line {i} €\n".encode()
        runner.log(job, piece, at)
        at += len(piece)
    runner.finish(job, offset=at)
    found, seen = call.result()
    assert found == {"test": "".join(f"line {i} €\n" for i in range(200))}
    ends = [event for event in seen if event.name in ("job", "end")]
    assert [event.json["status"] for event in ends] == ["success", "success"]


def test_each_line_comes_as_soon_as_it_is_there(bench):
    """The next line is sent only when the one before has been seen: nothing may be held back."""
    runner = bench.runner()
    number, job = bench.job(runner)
    at = 0
    with bench.client.events(logs(number)) as events:
        for i in range(50):
            piece = f"line {i}\n".encode()
            runner.log(job, piece, at)
            at += len(piece)
            seen = events.until(lambda event: event.name == "log")
            assert seen[-1].json["text"] == f"line {i}\n"


def test_a_plain_follower_gets_each_line_and_the_end(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    with bench.client.stream(logs(number, "?follow=1"), headers={"Accept": "text/plain"}) as stream:
        at = 0
        for i in range(20):
            piece = f"line {i}\n".encode()
            runner.log(job, piece, at)
            at += len(piece)
            assert stream.line() == piece
        runner.finish(job, b"last", offset=at)
        assert stream.line() == b"last" and stream.line() == b""


def test_a_character_is_not_cut_between_two_events(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    call = Later(lambda: follow(bench, number))
    for at, byte in enumerate("€𝄞ü".encode()):
        runner.log(job, bytes([byte]), at)
    runner.finish(job, offset=9)
    found, seen = call.result()
    assert found == {"test": "€𝄞ü"}
    assert all("\ufffd" not in event.data for event in seen)


def test_half_a_character_at_the_end_is_shown_as_such(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    call = Later(lambda: follow(bench, number))
    runner.finish(job, b"ok\xe2\x82")
    text = "".join(event.json["text"] for event in call.result()[1] if event.name == "log")
    assert text.startswith("ok") and set(text[2:]) == {"\ufffd"}


def test_a_follower_goes_on_from_every_event(bench):
    runner = bench.runner()
    number = bench.build_of(JOBS)
    call = Later(lambda: follow(bench, number))
    for _ in range(3):
        job = runner.take()
        at = 0
        for i in range(4):
            piece = f"{job['name']} {i} 𝄞\n".encode()
            runner.log(job, piece, at)
            at += len(piece)
        runner.finish(job, offset=at)
    found, seen = call.result()
    assert set(found) == {"one", "two", "three"}
    for place, event in enumerate(seen[:-1]):
        rest = follow(bench, number, last_id=event.id)[0]
        before = texts(seen[:place + 1])
        for name in found:
            assert before.get(name, "") + rest.get(name, "") == found[name], f"after {event}"


def test_a_follower_goes_on_in_the_middle_of_a_character(bench):
    """A Last-Event-ID of ours never points there; one from elsewhere must do no harm."""
    runner = bench.runner()
    number, job = bench.job(runner)
    runner.finish(job, "a€b".encode())
    event = next(e for e in follow(bench, number)[1] if e.name == "log")
    base = int(event.id) - 5
    assert "".join(e.json["text"] for e in follow(bench, number, last_id=base + 1)[1] if e.name == "log") == "€b"
    text = "".join(e.json["text"] for e in follow(bench, number, last_id=base + 2)[1] if e.name == "log")
    assert text.endswith("b") and set(text[:-1]) == {"\ufffd"}


@pytest.mark.parametrize("last", ["-5", "x", "", "1", "99999999999999999999", str(2 ** 63 - 1), str(7 << 48), str(1 << 40)])
def test_a_place_that_is_none_is_no_harm(bench, last):
    runner = bench.runner()
    number, job = bench.job(runner)
    runner.finish(job, b"text\n")
    seen = follow(bench, number, last_id=last)[1]
    assert seen[-1].name == "end"


def test_a_new_attempt_is_followed_from_its_start(own_bench):
    bench = own_bench("--lease", "2s")
    dead, alive = bench.runner(), bench.runner()
    number, job = bench.job(dead)
    dead.log(job, b"first attempt\n")
    with bench.client.events(logs(number), timeout=60) as events:
        events.until(lambda event: event.name == "log")
        again = alive.lease_later().result(30)["jobs"][0]
        alive.finish(again, b"second attempt\n")
        seen = events.until(lambda event: event.name == "end")
    pieces = [event.json for event in seen if event.name == "log"]
    assert [(p["attempt"], p["offset"], p["text"]) for p in pieces] == [(2, 0, "second attempt\n")]
    assert seen[-1].json["status"] == "success"


def test_a_cancelled_build_ends_its_followers(bench):
    number = bench.build_of()
    with bench.client.events(logs(number)) as events, bench.client.stream(
            logs(number, "?follow=1"), headers={"Accept": "text/plain"}) as stream:
        bench.api("POST", f"/api/builds/{number}/cancel")
        assert events.until(lambda event: event.name == "end")[-1].json["status"] == "cancelled"
        assert stream.line() == b""


def test_many_followers_each_see_every_line(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    calls = [Later(lambda: follow(bench, number)) for _ in range(40)]
    at = 0
    for i in range(300):
        piece = f"line {i}\n".encode()
        runner.log(job, piece, at)
        at += len(piece)
    runner.finish(job, offset=at)
    whole = "".join(f"line {i}\n" for i in range(300))
    assert all(call.result(60)[0] == {"test": whole} for call in calls)


def test_a_follower_that_goes_away_leaves_nothing_behind(bench):
    runner = bench.runner()
    number, job = bench.job(runner)

    def descriptors():
        return len(os.listdir(f"/proc/{bench.pid}/fd"))

    runner.log(job, b"x\n")
    before = descriptors()
    streams = [bench.client.events(logs(number)) for _ in range(50)]
    for stream in streams:
        stream.until(lambda event: event.name == "log")
    for stream in streams:
        stream.close()
    at = 2

    def gone():
        nonlocal at
        runner.log(job, b"y\n", at)
        at += 2
        return descriptors() <= before + 5

    wait_for("end of the connections", gone)


# ---- which form


@pytest.mark.parametrize("accept, kind", [
    ("text/event-stream;q=0.1, text/plain", "text/plain"), ("text/plain;q=0.1, text/event-stream", "text/event-stream"),
    ("application/json, text/plain, */*", "application/json"), ("*/*", "application/json"), ("text/html", "application/json"),
    ("text/event-stream;q=0, text/plain;q=0", "application/json")])
def test_a_log_comes_in_the_form_that_is_liked_best(bench, accept, kind):
    runner = bench.runner()
    number, job = bench.job(runner)
    runner.finish(job, b"x\n")
    reply = bench.api("GET", logs(number), headers={"Accept": accept})
    assert reply.headers["Content-Type"].split(";")[0] == kind, reply


# ---- WebSocket


def web_socket(bench, number, query="", token=None):
    return WebSocket(bench.address, logs(number, query), {"Authorization": f"Bearer {token or bench.token}"})


def all_messages(socket):
    found = []
    while (message := socket.message()) is not None:
        found.append(json.loads(message))
    return found


def test_a_websocket_gets_each_line_and_the_end(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    with web_socket(bench, number) as socket:
        assert socket.status == 101
        at = 0
        for i in range(20):
            piece = f"line {i} 𝄞\n".encode()
            runner.log(job, piece, at)
            assert json.loads(socket.message()) == {"event": "log", "job": "test", "attempt": 1, "offset": at,
                                                    "text": piece.decode()}
            at += len(piece)
        runner.finish(job, offset=at)
        rest = all_messages(socket)
    assert [message["event"] for message in rest] == ["job", "end"]
    assert rest[0]["status"] == rest[1]["status"] == "success"


def test_a_websocket_at_a_finished_build_gets_it_all(bench):
    runner = bench.runner()
    number = bench.build_of(JOBS)
    run_jobs(bench, runner, lambda name: (name * 50_000).encode())
    with web_socket(bench, number) as socket:
        messages = all_messages(socket)
    for name in ("one", "two", "three"):
        assert "".join(m["text"] for m in messages if m["event"] == "log" and m["job"] == name) == name * 50_000
    assert messages[-1] == {"event": "end", "status": "success"}


def test_a_websocket_answers_pings_and_ignores_what_it_is_told(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    with web_socket(bench, number) as socket:
        socket.send("hello")
        socket.send(b"\0" * 60_000, opcode=2)
        socket.send(b"are you there", opcode=9)
        assert socket.frame() == (10, True, b"are you there")
        runner.finish(job, b"x\n")
        assert all_messages(socket)[-1]["event"] == "end"


@pytest.mark.parametrize("bad", [dict(opcode=3), dict(opcode=9, final=False), dict(masked=False), dict(opcode=15)],
                         ids=["reserved", "cut ping", "not masked", "unknown"])
def test_a_websocket_that_breaks_the_rules_is_closed(bench, bad):
    runner = bench.runner()
    number, job = bench.job(runner)
    with web_socket(bench, number) as socket:
        socket.send(b"x", **bad)
        try:
            assert socket.message() is None
        except ConnectionError:
            pass
    runner.finish(job)
    assert bench.build(number)["status"] == "success"


def test_a_websocket_needs_its_handshake(bench):
    number = bench.build_of()
    for head in ("Upgrade: websocket\r\nConnection: Upgrade\r\n",
                 "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: x\r\n"):
        with raw_connection(bench.address) as connection:
            connection.sendall(f"GET {logs(number)} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bench.token}\r\n"
                               f"{head}\r\n".encode())
            assert connection.recv(4096).split()[1] in (b"400", b"426")
    assert web_socket(bench, 999_999).status == 404
    assert web_socket(bench, number, token="plt_wrong").status == 401


# ---- the server ends


def test_followers_are_ended_when_the_server_stops_and_go_on_after(own_bench):
    bench = own_bench()
    runner = bench.runner()
    number, job = bench.job(runner)
    runner.log(job, b"before\n")
    with bench.client.events(logs(number)) as events:
        last = events.until(lambda event: event.name == "log")[-1]
        bench.server.stop()
        assert events.line() in (b"", b"\r\n", b"\n")
    bench.server.start()
    runner.moved().finish(job, b"after\n", offset=7)
    assert follow(bench, number, last_id=last.id)[0] == {"test": "after\n"}
