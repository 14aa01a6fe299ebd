"""Who may do what: every route of the API's own description, tokens in every state, roles, cookies."""

import http.client
import json
import re

import pytest

from lib.client import basic, raw_connection, request
from lib.server import ROOT
from lib.wait import wait_for

# open to everyone, and why
OPEN = {
    ("get", "/health"), ("get", "/healthz"), ("get", "/api/healthchecker"),  # whether the server works
    ("post", "/api/login"),  # asks for a token itself
    ("post", "/api/ci/pipelines/{id}/webhook"),  # signed with the pipeline's own secret
    ("get", "/api/schema/pipeline.json"),  # what the docs say of the language, for editors; nothing of this server's
    ("get", "/"), ("get", "/builds/{id}"), ("get", "/app.js"), ("get", "/style.css"),  # the page, without data
}
SAMPLES = {"id": "1", "name": "x", "path": "p", "repo": "x.git", "rest": "info/refs", "commit": "1" * 40, "uuid": "x", "secret": "S", "cache": "1", "artifact": "1"}


def routes(server):
    """[(method, path template, path)] of /api/openapi.json."""
    found = []
    for template, methods in server.client.get("/api/openapi.json")["paths"].items():
        path = template
        for name, value in SAMPLES.items():
            path = path.replace("{%s}" % name, value)
        assert "{" not in path, f"no sample for {template}"
        found += [(method, template, path) for method in methods if method in ("get", "post", "put", "patch", "delete")]
    return found


def call(server, method, path, headers):
    body = b"{}" if method in ("post", "put", "patch") else None
    headers = {"Content-Type": "application/json", **headers}
    return request(server.address, method.upper(), path, body, {"Accept": "application/json", **headers})


def new_token(server, role, **fields):
    return server.client.post("/api/tokens", {"name": f"a {role}", "role": role, **fields}, expect=201)


# ---- every route


def test_the_description_lists_every_route(bench):
    paths = {(method, template) for method, template, _ in routes(bench)}
    assert paths >= OPEN
    assert paths >= {("get", "/api/repos"), ("post", "/api/repos"), ("get", "/api/repos/{name}"),
                     ("post", "/api/repos/{name}/builds"), ("get", "/api/builds"), ("post", "/api/builds"),
                     ("get", "/api/builds/{id}"), ("get", "/api/builds/{id}/logs"), ("post", "/api/builds/{id}/cancel"),
                     ("get", "/api/builds/{id}/artifacts"), ("get", "/api/events"), ("get", "/api/tokens"),
                     ("post", "/api/tokens"), ("delete", "/api/tokens/{id}"), ("get", "/api/runners"),
                     ("post", "/api/runner/register"), ("post", "/api/runner/lease"), ("post", "/api/runner/heartbeat"),
                     ("post", "/api/runner/jobs/{id}/log"), ("patch", "/api/runner/jobs/{id}"),
                     ("get", "/api/deployments"), ("get", "/api/openapi.json"), ("get", "/api/version")}


def test_the_description_and_the_documents_name_what_is_open_and_nothing_else(bench):
    document = bench.client.get("/api/openapi.json")["paths"]
    assert {(method, path) for method, path, _ in routes(bench) if document[path][method]["security"] == []} == OPEN
    table = (ROOT / "SECURITY.md").read_text().split("## What stands open")[1].split("\n## ")[0]
    assert {(method.lower(), path) for method, path in re.findall(r"`(GET|POST) (/[^`]*)`", table)} == OPEN


def test_the_description_is_an_openapi_document(bench):
    document = bench.client.get("/api/openapi.json")
    assert document["openapi"].startswith("3.1.") and document["info"]["title"] == "Pelton"
    names = set()
    for template, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], f"{method} {template}"
            assert any(status[0] == "2" or status == "101" for status in operation["responses"]), f"{method} {template}"
            declared = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
            assert declared == {part.strip("{}*") for part in template.split("/") if part.startswith("{")}
            names.add(operation.get("operationId", f"{method} {template}"))
    assert len(names) == sum(len(methods) for methods in document["paths"].values())


