"""docs/runner-protocol.md: caches of an attempt."""

import socket
import struct
from urllib.parse import quote

import pytest
import xxhash

from lib.client import raw_connection
from lib.fake_runner import stale
from lib.wait import wait_for

FLAGS = ("--cache-project", "64K")


def find(runner, job, key, restore=(), expect=200):
    return runner.client.call("POST", f"/api/runner/jobs/{job['id']}/cache",
                              {"attempt": job["attempt"], "key": key, "restore": list(restore)}, expect=expect)


def keep(runner, job, key, data=b"bytes", xxh64=None, expect=201, more=""):
    return runner.client.call("PUT", f"/api/runner/jobs/{job['id']}/cache?attempt={job['attempt']}&key={quote(key, safe='')}{more}", data,
                              headers={"X-Content-XXH64": xxh64 or xxhash.xxh64(data).hexdigest()}, expect=expect)


def get(runner, job, cache, expect=200):
    return runner.client.call("GET", f"/api/runner/jobs/{job['id']}/cache/{cache}?attempt={job['attempt']}", expect=expect)


def stored(bench):
    return {path for path in (bench.state / "blobs" / "caches").rglob("*") if path.is_file()}


@pytest.fixture
def held(bench):
    """(bench, runner, job)"""
    runner = bench.runner()
    _, job = bench.job(runner)
    return bench, runner, job


def test_of_two_that_keep_one_key_the_first_wins(held):
    _, runner, job = held
    assert find(runner, job, "k").json == {"id": 0}
    assert keep(runner, job, "k", b"first").json["kept"] is True
    assert keep(runner, job, "k", b"second", expect=200).json["kept"] is False
    hit = find(runner, job, "k").json
    assert hit["exact"] and hit["own"] and hit["size"] == 5
    reply = get(runner, job, hit["id"])
    assert reply.body == b"first" and xxhash.xxh64(reply.body).hexdigest() == hit["xxh64"]


def test_one_that_was_found_damaged_makes_way_once(held):
    bench, runner, job = held
    before = stored(bench)
    keep(runner, job, "k", b"first")
    keep(runner, job, "other", b"stays")
    first = find(runner, job, "k").json["id"]
    other = find(runner, job, "other").json["id"]
    assert keep(runner, job, "k", b"x", expect=200, more=f"&replaces={other}").json["kept"] is False
    keep(runner, job, "k", b"x", expect=400, more="&replaces=x")
    keep(runner, job, "k", b"x", xxh64="0" * 16, expect=400, more=f"&replaces={first}")
    assert get(runner, job, first).body == b"first"
    assert keep(runner, job, "k", b"second", more=f"&replaces={first}").json["kept"] is True
    assert keep(runner, job, "k", b"third", expect=200, more=f"&replaces={first}").json["kept"] is False
    assert get(runner, job, find(runner, job, "k").json["id"]).body == b"second"
    get(runner, job, first, expect=404)
    assert get(runner, job, other).body == b"stays"
    assert len(stored(bench) - before) == 2


def test_one_whose_bytes_are_not_all_there_is_not_there(held):
    bench, runner, job = held
    before = stored(bench)
    keep(runner, job, "k", b"first")
    [path] = stored(bench) - before
    path.write_bytes(b"fir")
    assert "3 bytes left of 5" in get(runner, job, find(runner, job, "k").json["id"], expect=404).text
    path.unlink()
    get(runner, job, find(runner, job, "k").json["id"], expect=404)


def test_a_prefix_finds_the_newest_and_prefixes_are_tried_in_their_order(held):
    _, runner, job = held
    for key in ["npm-1", "npm-2", "pip-1"]:
        keep(runner, job, key)
    assert find(runner, job, "npm-3", ["npm-"]).json["key"] == "npm-2"
    assert find(runner, job, "npm-3", ["pip-", "npm-"]).json["key"] == "pip-1"
    assert find(runner, job, "npm-1", ["npm-"]).json["key"] == "npm-1"
    assert find(runner, job, "x", ["%", "_", "n*"]).json == {"id": 0}


