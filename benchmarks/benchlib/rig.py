"""A folder for one benchmark, the servers in it, and what a benchmark does with them."""

import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lib.processes import command_of
from lib.server import Pelton

from . import ROOT
from .wire import Connection

PIPELINE = """jobs:
  {executor}:
    runs-on: {{executor: {executor}}}
    checkout: {checkout}
    steps:
      - {step}
"""


def say(text):
    print(f"{Path(sys.argv[0]).name}: {text}", file=sys.stderr, flush=True)


def median(values):
    return statistics.median(values)


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * q))]


class Server(Pelton):
    """A Pelton of the benchmark's own, its pipelines allowed the shell."""

    def __init__(self, folder, *flags, binary, env=None):
        super().__init__(folder, "--allow-executor", "shell", *flags, binary=binary, env=env)

    def pipeline(self, name, step="echo hi", executor="shell", checkout=False):
        """A repository whose builds are one job with one step; what its push started has ended."""
        text = PIPELINE.format(executor=executor, checkout=str(checkout).lower(), step=step)
        work, push = self.push(name, {".pelton.yml": text})
        self.wait_build(push.build, "success")
        return work

    def connection(self):
        return Connection(self.address, self.token)

    def builds(self):
        return Builds(self)

    def programs(self):
        """{pid: "server", "runner" or "job"} of this program's processes: the server and its descendants."""
        found, waiting = {}, [self.pid]
        while waiting:
            pid = waiting.pop()
            words = command_of(pid).split()
            if comm(pid) == "pelton job":
                found[pid] = "job"
            elif len(words) > 1 and os.path.basename(words[0]) == self.binary.name:
                found[pid] = words[1]
            waiting += children(pid)
        return found


def comm(pid):
    """A job is forked off its runner: its arguments are not those of the program, its name tells what it is."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def children(pid):
    try:
        return [int(child) for task in Path(f"/proc/{pid}/task").iterdir()
                for child in (task / "children").read_text().split()]
    except OSError:
        return []


class Builds:
    """Starts builds and hears of their end: one kept-alive connection and the event stream."""

    def __init__(self, server):
        self.calls = server.connection()
        self.events = server.client.stream("/api/events", {"Accept": "text/event-stream"}, timeout=120)
        assert self.events.status == 200

    def start(self, name, **env):
        body = json.dumps({"env": env} if env else {}).encode()
        return self.calls.call("POST", f"/api/repos/{name}/builds", body)["id"]

    def ended(self):
        """(number, status) of each build that ends, as the server tells it."""
        for line in iter(self.events.line, b""):
            if b'"type":"completed"' in line:
                found = re.search(rb'"build":\{"id":(\d+),.*?"status":"(\w+)"', line)
                yield int(found[1]), found[2].decode()
        raise AssertionError("the event stream ended")

    def wait(self, number):
        for ended, status in self.ended():
            if ended == number:
                assert status == "success", f"build {number}: {status}"
                return

    def run(self, name, **env):
        """Seconds from the request to the news of the end."""
        begin = time.perf_counter()
        self.wait(self.start(name, **env))
        return time.perf_counter() - begin

    def close(self):
        self.calls.close()
        self.events.close()


class Rig:
    def __init__(self, arguments):
        self.rounds = arguments.rounds
        self.binary = Path(arguments.binary or os.environ.get("PELTON_BINARY") or ROOT / "build" / "pelton").resolve()
        self.keep = Path(arguments.keep) if arguments.keep else None
        self.tools = self.binary.parent / "benchmarks"
        if not (self.tools / "bench-spawn").exists():
            self.tools = ROOT / "build" / "benchmarks"
        for program in (self.binary, self.tools / "bench-spawn"):
            if not program.exists():
                say(f"{program} is not there; run first: ./setup, then ./bench, which builds what it measures with")
                sys.exit(2)
        self.open = []

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="pelton-bench-", dir=os.environ.get("TMPDIR")))
        self.folder.chmod(0o755)  # the sandbox's user must be able to come to its workspace
        return self

    def __exit__(self, *_):
        for server in reversed(self.open):
            server.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def tool(self, name):
        path = self.tools / f"bench-{name}"
        assert path.exists(), f"{path} is missing: ./bench builds it"
        return str(path)

    def server(self, name="server", *flags, env=None):
        server = Server(self.folder / name, *flags, binary=self.binary, env=env)
        self.open.append(server)
        return server.start()

    def server_in(self, folder, *flags):
        """One whose state is elsewhere and stays; not started."""
        server = Server(folder, *flags, binary=self.binary)
        self.open.append(server)
        return server

    def output(self, *command, **options):
        return subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True,
                              **options).stdout


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def alternate(rounds, *runs):
    """The results of each run, taken in turns so that a noisy moment hits them all: [[…], […]]."""
    results = [[] for _ in runs]
    for _ in range(rounds):
        for run, result in zip(runs, results):
            result.append(run())
    return results


__all__ = ["Rig", "Server", "Builds", "alternate", "free_port", "median", "quantile", "say"]
