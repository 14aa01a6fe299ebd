"""What nobody means in the place of each part of an address: refused with a word, or taken, and the server is the same
afterwards."""

import re

import pytest

from lib.hostile import Judge, encode
from lib.world import EXAMPLES, World

VALUES = ["x", "-1", "0", "99999999999999999999", "9223372036854775807", "1e3", "0x10", "1%20", "%2B1", "%20", "%00",
          "1%00", "%ff", "%c0%80", "%ed%a0%80", "%", "%zz", "%u0041", "x" * 5000, "%0d%0aX-Evil:%20x", "..", "..%2f..%2fetc%2fpasswd",
          "%2e%2e", "%2f", "//", "'%22;--", "%25s%25n", "%F0%9F%98%80", "%e2%80%ae"]
BODIES = dict(EXAMPLES)
# What the bytes of a runner say of themselves, so that one of it is wrong at a time.
SAID = {"attempt": "1", "offset": "0", "key": "k", "name": "dist", "mode": "755", "keep": "-1"}
# Removed by a valid value: a test of them names nothing that the others need.
REMOVED = {"DELETE /api/repos/{name}": {"name": "nowhere"}}


@pytest.fixture
def world(bench):
    made = World(bench)
    made.fresh_job()
    yield made
    bench.client.post("/api/queue/resume", {})


def operations(bench):
    for path, methods in bench.client.get("/api/openapi.json")["paths"].items():
        for method, said in methods.items():
            yield method.upper(), path, said.get("parameters", [])


def valid_path(world, template, **others):
    """others: of parts, as they stand in the address."""
    number = world.execution if "/executions/" in template else world.pipeline["id"] if "/ci/" in template else \
        world.job["id"] if "/jobs/" in template else world.number
    known = {"id": number, "name": world.name, "repo": f"{world.name}.git", "rest": "info/refs", "secret": "TOKEN",
             "commit": world.work.head(), "path": "a", "cache": 1, "artifact": 1, **others}
    return re.sub(r"{(\w+)}", lambda part: str(known[part[1]]), template)


def body_of(world, route, method, path):
    if route in BODIES and "/jobs/" not in path:
        return encode(BODIES[route](world))
    if route in BODIES:
        return encode({"attempt": 1, "state": "running", "key": "k"})
    return b"x" if method == "PUT" or path.endswith("/log") else None


@pytest.mark.parametrize("accept", ["application/json", "text/plain"])
def test_parts_of_queries(world, accept):
    judge = Judge(world.bench)
    for method, path, parameters in operations(world.bench):
        route, names = f"{method} {path}", [p["name"] for p in parameters if p["in"] == "query"]
        where = valid_path(world, path, **REMOVED.get(route, {}))
        for name in names:
            others = "&".join(f"{other}={SAID[other]}" for other in names if other != name and other in SAID)
            for value in ["", *VALUES, f"1&{name}=2", f"1&{name}=%zz"]:
                reply = judge.send(f"{name}={value:.40}", method, f"{where}?{name}={value}&{others}", body_of(world, route, method, path),
                                   {"Accept": accept}, world.client(method, path))
                if re.search(r"%(zz|00|u0041)|%$", value):
                    assert reply.status in (400, 404, 409), f"{where}?{name}={value}: {reply}"
            judge.send(f"{name} alone", method, f"{where}?{name}", body_of(world, route, method, path), client=world.client(method, path))
    judge.sentence()


def test_parts_of_paths(world):
    judge = Judge(world.bench)
    for method, path, parameters in operations(world.bench):
        names = [p["name"] for p in parameters if p["in"] == "path"]
        query = "?attempt=1&offset=0&key=k" if "/runner/jobs/" in path else ""
        for name in names:
            for value in VALUES:
                judge.send(f"{name}={value:.40}", method, valid_path(world, path, **{name: value}) + query,
                           body_of(world, f"{method} {path}", method, path), client=world.client(method, path))
    judge.sentence()
    assert world.bench.build(world.number)["status"] == "success"
    assert not [repo for repo in world.bench.client.get("/api/repos") if repo["name"] == "x"]
