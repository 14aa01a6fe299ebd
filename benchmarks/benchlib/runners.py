"""Runners that speak the real protocol and run nothing: any number of them in one thread."""

import json
import selectors
import time

from .wire import Connection

LABEL = "nobody-has-this"


class Runner:
    def __init__(self, server, token, name, **facts):
        self.facts = {"arch": "x86_64", "labels": {}, "executors": ["shell", "sandbox"], "slots": 1, "version": "0",
                      **facts}
        registered = Connection(server.address, token)
        answer = registered.call("POST", "/api/runner/register", json.dumps({"name": name, **self.facts}).encode())
        registered.close()
        self.wire = Connection(server.address, answer["token"])
        self.name, self.running, self.calls, self.asked = name, {}, 0, 0.0

    def ask(self, wait):
        """A lease call goes out."""
        running = [{"job": job, "attempt": attempt} for job, attempt in self.running.items()]
        body = json.dumps({**self.facts, "wait": wait, "running": running}).encode()
        self.asked = time.perf_counter()
        self.wire.send(self.wire.request("POST", "/api/runner/lease", body))
        self.calls += 1

    def take(self):
        """The answer's jobs, which count as running from now on."""
        status, answer = self.wire.answer()
        assert status == 200, (status, answer[:500])
        jobs = json.loads(answer)["jobs"]
        self.running |= {job["id"]: job["attempt"] for job in jobs}
        return jobs

    def finish(self, job):
        body = json.dumps({"attempt": job["attempt"], "state": "success", "exit_code": 0, "log_size": 0}).encode()
        self.wire.call("PATCH", f"/api/runner/jobs/{job['id']}", body)
        del self.running[job["id"]]

    def close(self):
        self.wire.close()


class Runners:
    def __init__(self, server, count, name="sim", **facts):
        token = server.client.post("/api/tokens", {"name": f"for {name}", "role": "registration"})["token"]
        self.all = [Runner(server, token, f"{name}{number}", **facts) for number in range(count)]
        self.selector = selectors.DefaultSelector()
        for runner in self.all:
            self.selector.register(runner.wire.socket, selectors.EVENT_READ, runner)

    def connect(self, wait=10):
        """All of them have a lease call waiting, and the server has looked at each."""
        for runner in self.all:
            runner.ask(wait)
        time.sleep(1)

    def heard(self, timeout):
        """(runner, jobs) of each call that is answered within the time; jobs may be none."""
        for key, _ in self.selector.select(timeout):
            yield key.data, key.data.take()

    def close(self):
        self.selector.close()
        for runner in self.all:
            runner.close()
