"""One round's Pelton: a server, two runners each in a network name space of its own, small disks, real job processes."""

import json
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

from lib.client import Client
from lib.server import base_env
from lib.wait import SLOWER, wait_for
from lib.work import Work

from . import processes
from .faults import Faults
from .machine import NETWORK, Disk, Filler, Memory

STATE_MB, RUNNER_MB = 768, 256


class Process:
    """A server or a runner that is killed and started again. began: when; expected: whether we have ended it."""

    def __init__(self, name, log):
        self.name, self.log = name, Path(log)
        self.popen, self.expected = None, True

    def start(self, command, env, folder):
        with open(self.log, "ab") as log:
            self.popen = subprocess.Popen([str(word) for word in command], cwd=folder, env=env,
                                          stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.expected = False

    @property
    def up(self):
        return self.popen is not None and self.popen.poll() is None

    @property
    def pid(self):
        return self.popen.pid

    def kill(self):
        self.expected = True
        if self.popen is not None:
            self.popen.kill()
            self.popen.wait()

    def stop(self, timeout=40.0):
        """SIGTERM; gives the exit status, None: it had to be killed."""
        self.expected = True
        if self.popen is None:
            return 0
        self.popen.terminate()
        try:
            return self.popen.wait(timeout * SLOWER)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def send(self, number):
        if self.up:
            self.popen.send_signal(number)

    def tail(self):
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""


class Runner(Process):
    def __init__(self, name, folder, log, link, faults):
        super().__init__(name, log)
        self.folder, self.link, self.faults = Path(folder), link, faults

    def jobs(self):
        return processes.job_processes(self.folder)


class World:
    """lease: seconds. moving: the server takes another port each time that it starts."""

    def __init__(self, folder, tools, network, loops, lease, moving):
        self.folder, self.tools, self.lease, self.moving = Path(folder), tools, lease, moving
        self.name = f"crash-{os.getpid()}-{self.folder.name}"
        self.state = self.folder / "state"
        self.network, self.port = network, 0
        self.disks, self.disk = [], None
        self._make_disks(loops)
        (self.folder / "log").mkdir()
        links = network.links if network else [None, None]
        self.server_faults = Faults(self.folder / "server.shim")
        self.server = Process("server", self.folder / "log/server.log")
        self.runners = [Runner(name, self.folder / name, self.folder / f"log/{name}.log", link,
                               Faults(self.folder / f"{name}.shim")) for name, link in zip("ab", links)]
        self.client = None
        self.deaths = []  # those that we did not cause
        self.excused = 0  # how many reasons there are at the moment for a server that does not start
        self.lock = threading.RLock()

    def _make_disks(self, loops):
        if not loops:
            return
        self.disk = Disk(self.folder / "state.img", self.state, STATE_MB)
        self.disks = [self.disk] + [Memory(self.folder / name, RUNNER_MB) for name in "ab"]

    # ---- life

    @property
    def address(self):
        return f"{NETWORK}.1" if self.network else "127.0.0.1"

    def _free_port(self):
        with socket.socket() as probe:
            probe.bind((self.address, 0))
            return probe.getsockname()[1]

    def _env(self, faults):
        return {**base_env(self.folder), **faults.env(self.tools.shim)}

    def start_server(self):
        """Starts it and waits until it listens. False: it did not, for want of disk; to be tried again."""
        with self.lock:
            if self.server.up:
                return True
            if not self.port or self.moving:
                self.port = self._free_port()
            where = self.state / "server.json"
            where.unlink(missing_ok=True)
            self.server.start(
                [self.tools.binary, "server", "--state", self.state, "--listen", f"{self.address}:{self.port}",
                 "--ingress", "127.0.0.1:0", "--runners", "0", "--allow-executor", "shell", "--lease",
                 f"{self.lease}s", "--cancel-grace", "1s", "--cleanup-time", "2s"], self._env(self.server_faults), self.folder)
            wait_for(lambda: f"a server that listens\n{self.server.tail()}",
                     lambda: where.exists() or not self.server.up, 60)
            if not self.server.up:
                return self._did_not_start()
            url = json.loads(where.read_text())["url"]
            self.client = Client(url, (self.state / "admin.token").read_text().strip())
            return True

    def _did_not_start(self):
        self.server.expected = True
        if not self.excused:
            self.deaths.append(f"the server did not start, status {self.server.popen.returncode}\n"
                               f"{self.server.tail()}")
        return False

    def start_runner(self, runner):
        with self.lock:
            if runner.up:
                return
            command = [self.tools.binary, "runner", "--server", self.client.url, "--dir", runner.folder, "--name",
                       runner.name, "--slots", "3", "--allow-shell", "--cancel-grace", "1s", "--cleanup-time", "2s", "--job-uid-base",
                       str(200_000 + 1000 * self.runners.index(runner))]
            if self.moving:
                command += ["--server-file", self.state / "server.json"]
            if not (runner.folder / "token").exists():
                token = self.client.post("/api/tokens", {"name": runner.name, "role": "registration"})["token"]
                (self.folder / f"{runner.name}.token").write_text(token)
                command += ["--token-file", self.folder / f"{runner.name}.token"]
            runner.start(runner.link.inside(command) if runner.link else command, self._env(runner.faults),
                         self.folder)

    def start(self):
        assert self.start_server(), self.server.tail()
        for runner in self.runners:
            self.start_runner(runner)
            wait_for(f"runner {runner.name}", lambda: (runner.folder / "token").exists(), 60)

    def notice_deaths(self):
        """A process that ended by itself is noted, and started again."""
        with self.lock:
            for process in (self.server, *self.runners):
                if not process.up and not process.expected:
                    self.deaths.append(f"{process.name} ended by itself, status {process.popen.returncode}\n"
                                       f"{process.tail()}")
                    process.expected = True
                    if process is self.server:
                        self.start_server()
                    else:
                        self.start_runner(process)

    # ---- what belongs to it

    def steps(self):
        """{pid: environment} of what runs in jobs."""
        return processes.steps_of(self.name)

    def state_processes(self):
        """What works on the state: the server, git, the gateway, hooks; a runner only looks where the server is."""
        return [pid for pid in processes.belonging_to(self.state)
                if processes.name_of(pid) not in ("pelton runner", "pelton job")]

    def filler(self, runner=None):
        return Filler(runner.folder if runner else self.state)

    # ---- a power cut

    def power_cut(self):
        """Everything on the server's machine ends at once, and what it had not synced is gone."""
        with self.lock:
            self.server.expected = True
            pids = self.state_processes()
            for pid in pids:
                processes.send(pid, signal.SIGSTOP)
            wait_for("processes that stand", lambda: all(processes.stands(pid) for pid in pids))
            image = self.disk.copy()
            processes.kill_all(lambda: [pid for pid in self.state_processes() if processes.send(pid, signal.SIGKILL)])
            self.server.kill()
            wait_for("nobody on the disk", lambda: not self.state_processes())
            self.disk.replace(image)
            (self.state / "blobs" / "boot").unlink(missing_ok=True)  # as another start of the machine finds it

    # ---- repositories

    def create_repository(self, name):
        self.client.post("/api/repos", {"name": name}, expect=201)
        return Work(self.folder / "work" / name, "")

    def git_url(self, name):
        return f"http://ada:{self.client.token}@{self.client.address}/git/{name}.git"

    # ---- the end

    def kill_everything(self):
        for process in (self.server, *self.runners):
            process.kill()
        mine = str(self.folder)
        processes.kill_all(lambda: [pid for pid in {*processes.belonging_to(mine), *self.steps()}
                                    if processes.alive(pid)])

    def close(self):
        self.kill_everything()
        for disk in self.disks:
            disk.close()
        for faults in (self.server_faults, *(runner.faults for runner in self.runners)):
            faults.close()
