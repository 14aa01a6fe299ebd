"""HTTP as a whole: methods, types, sizes, paths, headers; the shape of errors; bytes that no client sends."""

import gzip
import json
import socket

import pytest

from lib.client import raw_connection, request

# a client's end that comes with its last bytes may be seen only when the connection has been idle for that long
FLAGS = ("--idle-timeout", "2s")
ERROR = {"error", "message", "details", "suggestions", "timestamp"}


def talk(bench, data, ends=False):
    """What the server answers to the bytes: one whole answer, or what came until it closed the connection.
    ends: nothing more will come."""
    with raw_connection(bench.address) as connection:
        answer = b""
        try:
            connection.sendall(data)
            if ends:
                connection.shutdown(socket.SHUT_WR)
            while not is_whole(answer) and (piece := connection.recv(65536)):
                answer += piece
        except OSError as error:
            assert not isinstance(error, TimeoutError), "neither an answer nor an end"
    return answer


def is_whole(answer):
    head, end, body = answer.partition(b"\r\n\r\n")
    lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return end and lengths and len(body) >= lengths[0]


def status_of(answer):
    return int(answer.split()[1]) if answer else None


def still_serves(bench):
    assert bench.client.get("/health")["status"] == "ok"


# ---- errors


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/nowhere", 404), ("GET", "/api/nowhere", 404), ("GET", "/api/builds/1/nowhere", 404),
    ("GET", "/api/builds/999999", 404), ("GET", "/api//builds", 404), ("GET", "/api/builds/", 404),
    ("GET", "/api/repos/nowhere", 404), ("GET", "/git/nowhere.git/info/refs?service=git-upload-pack", 404),
    ("GET", "/api/deployments/nowhere", 404), ("DELETE", "/api/builds", 405), ("POST", "/health", 405),
    ("POST", "/api/builds/1/logs", 405), ("PUT", "/api/repos", 405)])
def test_an_error_has_the_designs_shape(bench, method, path, status):
    reply = bench.client.call(method, path, expect=status)
    assert set(reply.json) == ERROR, reply
    assert reply.headers["Content-Type"].startswith("application/json")
    assert reply.json["details"]["status"] == status
    assert reply.json["details"]["request_id"] == reply.headers["X-Request-Id"]
    assert reply.json["message"] and isinstance(reply.json["suggestions"], list)


@pytest.mark.parametrize("path, allow", [("/api/builds", {"GET", "HEAD", "POST"}), ("/health", {"GET", "HEAD"}),
                                         ("/api/builds/1/cancel", {"POST"}), ("/api/tokens/1", {"DELETE"}),
                                         ("/api/runner/jobs/1", {"PATCH"})])
def test_a_method_that_a_path_has_not_is_told_with_those_it_has(bench, path, allow):
    for method in ({"GET", "POST", "PUT", "PATCH", "DELETE"} - allow):
        reply = bench.client.call(method, path, expect=405)
        assert {word.strip() for word in reply.headers["Allow"].split(",")} - {"OPTIONS"} == allow


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "GETT", "get"])
def test_an_unknown_method_is_refused(bench, method):
    answer = talk(bench, f"{method} /api/builds HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert status_of(answer) in (400, 405, 501)
    still_serves(bench)


def test_head_is_get_without_the_body(bench):
    for path in ("/health", "/api/builds", "/", "/api/openapi.json"):
        reply = bench.client.call("HEAD", path)
        assert reply.body == b"" and int(reply.headers["Content-Length"]) > 0


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
                                   "application/jsonx", "text/json", ""])
def test_a_body_of_another_type_is_refused(bench, media):
    reply = bench.client.call("POST", "/api/repos", b'{"name":"n"}', headers={"Content-Type": media}, expect=415)
    assert set(reply.json) == ERROR and "application/json" in reply.json["message"]


@pytest.mark.parametrize("media", ["application/json; charset=utf-8", "Application/JSON", "application/json;x=y"])
def test_a_body_of_the_right_type_is_taken(bench, media):
    body = json.dumps({"name": bench.name()}).encode()
    bench.client.call("POST", "/api/repos", body, headers={"Content-Type": media}, expect=201)


# ---- sizes


def test_a_body_over_the_limit_is_refused(bench):
    reply = bench.client.call("POST", "/api/tokens", b" " * (1024 * 1024 + 1),
                              headers={"Content-Type": "application/json"}, expect=413)
    assert set(reply.json) == ERROR
    bench.client.call("POST", "/api/login", b'{"token":"' + b"x" * 4096 + b'"}',
                      headers={"Content-Type": "application/json"}, expect=413)