def test_answers_and_bodies_are_of_the_types_that_the_description_names(bench):
    paths = bench.client.get("/api/openapi.json")["paths"]
    for path, methods in paths.items():
        if "get" in methods and "{" not in path and path != "/api/events":
            kind = bench.client.call("GET", path).headers["Content-Type"].split(";")[0]
            assert {kind, "*/*"} & set(methods["get"]["responses"]["200"]["content"]), f"{path}: {kind}"
    for method, path, kind in (("post", "/api/ci/pipelines/upload", "multipart/form-data"), ("post", "/api/repos", "application/json"),
                               ("put", "/api/runner/jobs/{id}/artifacts/{path}", "application/octet-stream"),
                               ("post", "/api/runner/jobs/{id}/log", "application/octet-stream")):
        assert list(paths[path][method]["requestBody"]["content"]) == [kind]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer plt_" + "x" * 40}, {"Authorization": "Bearer "},
                                     {"Authorization": basic("admin", "admin")}, {"Cookie": "pelton_session=plt_x"},
                                     {"Authorization": "Bearer " + "y" * 10000}, {"Authorization": "Digest x"}],
                         ids=["no token", "a wrong one", "an empty one", "a wrong password", "a wrong cookie",
                              "a long one", "another scheme"])
def test_nothing_but_health_login_and_the_page_answers_without_a_token(bench, headers):
    if "Cookie" in headers:
        headers = {**headers, "Sec-Fetch-Site": "same-origin"}
    for method, template, path in routes(bench):
        reply = call(bench, method, path, headers)
        if (method, template) not in OPEN:
            assert reply.status == 401, f"{method} {template}: {reply}"
            assert "WWW-Authenticate" in reply.headers, f"{method} {template}"
        elif template not in ("/api/login", "/api/ci/pipelines/{id}/webhook"):
            assert reply.status == 200, f"{method} {template}: {reply}"
        else:
            assert reply.status == 400, reply


def test_the_page_has_no_data_of_builds(bench):
    _, push = bench.push(bench.name(), {"Makefile": "all:\n", "secret": "x"})
    name = bench.build(push.build)["repo"]
    for path in ("/", f"/builds/{push.build}", "/app.js", "/style.css"):
        reply = request(bench.address, "GET", path)
        assert reply.status == 200 and name not in reply.text
        assert "default-src 'none'" in reply.headers["Content-Security-Policy"]


# ---- tokens


def test_a_token_stops_with_its_revocation(bench):
    made = new_token(bench, "read")
    reader = bench.as_token(made["token"])
    assert reader.get("/api/me") == {"name": "a read", "role": "read"}
    bench.client.delete(f"/api/tokens/{made['id']}", expect=204)
    reader.call("GET", "/api/me", expect=401)
    listed = {token["id"]: token for token in bench.client.get("/api/tokens")["tokens"]}
    assert listed[made["id"]]["status"] == "revoked"


def next_line(stream):
    """b"": it has ended, or was cut off."""
    try:
        return stream.line()
    except (http.client.HTTPException, OSError):
        return b""


def test_what_a_token_follows_ends_with_its_revocation(bench):
    made = new_token(bench, "read")
    with bench.as_token(made["token"]).events("/api/events") as cut, bench.client.events("/api/events") as whole:
        bench.client.delete(f"/api/tokens/{made['id']}", expect=204)
        bench.build_of()
        assert next_line(whole) and not next_line(cut)


def test_what_a_token_follows_ends_at_its_expiry(bench):
    made = new_token(bench, "read", ttl="1s")
    reader = bench.as_token(made["token"])
    with reader.events("/api/events") as cut:
        wait_for("expiry", lambda: reader.call("GET", "/api/me", expect=(200, 401)).status == 401)
        bench.build_of()
        assert not next_line(cut)


def test_a_tokens_time_may_be_told_in_weeks(bench):
    out = bench.server.run("token", "create", "weeks", "--ttl", "1w", "--json")
    assert json.loads(out.stdout)["expires_at"]
    assert "2w" in bench.server.run("token", "create", "soon", "--ttl", "1y", expect=2).stderr


def test_a_token_stops_at_its_expiry(bench):
    made = new_token(bench, "read", ttl="1s")
    reader = bench.as_token(made["token"])
    assert made["expires_at"]
    wait_for("expiry", lambda: reader.call("GET", "/api/me", expect=(200, 401)).status == 401)
    listed = {token["id"]: token for token in bench.client.get("/api/tokens")["tokens"]}
    assert listed[made["id"]]["status"] == "expired"


def test_what_is_refused_does_not_say_why(bench):
    expired, revoked = new_token(bench, "read", ttl="1s"), new_token(bench, "read")
    bench.client.delete(f"/api/tokens/{revoked['id']}", expect=204)
    wait_for("expiry", lambda: bench.as_token(expired["token"]).call("GET", "/api/me", expect=None).status == 401)

    def words(token):
        reply = bench.as_token(token).call("GET", "/api/me", expect=401).json
        return {"error": reply["error"], "message": reply["message"], "status": reply["details"]["status"]}

    assert words("plt_" + "z" * 40) == words(expired["token"]) == words(revoked["token"])


