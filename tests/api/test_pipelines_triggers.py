"""What starts a stored pipeline by itself: webhooks, pushes to repositories of ours, the clock."""

import hashlib
import hmac
import json
from urllib.parse import urlencode

import pytest

from lib.client import request
from lib.pipelines import Pipelines, simple
from lib.wait import wait_for

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def ci(pelton):
    return Pipelines(pelton)


def push(ref="refs/heads/main", after=COMMIT, message="change", repository="user/x"):
    return {"after": after, "ref": ref, "repository": {"full_name": repository}, "head_commit": {"message": message}}


class Hook:
    def __init__(self, ci, pipeline):
        self.ci, self.pipeline = ci, pipeline
        self.secret = ci.client.get(f"/api/ci/pipelines/{pipeline['id']}")["webhook"]["secret"]

    def send(self, payload, headers=None, secret=None, signed=True):
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        headers = {"Content-Type": "application/json", **(headers or {})}
        if signed:
            digest = hmac.new((secret or self.secret).encode(), body, hashlib.sha256).hexdigest()
            headers["X-Hub-Signature-256"] = f"sha256={digest}"
        return request(self.ci.client.address, "POST", f"/api/ci/pipelines/{self.pipeline['id']}/webhook", body, headers)

    def accept(self, payload, headers=None):
        reply = self.send(payload, headers)
        assert reply.status == 200, reply
        return reply.json


SHOW = simple('echo "$CI_BRANCH $CI_COMMIT_SHA $CI_TAG"')


def test_a_push_starts_an_execution(ci):
    hook = Hook(ci, ci.create(SHOW))
    reply = hook.accept(push())
    assert reply["message"] == "Pipeline triggered by webhook"
    view = ci.wait(reply["execution_id"], "success")
    assert view["trigger_info"] == {"trigger_type": "webhook", "triggered_by": "webhook", "commit_hash": COMMIT,
                                    "branch": "main", "repository": "user/x", "webhook_payload": push()}
    assert view["stages"][0]["steps"][0]["stdout"] == f"main {COMMIT} \n"


def test_a_tag_is_told_as_one(ci):
    view = ci.wait(Hook(ci, ci.create(SHOW)).accept(push("refs/tags/v1"))["execution_id"], "success")
    assert view["stages"][0]["steps"][0]["stdout"] == f" {COMMIT} v1\n"


def test_a_form_with_the_payload_is_taken_as_github_sends_it(ci):
    hook = Hook(ci, ci.create(SHOW))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    payload = push(message="a + b & c = ü%")
    view = ci.wait(hook.accept(urlencode({"payload": json.dumps(payload)}).encode(), form)["execution_id"], "success")
    assert view["trigger_info"]["webhook_payload"] == payload
    assert hook.send(b"other=1", form).status == 400 and hook.send(b"payload=%zz", form).status == 400


def test_the_same_delivery_runs_once(ci):
    hook = Hook(ci, ci.create(SHOW))
    headers = {"X-GitHub-Event": "push", "X-GitHub-Delivery": "d-1"}
    first = hook.accept(push(), headers)["execution_id"]
    assert hook.accept(push(), headers)["execution_id"] == first
    assert hook.accept(push(), {**headers, "X-GitHub-Delivery": "d-2"})["execution_id"] != first
    assert len(ci.client.get("/api/ci/executions")) == 2


def test_unsigned_and_badly_signed_deliveries_are_refused(ci):
    hook = Hook(ci, ci.create(SHOW))
    other = Hook(ci, ci.create(SHOW))
    assert hook.send(push(), signed=False).status == 401
    assert hook.send(push(), secret="wrong").status == 401
    assert hook.send(push(), secret=other.secret).status == 401
    assert hook.send(push(), {"X-Gitlab-Token": "wrong"}, signed=False).status == 401
    assert hook.send(push(), {"X-Gitea-Signature": "00" * 32}, signed=False).status == 401
    assert hook.send(push(), {"Authorization": "Bearer wrong"}, signed=False).status == 401
    assert ci.client.get("/api/ci/executions") == []


