"""One round: a world, a storm, the calm after it, and the look whether all is there."""

import json
import random
import shutil
import threading
import time
import traceback
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lib.wait import TooLate, wait_for

from . import remains
from .check import DIED, LEFT, LOST, Check, Violation
from .driver import STORED, UNKNOWN, Driver
from .facts import Facts
from .ledger import Ledger
from .mix import Mix
from .sabotage import Saboteur
from .world import World

PAUSE = 0.45  # seconds between two harms, on average
END = 120.0  # seconds that builds have for their end after the storm, and what is left for its going


@dataclass
class Result:
    seed: int
    seconds: float = 0
    kills: Counter = field(default_factory=Counter)
    builds: int = 0
    jobs: int = 0
    steps: int = 0
    again: int = 0  # attempts beyond a job's first
    violations: list = field(default_factory=list)
    evidence: str = ""

    def as_json(self):
        return {**asdict(self), "kills": dict(self.kills), "violations": [asdict(v) for v in self.violations]}


class Game:
    """options: of the command line, with what the machine allows."""

    def __init__(self, options, seed):
        self.options, self.result = options, Result(seed)
        self.folder = options.folder / str(seed)
        self.folder.mkdir()
        self.rng = random.Random(f"pelton/{seed}")

    def play(self):
        begin = time.monotonic()
        self.world = World(self.folder, self.options.tools, self.options.network, self.options.loops,
                           self.rng.choice([2, 3, 4]), self.rng.random() < 0.5)
        try:
            self._play()
        except Exception as error:  # whatever it was: the rounds after this one are played all the same
            self._wrong(LOST, f"the round did not come to its end: {error!r}\n{traceback.format_exc()}")
        finally:
            if self.result.violations or self.options.keep:
                self._keep()
            self.world.close()
            shutil.rmtree(self.folder)
        self.result.seconds = time.monotonic() - begin
        return self.result

    def _wrong(self, category, text):
        self.result.violations.append(Violation(category, text))

    def _play(self):
        kills = self.options.kills_per_round
        self.world.start()
        self.ledger = Ledger(self.folder / "ledger.jsonl", self.world.name,
                             self.options.network.links if self.options.network else [])
        mix = Mix(self.rng, self.options.builds, kills * PAUSE)
        self.driver = Driver(self.world, mix)
        self.saboteur = Saboteur(self.world, self.driver, self.rng, self.folder / "story.jsonl")
        try:
            self.driver.prepare()
            self._storm(kills)
            self._calm()
        finally:
            self.ledger.close()

    def _storm(self, kills):
        people = threading.Thread(target=self.driver.run)
        people.start()
        try:
            self.saboteur.run(kills, PAUSE, self.options.kinds)
        finally:
            people.join()
        self.world.notice_deaths()
        self.result.kills.update(harm.kind for harm in self.saboteur.harms)

    def _calm(self):
        """All is mended; everything comes to its end, and then nothing is left."""
        world, facts = self.world, Facts(self.world)
        if any(trigger.outcome in (STORED, UNKNOWN) for trigger in self.driver.triggers.values()):
            world.server.stop()
            world.start_server()
        facts.client = world.client
        self._end_hung(facts)
        self._builds_end(facts)
        self._jobs_go()
        world.notice_deaths()
        check = Check(world, self.driver, self.saboteur, self.ledger, facts)
        self.result.builds, self.result.jobs = len(check.builds), check.jobs
        self.result.steps = self.ledger.count()
        self.result.again = sum(len(attempts) - 1 for attempts in check.attempts.values())
        self.result.violations += check.run()
        if facts.client.get("/health")["status"] != "ok":
            self._wrong(LEFT, f"health: {facts.client.get('/health')}")
        self._nothing_is_left()
        for death in world.deaths:
            self._wrong(DIED, death)

    def _end_hung(self, facts):
        """A job whose process hangs ends by its time, if it has one; by a cancel in any case."""
        hung = {harm.job for harm in self.saboteur.harms if harm.kind == "hang job process"}
        for build in facts.unfinished() if hung else ():
            if hung & {job["id"] for job in build["jobs"] if job["status"] == "running"}:
                facts.client.call("POST", f"/api/builds/{build['id']}/cancel", {}, expect=(200, 409))
                self.saboteur.cancelled.add(build["id"])

    def _builds_end(self, facts):
        left = []

        def ended():
            left[:] = facts.unfinished()
            return not left

        try:
            wait_for("end", ended, END, every=0.1)
        except TooLate:
            for build in left:
                self._wrong(LOST, f"build {build['id']} does not end: {json.dumps(build)[:3000]}")

    def _jobs_go(self):
        left = {}

        def gone():
            left.clear()
            left.update(remains.of_jobs(self.world))
            return not left

        try:
            wait_for("end of what jobs have started", gone, END / 2)
        except TooLate:
            self._wrong(LEFT, f"processes of jobs: {left}")

    def _nothing_is_left(self):
        world = self.world
        for runner in world.runners:
            for path in remains.of_slots(runner):
                self._wrong(LEFT, path)
        for process in (*world.runners, world.server):
            status = process.stop()
            if status != 0:
                self._wrong(DIED, f"{process.name} ended with {status} on SIGTERM\n{process.tail()}")
        for runner in world.runners:
            for group in remains.of_groups(runner):
                self._wrong(LEFT, f"control group {group}")
        own = [str(disk.folder) for disk in world.disks]
        for mount in remains.of_mounts(world, own):
            self._wrong(LEFT, f"mount {mount}")
        for pid, command in remains.of_processes(world).items():
            if not command.startswith(("haproxy", "/usr/sbin/haproxy")):
                self._wrong(LEFT, f"process {pid} {command}")

    def _keep(self):
        """Everything that tells what has happened; not the workspaces."""
        target = Path(self.options.evidence) / f"seed-{self.result.seed}"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in ("log", "ledger.jsonl", "story.jsonl", "state/pelton.db", "state/pelton.db-wal", "state/blobs/logs"):
            path = self.folder / name
            if path.is_dir():
                shutil.copytree(path, target / path.name)
            elif path.exists():
                shutil.copy2(path, target / path.name)
        (target / "result.json").write_text(json.dumps(self.result.as_json(), indent=1))
        self.result.evidence = str(target)
