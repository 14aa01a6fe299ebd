"""What Pelton says afterwards: builds, jobs and logs by its API; attempts and the files of logs from its state."""

import json
import sqlite3
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lib.work import ENV

from .driver import REPOSITORY

FINISHED = ("success", "failed", "partial", "cancelled")
JOB_FINISHED = ("success", "failed", "cancelled", "skipped")
TEXT = {"Accept": "text/plain"}


@dataclass
class Attempt:
    """Times in seconds since 1970; finished 0: not yet."""
    number: int
    runner: str
    state: str
    reason: str
    started: float
    finished: float


class Facts:
    def __init__(self, world):
        self.world, self.client = world, world.client
        self.finished = set()  # they stay so

    def numbers(self):
        """Of all builds, the newest first."""
        found, before = [], ""
        while True:
            page = self.client.get(f"/api/builds?limit=100{before}")["builds"]
            found += [build["id"] for build in page]
            if not page:
                return found
            before = f"&before={page[-1]['id']}"

    def unfinished(self):
        found = []
        for number in self.numbers():
            if number in self.finished:
                continue
            build = self.build(number)
            if build["status"] in FINISHED and all(job["status"] in JOB_FINISHED for job in build["jobs"]):
                self.finished.add(number)
            else:
                found.append(build)
        return found

    def build(self, number):
        return self.client.get(f"/api/builds/{number}")

    def log(self, build, job):
        return self.client.call("GET", f"/api/builds/{build}/logs?job={job}", headers=TEXT, timeout=120).body

    def artifacts(self, build):
        return self.client.get(f"/api/builds/{build}/artifacts")["artifacts"]

    def artifact(self, build, path):
        return self.client.call("GET", f"/api/builds/{build}/artifacts/{path}", timeout=120).body

    def log_of_attempt(self, job, attempt):
        """The file's bytes; b"" when there is none."""
        path = Path(self.world.state) / f"blobs/logs/{job // 1000}/{job}-{attempt}.log"
        return path.read_bytes() if path.exists() else b""

    # ---- what the API does not tell

    def _rows(self, query):
        connection = sqlite3.connect(f"file:{self.world.state}/pelton.db?mode=ro", uri=True, timeout=30)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def damage(self):
        """What SQLite finds wrong with the database; "" when it is whole."""
        found = [row[0] for row in self._rows("PRAGMA integrity_check")]
        found += [f"foreign key: {row}" for row in self._rows("PRAGMA foreign_key_check")]
        return "" if found == ["ok"] else "\n".join(found)

    def triggers(self):
        """{build: the trigger that its environment names, "" for none}."""
        return {number: json.loads(env or "{}").get("CRASH_TRIGGER", "")
                for number, env in self._rows("SELECT id, env FROM build")}

    def attempts(self):
        """{job: [Attempt, …]}"""
        names = dict(self._rows("SELECT id, name FROM runner"))
        found = {}
        for job, number, runner, state, reason, started, finished in self._rows(
                "SELECT job_id, number, runner_id, state, reason, started_at, finished_at FROM attempt "
                "ORDER BY job_id, number"):
            found.setdefault(job, []).append(Attempt(number, names.get(runner, ""), state, reason,
                                                     (started or 0) / 1e6, (finished or 0) / 1e6))
        return found

    def refs(self):
        """{branch: commit} of the hosted repository."""
        done = subprocess.run(["git", "-C", f"{self.world.state}/repos/{REPOSITORY}.git", "for-each-ref",
                               "--format=%(refname:short) %(objectname)", "refs/heads"], env=ENV, text=True,
                              stdout=subprocess.PIPE, check=True)
        return dict(line.split(" ") for line in done.stdout.splitlines())
