"""Does harm at random moments, and mends it after a while; tells exactly what it has done, when, and to whom."""

import json
import signal
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from . import processes
from .faults import ERRORS, SYNC, WRITE


@dataclass
class Harm:
    """What was done from `at` until `until` (0: not mended yet). runner: "" when it was none's alone."""
    kind: str
    at: float
    until: float = 0
    server: bool = False
    runner: str = ""
    job: int = 0
    attempt: int = 0
    detail: str = ""

    def overlaps(self, begin, end, tail=0.0):
        return self.at <= end and begin <= (self.until or time.time()) + tail


class Saboteur:
    def __init__(self, world, driver, rng, path):
        self.world, self.driver, self.rng = world, driver, rng
        self.harms, self.mends = [], []
        self.busy = set()  # what is hurt at the moment
        self.cancelled = set()  # builds, for a job whose process hangs
        self.story = open(Path(path), "w", encoding="utf-8")
        self.started = time.time()

    # ---- the storm

    def run(self, kills, pause, kinds):
        """So many harms, `pause` seconds apart on average."""
        weights = [KINDS[kind].weight for kind in kinds]
        end = time.monotonic() + 4 * kills * pause + 5  # when there is nobody left to harm
        while len(self.harms) < kills and time.monotonic() < end:
            self._wait(self.rng.expovariate(1 / pause))
            for kind in self.rng.choices(kinds, weights, k=20):
                if self._do(kind):
                    break
            self.world.notice_deaths()
        while self.mends:
            self._wait(0.05)

    def _do(self, kind):
        """Whether there was something to hurt."""
        harm = KINDS[kind].function(self)
        if harm is None:
            return False
        self.harms.append(harm)
        self.tell(harm.kind, **asdict(harm))
        return True

    def tell(self, what, **details):
        self.story.write(json.dumps({"at": round(time.time() - self.started, 4), "what": what, **details}) + "\n")
        self.story.flush()

    def _wait(self, seconds):
        """What is due is mended meanwhile."""
        until = time.monotonic() + seconds
        pause = threading.Event()
        while True:
            self.mends.sort(key=lambda mend: mend[0])
            while self.mends and self.mends[0][0] <= time.monotonic():
                self._mend(*self.mends.pop(0)[1:])
            left = until - time.monotonic()
            if left <= 0:
                return
            pause.wait(min(left, 0.02, *[max(0.001, mend[0] - time.monotonic()) for mend in self.mends[:1]]))

    def _mend(self, harm, key, function):
        if function() is False:  # a server that does not start on a full disk
            self.later(0.2, harm, key, function)
            return
        self.busy.discard(key)
        harm.until = time.time()
        self.tell("mended", kind=harm.kind)

    def later(self, seconds, harm, key, function):
        self.busy.add(key)
        self.mends.append((time.monotonic() + seconds, harm, key, function))

    # ---- whom

    def short(self):
        return self.rng.uniform(0, 0.6)

    def long(self):
        """Often over in a moment, at times longer than a lease."""
        return self.rng.choice([self.rng.uniform(0.05, 0.5), self.rng.uniform(0.5, 1.7 * self.world.lease)])

    def server(self):
        return self.world.server if "server" not in self.busy and self.world.server.up else None

    def runner(self):
        free = [runner for runner in self.world.runners if runner.name not in self.busy and runner.up]
        return self.rng.choice(free) if free else None

    def a_job(self):
        """(Runner, Held) of one that runs."""
        found = [(runner, held) for runner in self.world.runners for held in runner.jobs()]
        return self.rng.choice(found) if found else (None, None)

    def a_step(self):
        steps = sorted(self.world.steps().items())
        return self.rng.choice(steps) if steps else (0, None)


def let_go(pids):
    """Those that are still there go on."""
    for pid in pids:
        processes.send(pid, signal.SIGCONT)


# ---- what can be done; each gives its Harm, or None when there is nobody to do it to


def kill_server(s):
    server = s.server()
    if not server:
        return None
    harm = Harm("kill server", time.time(), server=True)
    server.kill()
    s.later(s.short(), harm, "server", s.world.start_server)
    return harm


def kill_server_in_a_call(s):
    """In the moment that somebody's request is with it: between the commit and the answer, if all goes ill."""
    if not s.server():
        return None
    s.driver.calls.clear()
    if not s.driver.calls.wait(0.3):
        return None
    threading.Event().wait(s.rng.uniform(0, 0.012))
    harm = kill_server(s)
    if harm:
        harm.kind = "kill server in a call"
    return harm


def stop_server_in_order(s):
    server = s.server()
    if not server:
        return None
    harm = Harm("SIGTERM server", time.time(), server=True)
    status = server.stop()
    if status != 0:
        s.world.deaths.append(f"the server ended with status {status} on SIGTERM\n{server.tail()}")
    s.later(s.short(), harm, "server", s.world.start_server)
    return harm