def test_the_list_of_tokens_never_has_their_texts(bench):
    texts = [new_token(bench, role)["token"] for role in ("admin", "user", "read", "registration")] + [bench.token]
    listed = bench.client.call("GET", "/api/tokens").text
    for text in texts:
        assert text not in listed and text[4:] not in listed
    assert all("token" not in token and "hash" not in token for token in json.loads(listed)["tokens"])


def test_no_token_is_kept_as_text(bench):
    made = new_token(bench, "user")["token"]
    for path in bench.state.rglob("*"):
        if path.is_file() and path.name.startswith("pelton.db"):
            content = path.read_bytes()
            assert made.encode() not in content and bench.token.encode() not in content


def test_the_admins_token_is_for_its_owner_only(bench):
    for name in ("admin.token", "hook.token"):
        assert (bench.state / name).stat().st_mode & 0o777 == 0o600


def test_tokens_differ(bench):
    made = {new_token(bench, "read")["token"] for _ in range(50)}
    assert len(made) == 50 and all(text.startswith("plt_") and len(text) == 44 for text in made)


@pytest.mark.parametrize("body", [{"name": "x", "role": "root"}, {"name": "x", "role": "runner"},
                                  {"name": "x", "role": "hook"}, {"name": "", "role": "read"},
                                  {"name": "x" * 101, "role": "read"}, {"name": "x"}, {"role": "read"},
                                  {"name": "x", "role": "read", "ttl": "soon"}, {"name": "x", "role": "read", "ttl": "0s"},
                                  {"name": "x", "role": "read", "ttl": "-1s"}, {"name": "x", "role": "read", "ttl": 5},
                                  {"name": "x", "role": "read", "ttl": "99999999999999999999d"}], ids=range(12))
def test_a_bad_token_is_not_made(bench, body):
    before = len(bench.client.get("/api/tokens")["tokens"])
    assert bench.client.call("POST", "/api/tokens", body, expect=400).json["message"]
    assert len(bench.client.get("/api/tokens")["tokens"]) == before


def test_an_unknown_token_cannot_be_revoked(bench):
    bench.client.delete("/api/tokens/999999", expect=404)
    bench.client.delete("/api/tokens/x", expect=404)
    bench.client.delete("/api/tokens/0", expect=404)


def number_of(server, name):
    """Of the token of that name which holds."""
    return next(t["id"] for t in server.client.get("/api/tokens")["tokens"] if (t["name"], t["status"]) == (name, "active"))


def test_the_last_admin_token_that_holds_cannot_be_revoked(own_bench):
    bench = own_bench()
    first = number_of(bench.server, "admin")
    other, short = new_token(bench, "admin"), new_token(bench, "admin", ttl="1s")
    new_token(bench, "user")
    bench.client.delete(f"/api/tokens/{other['id']}", expect=204)
    wait_for("expiry", lambda: bench.as_token(short["token"]).call("GET", "/api/me", expect=(200, 401)).status == 401)
    refused = bench.client.call("DELETE", f"/api/tokens/{first}", expect=409).json
    assert "pelton token create NAME --role admin" in refused["message"]
    assert "last admin token" in bench.server.run("token", "revoke", first, expect=6).stderr
    assert bench.client.get("/api/me")["role"] == "admin"
    for gone in (short["id"], number_of(bench.server, "a user")):
        bench.client.delete(f"/api/tokens/{gone}", expect=204)
    new_token(bench, "admin")
    bench.client.delete(f"/api/tokens/{first}", expect=204)
    bench.client.call("GET", "/api/me", expect=401)


def test_an_admin_without_a_token_gets_one_from_the_server(own_bench):
    bench = own_bench()
    (bench.server.state / "admin.token").unlink()
    bench.server.restart()
    assert bench.server.client.get("/api/me")["role"] == "admin"


def test_the_servers_own_tokens_are_revoked_only_when_it_has_others(start_pelton):
    server = start_pelton()

    def build(name):
        _, push = server.push(name, {"Makefile": "all:\n"})
        server.wait_build(push.build, "success")

    own = {"hook": server.state / "hook.token", "runner local": server.state / "runner" / "token"}
    build("first")
    old = {name: number_of(server, name) for name in own}
    for name, path in own.items():
        refused = server.client.call("DELETE", f"/api/tokens/{old[name]}", expect=409).json["message"]
        assert path.name in refused and "restart" in refused
    for path in own.values():
        path.unlink()
    server.restart()
    build("second")
    for name, number in old.items():
        server.client.delete(f"/api/tokens/{number}", expect=204)
        assert number_of(server, name) != number
    build("third")


