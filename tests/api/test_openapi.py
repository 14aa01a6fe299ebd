"""What /api/openapi.json says of answers. Every answer of every API test is checked against it (lib/schemas.py);
here: that it says something, and what those tests do not ask for."""

import json
import re

import pytest

from lib.client import request
from lib.fake_runner import FakeRunner
from lib.schemas import Schemas
from lib.server import ROOT
from lib.websocket import WebSocket

# what has no fixed fields: two documents in a language of their own, a job's own words, what a webhook has sent
OPEN = {("get", "/api/openapi.json"), ("get", "/api/schema/pipeline.json"), "LeasedJob.spec", "Trigger.webhook_payload"}


def document(bench):
    return bench.client.get("/api/openapi.json")


def vague(schema, place):
    """The places inside a schema where anything would do."""
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    if not schema:
        yield place
    if "object" in kinds and not ("properties" in schema or "additionalProperties" in schema):
        yield place
    if "array" in kinds and not schema.get("items"):
        yield place
    for name, inner in schema.get("properties", {}).items():
        yield from vague(inner, f"{place}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from vague(schema[key], place)
    for inner in schema.get("anyOf", []):
        yield from vague(inner, place)


def answers(paths):
    """(place, media type, schema) of each answer."""
    for path, methods in paths.items():
        for method, operation in methods.items():
            for response in operation["responses"].values():
                for kind, media in response.get("content", {}).items():
                    yield (method, path), kind, media["schema"]


def test_every_field_of_every_answer_has_a_type(bench):
    said = document(bench)
    found = [place for name, schema in said["components"]["schemas"].items() for place in vague(schema, name)]
    found += [place for place, kind, schema in answers(said["paths"]) if kind != "*/*" for _ in vague(schema, "")]
    assert set(found) == OPEN


def test_only_what_is_made_of_bytes_has_no_type(bench):
    bytes_of = {path for (_, path), kind, _ in answers(document(bench)["paths"]) if kind == "*/*"}
    assert bytes_of == {
        "/app.js", "/style.css", "/git/{repo}/{rest}", "/artifacts/{commit}/{path}", "/api/builds/{id}/artifacts/{path}",
        "/api/runner/jobs/{id}/artifacts/{path}", "/api/runner/jobs/{id}/cache/{cache}",
        "/api/runner/jobs/{id}/downloads/{artifact}"}


def test_every_name_of_a_type_is_there_and_used(bench):
    said = document(bench)
    named = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(said)))
    assert named == set(said["components"]["schemas"])


@pytest.mark.parametrize("accept, kind", [
    (None, "text/plain"), ("*/*", "text/plain"), ("application/json", "application/json"),
    ("application/json;q=0.1, text/plain", "text/plain"), ("text/plain;q=0.2, application/json;q=0.9", "application/json"),
    ("application/json;q=0", "text/plain"), ("text/html, application/xhtml+xml, */*;q=0.8", "text/plain")])
def test_errors_of_builds_and_repositories_are_text_unless_json_is_liked_better(bench, accept, kind):
    name = bench.name()
    bench.create_repo(name)
    headers = {"Authorization": f"Bearer {bench.token}", **({"Accept": accept} if accept else {})}
    reader = bench.client.post("/api/tokens", {"name": name, "role": "read"}, expect=201)["token"]
    for status, method, path, body, more in (
            (400, "POST", "/api/repos", {"name": "a/b"}, {}), (401, "GET", "/api/builds", None, {"Authorization": "Bearer x"}),
            (403, "POST", "/api/repos", {"name": "x"}, {"Authorization": f"Bearer {reader}"}), (404, "GET", "/api/repos/none", None, {}),
            (404, "GET", "/api/builds/999999", None, {}), (409, "POST", "/api/repos", {"name": name}, {}),
            (413, "POST", "/api/repos", b"x" * (2 << 20), {}), (415, "POST", "/api/repos", b"x", {"Content-Type": "text/plain"}),
            (422, "POST", "/api/repos", {}, {})):
        reply = request(bench.address, method, path, body, {**headers, **more})
        assert (reply.status, reply.headers["Content-Type"].split(";")[0]) == (status, kind), f"{method} {path}: {reply}"
        bench.client.schemas.check(method, path, reply)


def test_the_parameters_of_queries_are_those_that_are_read(bench):
    read = {name for file in (ROOT / "src" / "api").glob("*.c")
            for name in re.findall(r'http_query(?:_\w+)?\(req, "(\w+)"', file.read_text())}
    said = {parameter["name"] for methods in document(bench)["paths"].values() for operation in methods.values()
            for parameter in operation.get("parameters", []) if parameter["in"] == "query"}
    assert read - said == {"service"} and said <= read  # git's own


def test_what_no_other_test_asks_for_is_as_described(bench):
    runner = FakeRunner(bench, bench.name())
    number, job = bench.job(runner)
    name = bench.build(number)["repo"]
    for key in ("a", "b"):
        runner.client.call("PUT", f"/api/runner/jobs/{job['id']}/cache?attempt={job['attempt']}&key={key}", b"bytes")
    runner.finish(job)
    caches = bench.client.get(f"/api/repos/{name}/caches")["caches"]
    assert {cache["key"] for cache in caches} == {"a", "b"}
    assert bench.api("DELETE", f"/api/repos/{name}/caches/{caches[0]['id']}").json == {"removed": 1}
    assert bench.api("DELETE", f"/api/repos/{name}/caches").json == {"removed": 1}
    assert bench.api("DELETE", f"/api/repos/{name}").json["name"] == name
    assert bench.client.post("/api/login", {"token": bench.token}) == {"name": "admin", "role": "admin"}


def test_a_name_that_is_taken_says_what_helps(bench):
    name = bench.name()
    bench.create_repo(name)
    assert bench.client.post("/api/repos", {"name": name}, expect=409)["suggestions"] == ["take another name, or the one that is there"]


def test_the_frames_of_a_log_and_the_events_are_as_described(bench):
    runner = FakeRunner(bench, bench.name())
    number, job = bench.job(runner)
    path = f"/api/builds/{number}/logs"
    socket = WebSocket(bench.address, path, {"Authorization": f"Bearer {bench.token}"})
    with bench.client.events("/api/events", last_id=0) as events, bench.client.events(path) as log:
        runner.finish(job, b"hello\n")
        seen = events.until(lambda event: event.json["type"] == "completed" and event.json["build"]["id"] == number)
        names = [event.name for event in log.until(lambda event: event.name == "end")]
    assert seen and names == ["log", "job", "end"]
    frames = []
    while (message := socket.message()) is not None:
        bench.client.schemas.check_frame(path, message)
        frames.append(json.loads(message)["event"])
    assert frames == names


def test_the_examples_of_the_manual_are_as_described(bench):
    schemas = Schemas(document(bench))
    text = (ROOT / "docs" / "api.md").read_text()
    blocks = re.findall(r"\n    \$ curl .*?(/api/\S*?)[\"']?\n((?:    .*\n|\n)+)", text)
    checked = [(path, data) for path, block in blocks for data in re.findall(r"^    data: (.*)$", block, re.M)]
    for path, data in checked:
        schemas.check_event(path, data)
    assert {path.partition("?")[0] for path, _ in checked} == {"/api/builds/12/logs", "/api/events"}
