"""A valid request for every route that takes one, and what such requests speak of."""

import re

from .pipelines import Pipelines, simple

PIPELINE = simple("echo hi", more="environment: {A: b}\ntimeout: 60\n")
PULL = {"number": 7, "source": "main", "target": "main", "title": "t", "author": "a", "fork": False}
NOW = 1_700_000_000_000_000
STEP = {"position": 0, "name": "make", "state": "success", "exit_code": 0, "reason": "", "started_at": NOW,
        "finished_at": NOW + 1, "log_start": 0, "log_end": 2}
ATTEMPT = r"/api/runner/(jobs/|lease|heartbeat)"


class World:
    """What the bodies speak of: a repository with a build that has ended, a stored pipeline, a runner with a job of it."""

    def __init__(self, bench):
        self.bench, self.name = bench, bench.name()
        self.runner = bench.runner()
        self.work, push = bench.push(self.name, {".pelton.yml": "jobs:\n  test:\n    checkout: false\n    steps: [echo hi]\n"})
        self.number = push.build
        self.runner.finish(self.runner.take())
        self.hook = bench.as_token((bench.state / "hook.token").read_text().strip())
        self.pipelines = Pipelines(bench)
        self.pipeline = self.pipelines.create(PIPELINE)
        self.job = None

    def fresh_job(self):
        """The runner holds one of the stored pipeline."""
        if self.job:
            self.runner.report(self.job, "lost", expect=None)
            self.bench.settle()
            self.runner.running.clear()
        self.execution = self.pipelines.trigger(self.pipeline)
        self.job = self.runner.take()
        self.runner.log(self.job, b"hi")
        return self.job["attempt"]

    def client(self, method, path):
        if re.match(ATTEMPT, path):
            return self.runner.client
        return self.hook if (method, path) in (("POST", "/api/builds"), ("POST", "/api/pushes")) else self.bench.client

    def path(self, template):
        number = (self.pipeline["id"] if "/ci/" in template else self.job["id"] if self.job and "/jobs/" in template else self.number)
        return template.format(id=number, name=self.name, secret="TOKEN")

    def told(self):
        return {"repo": self.name, "bare_repo_path": str(self.bench.state / "repos" / f"{self.name}.git"),
                "new_rev": self.work.head(), "old_rev": "0" * 40, "ref": "refs/heads/main", "pusher": "ada",
                "gpg_status": "G", "gpg_key": "K", "gpg_signer": "s", "pull_request": PULL}

    def facts(self):
        return {**self.runner.facts(), "version": "0", "labels": {"a": "b"}}


def lease(world):
    world.fresh_job()
    return {**world.facts(), "wait": 0, "running": [{"job": world.job["id"], "attempt": 1, "told": "user"}]}


def report(world, **fields):
    return {"attempt": world.fresh_job(), "reason": "r", "message": "m", "exit_code": 0, "log_size": 2,
            "pipeline": "jobs: {more: {steps: [x]}}", "outputs": {"o": "v"}, "steps": [STEP], **fields}


# A valid body of each route that takes JSON: (route, what makes one).
EXAMPLES = [
    ("POST /api/login", lambda w: {"token": w.bench.token}),
    ("POST /api/tokens", lambda w: {"name": "t", "role": "read", "ttl": "1h"}),
    ("POST /api/repos", lambda w: {"name": w.bench.name()}),
    ("POST /api/builds", lambda w: w.told()),
    ("POST /api/pushes", lambda w: {"pushes": [w.told()]}),
    ("POST /api/repos/{name}/builds", lambda w: {"ref": w.work.head(), "branch": "main", "env": {"K": "v"}, "inputs": {},
                                                 "jobs": ["test"]}),
    ("POST /api/repos/{name}/builds", lambda w: {"pull_request": {**PULL, "head": w.work.head()}}),
    ("POST /api/builds/{id}/rerun", lambda w: {"jobs": ["test"]}),
    ("POST /api/builds/{id}/rerun", lambda w: {"jobs": "all"}),
    ("POST /api/queue/pause", lambda w: {"reason": "tea"}),
    ("PUT /api/repos/{name}/secrets/{secret}", lambda w: {"value": "a long word"}),
    ("PUT /api/secrets/{secret}", lambda w: {"value": "a long word"}),
    ("POST /api/ci/pipelines", lambda w: {"yaml_content": PIPELINE}),
    ("PUT /api/ci/pipelines/{id}", lambda w: {"yaml_content": PIPELINE}),
    ("POST /api/ci/pipelines/{id}/trigger", lambda w: {"trigger_type": "manual", "branch": "main", "commit_hash": "0" * 40,
                                                       "repository": "a/b", "environment": {"K": "v"}}),
    ("POST /api/runner/register", lambda w: {"name": w.bench.name(), **w.facts()}),
    ("POST /api/runner/lease", lease),
    ("POST /api/runner/heartbeat", lambda w: {"running": [{"job": w.number, "attempt": 1, "told": "user"}]}),
    ("POST /api/runner/jobs/{id}/cache", lambda w: {"attempt": w.fresh_job(), "key": "k-1", "restore": ["k-"]}),
    ("POST /api/runner/jobs/{id}/downloads", lambda w: {"attempt": w.fresh_job(), "name": "dist", "job": "build"}),
    ("PATCH /api/runner/jobs/{id}", lambda w: report(w, state="running")),
    ("PATCH /api/runner/jobs/{id}", lambda w: report(w, state="success")),
]
ONCE = len(EXAMPLES) - 1  # it ends a job: whoever says so again needs another one
