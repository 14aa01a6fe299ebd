"""Every value of every JSON body in place of which something of another kind stands: each is taken or refused with a word of
what is wrong, and the server is the same afterwards."""

import re

import pytest

from lib.client import raw_connection
from lib.hostile import Judge, broken, encode, swaps
from lib.world import EXAMPLES, ONCE, World

ROUTES = dict(EXAMPLES)


def names(routes):
    return [re.sub(r"\W+", "-", route) for route in routes]


@pytest.fixture(scope="module")
def shared_world(shared_server):
    return World(shared_server)


@pytest.fixture
def world(bench, shared_world):
    yield shared_world
    bench.client.post("/api/queue/resume", {})


def with_json(bench):
    """The routes that take a JSON body."""
    for path, methods in bench.client.get("/api/openapi.json")["paths"].items():
        for method, said in methods.items():
            if "application/json" in said.get("requestBody", {}).get("content", {}):
                yield f"{method.upper()} {path}"


def look_around(world, judge):
    """What was taken can be shown."""
    for path in ("/api/builds?waiting=1", "/api/repos", "/api/tokens", "/api/runners", "/api/queue", "/api/secrets", "/api/deployments",
                 "/api/ci/pipelines", "/api/ci/executions", f"/api/repos/{world.name}", f"/api/repos/{world.name}/secrets"):
        judge.send("nothing", "GET", path)
    for build in world.bench.client.get("/api/builds?limit=30")["builds"]:
        for rest in ("", "/logs", "/attempts", "/artifacts"):
            judge.send("nothing", "GET", f"/api/builds/{build['id']}{rest}")
    for execution in world.bench.client.get("/api/ci/executions?limit=30"):
        judge.send("nothing", "GET", f"/api/ci/executions/{execution['id']}")


def test_every_route_with_a_json_body_has_an_example(bench):
    assert set(with_json(bench)) == {route for route, _ in EXAMPLES}


@pytest.mark.parametrize("index", range(len(EXAMPLES)), ids=names(route for route, _ in EXAMPLES))
def test_values_of_other_kinds(world, index):
    route, make = EXAMPLES[index]
    method, template = route.split()
    judge = Judge(world.bench, documented=(501,) if "/ci/" in template else ())

    def send(what, body, field=None):
        reply = judge.send(what, method, world.path(template), body, client=world.client(method, template), field=field)
        if index == ONCE and reply and reply.status < 300:
            # what it has become can be shown
            judge.send(what, "GET", f"/api/ci/executions/{world.execution}")
            judge.send(what, "GET", f"/api/builds/{world.job['build']}")
            world.fresh_job()
        return reply

    valid = make(world)
    for place, what, body in swaps(valid):
        fields = [key for key in place if isinstance(key, str)]
        send(f"{'.'.join(map(str, place))} = {what}", encode(body), fields[-1] if fields else None)
    assert send("nothing", encode(make(world))).status < 300
    look_around(world, judge)
    judge.sentence()


@pytest.mark.parametrize("route", ROUTES, ids=names(ROUTES))
def test_bodies_that_are_no_json_are_refused(world, route):
    method, template = route.split()
    judge = Judge(world.bench)
    valid = ROUTES[route](world)
    for what, body, headers in broken(valid):
        reply = judge.send(what, method, world.path(template), body, headers, world.client(method, template))
        assert reply and (reply.status in (400, 413, 415) or what == "another type"), f"{what}: {reply}"
    judge.sentence()
    assert judge.send("valid", method, world.path(template), encode(valid), client=world.client(method, template)).status < 300


def test_bodies_that_break_off_change_nothing(bench):
    bodies = [encode({"name": bench.name()}) for _ in range(4)]
    head = (f"POST /api/repos HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bench.token}\r\n"
            "Content-Type: application/json\r\n").encode()
    before = len(bench.client.get("/api/repos"))
    for framing, body in ((b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(bodies[0]), bodies[0]),
                          (b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (len(bodies[1]) + 1), bodies[1]),
                          (b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", bodies[2]),
                          (b"Content-Length: %d\r\n\r\n" % (len(bodies[3]) + 1), bodies[3])):
        with raw_connection(bench.address) as connection:
            connection.sendall(head + framing + body)
    assert bench.client.get("/health")["status"] == "ok"
    bench.client.post("/api/repos", {"name": bench.name()}, expect=201)
    assert len(bench.client.get("/api/repos")) == before + 1