def test_bytes_that_are_not_those_of_the_hash_are_not_kept(held):
    bench, runner, job = held
    keep(runner, job, "k", xxh64="0" * 16, expect=400)
    assert find(runner, job, "k").json == {"id": 0}
    assert [path for path in (bench.state / "blobs" / "tmp").iterdir()] == []


def send_chunked(connection, bench, runner, job, key, end):
    connection.sendall((f"PUT /api/runner/jobs/{job['id']}/cache?attempt={job['attempt']}&key={key} HTTP/1.1\r\nHost: x\r\n"
                        f"Authorization: Bearer {runner.client.token}\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "4\r\nsome\r\n6\r\n bytes\r\n").encode() + end)


def chunked(bench, *what):
    """What is answered to a body of two chunks and this end."""
    with raw_connection(bench.address) as connection:
        send_chunked(connection, bench, *what)
        return connection.makefile("rb").readline()


def broken_off(bench, *what):
    """The connection is reset behind the two chunks and this end, as a client of ours does it."""
    with raw_connection(bench.address) as connection:
        send_chunked(connection, bench, *what)
        wait_for("an upload", lambda: list((bench.state / "blobs" / "tmp").iterdir()))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_for("no upload", lambda: list((bench.state / "blobs" / "tmp").iterdir()) == [])


def test_the_checksum_may_come_behind_the_bytes(held):
    bench, runner, job = held
    xxh64 = xxhash.xxh64(b"some bytes").hexdigest().encode()
    assert b" 400 " in chunked(bench, runner, job, "k", b"0\r\nX-Content-XXH64: " + b"0" * 16 + b"\r\n\r\n")
    broken_off(bench, runner, job, "k", b"")
    broken_off(bench, runner, job, "k", b"0\r\nX-Content-XXH64: " + xxh64)
    assert find(runner, job, "k").json == {"id": 0}
    assert b" 201 " in chunked(bench, runner, job, "k", b"0\r\nX-Content-XXH64: " + xxh64 + b"\r\n\r\n")
    assert get(runner, job, find(runner, job, "k").json["id"]).body == b"some bytes"


def test_one_that_is_over_the_limit_is_refused_as_it_comes(held):
    _, runner, job = held
    assert "at most" in keep(runner, job, "k", b"x" * 70000, expect=413).text
    assert find(runner, job, "k").json == {"id": 0}


@pytest.mark.parametrize("key", ["", "x" * 513, "a\nb"])
def test_a_key_that_is_none_is_refused(held, key):
    _, runner, job = held
    find(runner, job, key, expect=400)
    keep(runner, job, key, expect=400)


def test_another_projects_cache_is_not_there(held):
    bench, runner, job = held
    keep(runner, job, "k")
    number = find(runner, job, "k").json["id"]
    _, other = bench.job(runner)
    assert find(runner, other, "k").json == {"id": 0}
    get(runner, other, number, expect=404)


def test_an_attempt_that_has_lost_its_job_neither_reads_nor_writes(held):
    bench, runner, job = held
    keep(runner, job, "k")
    number = find(runner, job, "k").json["id"]
    old = {**job, "attempt": job["attempt"] + 1}
    assert stale(find(runner, old, "k", expect=409)) and stale(get(runner, old, number, expect=409))
    assert stale(keep(runner, old, "other", expect=409))
    assert stale(find(bench.runner(), job, "k", expect=409))


def test_a_pull_request_reads_its_targets_and_writes_its_own(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    keep(runner, job, "k", b"main")
    name = job["project"]["name"]
    bench.client.post(f"/api/repos/{name}/builds", {"pull_request": {"number": 7, "source": "topic", "target": "main", "head": "main"}})
    pull = runner.take()
    hit = find(runner, pull, "k").json
    assert hit["exact"] and not hit["own"]
    keep(runner, pull, "k", b"pull")
    hit = find(runner, pull, "k").json
    assert hit["own"] and get(runner, pull, hit["id"]).body == b"pull"
    hit = find(runner, job, "k").json
    assert get(runner, job, hit["id"]).body == b"main"
