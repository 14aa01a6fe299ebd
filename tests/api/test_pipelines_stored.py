"""/api/ci/pipelines: storing, reading, versions, uploads, and every error."""

import re
from pathlib import Path

import pytest

from lib.client import request
from lib.pipelines import Pipelines, simple

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
NOBODY = "00000000-0000-4000-8000-000000000000"
MAX = 10 * 1024 * 1024


@pytest.fixture
def ci(shared_server):
    return Pipelines(shared_server)


def form(*parts, boundary="XbX"):
    """(name, filename, content) each."""
    body = b""
    for name, filename, content in parts:
        disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
        body += f"--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: text/plain\r\n\r\n".encode()
        body += (content.encode() if isinstance(content, str) else content) + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


def upload(ci, body, expect=200, content_type="multipart/form-data; boundary=XbX"):
    return ci.client.call("POST", "/api/ci/pipelines/upload", body, {"Content-Type": content_type}, expect=expect).json


def test_a_stored_pipeline_is_given_back(ci):
    text = simple("echo hi", "first", "description: about it\n") + "# a comment stays\n"
    made = ci.create(text)
    assert UUID.fullmatch(made["id"])
    assert (made["name"], made["description"], made["version"]) == ("first", "about it", 1)
    assert made["created_at"] == made["updated_at"] and made["created_at"].endswith("Z")
    listed = {p["id"]: p for p in ci.client.get("/api/ci/pipelines")}
    assert listed[made["id"]] == made
    reply = ci.client.call("GET", f"/api/ci/pipelines/{made['id']}/yaml")
    assert reply.headers["Content-Type"].startswith("text/plain") and reply.text == text


def test_a_pipeline_without_a_description_has_null(ci):
    assert ci.create(simple("x"))["description"] is None


def test_every_change_is_a_version_and_old_ones_stay(ci):
    made = ci.create(simple("one"))
    path = f"/api/ci/pipelines/{made['id']}"
    changed = ci.client.call("PUT", path, {"yaml_content": simple("two", "renamed")}).json
    assert (changed["version"], changed["name"]) == (2, "renamed")
    assert ci.client.call("PUT", path, {"yaml_content": simple("two", "renamed")}).json["version"] == 2
    assert [v["version"] for v in ci.client.get(f"{path}/versions")] == [2, 1]
    assert ci.client.get(f"{path}/versions")[0]["created_by"] == "admin"
    assert ci.client.call("GET", f"{path}/yaml?version=1").text == simple("one")
    assert ci.client.call("GET", f"{path}/yaml").text == simple("two", "renamed")
    ci.client.call("GET", f"{path}/yaml?version=3", expect=404)


def test_a_change_with_a_mistake_changes_nothing(ci):
    made = ci.create(simple("one"))
    ci.client.call("PUT", f"/api/ci/pipelines/{made['id']}", {"yaml_content": "name: x"}, expect=400)
    assert ci.client.get(f"/api/ci/pipelines/{made['id']}")["version"] == 1


def test_a_deleted_pipeline_is_gone_for_everybody(ci):
    path = f"/api/ci/pipelines/{ci.create(simple('x'))['id']}"
    ci.client.call("DELETE", path, expect=204)
    for method, what in (("GET", ""), ("GET", "/yaml"), ("DELETE", ""), ("GET", "/versions")):
        ci.client.call(method, path + what, expect=404)
    ci.client.call("POST", path + "/trigger", {"trigger_type": "manual"}, expect=404)


def test_who_may_only_read_sees_no_webhook_secret(ci):
    made = ci.create(simple("x"))
    token = ci.client.post("/api/tokens", {"name": "reader", "role": "read"})["token"]
    mine = ci.client.get(f"/api/ci/pipelines/{made['id']}")
    assert mine["webhook"]["url"].endswith(f"/api/ci/pipelines/{made['id']}/webhook")
    assert re.fullmatch("[0-9a-f]{64}", mine["webhook"]["secret"])
    reader = {"Authorization": f"Bearer {token}"}
    assert "webhook" not in ci.client.call("GET", f"/api/ci/pipelines/{made['id']}", headers=reader).json
    ci.client.call("POST", "/api/ci/pipelines", {"yaml_content": simple("x")}, headers=reader, expect=403)


@pytest.mark.parametrize("yaml, message", [
    ("stages: [{name: S, steps: [{name: a, config: {command: x}}]}]", "Pipeline name cannot be empty"),
    ("name: P", "Pipeline must have at least one stage"),
    ("name: P\nstages: [{steps: [{name: a, config: {command: x}}]}]", "Stage 1 name cannot be empty"),
    ("name: P\nstages: [{name: S}]", "Stage 'S' must have at least one step"),
    ("name: P\nstages: [{name: S, steps: [{config: {command: x}}]}]", "Step 1 in stage 'S' name cannot be empty"),
])
def test_mistakes_are_told_in_the_words_of_the_contract(ci, yaml, message):
    error = ci.refuse(yaml, 400)
    assert error["error"] == "ValidationError" and error["status"] == 400
    assert error["message"] == message
    assert set(error) == {"error", "message", "details", "suggestions", "status", "timestamp"}
    assert isinstance(error["details"], str) and isinstance(error["suggestions"], list)


