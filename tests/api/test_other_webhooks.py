"""Deliveries of forges in which something else stands in a place: each starts a pipeline, or is refused or ignored with a word,
and what it has started can be shown."""

import hashlib
import hmac
import json

import pytest

from lib.hostile import LONG, Judge, broken, encode, places, swaps
from lib.pipelines import Pipelines, simple
from lib.server import ROOT

# GitHub's own examples; GitLab's is cut down to what is read
DELIVERIES = {
    **json.loads((ROOT / "tests" / "data" / "github-webhooks.json").read_text()),
    "merge": {"project": {"path_with_namespace": "a/b"},
              "object_attributes": {"action": "open", "source_branch": "topic", "target_branch": "main", "source_project_id": 1,
                                    "target_project_id": 1, "last_commit": {"id": "0" * 39 + "1"}}}}
HEADERS = {"push": {"X-GitHub-Event": "push"}, "pull_request": {"X-GitHub-Event": "pull_request"},
           "merge": {"X-Gitlab-Event": "Merge Request Hook"}}
# What src/api/pipeline_hook.c looks at.
READ = {
    "push": ("ref", "after", "repository", "repository.full_name", "head_commit", "head_commit.message", "commits", "commits.0",
             "commits.0.message"),
    "pull_request": ("action", "pull_request", "pull_request.head", "pull_request.head.ref", "pull_request.head.sha",
                     "pull_request.head.repo", "pull_request.head.repo.full_name", "pull_request.base", "pull_request.base.ref",
                     "pull_request.base.repo.full_name", "repository.full_name"),
    "merge": tuple(".".join(place) for place in places(DELIVERIES["merge"]) if place),
}
EVERY = 40  # of what nothing looks at


class Hook:
    def __init__(self, bench, kind):
        pipelines = Pipelines(bench)
        made = pipelines.create(simple("echo hi") + "triggers: [{trigger_type: webhook}, {trigger_type: pull_request}]\n")
        self.secret = bench.client.get(f"/api/ci/pipelines/{made['id']}")["webhook"]["secret"].encode()
        self.path, self.headers = f"/api/ci/pipelines/{made['id']}/webhook", HEADERS[kind]
        self.nobody = bench.as_token(None)

    def send(self, judge, what, body, headers=None):
        signature = "sha256=" + hmac.new(self.secret, body, hashlib.sha256).hexdigest()
        return judge.send(what, "POST", self.path, body, {"X-Hub-Signature-256": signature, **self.headers, **(headers or {})}, self.nobody)


@pytest.mark.parametrize("kind", READ)
def test_values_of_other_kinds(bench, kind):
    hook, judge, shown = Hook(bench, kind), Judge(bench), 0
    delivery = DELIVERIES[kind]
    assert hook.send(judge, "nothing", encode(delivery)).json["execution_id"]
    every = [place for place in places(delivery) if place]
    looked_at = {place for place in every if ".".join(map(str, place)) in READ[kind]}
    assert len(looked_at) == len(READ[kind])
    others = set(every[::EVERY]) - looked_at
    for place, what, body in swaps(delivery, lambda place: not place or place in looked_at or place in others):
        reply = hook.send(judge, f"{place} = {what}", encode(body))
        if place in others and reply.status != 400:  # what is no number or no text of JSON at all is refused wherever it stands
            assert reply.json["execution_id"], f"{place} = {what}: {reply}"
        if reply.status == 200 and reply.json["execution_id"] and place in looked_at:
            shown += 1
            judge.send(what, "GET", f"/api/ci/executions/{reply.json['execution_id']}")
    judge.sentence()
    assert shown


def test_deliveries_that_are_no_json(bench):
    hook, judge = Hook(bench, "push"), Judge(bench)
    for what, body, headers in broken(DELIVERIES["push"]):
        reply = hook.send(judge, what, body, headers)
        assert reply.status == 400 or what in ("another type", "said to be compressed"), f"{what}: {reply}"
    for body in (b"", b"payload", b"payload=", b"payload=&payload={}", b"payload=%00", b"payload=[]", b"payload=%7b",
                 b"payload=" + b"%5b" * LONG):
        assert hook.send(judge, "form", body, {"Content-Type": "application/x-www-form-urlencoded"}).status == 400, body[:40]
    judge.sentence()


def test_headers_that_say_nothing(bench):
    hook, judge = Hook(bench, "push"), Judge(bench)
    body = encode(DELIVERIES["push"])
    for name in ("X-GitHub-Event", "X-GitHub-Delivery", "X-Hub-Signature-256", "X-Gitea-Signature", "X-Gitlab-Token", "X-Gitlab-Event",
                 "Content-Type"):
        for value in ("", "x", "sha256=", "sha256=" + "0" * 63, "sha256=" + "zz" * 32, "=" * 200, "x" * 7000, "\xff\xfe", "push\x01"):
            hook.send(judge, f"{name}: {value:.20}", body, {name: value})
    judge.sentence()
