"""The command line against a small server that can break connections, restart and lie."""

import hashlib
import http.server
import json
import os
import pathlib
import socket
import subprocess
import threading
import types

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PELTON = os.environ.get("PELTON_BIN", str(ROOT / "build" / "pelton"))


class Server:
    """Answers (method, path without query) by functions of a request; keeps what it was asked."""

    def __init__(self, port=0):
        self.routes, self.seen = {}, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.body = json.loads(body) if body else None
                outer.seen.append(types.SimpleNamespace(path=self.path, headers=self.headers, body=self.body))
                route = outer.routes.get((self.command, self.path.split("?")[0]))
                if route is None:
                    return self.json(404, {"error": "NotFound", "message": "no such thing", "suggestions": ["look elsewhere"]})
                return route(self) if callable(route) else self.json(*route)

            do_GET = do_POST = do_DELETE = answer

            def json(self, status, value):
                self.send(status, "application/json", json.dumps(value).encode())

            def send(self, status, kind, data):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def stream(self, *events):
                """Server-sent events, and then the connection is cut."""
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                for number, name, data in events:
                    self.wfile.write(f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode())
                self.close_connection = True

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def stop(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def run(tmp_path, server):
    def call(*args, stdin=None, text=True, **env):
        keep = {k: v for k, v in os.environ.items() if k in ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS")}
        env = {"PELTON_URL": server.url, "PELTON_TOKEN": "plt_x", **env}
        return subprocess.run([PELTON, *args], input=stdin, capture_output=True, text=text, timeout=60, cwd=tmp_path,
                              env={**keep, "HOME": str(tmp_path), **{k: v for k, v in env.items() if v is not None}})

    return call


BUILD = {"id": 12, "repo": "hello", "commit_hash": "a" * 40, "commit_short": "a" * 8, "branch": "main", "status": "failed",
         "created_at": "2026-02-24 06:59:36", "started_at": "2026-02-24T06:59:37Z", "finished_at": "2026-02-24T06:59:40Z",
         "duration_seconds": 3.5}


def log(number, text, offset, job="test", attempt=1):
    return (number, "log", {"job": job, "attempt": attempt, "offset": offset, "text": text})


# ---- login ----

def test_login_checks_the_token_and_keeps_it_private(run, server, tmp_path):
    server.routes["GET", "/api/builds"] = (200, {"builds": [], "total": 0})
    (tmp_path / "t").write_text("plt_secret\n")
    out = run("login", server.url, "--token-file", "t", PELTON_TOKEN=None, PELTON_URL=None)
    assert out.returncode == 0, out.stderr
    assert server.seen[0].headers["Authorization"] == "Bearer plt_secret"
    config = tmp_path / ".config/pelton/config.yml"
    assert config.stat().st_mode & 0o777 == 0o600
    assert run("builds", PELTON_TOKEN=None, PELTON_URL=None).returncode == 0
    assert server.seen[1].headers["Authorization"] == "Bearer plt_secret"
    assert run("logout").returncode == 0 and "plt_secret" not in config.read_text()


def test_the_kept_token_goes_to_its_own_server_only(run, server, tmp_path):
    (tmp_path / "c.yml").write_text('url: "http://127.0.0.1:1"\ntoken: "plt_secret"\n')
    server.routes["GET", "/api/builds"] = (200, {"builds": [], "total": 0})
    assert run("builds", "--url", server.url, PELTON_TOKEN=None, PELTON_URL=None, PELTON_CONFIG="c.yml").returncode == 0
    assert server.seen[0].headers["Authorization"] is None


def test_a_wrong_token_is_4(run, server, tmp_path):
    server.routes["GET", "/api/builds"] = (401, {"error": "Unauthorized", "message": "bad token"})
    out = run("login", server.url, "--token-stdin", stdin="nope\n")
    assert out.returncode == 4 and "bad token" in out.stderr and "nope" not in out.stderr
    assert not (tmp_path / ".config").exists()
    assert run("builds").returncode == 4


# ---- lists ----

def test_builds_are_a_table_or_the_answer(run, server):
    server.routes["GET", "/api/builds"] = (200, {"builds": [{**BUILD, "branch": "x\x1b]0;evil\x07"}], "total": 1})
    out = run("builds", "--repo", "a b", "--limit", "5")
    assert out.stdout.splitlines()[1].split()[:3] == ["12", "hello", "failed"]
    assert "\x1b" not in out.stdout
    assert server.seen[0].path == "/api/builds?waiting=1&limit=5&repo=a%20b"


def test_json_is_the_servers_answer_as_it_is(run, server):
    for seconds in (3.5, 0.286228, 1234567.123457, 0.1 + 0.2):
        build = {**BUILD, "duration_seconds": round(seconds, 6), "title": "café / \"x\"", "jobs": [], "rerun_of": None}
        server.routes["GET", "/api/builds/12"] = (200, build)
        out = run("build", "show", "12", "--json").stdout
        assert out == json.dumps(build, separators=(",", ":"), ensure_ascii=False) + "\n"


def test_a_build_whose_place_was_taken_is_superseded_in_lists_and_by_itself(run, server):
    gone = {**BUILD, "status": "cancelled", "reason": "superseded"}
    server.routes["GET", "/api/builds"] = (200, {"builds": [gone, {**gone, "reason": "user"}], "total": 2})
    assert [line.split()[2] for line in run("builds").stdout.splitlines()[1:]] == ["superseded", "cancelled"]
    job = {"id": 1, "name": "test", "status": "cancelled", "reason": "superseded", "attempt": 1, "needs": [], "steps": []}
    server.routes["GET", "/api/builds/12"] = (200, {**gone, "jobs": [job], "message": "superseded by build 13"})
    out = run("build", "show", "12").stdout
    assert out.startswith("Build 12 of hello  superseded\n") and "test  superseded" in out and "by build 13" in out


def test_not_found_is_3_with_what_the_server_suggests(run):
    out = run("build", "show", "99")
    assert out.returncode == 3 and "no such thing" in out.stderr and "look elsewhere" in out.stderr


@pytest.mark.parametrize("status,code", [(409, 6), (415, 6), (500, 7), (507, 7), (503, 5), (400, 2), (413, 2)])
def test_no_refusal_has_the_exit_status_of_a_failed_build(run, server, status, code):
    server.routes["POST", "/api/builds/12/cancel"] = (status, {"error": "x", "message": "because"})
    out = run("cancel", "12")
    assert out.returncode == code and "because" in out.stderr


def test_a_build_shows_jobs_steps_and_why(run, server):
    job = {"id": 1, "name": "test", "status": "failed", "message": "step 2: exit status 1", "attempt": 2, "needs": [],
           "steps": [{"name": "make", "status": "failed", "exit_code": 1}]}
    server.routes["GET", "/api/builds/12"] = (200, {**BUILD, "jobs": [job], "commit_author": "Ada"})
    out = run("build", "show", "12").stdout
    assert "test (attempt 2)" in out and "step 2: exit status 1" in out and "  make" in out and "Ada" in out


def test_tokens_that_are_good_for_nothing_are_listed_as_such(run, server):
    tokens = [{"id": 3, "name": "old", "role": "user", "status": "revoked", "expires_at": None}]
    server.routes["GET", "/api/tokens"] = (200, {"tokens": tokens})
    assert run("token", "list").stdout.splitlines()[1].split() == ["3", "old", "user", "revoked", "never"]


def test_each_mistake_of_a_pipeline_file_has_a_line_of_its_own(run, server):
    mistakes = "line 3, column 5: one\nline 4, column 7: two"
    server.routes["GET", "/api/builds/12"] = (200, {**BUILD, "status": "failed", "message": mistakes, "jobs": []})
    assert "  why      line 3, column 5: one\n           line 4, column 7: two\n" in run("build", "show", "12").stdout
    server.routes["GET", "/api/builds/12/logs"] = lambda r: r.stream((1, "end", {"status": "failed", "message": mistakes}))
    assert "build 12 failed: line 3, column 5: one\n  line 4, column 7: two\n" in run("logs", "-f", "12").stderr


def test_build_start_sends_ref_and_env(run, server):
    server.routes["POST", "/api/repos/hello/builds"] = (202, {"id": 12, "status": "queued"})
    out = run("build", "start", "hello", "--ref", "v1", "--env", "A=1,2", "--env", "B=")
    assert out.returncode == 0 and f"{server.url}/builds/12" in out.stdout
    assert server.seen[0].body == {"ref": "v1", "env": {"A": "1,2", "B": ""}}


def test_open_prints_what_is_live(run, server):
    dead = {"status": "superseded", "url": "http://old/"}
    server.routes["GET", "/api/deployments"] = (200, {"deployments": [dead, {"status": "live", "url": "http://hello/"}]})
    assert run("open", "hello").stdout == "http://hello/\n"
    server.routes["GET", "/api/deployments"] = (200, {"deployments": [dead]})
    assert run("open", "hello").returncode == 3


def test_a_server_that_is_none_is_told_apart(run, server):
    server.routes["GET", "/api/builds"] = lambda r: r.send(200, "text/html", b"<html>hello</html>")
    out = run("builds")
    assert out.returncode == 5 and "Pelton" in out.stderr


# ---- logs ----

def test_follow_prints_each_byte_once_over_cuts_and_exits_by_the_result(run, server):
    streams = [
        [log(1, "one\n", 0), log(2, "two\n", 4)],
        [log(2, "two\n", 4), log(3, "wo\nthree\n", 5)],  # what came already, and an overlap
        [log(4, "end\n", 14), (5, "end", {"status": "success"})],
    ]
    server.routes["GET", "/api/builds/12/logs"] = lambda r: r.stream(*streams.pop(0))
    out = run("logs", "-f", "12")
    assert out.stdout == "one\ntwo\nthree\nend\n"
    assert out.returncode == 0
    assert [r.headers["Last-Event-ID"] for r in server.seen] == [None, "2", "3"]


def test_follow_waits_for_a_server_that_restarts(run, server):
    first = threading.Event()
    server.routes["GET", "/api/builds/12/logs"] = lambda r: (r.stream(log(1, "a\n", 0)), first.set())
    again = []

    def restart():
        first.wait(30)
        server.stop()
        second = Server(server.port)
        second.routes["GET", "/api/builds/12/logs"] = lambda r: r.stream(log(2, "b\n", 2), (3, "end", {"status": "failed"}))
        again.append(second)

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        out = run("logs", "-f", "12")
    finally:
        thread.join()
        for s in again:
            s.stop()
        server.stop = lambda: None
    assert out.stdout == "a\nb\n"
    assert out.returncode == 1 and "build 12 failed" in out.stderr


def test_follow_of_several_jobs_says_whose_lines_they_are(run, server):
    server.routes["GET", "/api/builds/12/logs"] = lambda r: r.stream(
        log(1, "a\n", 0, "a"), log(2, "b\n", 0, "b"), (3, "job", {"name": "b", "status": "failed", "message": "exit status 2"}),
        (4, "end", {"status": "failed"}))
    out = run("logs", "-f", "12")
    assert out.stdout == "a\nb\n"
    assert out.stderr == "==> b <==\nb failed: exit status 2\nbuild 12 failed\n"


def test_a_job_followed_alone_has_its_own_result(run, server):
    end = [(2, "job", {"name": "a", "status": "success", "attempt": 1}), (3, "end", {"status": "running"})]
    server.routes["GET", "/api/builds/12/logs"] = lambda r: r.stream(log(1, "a\n", 0, "a"), *end)
    out = run("logs", "-f", "12", "--job", "a")
    assert out.returncode == 0 and "job a of build 12 success" in out.stderr
    assert run("logs", "-f", "12", "--job", "a", "--json").returncode == 0
    assert run("logs", "-f", "12").returncode == 1


def test_follow_as_json_is_an_event_a_line(run, server):
    server.routes["GET", "/api/builds/12/logs"] = lambda r: r.stream(log(1, "a\n", 0), (2, "end", {"status": "success"}))
    events = [json.loads(line) for line in run("logs", "-f", "12", "--json").stdout.splitlines()]
    assert [e["event"] for e in events] == ["log", "end"]


def test_follow_takes_a_zero_byte_as_any_other(run, server):
    streams = [[log(1, "a\0b\n", 0)], [log(1, "a\0b\n", 0), log(2, "b\nc\0", 2), (3, "end", {"status": "success"})]] * 2
    server.routes["GET", "/api/builds/12/logs"] = lambda r: r.stream(*streams.pop(0))
    assert run("logs", "-f", "12").stdout == "a\0b\nc\0"
    events = [json.loads(line) for line in run("logs", "-f", "12", "--json").stdout.splitlines()]
    assert [(e["offset"], e["text"]) for e in events[:-1]] == [(0, "a\0b\n"), (4, "c\0")]


def test_follow_of_no_build_is_3(run):
    assert run("logs", "-f", "99").returncode == 3


def test_a_log_comes_as_text_or_as_json(run, server):
    raw = b"\xff\x00bytes\n" * 1000
    server.routes["GET", "/api/builds/12/logs"] = lambda r: r.send(200, "text/plain; charset=utf-8", raw)
    assert run("logs", "12", "--job", "a/b", text=False).stdout == raw
    assert "job=a%2Fb" in server.seen[0].path
    server.routes["GET", "/api/builds/12/logs"] = (200, {"logs": "hello ä\n"})
    assert run("logs", "12").stdout == "hello ä\n"
    server.routes["GET", "/api/builds/12/logs"] = (200, {"logs": "zero \0\n"})
    assert json.loads(run("logs", "12", "--json").stdout) == {"logs": "zero \0\n"}


# ---- artifacts ----

def artifacts(server, data, sha=None):
    sha = sha or hashlib.sha256(data).hexdigest()
    server.routes["GET", "/api/builds/12/artifacts"] = (200, {"artifacts": [{"path": "dist/a b.bin", "size": len(data), "sha256": sha}]})
    server.routes["GET", "/api/builds/12/artifacts/dist/a%20b.bin"] = lambda r: r.send(200, "application/octet-stream", data)


def test_an_artifact_is_fetched_and_checked(run, server, tmp_path):
    data = os.urandom(300000)
    artifacts(server, data)
    assert "dist/a b.bin" in run("artifacts", "12").stdout
    assert run("artifacts", "12", "get", "dist/a b.bin").returncode == 0
    assert (tmp_path / "a b.bin").read_bytes() == data
    assert run("artifacts", "12", "get", "dist/a b.bin", "-o", "-", text=False).stdout == data
    assert run("artifacts", "12", "get", "nope").returncode == 3


def test_wrong_bytes_leave_no_file(run, server, tmp_path):
    artifacts(server, b"evil", sha="0" * 64)
    out = run("artifacts", "12", "get", "dist/a b.bin", "-o", "x")
    assert out.returncode == 7 and "sha256" in out.stderr
    assert list(tmp_path.iterdir()) == []


# ---- the hook ----

@pytest.fixture
def repo(tmp_path):
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}

    def git(*args, **kwargs):
        return subprocess.run(["git", "-C", str(tmp_path / "hello.git"), *args], check=True, capture_output=True, env=env,
                              **kwargs).stdout.decode().strip()

    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "hello.git")], check=True, env=env)
    tree = git("mktree", input=b"")
    raw = b"tree " + tree.encode() + b"\nauthor J\xf6rg \"x\" <j@x.org> 1700000000 +0000\ncommitter C <c@x> 1700000000 +0000\n\nGr\xfc\xdfe $(id) `x` \\\" \n\nmore\n"
    git.commit = git("hash-object", "-t", "commit", "-w", "--stdin", input=raw)
    tag = f"object {git.commit}\ntype commit\ntag v1\ntagger T <t@x> 1700000000 +0000\n\nrelease\n".encode()
    git.tag = git("hash-object", "-t", "tag", "-w", "--stdin", input=tag)
    git.path = tmp_path / "hello.git"
    return git