def kill_runner(s):
    runner = s.runner()
    if not runner:
        return None
    harm = Harm("kill runner", time.time(), runner=runner.name)
    runner.kill()
    s.later(s.short(), harm, runner.name, lambda: s.world.start_runner(runner))
    return harm


def kill_runner_again(s):
    """Its successor is killed while it adopts what the first one has left."""
    runner = s.runner()
    if not runner:
        return None
    harm = Harm("kill runner in adoption", time.time(), runner=runner.name)
    runner.kill()
    for _ in range(s.rng.choice([1, 2, 3])):
        s.world.start_runner(runner)
        threading.Event().wait(s.rng.uniform(0, 0.03))
        runner.kill()
    s.later(s.short() / 2, harm, runner.name, lambda: s.world.start_runner(runner))
    return harm


def stop_runner_in_order(s):
    runner = s.runner()
    if not runner:
        return None
    harm = Harm("SIGTERM runner", time.time(), runner=runner.name)
    status = runner.stop()
    if status not in (0, -signal.SIGTERM):  # the signal itself ends one that has only just been started
        s.world.deaths.append(f"runner {runner.name} ended with status {status} on SIGTERM\n{runner.tail()}")
    s.later(s.short() / 2, harm, runner.name, lambda: s.world.start_runner(runner))
    return harm


def kill_both(s):
    server, runner = s.server(), s.runner()
    if not server or not runner:
        return None
    harm = Harm("kill server and runner", time.time(), runner=runner.name, server=True)
    server.kill()
    runner.kill()

    def start():
        if not s.world.start_server():
            return False
        s.world.start_runner(runner)
        s.busy.discard(runner.name)
        return True

    s.busy.add(runner.name)
    s.later(s.short(), harm, "server", start)
    return harm


def _end_machine(s, runner):
    runner.kill()
    processes.kill_all(lambda: [held.pid for held in runner.jobs()])
    mine = str(runner.folder)
    processes.kill_all(lambda: [pid for pid in {*s.world.steps(), *processes.belonging_to(mine)}
                                if processes.alive(pid)
                                and (processes.is_below(processes.environment(pid).get("PELTON_WORKSPACE", ""), mine)
                                     or mine in processes.command_of(pid)
                                     or processes.is_below(processes.working_folder(pid), mine))])


def kill_machine(s):
    """The runner, its job processes and their steps at once; it is away for longer than a lease, at times."""
    runner = s.runner()
    if not runner:
        return None
    harm = Harm("kill machine", time.time(), runner=runner.name)
    _end_machine(s, runner)
    s.later(s.long(), harm, runner.name, lambda: s.world.start_runner(runner))
    return harm


def kill_both_machines(s):
    """Both runners with all they run."""
    if any(runner.name in s.busy or not runner.up for runner in s.world.runners):
        return None
    harm = Harm("kill both machines", time.time(), runner="*")
    for runner in s.world.runners:
        _end_machine(s, runner)
        s.busy.add(runner.name)

    def start():
        for runner in s.world.runners:
            s.world.start_runner(runner)
            s.busy.discard(runner.name)

    s.later(s.long(), harm, "machines", start)
    return harm


def kill_job(s):
    runner, held = s.a_job()
    if not held or not processes.send(held.pid, signal.SIGKILL):
        return None
    return Harm("kill job process", time.time(), time.time(), runner=runner.name, job=held.job, attempt=held.attempt)


def kill_step(s):
    pid, env = s.a_step()
    if not env or not processes.send(pid, signal.SIGKILL):
        return None
    return Harm("kill step", time.time(), time.time(), job=int(env["PELTON_JOB"]), attempt=int(env["PELTON_ATTEMPT"]),
                detail=processes.command_of(pid))


def pause_server(s):
    server = s.server()
    if not server:
        return None
    harm = Harm("stop server", time.time(), server=True)
    server.send(signal.SIGSTOP)
    s.later(s.long(), harm, "server", lambda: server.send(signal.SIGCONT))
    return harm


def pause_runner(s):
    runner = s.runner()
    if not runner:
        return None
    harm = Harm("stop runner", time.time(), runner=runner.name)
    runner.send(signal.SIGSTOP)
    s.later(s.long(), harm, runner.name, lambda: runner.send(signal.SIGCONT))
    return harm


def pause_job(s):
    """It may come back when its attempt is long over."""
    runner, held = s.a_job()
    if not held or not processes.send(held.pid, signal.SIGSTOP):
        return None
    harm = Harm("stop job process", time.time(), runner=runner.name, job=held.job, attempt=held.attempt)
    s.later(s.long(), harm, held, lambda: let_go([held.pid]))
    return harm


def hang_job(s):
    """For ever: its build is cancelled after the storm, if nothing else has ended the job by then."""
    runner, held = s.a_job()
    if not held or not processes.send(held.pid, signal.SIGSTOP):
        return None
    s.busy.add(held)
    return Harm("hang job process", time.time(), runner=runner.name, job=held.job, attempt=held.attempt)