def test_a_revoked_admin_token_is_made_anew_at_the_start(own_bench):
    bench = own_bench()
    old = bench.server.client
    number = number_of(bench.server, "admin")
    new_token(bench, "admin")
    old.delete(f"/api/tokens/{number}", expect=204)
    old.call("GET", "/api/me", expect=401)
    bench.server.restart()
    assert bench.server.token != old.token
    assert bench.server.client.get("/api/me")["role"] == "admin"
    bench.as_token(old.token).call("GET", "/api/me", expect=401)


def test_a_token_holds_over_a_restart(own_bench):
    bench = own_bench()
    made = new_token(bench, "user")["token"]
    bench.server.restart()
    assert bench.as_token(made).get("/api/me")["role"] == "user"


# ---- roles

ROLES = ("admin", "user", "read", "registration", "runner", "hook")
READ = {"admin", "user", "read"}
MAY = {
    ("GET", "/api/builds"): READ,
    ("GET", "/api/builds/999999/logs"): READ,
    ("GET", "/api/builds/999999/artifacts"): READ,
    ("GET", "/artifacts/" + "1" * 40 + "/x"): READ,
    ("GET", "/api/repos"): READ,
    ("GET", "/api/runners"): READ,
    ("GET", "/api/deployments"): READ,
    ("POST", "/api/deployments/x/stop"): {"admin", "user"},
    ("GET", "/api/openapi.json"): READ,
    ("GET", "/api/me"): set(ROLES),
    ("POST", "/api/repos"): {"admin", "user"},
    ("POST", "/api/repos/x/builds"): {"admin", "user"},
    ("POST", "/api/builds/999999/cancel"): {"admin", "user"},
    ("POST", "/git/x.git/git-receive-pack"): {"admin", "user"},
    ("GET", "/git/x.git/info/refs?service=git-receive-pack"): {"admin", "user"},
    ("GET", "/git/x.git/info/refs?service=git-upload-pack"): READ | {"runner"},
    ("GET", "/api/tokens"): {"admin"},
    ("POST", "/api/tokens"): {"admin"},
    ("DELETE", "/api/tokens/999999"): {"admin"},
    ("DELETE", "/api/runners/nobody"): {"admin"},
    ("POST", "/api/builds"): {"hook"},
    ("POST", "/api/runner/register"): {"admin", "registration"},
    ("POST", "/api/runner/lease"): {"runner"},
    ("POST", "/api/runner/heartbeat"): {"runner"},
    ("POST", "/api/runner/jobs/999999/log?attempt=1"): {"runner"},
    ("PATCH", "/api/runner/jobs/999999"): {"runner"},
    ("PUT", "/api/runner/jobs/999999/artifacts/x?attempt=1"): {"runner"},
    ("GET", "/api/runner/jobs/999999/artifacts/x?attempt=1"): {"runner"},
    ("POST", "/api/runner/jobs/999999/downloads"): {"runner"},
    ("GET", "/api/runner/jobs/999999/downloads/1?attempt=1"): {"runner"},
}


@pytest.fixture(scope="module")
def role_tokens(shared_server):
    shared_server.create_repo("x")
    tokens = {role: new_token(shared_server, role)["token"] for role in ("admin", "user", "read", "registration")}
    tokens["runner"] = shared_server.runner().client.token
    tokens["hook"] = (shared_server.state / "hook.token").read_text().strip()
    return tokens


@pytest.mark.parametrize("route", MAY, ids=lambda route: f"{route[0]} {route[1]}")
def test_a_role_may_do_what_it_is_for_and_nothing_else(bench, role_tokens, route):
    for role, token in role_tokens.items():
        reply = call(bench, route[0].lower(), route[1], {"Authorization": f"Bearer {token}"})
        assert (reply.status != 403) == (role in MAY[route]), f"{role}: {reply}"
        assert reply.status not in (401, 500), f"{role}: {reply}"
        if reply.status == 403:
            assert role in reply.json["message"]


def test_the_token_is_gits_password_too(bench, role_tokens):
    reply = request(bench.address, "GET", "/git/x.git/info/refs?service=git-upload-pack",
                    headers={"Authorization": basic("anybody", role_tokens["read"])})
    assert reply.status == 200
    assert request(bench.address, "GET", "/git/x.git/info/refs").headers["WWW-Authenticate"].startswith("Basic")


# ---- login and cookie


def login(bench, token, **headers):
    reply = request(bench.address, "POST", "/api/login", {"token": token}, headers)
    assert reply.status == 200, reply
    cookie = reply.headers["Set-Cookie"]
    return cookie, {"Cookie": cookie.split(";")[0]}