def test_a_chunked_body_over_the_limit_is_refused(bench):
    head = (f"POST /api/repos HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bench.token}\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n").encode()
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with raw_connection(bench.address) as connection:
        connection.sendall(head)
        try:
            for _ in range(400):
                connection.sendall(chunk)
        except OSError:
            pass
        connection.settimeout(20)
        assert status_of(connection.recv(65536)) == 413
    still_serves(bench)


def test_an_unauthorized_body_is_not_waited_for(bench):
    with raw_connection(bench.address) as connection:
        connection.sendall(b"POST /git/x.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        assert status_of(connection.recv(65536)) == 401
    still_serves(bench)


@pytest.mark.parametrize("line", ["X-Long: " + "x" * 200_000, "\r\n".join(f"X-{i}: y" for i in range(20_000)),
                                  "Cookie: " + "a=b; " * 40_000], ids=["long", "many", "cookies"])
def test_headers_over_the_limit_are_refused(bench, line):
    with raw_connection(bench.address) as connection:
        try:
            connection.sendall(f"GET /health HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n".encode())
            answer = connection.recv(65536)
        except ConnectionError:
            answer = b""
    assert not answer or status_of(answer) in (400, 413, 431)
    still_serves(bench)


def test_a_path_over_the_limit_is_refused(bench):
    for length in (10_000, 300_000):
        answer = talk(bench, b"GET /" + b"x" * length + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert not answer or status_of(answer) in (400, 404, 413, 414, 431)
    still_serves(bench)


LOGIN = b"POST /api/login HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize("data, status", [
    (b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 40_000 + b"\r\n\r\n", 431),
    (b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    (b"GET /health HTTP/1.1\r\n\r\n", 400),
    (b"GET /health HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
    (LOGIN + b"Content-Length: many\r\n\r\n", 400),
    (LOGIN + b"Content-Length: 99999999999999999999999\r\n\r\n", 413),
    (LOGIN + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    (b"GET /health HTTP/2.0\r\nHost: x\r\n\r\n", 505),
], ids=["header", "target", "no host", "no colon", "no length", "too long", "no chunk", "version"])
def test_what_the_library_answers_itself_has_the_right_status_and_ends_the_connection(bench, data, status):
    """SECURITY.md lists these: before a request is whole, the answer is not ours to write."""
    with raw_connection(bench.address) as connection:
        connection.sendall(data)
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionResetError:  # the answer came first; then the end, with bytes that nobody had read
            pass
    assert status_of(answer) == status, answer[:300]
    still_serves(bench)


def test_headers_that_the_library_takes_and_we_do_not_are_refused_in_json(bench):
    reply = bench.client.call("GET", "/health", headers={"X-Long": "x" * 20_000}, expect=431)
    assert set(reply.json) == ERROR


# ---- paths


@pytest.mark.parametrize("path", ["/../etc/passwd", "/..%2f..%2fetc%2fpasswd", "/%2e%2e/%2e%2e/etc/passwd",
                                  "/app.js/../../../etc/passwd", "//etc/passwd", "/app.js%00.png", "/builds/../admin.token",
                                  "/git/..%2f..%2fadmin.token", "/git/../admin.token", "/git/x.git/../../admin.token",
                                  "/artifacts/..%2f..%2f/x", "/%", "/%zz", "/api/repos/%00", "/api/repos/%ff",
                                  "/api/repos/..%2f..%2fpelton.db", "/git/%2e%2e/config", "/git/..git/config"])
def test_a_path_does_not_leave_its_root(bench, path):
    answer = talk(bench, f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bench.token}\r\n\r\n".encode())
    assert status_of(answer) in (400, 404), answer[:300]
    assert b"root:" not in answer and bench.token.encode() not in answer


def test_a_repositorys_files_are_not_served_but_by_gits_protocol(bench):
    work, _ = bench.push(bench.name(), {"Makefile": "all:\n"})
    for rest in ("config", "hooks/post-receive", "../../admin.token", "..%2f..%2fadmin.token", "objects/../config",
                 "HEAD/../config", "description", "%2e%2e/%2e%2e/hook.token"):
        answer = talk(bench, f"GET /git/{work.path.name}.git/{rest} HTTP/1.1\r\nHost: x\r\n"
                             f"Authorization: Bearer {bench.token}\r\n\r\n".encode())
        assert status_of(answer) in (400, 403, 404), answer[:300]


# ---- bytes


@pytest.mark.parametrize("data", [
    b"\0" * 1000, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\r\n" * 1000,
    b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
    b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /api/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /api/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n"],
    ids=range(16))
def test_what_is_not_http_is_refused(bench, data):
    answer = talk(bench, data, ends=True)
    assert not answer or 400 <= status_of(answer) < 600 or data.startswith(b"\r\n"), answer[:300]
    assert b" 500 " not in answer.split(b"\r\n")[0]
    still_serves(bench)


def test_many_requests_go_over_one_connection(bench):
    one = f"GET /api/version HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bench.token}\r\n\r\n".encode()
    last = one.replace(b"Host: x", b"Host: x\r\nConnection: close")
    answer = b""
    with raw_connection(bench.address) as connection:
        connection.sendall(one * 50 + last)
        while piece := connection.recv(65536):
            answer += piece
    assert answer.count(b"HTTP/1.1 200") == 51


def test_json_of_every_depth_and_number_is_answered(bench):
    for text in ("[" * 5000 + "]" * 5000, '{"name":' * 3000 + "1" + "}" * 3000, '{"name":1e999}', '{"name":"\\ud800"}',
                 '{"name":99999999999999999999}', '{"name":"a"} x', "\ufeff{}", '{"name":tru}', '{"__proto__":{}}'):
        bench.client.call("POST", "/api/repos", text.encode(), headers={"Content-Type": "application/json"}, expect=(400, 422))


def test_a_gzipped_fetch_is_understood(bench):
    """git sends a long want list gzipped."""
    work, _ = bench.push(bench.name(), {"Makefile": "all:\n"})
    ls_refs = b"0014command=ls-refs\n0016object-format=sha10001" + b"0009peel\n" + b"0000"
    reply = bench.client.call("POST", f"/git/{work.path.name}.git/git-upload-pack", gzip.compress(ls_refs),
                              headers={"Content-Type": "application/x-git-upload-pack-request", "Content-Encoding": "gzip",
                                       "Git-Protocol": "version=2"})
    assert work.head().encode() in reply.body
    bench.client.call("POST", f"/git/{work.path.name}.git/git-upload-pack", gzip.compress(ls_refs)[:-9] + b"xxxxxxxxx",
                      headers={"Content-Type": "application/x-git-upload-pack-request", "Content-Encoding": "gzip"},
                      expect=None)
    still_serves(bench)


def test_every_answer_forbids_sniffing_and_has_a_request_id(bench):
    seen = set()
    for path in ("/", "/health", "/api/builds", "/nowhere"):
        reply = request(bench.address, "GET", path)
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        seen.add(reply.headers["X-Request-Id"])
    assert len(seen) == 4


# ---- fields that there are not


def test_who_asks_for_a_branch_in_the_wrong_field_is_told_the_right_one(bench):
    name = bench.name()
    bench.push(name, {"Makefile": "all:\n"})
    reply = bench.client.call("POST", f"/api/repos/{name}/builds", {"branch": "main"}, expect=400)
    assert 'a branch to be built is itself the "ref"' in reply.json["message"]


@pytest.mark.parametrize("method, path, body, said", [
    ("POST", "/api/tokens", {"name": "x", "role": "read", "tll": "1h"}, 'field "tll": unknown; did you mean "ttl"?'),
    ("POST", "/api/queue/pause", {"because": "x"}, 'field "because": unknown; expected "reason"'),
    ("POST", "/api/repos/{name}/builds", {"branhc": "main"}, 'field "branhc": unknown; did you mean "branch"?'),
    ("POST", "/api/login", {"tokne": "x"}, 'field "tokne": unknown; did you mean "token"?'),
])
def test_a_field_that_there_is_not_is_named_with_the_one_that_was_meant(bench, method, path, body, said):
    name = bench.name()
    bench.create_repo(name)
    assert bench.client.call(method, path.format(name=name), body, expect=400).json["message"] == said
    assert bench.client.get("/api/queue")["paused"] is None


def test_a_secret_with_a_field_that_there_is_not_is_not_set_and_not_repeated(bench):
    name = bench.name()
    bench.create_repo(name)
    reply = bench.client.call("PUT", f"/api/repos/{name}/secrets/TOKEN", {"value": "long enough", "hunter22hunter": 1}, expect=400)
    assert "hunter22" not in reply.text and 'field "value" alone' in reply.json["message"]
    assert bench.client.get(f"/api/repos/{name}/secrets")["secrets"] == []


def test_clients_of_the_founding_documents_may_send_what_they_like(bench):
    bench.client.post("/api/repos", {"name": bench.name(), "description": "x", "owner": "ada"}, expect=201)
    bench.client.call("POST", "/api/ci/pipelines", {"yaml_content": "x", "team": "y"}, expect=400)