@pytest.fixture
def hook(run, server, repo, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    (state / "hook.token").write_text("plt_hook\n")

    def call(*lines, url=server.url):
        (state / "server.json").write_text(json.dumps({"url": url}))
        return run("hook", "post-receive", "--state", str(state), stdin="".join(line + "\n" for line in lines),
                   GIT_DIR=str(repo.path), PELTON_PUSHER="ada", PELTON_URL=None, PELTON_TOKEN=None)

    return call


ZERO = "0" * 40


def test_the_hook_hands_over_every_ref(hook, server, repo):
    answers = [{"id": 12, "status": "queued", "url": "http://h/builds/12"}, {"id": 13, "status": "failed", "message": "line 3: oops\nline 4: ah"},
               {"id": None, "status": "skipped", "message": "deleted"}]
    server.routes["POST", "/api/pushes"] = (200, {"results": answers})
    out = hook(f"{ZERO} {repo.commit} refs/heads/main", f"{ZERO} {repo.tag} refs/tags/v1", f"{repo.commit} {ZERO} refs/heads/old")
    assert out.returncode == 0, out.stderr
    assert len(server.seen) == 1
    first, tag, gone = server.seen[0].body["pushes"]
    assert first == {"repo": "hello", "bare_repo_path": str(repo.path), "old_rev": ZERO, "new_rev": repo.commit,
                     "ref": "refs/heads/main", "commit_author": 'J\ufffdrg "x"', "commit_email": "j@x.org",
                     "commit_message": "Gr\ufffd\ufffde $(id) `x` \\\" ", "gpg_status": "N", "gpg_key": "", "gpg_signer": "",
                     "pusher": "ada"}
    assert tag["new_rev"] == repo.commit and tag["ref"] == "refs/tags/v1"
    assert gone["new_rev"] == ZERO and gone["commit_author"] == ""
    assert {r.headers["Authorization"] for r in server.seen} == {"Bearer plt_hook"}
    assert "pelton: build 12 queued: http://h/builds/12\n" in out.stderr
    assert "pelton: build 13 failed: line 3: oops\npelton:   line 4: ah\n" in out.stderr and "old: deleted" in out.stderr


def test_the_hook_is_loud_when_the_server_is_down(hook, repo):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{s.getsockname()[1]}"
    out = hook(f"{ZERO} {repo.commit} refs/heads/main", f"{ZERO} {repo.tag} refs/tags/v1", url=url)
    assert out.returncode == 5
    assert "STORED" in out.stderr and "2 refs" in out.stderr and url in out.stderr


def test_the_hook_hands_over_many_refs_in_few_calls_and_says_which_were_not_taken(hook, server, repo):
    def answer(request):
        results = [{"id": None, "status": "skipped", "message": "nothing to build"} for _ in request.body["pushes"]]
        if len(server.seen) == 2:
            results[3] = {"error": "database is locked"}
        request.json(200, {"results": results})

    server.routes["POST", "/api/pushes"] = answer
    server.routes["POST", "/api/builds"] = (200, {"id": None, "status": "skipped", "message": "one alone"})
    out = hook(*(f"{ZERO} {repo.commit} refs/tags/v{i}" for i in range(129)))
    assert [len(r.body.get("pushes", "1")) for r in server.seen] == [64, 64, 1]
    assert out.returncode == 5 and "v67: database is locked" in out.stderr and "(1 ref)" in out.stderr
    assert "v68: nothing to build" in out.stderr and "v128: one alone" in out.stderr


@pytest.mark.parametrize("status,code", [(500, 5), (503, 5), (401, 5), (400, 0), (422, 0)])
def test_the_hook_tells_what_will_be_tried_again_from_what_will_not(hook, server, repo, status, code):
    server.routes["POST", "/api/builds"] = (status, {"error": "x", "message": "because"})
    out = hook(f"{ZERO} {repo.commit} refs/heads/main")
    assert out.returncode == code and "because" in out.stderr
    assert ("STORED" in out.stderr) == (code == 5)


def test_the_hook_without_refs_says_nothing(hook):
    out = hook()
    assert out.returncode == 0 and out.stderr == "" and out.stdout == ""


def test_a_closed_pipe_is_no_error(run, server):
    server.routes["GET", "/api/builds/12/logs"] = lambda r: r.send(200, "text/plain", b"x" * 5000000)
    out = subprocess.run(f'"{PELTON}" logs 12 --url {server.url} | head -c 3', shell=True, capture_output=True, text=True,
                         executable="/bin/bash")
    assert out.stdout == "xxx" and out.stderr == ""


def test_a_start_whose_answer_was_cut_off_is_sent_again_with_the_same_key(run, server):
    def answer(request):
        if len(server.seen) == 1:
            request.close_connection = True  # heard, and nothing said
        elif len(server.seen) == 2:
            request.json(503, {"error": "Unavailable", "message": "stopping"})
        else:
            request.json(202, {"id": 12, "status": "queued"})

    server.routes["POST", "/api/repos/hello/builds"] = answer
    out = run("build", "start", "hello")
    assert out.returncode == 0 and "build 12 queued" in out.stdout
    keys = {seen.headers["Idempotency-Key"] for seen in server.seen}
    assert len(server.seen) == 3 and len(keys) == 1 and keys.pop()
    assert run("build", "start", "hello").returncode == 0
    assert server.seen[3].headers["Idempotency-Key"] != server.seen[2].headers["Idempotency-Key"]


def test_a_start_that_the_server_refuses_is_not_sent_again(run, server):
    server.routes["POST", "/api/repos/hello/builds"] = (400, {"error": "Invalid", "message": "no such ref"})
    assert run("build", "start", "hello").returncode == 2
    assert len(server.seen) == 1


@pytest.mark.parametrize(("flags", "body"), [([], "all"), (["--failed"], "failed"),
                                             (["--job", "a", "--job", "b"], ["a", "b"])])
def test_rerun_says_which_jobs(run, server, flags, body):
    server.routes["POST", "/api/builds/12/rerun"] = (202, {"id": 13, "status": "queued"})
    out = run("rerun", "12", *flags)
    assert out.returncode == 0 and f"build 13 queued: {server.url}/builds/13" in out.stdout
    assert server.seen[0].body == {"jobs": body} and server.seen[0].headers["Idempotency-Key"]


def test_rerun_of_failed_jobs_and_of_one_is_a_contradiction(run, server):
    out = run("rerun", "12", "--failed", "--job", "a")
    assert out.returncode == 2 and "choose one" in out.stderr and not server.seen


def test_the_log_of_an_earlier_attempt_is_asked_for(run, server):
    def answer(request):
        request.send(200, "text/plain", request.path.encode())

    server.routes["GET", "/api/builds/12/logs"] = answer
    assert run("logs", "12", "--job", "a b", "--attempt", "1").stdout == "/api/builds/12/logs?job=a%20b&attempt=1"
    assert run("logs", "12", "-f", "--attempt", "1").returncode == 2
