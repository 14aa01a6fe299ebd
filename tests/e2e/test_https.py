"""Everything over https, through a proxy that ends TLS as docs/proxy.md shows it: commands, a runner elsewhere, git,
the page of what is live. And what is in the way: certificates that are not good, proxies that die or lose patience."""

import hashlib
import http.client
import re
import socket
import ssl
import subprocess
import threading
import time
from types import SimpleNamespace

import pytest

from lib.pipelines import Pipelines, simple
from lib.receivers import Web
from lib.server import BINARY, base_env
from lib.tls import CA, Proxy
from lib.wait import SLOWER, wait_for
from lib.websocket import WebSocket
from lib.writes import WRITES

MIB = 1 << 20


class Site:
    """A server, the proxy before it, and the CA of the proxy's certificate."""

    def __init__(self, folder, start_pelton, start_runner, changes=None):
        self.folder, self.start_runner = folder, start_runner
        self.ca = CA(folder / "ca")
        self.proxy = Proxy(folder / "proxy", self.ca.certificate("web", "localhost", "*.apps.localhost"), changes)
        self.server = start_pelton("--runners", "0", "--allow-executor", "shell", "--url", self.proxy.url, "--ingress-url",
                                   self.proxy.apps_url, "--trusted-proxy", "127.0.0.1")
        self.proxy.start(self.server)

    def runner(self, *flags, **options):
        return self.start_runner(SimpleNamespace(binary=BINARY, url=self.proxy.url), "--token", self.server.registration_token(),
                                 "--ca-file", self.ca.file, "--allow-shell", *flags, **options)

    def runner_log(self):
        return (self.folder / "far.log").read_text()

    def run(self, *arguments, env=None, **options):
        """A command over https, which knows the CA unless env says otherwise."""
        given = {"PELTON_URL": self.proxy.url, "PELTON_CA_FILE": str(self.ca.file), **(env or {})}
        return self.server.run(*arguments, env=given, **options)

    def follow(self, number):
        """`pelton logs -f` over https, as a process."""
        env = {**base_env(self.folder), "PELTON_URL": self.proxy.url, "PELTON_TOKEN": self.server.token,
               "PELTON_CA_FILE": str(self.ca.file)}
        return subprocess.Popen([BINARY, "logs", "-f", str(number)], cwd=self.folder, env=env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def ask(self, method, path, host="localhost", headers=None):
        """(status, headers, body) of a request as a browser sends it."""
        name = f"{host}:{self.proxy.port}"
        connection = http.client.HTTPSConnection("127.0.0.1", self.proxy.port, timeout=30 * SLOWER, context=self.ca.context())
        connection.sock = self.ca.context().wrap_socket(socket.create_connection(("127.0.0.1", self.proxy.port)), server_hostname=host)
        connection.request(method, path, headers={"Host": name, **(headers or {})})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, answer.headers, body

    def push(self, name, files):
        """As people do: a repository, and a push to it over https."""
        work = self.server.work(name, files)
        work.url = f"https://ada:{self.server.token}@localhost:{self.proxy.port}/git/{name}.git"
        return work, work.push(env={"GIT_SSL_CAINFO": str(self.ca.file)})


@pytest.fixture
def make_site(tmp_path, start_pelton, start_runner):
    sites = []

    def make(changes=None):
        sites.append(Site(tmp_path, start_pelton, start_runner, changes))
        return sites[-1]

    yield make
    for site in sites:
        site.proxy.close()


@pytest.fixture
def site(make_site):
    return make_site()


def finish(process, status=0):
    """(standard output, standard error) of a process that ends so."""
    out, err = process.communicate(timeout=120 * SLOWER)
    assert process.returncode == status, (process.returncode, out, err)
    return out, err.decode()


# ---- as it should be

def test_login_keeps_the_ca_for_the_commands_that_follow(site, tmp_path):
    config = {"PELTON_CONFIG": str(tmp_path / "mine.yml"), "PELTON_CA_FILE": "", "PELTON_TOKEN": "", "PELTON_URL": ""}
    (tmp_path / "token").write_text(site.server.token)
    relative = site.ca.file.relative_to(tmp_path)
    site.server.folder.joinpath("ca.link").symlink_to(tmp_path / relative)
    site.run("login", site.proxy.url, "--token-file", tmp_path / "token", "--ca-file", "ca.link", env=config)
    assert f'ca-file: "{site.ca.file}"' in (tmp_path / "mine.yml").read_text()
    site.run("repo", "create", "hello", env=config)
    assert "hello" in site.run("repo", "list", env=config).stdout
    elsewhere = site.run("repo", "list", "--url", site.proxy.url.replace("localhost", "127.0.0.1"), env=config, expect=5)
    assert "certificate" in elsewhere.stderr


@pytest.mark.parametrize("how", ["--ca-file", "PELTON_CA_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_a_ca_of_ones_own_is_given_in_each_of_these_ways(site, tmp_path, how):
    value = str(site.ca.file)
    if how == "SSL_CERT_DIR":
        value = str(tmp_path / "certs")
        (tmp_path / "certs").mkdir()
        (tmp_path / "certs" / "ca.pem").write_bytes(site.ca.file.read_bytes())
        subprocess.run(["openssl", "rehash", value], check=True, timeout=60)
    if how.startswith("--"):
        site.run("repo", "list", how, value, env={"PELTON_CA_FILE": ""})
    else:
        site.run("repo", "list", env={"PELTON_CA_FILE": "", how: value})


@pytest.mark.parametrize("text", [None, "this is no certificate\n"])
def test_a_ca_file_that_is_none_is_named(site, tmp_path, text):
    if text:
        (tmp_path / "wrong.pem").write_text(text)
    done = site.run("repo", "list", "--ca-file", tmp_path / "wrong.pem", expect=None)
    assert done.returncode in (2, 3) and str(tmp_path / "wrong.pem") in done.stderr
    assert ("no certificate in it" if text else "No such file") in done.stderr


EVERYTHING = r"""jobs:
  make:
    cache: {key: k, paths: [deps]}
    steps:
      - mkdir -p deps; head -c 3000000 /dev/urandom | tee deps/blob | sha256sum; cp deps/blob out
      - env | grep -c SSL_CERT || true
    artifacts: {name: it, paths: [out]}
  take:
    needs: make
    cache: {key: k, paths: [deps]}
    download: it
    steps: ['cmp deps/blob out && echo the same']
"""


def test_a_runner_elsewhere_does_all_its_work_over_https(site):
    site.runner()
    work, push = site.push("hello", {".pelton.yml": EVERYTHING})
    assert f"{site.proxy.url}/builds/{push.build}" in push.text
    site.server.wait_build(push.build, "success")
    log = site.server.log(push.build)
    assert "the same" in log and "cache: k restored" in log and "\n0\n" in log
    site.run("artifacts", push.build, "get", "out", "-o", "got")
    assert hashlib.sha256((site.server.folder / "got").read_bytes()).hexdigest() in log
    out, _ = finish(site.follow(push.build))
    assert b"the same" in out
    work.git("clone", "-q", work.url, "again", env={"GIT_SSL_CAINFO": str(site.ca.file)})
    assert (work.path / "again" / ".pelton.yml").exists()
    assert "trying again" not in site.runner_log()


def test_a_cancel_reaches_a_runner_over_https(site):
    site.runner()
    _, push = site.push("hello", {".pelton.yml": "jobs:\n  t:\n    steps: ['echo begun; exec sleep 1000']\n"})
    wait_for("its begin", lambda: "begun" in site.server.log(push.build))
    site.run("cancel", push.build)
    site.server.wait_build(push.build, "cancelled", timeout=30)


def test_what_is_live_is_told_by_its_https_address_and_knows_who_asks(site):
    site.runner()
    serve = "exec python3 -u app.py"
    app = ("import http.server, os\n"
           "class H(http.server.BaseHTTPRequestHandler):\n"
           "    def do_GET(self):\n"
           "        body = ''.join(f'{k.lower()}: {v}\\n' for k, v in self.headers.items()).encode()\n"
           "        self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers()\n"
           "        self.wfile.write(body)\n"
           "http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), H).serve_forever()\n")
    work, push = site.push("app", {".pelton.yml": f"deploy: {{start: {serve!r}, files: [app.py]}}\n", "app.py": app})
    site.server.wait_build(push.build, "success")
    site.server.wait_live(work.head())
    live, = [d for d in site.server.deployments() if d["status"] == "live"]
    assert live["url"] == f"https://app.apps.localhost:{site.proxy.port}/"
    forged = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "gopher", "X-Forwarded-Host": "evil"}
    status, _, body = site.ask("GET", "/", "app.apps.localhost", forged)
    assert status == 200 and b"x-forwarded-for: 127.0.0.1\n" in body and b"x-forwarded-proto: https\n" in body
    assert f"x-forwarded-host: app.apps.localhost:{site.proxy.port}\n".encode() in body
    assert b"6.6.6.6" not in body and b"gopher" not in body and b"evil" not in body


def test_the_page_gets_a_secure_cookie_and_plain_http_is_sent_to_https(site):
    body = b'{"token": "%s"}' % site.server.token.encode()
    connection = ssl.create_default_context(cafile=site.ca.file).wrap_socket(
        socket.create_connection(("127.0.0.1", site.proxy.port)), server_hostname="localhost")
    connection.sendall(b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                       b"X-Forwarded-Proto: http\r\nConnection: close\r\n\r\n%s" % (len(body), body))
    answer = b"".join(iter(lambda: connection.recv(65536), b""))
    connection.close()
    assert b" 200 " in answer.splitlines()[0] and b"; Secure" in answer
    plain = http.client.HTTPConnection("127.0.0.1", site.proxy.plain_port, timeout=30)
    plain.request("GET", "/builds/1", headers={"Host": "localhost"})
    reply = plain.getresponse()
    assert reply.status == 308 and reply.headers["Location"].startswith("https://localhost")
    plain.close()


def test_the_proxy_speaks_http2_to_who_wants_it(site):
    context = site.ca.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with context.wrap_socket(socket.create_connection(("127.0.0.1", site.proxy.port)), server_hostname="localhost") as one:
        assert one.selected_alpn_protocol() == "h2"


def stream(site, execution):
    return WebSocket(f"localhost:{site.proxy.port}", f"/api/ci/executions/{execution}/stream",
                     {"Authorization": f"Bearer {site.server.token}"}, tls=(site.ca.context(), "localhost"))


def test_a_stream_of_stages_passes_as_a_websocket(site):
    site.runner()
    ci = Pipelines(site.server)
    execution = ci.trigger(ci.create(simple("echo through the proxy")))
    with stream(site, execution) as socket_:
        assert socket_.status == 101, socket_.head
        assert b"through the proxy" in b"".join(iter(socket_.message, None))


@pytest.mark.parametrize("variable, status", [("PELTON_CA_FILE", "sent"), ("SSL_CERT_FILE", "sent"), ("NOTHING", "due")])
def test_the_server_believes_a_ca_of_ones_own_when_it_calls_others(tmp_path, start_pelton, variable, status):
    ca = CA(tmp_path / "ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca.certificate("hook", "localhost"))
    with Web(tls=context) as web:
        ci = Pipelines(start_pelton("--notify-allow", "127.0.0.1", env={variable: str(ca.file)}))
        told = f"notifications: {{on_success: [{{target_type: webhook, config: {{webhook_url: '{web.url}/'}}}}]}}\n"
        execution = ci.trigger(ci.create(simple("true", more=told)))
        ci.wait(execution)

        def notice():
            one, = ci.execution(execution)["notifications"]
            return one if one["attempts"] else None

        one = wait_for(lambda: str(ci.execution(execution)), notice)
        assert one["status"] == status and bool(web.calls) == (status == "sent"), one
        assert status == "sent" or "the certificate is not accepted" in str(one)


# ---- who is not what it should be

class Impostor:
    """Speaks TLS with a certificate, and keeps what it is told."""

    def __init__(self, certificate):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        self.context.set_alpn_protocols(["h2", "http/1.1"])
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.calls, self.heard = 0, b""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.calls += 1
            try:
                with self.context.wrap_socket(connection, server_side=True) as talk:
                    self.heard += talk.recv(65536)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


BAD = {"unknown": ("SSL certificate problem", "--ca-file"), "expired": ("expired", "Renew it"), "other name": ("subject name", "by a name")}


@pytest.fixture(params=BAD)
def impostor(request, tmp_path):
    """(what its error must say, the CA file that the client is given, the impostor)"""
    ours = CA(tmp_path / "ours")
    ca = CA(tmp_path / "other", "another CA") if request.param == "unknown" else ours
    hosts = ["ci.example.com"] if request.param == "other name" else ["localhost"]
    with Impostor(ca.certificate("bad", *hosts, expired=request.param == "expired")) as one:
        yield SimpleNamespace(says=BAD[request.param], ca=ours.file, url=f"https://localhost:{one.port}", it=one)


def refused(impostor, text, token):
    assert impostor.url in text and "nothing was sent" in text and token not in text
    for words in impostor.says:
        assert words in text, text
    assert impostor.it.calls and not impostor.it.heard


def test_a_command_tells_a_bad_certificate_nothing_and_says_what_is_wrong(impostor, tmp_path):
    env = {**base_env(tmp_path), "PELTON_URL": impostor.url, "PELTON_TOKEN": "a-secret-token", "PELTON_CA_FILE": str(impostor.ca)}
    done = subprocess.run([BINARY, "repo", "list"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 5 and "is it running" not in done.stderr
    refused(impostor, done.stderr, "a-secret-token")


def test_a_runner_tells_a_bad_certificate_nothing_and_says_what_is_wrong(impostor, start_runner, tmp_path):
    runner = start_runner(SimpleNamespace(binary=BINARY, url=impostor.url), "--ca-file", impostor.ca,
                          env={"PELTON_TOKEN": "a-secret-token"})
    assert runner.wait(60) == 5
    refused(impostor, (tmp_path / "far.log").read_text(), "a-secret-token")
    assert not (tmp_path / "far" / "token").exists()


def test_who_prefers_http2_is_spoken_to_in_http1(tmp_path):
    """Which has trailers in every request that needs one."""
    ca = CA(tmp_path / "ca")
    with Impostor(ca.certificate("good", "localhost")) as one:
        env = {**base_env(tmp_path), "PELTON_URL": f"https://localhost:{one.port}", "PELTON_CA_FILE": str(ca.file)}
        subprocess.run([BINARY, "repo", "list"], cwd=tmp_path, env=env, capture_output=True, timeout=60, check=False)
        assert one.heard.startswith(b"GET /") and b" HTTP/1.1\r\n" in one.heard


def test_who_refuses_the_handshake_is_not_taken_for_one_without_tls(tmp_path):
    ca = CA(tmp_path / "ca")
    with Impostor(ca.certificate("good", "localhost")) as one:
        one.context.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        env = {**base_env(tmp_path), "PELTON_URL": f"https://localhost:{one.port}", "PELTON_CA_FILE": str(ca.file)}
        done = subprocess.run([BINARY, "repo", "list"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 5 and "alert" in done.stderr and "http://" not in done.stderr and not one.heard


def test_the_wrong_scheme_is_named(site):
    plain = site.run("repo", "list", "--url", site.server.url.replace("http://127.0.0.1", "https://localhost"), expect=5)
    assert "no TLS with" in plain.stderr and "http://" in plain.stderr
    tls = site.run("repo", "list", "--url", site.proxy.url.replace("https", "http"), expect=5)
    assert "https://" in tls.stderr.replace(site.proxy.url, "")
    moved = site.run("repo", "list", "--url", site.proxy.plain_url, expect=None)
    assert moved.returncode and "308" in moved.stderr and "https://" in moved.stderr


# ---- a proxy that dies

def test_a_log_goes_on_where_it_was_when_the_proxy_is_back_for_the_runner_and_who_follows(site, tmp_path):
    site.runner()
    number = site.push("writes", {".pelton.yml": WRITES.format(folder=tmp_path, lines=1_000_000)})[1].build
    wait_for("its begin", (tmp_path / "begun").exists)
    follower = site.follow(number)
    got = []
    reader = threading.Thread(target=lambda: got.extend(iter(lambda: follower.stdout.read1(65536), b"")))
    reader.start()
    wait_for("its first line", lambda: b"touch" in b"".join(got))
    (tmp_path / "go").touch()
    for _ in range(3):
        size = site.server.build(number)["jobs"][0]["log_size"]
        wait_for("more of its log", lambda before=size: site.server.build(number)["status"] != "running" or
                 site.server.build(number)["jobs"][0]["log_size"] > before)
        site.proxy.kill()
        site.proxy.start(site.server)
    build = site.server.wait_build(number, "success", timeout=120)
    reader.join(120 * SLOWER)
    errors = follower.stderr.read().decode()
    assert follower.wait(60) == 0, errors
    step = build["jobs"][0]["steps"][1]
    log = site.server.log(number).encode()
    assert hashlib.sha256(log[step["log_start"]:step["log_end"]]).digest() == \
        hashlib.sha256((tmp_path / "written").read_bytes()).digest()
    assert b"".join(got) == log and "lost the server" in errors
    assert build["jobs"][0]["attempt"] == 1


SENDS = """jobs:
  sends:
    checkout: false
    steps: ['mkdir big; head -c 150000000 /dev/urandom | tee big/blob | sha256sum']
    {what}
  takes:
    checkout: false
    needs: sends
    {back}
    steps: ['sha256sum <big/blob']
"""


@pytest.mark.parametrize("what", ["artifact", "cache"])
def test_an_upload_begins_again_when_the_proxy_is_back(site, what):
    site.runner()
    keep, back = (("cache: {key: k, paths: [big]}",) * 2 if what == "cache" else
                  ("artifacts: {name: it, paths: [big]}", "download: it"))
    seen = set()

    def size(path):
        try:
            return path.stat().st_size
        except FileNotFoundError:  # just broken off
            return 0

    def coming():
        """The uploads that are under way, some MiB of each, and were not before."""
        return {path.name for path in (site.server.state / "blobs" / "tmp").iterdir() if size(path) > 2 * MIB} - seen

    number = site.push("sends", {".pelton.yml": SENDS.format(what=keep, back=back)})[1].build
    for _ in range(2):
        seen |= wait_for("some of it", coming, timeout=60, every=0.001)
        site.proxy.kill()
        site.proxy.start(site.server)
    site.server.wait_build(number, "success", timeout=120)
    sums = re.findall(r"[0-9a-f]{64}", site.server.log(number))
    assert len(sums) == 2 and sums[0] == sums[1]
    if what == "artifact":
        assert len(site.server.client.get(f"/api/builds/{number}/artifacts")["artifacts"]) == 1
    else:
        assert len(site.server.client.get("/api/repos/sends/caches")["caches"]) == 1
    assert site.server.build(number)["jobs"][0]["attempt"] == 1


# ---- a proxy without patience

def test_a_proxy_with_little_patience_loses_no_runner_and_ends_nobody_who_follows(make_site, tmp_path):
    """8 s are less than a call of a runner is held."""
    site = make_site({"timeout client 5m": "timeout client 8s", "timeout server 5m": "timeout server 8s",
                      "timeout tunnel 1h": "timeout tunnel 8s"})
    site.runner()
    wait = f"touch {tmp_path}/begun; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; echo all of it"
    _, push = site.push("hello", {".pelton.yml": f"jobs:\n  t:\n    runs-on: {{executor: shell}}\n    steps: ['{wait}']\n"})
    wait_for("its begin", (tmp_path / "begun").exists)
    follower = site.follow(push.build)
    ci = Pipelines(site.server)
    execution = ci.trigger(ci.create("name: x\nstages:\n- name: Only\n  steps:\n  - {name: s, step_type: shell, config: {command: "
                                     f"'while [ ! -e {site.server.state}/never ]; do sleep 0.1; done'}}}}\n"))
    wait_for("its step", lambda: ci.execution(execution)["status"] == "running")
    with stream(site, execution) as socket_:
        wait_for("the first cut", lambda: "a proxy before the server waits" in site.runner_log(), timeout=40)
        deadline = time.monotonic() + 20
        wait_for("a while", lambda: time.monotonic() > deadline, timeout=40)
        runner, = [row for row in site.server.client.get("/api/runners")["runners"] if row["name"] == "far"]
        (tmp_path / "go").touch()
        site.server.wait_build(push.build, "success")
        out, errors = finish(follower)
        assert b"all of it" in out and "lost the server" not in errors
        ci.client.delete(f"/api/ci/executions/{execution}/cancel")
        assert b'"end"' in b"".join(iter(socket_.message, None))
    assert runner["status"] == "busy", runner
    assert site.runner_log().count("a proxy before the server waits") == 1 and "trying again" not in site.runner_log()