@pytest.mark.parametrize("yaml", ["name: [", "a: 1\n---\nb: 2\n", "", "name: a\nname: b\n", "\t"])
def test_what_is_no_yaml_is_told_so(ci, yaml):
    assert ci.refuse(yaml, 400)["message"].startswith("Invalid YAML configuration: ")


def test_a_mistake_comes_with_its_place(ci):
    assert "line 3, column 3" in ci.refuse("name: P\nstages:\n- name: S\n", 400)["details"]


def test_a_mistake_of_yaml_says_its_place_once(ci):
    error = ci.refuse("name: [\n", 400)
    assert error["details"] == f"line 2, column 1: {error['message']}" and "line" not in error["message"]


def test_a_key_that_is_there_twice_hides_no_other_mistake(ci):
    error = ci.refuse("name: P\nname: Q\nstages:\n- {name: S, name: T}\n", 400)
    assert error["details"].splitlines() == [
        'line 2, column 1: Invalid YAML configuration: key "name" is here twice (first on line 1)',
        "line 4, column 3: Stage 'S' must have at least one step",
        'line 4, column 13: Invalid YAML configuration: key "name" is here twice (first on line 4)']


def test_all_mistakes_come_at_once_in_the_order_of_the_lines(ci):
    error = ci.refuse("notifications: {on_start: [{target_type: email, config: {email: x}}]}\nname: ''\n"
                      "stages:\n- name: S\n  steps:\n  - {name: a, step_type: aws, config: {service: s3}}\n", 400)
    assert error["message"].startswith('"email": expected an address')
    lines = error["details"].splitlines()
    assert [line.split(",")[0] for line in lines] == ["line 1", "line 2", "line 6", "line 6", "line 6"]
    assert "by a later version" in lines[2] and '"service": expected one of' in lines[3]


def test_a_mistake_in_a_step_of_a_later_version_is_told_before_the_reason(ci):
    error = ci.refuse("name: P\nstages: [{name: S, steps: [{name: a, step_type: gcp, config: {service: gke}}]}]", 422)
    assert 'missing "action"' in error["message"] and "by a later version" in error["details"]


@pytest.mark.parametrize("step, status", [
    ("step_type: docker, config: {image: 'a b', command: c}", 422),
    ("step_type: docker, config: {}", 422),
    ("step_type: aws, config: {service: moon, action: fly}", 422),
    ("step_type: shell, config: {}", 400),
    ("step_type: moon", 400),
    ("step_type: docker, config: {}, timeout: soon", 400),
])
def test_a_bad_config_of_a_connector_or_a_container_is_422(ci, step, status):
    error = ci.refuse(f"name: P\nstages: [{{name: S, steps: [{{name: a, {step}}}]}}]\n", status)
    assert error["error"] == {400: "ValidationError", 422: "UnprocessableEntity"}[status]


def test_steps_of_a_later_version_are_501(ci):
    error = ci.refuse("name: P\nstages: [{name: S, steps: [{name: a, step_type: a_w_s}]}]", 501)
    assert error["error"] == "NotImplemented" and "by a later version" in error["message"]


@pytest.mark.parametrize("body, headers, status", [
    (b"{", {"Content-Type": "application/json"}, 400),
    (b"{}", {"Content-Type": "application/json"}, 422),
    (b'{"yaml_content": 7}', {"Content-Type": "application/json"}, 422),
    (b"name: x", {"Content-Type": "text/yaml"}, 415),
])
def test_bodies_that_are_not_what_was_asked_for(ci, body, headers, status):
    error = ci.client.call("POST", "/api/ci/pipelines", body, headers, expect=status).json
    assert error["status"] == status


@pytest.mark.parametrize("method, path", [
    ("GET", "/api/ci/pipelines"), ("POST", "/api/ci/pipelines"), ("POST", "/api/ci/pipelines/upload"),
    ("GET", f"/api/ci/pipelines/{NOBODY}"), ("PUT", f"/api/ci/pipelines/{NOBODY}"),
    ("DELETE", f"/api/ci/pipelines/{NOBODY}"), ("GET", f"/api/ci/pipelines/{NOBODY}/yaml"),
    ("POST", f"/api/ci/pipelines/{NOBODY}/trigger"), ("GET", "/api/ci/executions"),
    ("GET", f"/api/ci/executions/{NOBODY}"), ("DELETE", f"/api/ci/executions/{NOBODY}/cancel"),
    ("GET", f"/api/ci/executions/{NOBODY}/stream"), ("GET", "/api/ci/test"),
])
def test_nothing_is_open_to_everyone(ci, method, path):
    for headers, message in (({}, "You are not logged in, please provide token"),
                             ({"Authorization": "Bearer wrong"}, "Invalid token")):
        reply = request(ci.client.address, method, path, b"{}" if method in ("POST", "PUT") else None,
                        {"Content-Type": "application/json", **headers})
        assert (reply.status, reply.json["message"]) == (401, message)