def pause_step(s):
    pid, env = s.a_step()
    if not env or not processes.send(pid, signal.SIGSTOP):
        return None
    harm = Harm("stop step", time.time(), job=int(env["PELTON_JOB"]), attempt=int(env["PELTON_ATTEMPT"]))
    s.later(s.short(), harm, pid, lambda: let_go([pid]))
    return harm


def pause_machine(s):
    """A runner with its job processes, as a machine that is suspended: all of it comes back, late."""
    runner = s.runner()
    if not runner:
        return None
    pids = [runner.pid, *[held.pid for held in runner.jobs()]]
    harm = Harm("stop machine", time.time(), runner=runner.name)
    for pid in pids:
        processes.send(pid, signal.SIGSTOP)
    s.later(s.long(), harm, runner.name, lambda: let_go(pids))
    return harm


def cut_network(s):
    runner = s.runner()
    if not runner:
        return None
    harm = Harm("cut network", time.time(), runner=runner.name)
    runner.link.cut()
    s.later(s.long(), harm, runner.name, runner.link.mend)
    return harm


def fill_server_disk(s):
    if not s.server() or "disk" in s.busy:
        return None
    harm = Harm("fill server's disk", time.time(), server=True)
    filler = s.world.filler()
    s.world.excused += 1
    filler.fill()

    def free():
        with s.world.lock:  # a power cut would bring it back
            filler.free()
        s.world.excused -= 1

    s.later(s.rng.uniform(0.2, 1.5), harm, "disk", free)
    return harm


def fill_runner_disk(s):
    runner = s.runner()
    if not runner:
        return None
    harm = Harm("fill runner's disk", time.time(), runner=runner.name)
    filler = s.world.filler(runner)
    filler.fill()
    s.later(s.rng.uniform(0.2, 1.0), harm, runner.name, filler.free)
    return harm


def _fault(s, harm, faults, key):
    what, count = s.rng.choice([WRITE, WRITE, SYNC]), s.rng.randrange(1, 40)
    error = s.rng.choice(ERRORS)
    harm.detail = f"{'fsync' if what == SYNC else 'write'} {count}, errno {error}"
    s.world.excused += 1
    faults.wish(what, count, error)

    def clear():
        faults.clear()
        s.world.excused -= 1

    s.later(s.rng.uniform(0.3, 1.0), harm, key, clear)
    return harm


def fail_server_write(s):
    if not s.server() or "shim" in s.busy:
        return None
    return _fault(s, Harm("fail server's write", time.time(), server=True), s.world.server_faults, "shim")


def fail_runner_write(s):
    runner = s.runner()
    if not runner:
        return None
    return _fault(s, Harm("fail runner's write", time.time(), runner=runner.name), runner.faults, runner.name)


def cut_power(s):
    if not s.server() or "disk" in s.busy:
        return None
    harm = Harm("cut server's power", time.time(), server=True)
    s.world.power_cut()
    s.later(s.short(), harm, "server", s.world.start_server)
    return harm


@dataclass
class Kind:
    """needs: what of the machine, "" or "network", "disk", "shim"."""
    function: object
    weight: int
    needs: str = ""


KINDS = {
    "kill server": Kind(kill_server, 10),
    "kill server in a call": Kind(kill_server_in_a_call, 8),
    "SIGTERM server": Kind(stop_server_in_order, 2),
    "kill runner": Kind(kill_runner, 10),
    "kill runner in adoption": Kind(kill_runner_again, 5),
    "SIGTERM runner": Kind(stop_runner_in_order, 2),
    "kill server and runner": Kind(kill_both, 4),
    "kill machine": Kind(kill_machine, 4),
    "kill both machines": Kind(kill_both_machines, 1),
    "kill job process": Kind(kill_job, 10),
    "kill step": Kind(kill_step, 5),
    "stop server": Kind(pause_server, 5),
    "stop runner": Kind(pause_runner, 5),
    "stop job process": Kind(pause_job, 5),
    "hang job process": Kind(hang_job, 1),
    "stop step": Kind(pause_step, 2),
    "stop machine": Kind(pause_machine, 4),
    "cut network": Kind(cut_network, 8, "network"),
    "fill server's disk": Kind(fill_server_disk, 3, "disk"),
    "fill runner's disk": Kind(fill_runner_disk, 3, "disk"),
    "fail server's write": Kind(fail_server_write, 5, "shim"),
    "fail runner's write": Kind(fail_runner_write, 5, "shim"),
    "cut server's power": Kind(cut_power, 6, "disk"),
}


def kinds_here(abilities):
    """(those that this machine allows, those that it does not)."""
    here = [name for name, kind in KINDS.items() if not kind.needs or kind.needs in abilities]
    return here, [name for name in KINDS if name not in here]