SAME = {"Sec-Fetch-Site": "same-origin"}


def test_login_gives_a_session_of_its_own(bench):
    cookie, session = login(bench, bench.token)
    assert bench.token not in cookie
    flags = {part.strip() for part in cookie.split(";")[1:]}
    assert flags >= {"HttpOnly", "SameSite=Strict", "Path=/"} and "Secure" not in flags
    assert any(flag.startswith("Max-Age=") and int(flag[8:]) > 0 for flag in flags)
    assert request(bench.address, "GET", "/api/me", headers=session).json == {"name": "admin", "role": "admin"}
    secure, _ = login(bench, bench.token, **{"X-Forwarded-Proto": "https"})
    assert "Secure" in secure


def test_logout_ends_the_session_and_not_the_token(bench):
    _, session = login(bench, bench.token)
    _, other = login(bench, bench.token)
    reply = request(bench.address, "POST", "/api/logout", headers={**session, **SAME})
    assert reply.status == 204 and "Max-Age=0" in reply.headers["Set-Cookie"]
    assert request(bench.address, "GET", "/api/me", headers=session).status == 401
    assert request(bench.address, "GET", "/api/me", headers=other).status == 200
    bench.client.call("POST", "/api/logout", expect=204)
    assert bench.client.get("/api/me")["role"] == "admin"


def test_logout_with_a_token_beside_a_cookie_keeps_the_token(bench):
    made = new_token(bench, "user")["token"]
    _, session = login(bench, made)
    reply = request(bench.address, "POST", "/api/logout", headers={**session, **SAME, "Authorization": f"Bearer {made}"})
    assert reply.status == 204
    assert bench.as_token(made).get("/api/me")["role"] == "user"


def test_a_session_has_the_role_of_its_token(bench):
    _, session = login(bench, new_token(bench, "read")["token"])
    reply = request(bench.address, "POST", "/api/repos", {"name": "y"}, {**session, **SAME})
    assert reply.status == 403


def test_a_session_ends_in_time(own_bench):
    bench = own_bench("--session", "60s")
    cookie, _ = login(bench, bench.token)
    assert "Max-Age=60" in cookie


@pytest.mark.parametrize("token", ["", "x", "plt_" + "x" * 40, None, 5, "plt_\0"], ids=range(6))
def test_login_with_what_is_no_token_is_refused(bench, token):
    reply = request(bench.address, "POST", "/api/login", {"token": token})
    assert reply.status in (400, 401) and "Set-Cookie" not in reply.headers


@pytest.mark.parametrize("role", ["runner", "hook", "registration"])
def test_a_machines_token_does_not_log_in(bench, role_tokens, role):
    reply = request(bench.address, "POST", "/api/login", {"token": role_tokens[role]})
    assert reply.status == 403 and "Set-Cookie" not in reply.headers


@pytest.mark.parametrize("headers, may", [
    ({"Sec-Fetch-Site": "same-origin"}, True), ({"Sec-Fetch-Site": "none"}, True),
    ({"Origin": "http://{address}"}, True),
    ({}, False), ({"Sec-Fetch-Site": "cross-site"}, False), ({"Sec-Fetch-Site": "same-site"}, False),
    ({"Origin": "http://evil.example"}, False), ({"Origin": "null"}, False),
    ({"Origin": "http://{address}.evil.example"}, False), ({"Origin": "http://evil.example/://{address}"}, False),
    ({"Sec-Fetch-Site": "cross-site", "Origin": "http://{address}"}, False)], ids=range(11))
def test_a_cookie_changes_something_only_from_our_own_page(bench, headers, may):
    _, session = login(bench, bench.token)
    headers = {name: value.format(address=bench.address) for name, value in headers.items()}
    name = bench.name()
    reply = request(bench.address, "POST", "/api/repos", {"name": name}, {**session, **headers})
    assert reply.status == (201 if may else 403), reply
    bench.api("GET", f"/api/repos/{name}", expect=200 if may else 404)


def test_a_websocket_with_a_cookie_must_come_from_our_own_page(bench):
    _, session = login(bench, bench.token)
    number = bench.build_of()
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    for headers, status in (({"Origin": "http://evil.example"}, 403), ({"Origin": f"http://{bench.address}"}, 101)):
        lines = [f"GET /api/builds/{number}/logs HTTP/1.1", f"Host: {bench.address}"]
        lines += [f"{name}: {value}" for name, value in {**upgrade, **session, **headers}.items()]
        with raw_connection(bench.address) as connection:
            connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            assert int(connection.recv(4096).split()[1]) == status