def test_other_ways_to_prove_it(ci):
    hook = Hook(ci, ci.create(SHOW))
    body = json.dumps(push()).encode()
    gitea = hmac.new(hook.secret.encode(), body, hashlib.sha256).hexdigest()
    for headers in ({"X-Gitlab-Token": hook.secret, "X-Gitlab-Event": "Push Hook"}, {"X-Gitea-Signature": gitea},
                    {"Authorization": f"Bearer {ci.client.token}"}):
        assert hook.send(body, headers, signed=False).json["execution_id"]
    reader = ci.client.post("/api/tokens", {"name": "r", "role": "read"})["token"]
    assert hook.send(body, {"Authorization": f"Bearer {reader}"}, signed=False).status == 403


def test_a_secret_survives_a_restart(pelton, ci):
    made = ci.create(SHOW)
    secret = Hook(ci, made).secret
    pelton.stop()
    pelton.start()
    assert Hook(Pipelines(pelton), made).secret == secret


@pytest.mark.parametrize("payload, headers, why", [
    ({"zen": "x"}, {"X-GitHub-Event": "ping"}, "pong"),
    ({}, {"X-GitHub-Event": "star"}, "starts nothing"),
    (push(after="0" * 40), {}, "deleted"),
    (push("refs/notes/commits"), {}, "no branch and no tag"),
    ({**push(), "head_commit": None, "commits": [{"message": "x"}, {"message": "y [ci skip]"}]}, {}, "asks to skip"),
    (push(message="x [skip ci]"), {}, "asks to skip"),
    (push(message="x [CI SKIP]"), {}, "asks to skip"),
    (push("refs/heads/dev"), {}, "no trigger of the pipeline wants a push of dev"),
    (push(repository="user/other"), {}, "no trigger of the pipeline wants"),
])
def test_deliveries_that_start_nothing_say_why(ci, payload, headers, why):
    made = ci.create(SHOW + "triggers:\n- trigger_type: git_push\n  config: {branch_patterns: [main, 'release/*'], "
                            "repository: 'https://github.com/user/x'}\n")
    reply = Hook(ci, made).accept(payload, headers)
    assert reply["execution_id"] is None and reply["message"].startswith("Ignored: ") and why in reply["message"]
    assert Hook(ci, made).accept(push("refs/heads/release/1"))["execution_id"]


def test_a_pull_request_starts_what_wants_one(ci):
    payload = {"action": "opened", "repository": {"full_name": "user/x"},
               "pull_request": {"head": {"sha": COMMIT, "ref": "topic"}, "base": {"ref": "main"}}}
    hook = Hook(ci, ci.create(SHOW + "triggers: [{trigger_type: pull_request, config: {branch_patterns: [main]}}]\n"))
    event = {"X-GitHub-Event": "pull_request"}
    view = ci.wait(hook.accept(payload, event)["execution_id"], "success")
    assert (view["trigger_info"]["trigger_type"], view["trigger_info"]["branch"]) == ("pull_request", "topic")
    assert hook.accept({**payload, "action": "labeled"}, event)["execution_id"] is None
    assert hook.accept(push(), {"X-GitHub-Event": "push"})["execution_id"] is None


def test_a_webhook_s_trigger_may_say_for_which_events_it_is(ci):
    hook = Hook(ci, ci.create(SHOW + "triggers: [{trigger_type: webhook, config: {events: [push]}}]\n"))
    pull = {"action": "opened", "repository": {"full_name": "user/x"},
            "pull_request": {"head": {"sha": COMMIT, "ref": "topic"}, "base": {"ref": "main"}}}
    assert "no trigger" in hook.accept(pull, {"X-GitHub-Event": "pull_request"})["message"]
    assert hook.accept(push())["execution_id"] and hook.accept(push("refs/tags/v1"))["execution_id"]


@pytest.mark.parametrize("payload, event", [
    ({}, None), ({"after": COMMIT}, None), ({"ref": ""}, "push"), ({"ref": 7}, "push"), ({}, "pull_request"),
    ({"pull_request": {"head": {"sha": COMMIT}}}, "pull_request"),
])
def test_a_payload_that_names_no_ref_starts_nothing(ci, payload, event):
    reply = Hook(ci, ci.create(SHOW)).send(payload, {"X-GitHub-Event": event} if event else None)
    assert reply.status == 400 and "names no branch or tag" in reply.json["message"]
    assert ci.client.get("/api/ci/executions") == []