def test_more_mistakes_than_anybody_reads_are_counted(ci):
    steps = ", ".join(["{name: a}"] * 300)
    lines = ci.refuse(f"name: P\nstages: [{{name: S, steps: [{steps}]}}]\n", 400)["details"].splitlines()
    assert len(lines) == 201 and lines[-1] == "and 100 more"


def test_the_health_is_open_to_everyone(ci):
    health = request(ci.client.address, "GET", "/api/healthchecker").json
    assert health["status"] == "success" and health["database"]["status"] == "connected"
    assert set(health) == {"status", "message", "timestamp", "version", "database", "environment", "endpoints"}


def test_the_manual_s_example_is_accepted(ci):
    manual = (Path(__file__).parent.parent.parent / "docs" / "stages.md").read_text()
    assert ci.create(manual.split("```yaml\n")[1].split("```")[0])["name"] == "Node service"


def test_the_test_route_says_its_line(ci):
    assert ci.client.call("GET", "/api/ci/test").text == "CI Engine is working!"


@pytest.mark.parametrize("path", ["", "/yaml", "/versions"])
def test_an_unknown_pipeline_is_404_and_no_uuid_400(ci, path):
    assert ci.client.call("GET", f"/api/ci/pipelines/{NOBODY}{path}", expect=404).json["error"] == "NotFound"
    ci.client.call("GET", f"/api/ci/pipelines/seven{path}", expect=400)


def test_stored_pipelines_are_no_repositories(ci):
    made = ci.create(simple("x", "hidden"))
    assert not [r for r in ci.client.get("/api/repos") if "hidden" in r["name"]]
    ci.client.call("GET", f"/api/repos/hidden-{made['id'][:8]}.pipeline", expect=404)


# ---- upload

@pytest.mark.parametrize("name", ["pipeline", "file", "yaml"])
@pytest.mark.parametrize("filename", ["p.yml", "P.YAML"])
def test_a_file_is_taken(ci, name, filename):
    made = upload(ci, form((name, filename, simple("x", "uploaded"))))
    assert made["name"] == "uploaded"
    assert ci.client.call("GET", f"/api/ci/pipelines/{made['id']}/yaml").text == simple("x", "uploaded")


def test_other_parts_are_passed_over(ci):
    body = b"a preamble\r\n" + form(("comment", None, "--XbY\r\n"), ("file", "a.yml", simple("one", "one")),
                                    ("yaml", "b.yml", simple("two", "two")))
    assert upload(ci, body)["name"] == "one"


def test_an_upload_may_come_in_pieces(ci):
    body = form(("file", "a.yml", simple("x", "pieces")))

    def pieces():
        for byte in body:
            yield bytes([byte])
    reply = request(ci.client.address, "POST", "/api/ci/pipelines/upload", Reader(pieces()),
                    {"Authorization": f"Bearer {ci.client.token}", "Content-Length": str(len(body)),
                     "Content-Type": 'multipart/form-data; boundary="XbX"'})
    assert reply.status == 200 and reply.json["name"] == "pieces"


class Reader:
    def __init__(self, pieces):
        self.pieces = pieces

    def read(self, _size=-1):
        return next(self.pieces, b"")


def large(size):
    text = simple("x", "large").encode()
    return text + b"# " + b"x" * (size - len(text) - 3) + b"\n"


def test_ten_mebibytes_are_taken_and_one_byte_more_is_413(ci):
    assert upload(ci, form(("file", "a.yml", large(MAX))))["name"] == "large"
    assert upload(ci, form(("file", "a.yml", large(MAX + 1))), 413)["status"] == 413
    upload(ci, form(("file", "a.yml", b"x" * (12 * 1024 * 1024))), 413)
    assert ci.create(large(MAX).decode())["name"] == "large"
    ci.refuse(large(MAX + 1).decode(), 413)


@pytest.mark.parametrize("parts, status, word", [
    ((("file", "a.txt", simple("x")),), 415, "expected .yaml or .yml"),
    ((("file", "yml", simple("x")),), 415, "expected .yaml or .yml"),
    ((("file", None, simple("x")),), 415, "expected .yaml or .yml"),
    ((("file", "a.yml", ""),), 400, "is empty"),
    ((("file", "a.yml", b"name: \xff"),), 400, "not UTF-8"),
    ((("other", "a.yml", simple("x")),), 400, 'expected a part named "pipeline"'),
    ((), 400, "no file"),
    ((("file", "a.yml", "name: x"),), 400, "at least one stage"),
])
def test_uploads_that_are_refused(ci, parts, status, word):
    assert word in upload(ci, form(*parts), status)["message"]


@pytest.mark.parametrize("body, content_type, status", [
    (b"{}", "application/json", 415),
    (b"{}", "multipart/form-data", 415),
    (b"--XbX\r\n", "multipart/form-data; boundary=XbX", 400),
    (b"nothing at all", "multipart/form-data; boundary=XbX", 400),
    (b"--XbX?\r\n\r\n", "multipart/form-data; boundary=XbX", 400),
    (b"--XbX\r\n" + b"a" * 20000, "multipart/form-data; boundary=XbX", 400),
])
def test_bodies_that_are_no_form(ci, body, content_type, status):
    upload(ci, body, status, content_type)
