"""A runner that speaks the real protocol (docs/runner-protocol.md) and does what a test tells it, wrong things too."""

import hashlib
import threading
from urllib.parse import quote, urlencode

from .wait import SLOWER


def gap(reply):
    """The place that a 409 LogGap tells."""
    assert reply.status == 409 and reply.json["error"] == "LogGap", reply
    return reply.json["next"]


def stale(reply):
    """Whether the answer is a 409 StaleAttempt."""
    return reply.status == 409 and reply.json["error"] == "StaleAttempt"


class Later:
    """The result of a call that is under way in a thread."""

    def __init__(self, function):
        self.error = self.value = None

        def run():
            try:
                self.value = function()
            except BaseException as error:  # handed over to who asks for the result
                self.error = error

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    @property
    def done(self):
        return not self.thread.is_alive()

    def result(self, timeout=20.0):
        self.thread.join(timeout * SLOWER)
        assert self.done, f"the call has not come back in {timeout * SLOWER:.0f} s"
        if self.error:
            raise self.error
        return self.value


class FakeRunner:
    def __init__(self, server, name="fake", slots=2, executors=("sandbox", "shell")):
        self.server, self.name, self.slots, self.executors = server, name, slots, list(executors)
        self.arch, self.labels = "x86_64", {}
        self.cpu = self.memory = self.disk = 0  # unknown
        token = server.client.post("/api/tokens", {"name": f"for {name}", "role": "registration"})["token"]
        facts = {"name": name, **self.facts(), "version": "0"}
        answer = server.as_token(token).post("/api/runner/register", facts, expect=201)
        self.id, self.client = answer["id"], server.as_token(answer["token"])
        self.running = {}

    def facts(self):
        return {"arch": self.arch, "labels": self.labels, "executors": self.executors, "slots": self.slots,
                "cpu": self.cpu, "memory": self.memory, "disk": self.disk}

    def moved(self):
        """The server has another address after a restart."""
        self.client = self.server.as_token(self.client.token)
        return self

    # ---- leases

    def _lease(self, wait, running):
        attempts = self.running.items() if running is None else running
        body = {**self.facts(), "version": "0", "wait": wait,
                "running": [{"job": job, "attempt": attempt} for job, attempt in attempts]}
        answer = self.client.post("/api/runner/lease", body, timeout=90)
        for job in answer["jobs"]:
            self.running[job["id"]] = job["attempt"]
        return answer

    def lease(self, wait=0, running=None):
        """The answer of a lease call; wait: seconds. running: other pairs of job and attempt than it has."""
        return self._lease(wait, running)

    def lease_later(self, wait=60):
        """A lease call that waits, in a thread. A server may cut the wait short: it is called again."""
        def run():
            while True:
                answer = self._lease(wait, None)
                if answer["jobs"] or answer["stop"] or answer.get("drain"):
                    return answer

        return Later(run)

    def take(self):
        """The next job; waits for it."""
        return self.lease_later().result()["jobs"][0]

    def heartbeat(self, running=None):
        attempts = self.running.items() if running is None else running
        return self.client.post("/api/runner/heartbeat",
                                {"running": [{"job": j, "attempt": a} for j, a in attempts]})

    # ---- one job

    def log(self, job, data, offset=0, attempt=None, expect=200):
        attempt = job["attempt"] if attempt is None else attempt
        path = f"/api/runner/jobs/{job['id']}/log?attempt={attempt}&offset={offset}"
        return self.client.call("POST", path, data, expect=expect, timeout=300)

    def report(self, job, state, expect=200, **fields):
        body = {"attempt": job["attempt"], "state": state, **fields}
        return self.client.call("PATCH", f"/api/runner/jobs/{job['id']}", body, expect=expect)

    def put(self, job, path, data, sha256=None, attempt=None, expect=201, **said):
        """said: name, mode, keep."""
        sha256 = hashlib.sha256(data).hexdigest() if sha256 is None else sha256
        attempt = job["attempt"] if attempt is None else attempt
        url = f"/api/runner/jobs/{job['id']}/artifacts/{quote(path)}?{urlencode({'attempt': attempt, **said})}"
        return self.client.call("PUT", url, data, headers={"X-Content-SHA256": sha256}, expect=expect)

    def downloads(self, taker, expect=200, **wish):
        """What jobs that it needs have made; wish: name, job."""
        body = {"attempt": taker["attempt"], **wish}
        return self.client.call("POST", f"/api/runner/jobs/{taker['id']}/downloads", body, expect=expect).json

    def download(self, job, file, expect=200):
        url = f"/api/runner/jobs/{job['id']}/downloads/{file}?attempt={job['attempt']}"
        return self.client.call("GET", url, expect=expect).body

    def finish(self, job, log=b"", state="success", offset=0, **fields):
        """Appends the last bytes and reports the end."""
        if log:
            self.log(job, log, offset)
        if state == "failed":
            fields = {"reason": "exit", "message": "step 1: exit status 1", "exit_code": 1, **fields}
        self.report(job, state, log_size=offset + len(log), **fields)
        self.running.pop(job["id"], None)
