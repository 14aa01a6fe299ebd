"""Does what the mix wishes, as people would: pushes, starts and cancels builds, and remembers what was answered."""

import http.client
import json
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from lib.client import request
from lib.work import ENV, Push

REPOSITORY = "mix"
TIMEOUT = 10.0
TRIES = 40

# what became of a call
ACCEPTED, STORED, REFUSED, UNKNOWN = "accepted", "stored", "refused", "unknown"


@dataclass
class Cancel:
    outcome: str
    status: int
    sent: float
    answered: float


@dataclass
class Trigger:
    """build: its number, when we were told. commit: of a push. says: what the steps of its build call it. STORED: pushed, and git said that the build comes later."""
    name: str
    kind: str
    shape: int
    commit: str = ""
    outcome: str = REFUSED
    build: int = 0
    answer: str = ""
    cancels: list = field(default_factory=list)
    says: str = ""


class Driver:
    """on_call: called in the moment that a request has been sent; the saboteur waits there for its chance."""

    def __init__(self, world, mix):
        self.world, self.mix = world, mix
        self.triggers = {wish.number: Trigger(f"t{wish.number}", wish.kind, wish.shape)
                         for wish in mix.wishes if wish.kind in ("push", "start")}
        self.stopping = threading.Event()
        self.calls = threading.Event()
        self.pool = ThreadPoolExecutor(6)

    # ---- before the storm

    def prepare(self):
        """The repository, the shapes' branches, and a commit for every push to come."""
        world = self.world
        self.work = world.create_repository(REPOSITORY)
        step = world.tools.step.read_bytes()
        self.work.write({"crash-step": step})
        (self.work.path / "crash-step").chmod(0o755)
        for number in range(len(self.mix.shapes)):
            self._commit(number, f"shape{number}", f"shape{number}")
        for trigger in self.triggers.values():
            if trigger.kind == "push":
                trigger.commit = self._commit(trigger.shape, trigger.name, trigger.name)
        shapes = [f"shape{number}" for number in range(len(self.mix.shapes))]
        text = self.work.git("push", world.git_url(REPOSITORY), *shapes)
        builds = Push(0, text).builds
        assert len(builds) == len(shapes), text
        for number, (name, build) in enumerate(zip(shapes, builds)):
            self.triggers[-1 - number] = Trigger(name, "push", number, self.work.git("rev-parse", name).strip(), ACCEPTED,
                                                 build, text)

    def _commit(self, shape, branch, name):
        env = {"CRASH_WORLD": self.world.name, "CRASH_TRIGGER": name}
        self.work.git("checkout", "-q", "-B", branch)
        shape, tools = self.mix.shapes[shape], (self.world.tools.step, self.world.name, env)
        return self.work.commit({".pelton.yml": shape.file(*tools), **shape.parts(*tools)}, name)

    # ---- the storm

    def run(self):
        """Plays the wishes; ends when every call has come back."""
        start = time.monotonic()
        todo = {"push": self._push, "start": self._start, "cancel": self._cancel, "again": self._again}
        for wish in self.mix.wishes:
            self.stopping.wait(max(0, start + wish.at - time.monotonic()))
            self.pool.submit(self._guarded, todo[wish.kind], self.triggers[wish.number])
        self.pool.shutdown()

    def _guarded(self, function, trigger):
        try:
            function(trigger)
        except Exception as error:  # a bug of the harness: it must not pass for a calm round
            trigger.outcome, trigger.answer = UNKNOWN, f"harness: {error!r}"
            raise

    def _tries(self):
        """Until the server is there: nobody gives up because of a refused connection."""
        for _ in range(TRIES):
            yield
            self.stopping.wait(0.25)

    def _call(self, path, body, key=None):
        """(outcome, Reply or the error). REFUSED: it has certainly not been read. key: with which it may come twice."""
        client = self.world.client
        self.calls.set()
        try:
            reply = request(client.address, "POST", path, json.dumps(body).encode(),
                            {"Authorization": f"Bearer {client.token}", "Content-Type": "application/json",
                             "Accept": "application/json", **({"Idempotency-Key": key} if key else {})}, TIMEOUT)
        except ConnectionRefusedError as error:
            return REFUSED, error
        except (OSError, http.client.HTTPException) as error:
            return UNKNOWN, error
        if 200 <= reply.status < 300:
            return ACCEPTED, reply
        return (UNKNOWN if reply.status >= 500 else REFUSED), reply

    def _build(self, trigger, path, body):
        """Until it is answered: the same request may come as often as it likes."""
        for _ in self._tries():
            outcome, reply = self._call(path, body, key=trigger.name)
            trigger.outcome, trigger.answer = outcome, str(reply)
            if outcome == ACCEPTED:
                trigger.build = reply.json["id"]
                return
            if getattr(reply, "status", 0) in (400, 404, 409):
                return

    def _start(self, trigger):
        self._build(trigger, f"/api/repos/{REPOSITORY}/builds",
                    {"ref": f"shape{trigger.shape}", "env": {"CRASH_TRIGGER": trigger.name}})

    def _again(self, trigger):
        """All of a build once more, if it ends soon."""
        for _ in self._tries():
            if trigger.build and self._has_ended(trigger.build):
                again = Trigger(f"{trigger.name}-again", "again", trigger.shape, says=trigger.name)
                self.triggers[again.name] = again
                self._build(again, f"/api/builds/{trigger.build}/rerun", {"jobs": "all"})
                return

    def _has_ended(self, build):
        try:
            client = self.world.client
            reply = request(client.address, "GET", f"/api/builds/{build}", None,
                            {"Authorization": f"Bearer {client.token}"}, TIMEOUT)
            return reply.status == 200 and reply.json["finished_at"]
        except (OSError, http.client.HTTPException):
            return False

    def _push(self, trigger):
        for _ in self._tries():
            try:
                self.calls.set()
                done = subprocess.run(["git", "push", self.world.git_url(REPOSITORY), trigger.name],
                                      cwd=self.work.path, env=ENV, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, timeout=4 * TIMEOUT, check=False)
                status, text = done.returncode, done.stdout.decode(errors="replace")
            except subprocess.TimeoutExpired as error:
                status, text = -1, str(error)
            push = Push(status, text)
            trigger.answer = f"{status}: {text}"
            if push.builds:
                trigger.outcome, trigger.build = ACCEPTED, push.build
                return
            if status == 0 and trigger.outcome == REFUSED and "up-to-date" not in text:
                trigger.outcome = STORED
                return
            if status == 0:  # an earlier try, whose answer was lost, has brought it
                trigger.outcome = STORED
                return
            trigger.outcome = UNKNOWN

    def _cancel(self, trigger):
        build = trigger.build
        if not build:
            return
        sent = time.time()
        outcome, reply = self._call(f"/api/builds/{build}/cancel", {})
        trigger.cancels.append(Cancel(outcome, getattr(reply, "status", 0), sent, time.time()))