@pytest.mark.parametrize("body, status", [(b"{", 400), (b"[]", 400), (b'{"ref": "refs/heads/a b"}', 400),
                                          (b" " * (6 * 1024 * 1024), 413)])
def test_payloads_that_are_refused(ci, body, status):
    assert Hook(ci, ci.create(SHOW)).send(body).status == status


def test_an_unknown_pipeline_is_404(ci):
    hook = Hook(ci, ci.create(SHOW))
    hook.pipeline = {"id": "00000000-0000-4000-8000-000000000000"}
    assert hook.send(push()).status == 404


# ---- pushes to repositories of ours

def test_a_push_to_a_hosted_repository_starts_what_waits_for_it(pelton, ci):
    made = ci.create(simple("cat README; echo $CI_BRANCH") +
                     "triggers: [{trigger_type: git_push, config: {repository: someone/code, branch_patterns: [main]}}]\n")
    ci.create(simple("x", "unrelated") + "triggers: [{trigger_type: git_push}]\n")
    work, _ = pelton.push("code", {"README": "one\n", ".pelton.yml": "jobs: {a: {steps: ['true']}}\n"})
    execution = wait_for("execution", lambda: ci.client.get("/api/ci/executions"))[0]
    assert execution["pipeline_id"] == made["id"]
    view = ci.wait(execution["id"], "success")
    assert view["stages"][0]["steps"][0]["stdout"] == "one\nmain\n"
    assert view["trigger_info"]["triggered_by"] == "push"
    work.commit({"README": "two\n"})
    work.push("main:topic")
    assert len(ci.client.get("/api/ci/executions")) == 1


def test_a_branch_that_goes_back_and_forth_starts_what_waits_for_it_each_time(pelton, ci):
    ci.create(simple("true") + "triggers: [{trigger_type: git_push, config: {repository: code}}]\n")
    work, _ = pelton.push("code", {".pelton.yml": "jobs: {a: {steps: ['true']}}\n"})
    one, two = work.head(), work.commit({"README": "two\n"})
    for commit in (two, one, two, one, two):
        work.push("--force", f"{commit}:main")
    assert len(ci.client.get("/api/ci/executions")) == 6


# ---- the clock

def test_a_schedule_runs_again_and_again_until_it_is_gone(ci):
    made = ci.create(simple("echo tick") +
                     "triggers: [{trigger_type: schedule, config: {cron_expression: '* * * * * *'}}]\n")
    executions = wait_for("second run", lambda: (e := ci.client.get("/api/ci/executions")) and len(e) >= 2 and e)
    view = ci.wait(executions[-1]["id"], "success")
    assert view["trigger_info"]["trigger_type"] == "schedule"
    ci.client.call("PUT", f"/api/ci/pipelines/{made['id']}", {"yaml_content": simple("echo none")})
    count = len(ci.client.get("/api/ci/executions"))
    other = ci.create(simple("echo tock", "other") +
                      "triggers: [{trigger_type: schedule, config: {cron_expression: '* * * * * *'}}]\n")
    wait_for("the other's third run",
             lambda: len(ci.client.get(f"/api/ci/executions?pipeline_id={other['id']}")) >= 3)
    assert len(ci.client.get(f"/api/ci/executions?pipeline_id={made['id']}")) == count
    ci.client.call("DELETE", f"/api/ci/pipelines/{other['id']}", expect=204)


def test_what_was_due_while_the_server_was_away_runs_once(pelton, ci):
    made = ci.create(simple("echo tick") +
                     "triggers: [{trigger_type: schedule, config: {cron_expression: '* * * * * *'}}]\n")
    wait_for("a run", lambda: ci.client.get("/api/ci/executions"))
    pelton.kill()
    pelton.start()
    again = Pipelines(pelton)
    before = len(again.client.get("/api/ci/executions"))
    wait_for("one more", lambda: len(again.client.get(f"/api/ci/executions?pipeline_id={made['id']}")) > before)
