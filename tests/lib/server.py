"""A Pelton of the test's own: its program, its state, everything that it starts."""

import json
import os
import signal
import subprocess
from pathlib import Path

from . import processes, schemas
from .client import Client, request, wait_page
from .wait import SLOWER, wait_for
from .work import Work

ROOT = Path(__file__).resolve().parent.parent.parent
BINARY = Path(os.environ.get("PELTON_BIN", ROOT / "build" / "pelton"))
FINISHED = ("success", "failed", "partial", "cancelled")
SANITIZERS = ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS")


def base_env(home):
    env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home),
           "LANG": "C.UTF-8"}
    return {**env, **{name: os.environ[name] for name in SANITIZERS if name in os.environ}}


class Pelton:
    """`with Pelton(tmp_path) as server`, or the fixture `pelton`. Ports are free ones."""

    def __init__(self, folder, *flags, env=None, binary=BINARY, descriptors=0, prepare=None):
        """flags: further ones of `pelton server`; env: further variables of it; descriptors: at most so many;
        prepare: called in its process before it becomes the server."""
        self.folder, self.binary = Path(folder), Path(binary)
        self.state = self.folder / "state"
        self.log_path = self.folder / "server.log"
        self.flags, self.env = list(flags), dict(env or {})
        self.descriptors, self.prepare = descriptors, prepare
        self.process = None
        assert self.binary.exists(), f"{self.binary} is missing: ./setup builds it"

    # ---- life

    def start(self, *flags):
        """Starts the server and waits until it has said where it listens. flags: for this time only."""
        assert self.process is None
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.state / "server.json").unlink(missing_ok=True)
        command = [self.binary, "server", "--state", self.state, "--listen", "127.0.0.1:0",
                   "--ingress", "127.0.0.1:0", *self.flags, *flags]
        if self.descriptors:
            command = ["prlimit", f"--nofile={self.descriptors}:{self.descriptors}", *command]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, env={**base_env(self.folder), **self.env},
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=self.prepare)
        self.where = wait_for(lambda: f"server.json\n{self.server_log()}", self._read_where)
        self.client = Client(self.where["url"], (self.state / "admin.token").read_text().strip())
        self.client.schemas = schemas.of(self.client, self.binary)
        return self

    def _read_where(self):
        if self.process.poll() is not None:
            status, self.process = self.process.returncode, None
            raise AssertionError(f"the server ended, exit status {status}\n{self.server_log()}")
        try:
            return json.loads((self.state / "server.json").read_text())
        except FileNotFoundError:
            return None

    def stop(self, expect=0):
        """SIGTERM; jobs and releases go on."""
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(30 * SLOWER)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            process.wait()
            raise AssertionError(f"the server does not stop\n{self.server_log()}") from None
        assert status == expect, f"the server ended with {status}\n{self.server_log()}"

    def kill(self):
        """SIGKILL, to the server alone."""
        process, self.process = self.process, None
        process.kill()
        process.wait()

    def restart(self, *flags):
        self.stop()
        return self.start(*flags)

    def close(self):
        """Ends the server and all that has outlived it, whatever state they are in."""
        try:
            if self.process is not None:
                self.stop()
        finally:
            if self.process is not None:
                self.kill()
            processes.kill_all(self.folder)
            processes.remove_groups(*self.state.glob("runner*"), *self.state.glob("releases/*"))

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    # ---- where things are

    @property
    def url(self):
        return self.where["url"]

    @property
    def address(self):
        """"127.0.0.1:41234"."""
        return self.client.address

    @property
    def ingress(self):
        return self.where["ingress"]

    @property
    def pid(self):
        return self.process.pid

    @property
    def token(self):
        return self.client.token

    def processes(self):
        """{pid: command line} of all that belongs to this server."""
        return {pid: processes.command_of(pid) for pid in processes.processes_of(self.folder)}

    def processes_named(self, name):
        """The pids of its processes of that name: "pelton runner", "pelton job"."""
        def is_it(pid):
            try:
                return Path(f"/proc/{pid}/comm").read_text().strip() == name and processes.alive(pid)
            except OSError:
                return False

        return [pid for pid in self.processes() if is_it(pid)]

    def process_of(self, name):
        """The one process of that name. A child of it that is forked and has not executed its program yet has its name and line too."""
        def it():
            pids = self.processes_named(name)
            return [pid for pid in pids if processes.parent_of(pid) not in pids]

        return wait_for(name, it)[0]

    def server_log(self):
        try:
            return self.log_path.read_text(errors="replace")[-20000:]
        except FileNotFoundError:
            return ""

    # ---- the API and the command line

    def api(self, method, path, body=None, **options):
        """See Client.call."""
        return self.client.call(method, path, body, **options)

    def as_token(self, token):
        """The API for somebody else; None: without a token."""
        return Client(self.url, token, self.client.schemas)

    def run(self, *arguments, expect=0, input=None, env=None, timeout=60.0):
        """`pelton ARGUMENTS…`, logged in as the administrator. expect: its exit status (None: any)."""
        settings = {"PELTON_URL": self.url, "PELTON_TOKEN": self.token,
                    "PELTON_CONFIG": str(self.folder / "cli.yml")}
        done = subprocess.run([self.binary, *map(str, arguments)], cwd=self.folder, text=True, errors="replace",
                              env={**base_env(self.folder), **settings, **(env or {})}, capture_output=True,
                              input=input if input is not None else "", timeout=timeout * SLOWER, check=False)
        assert expect is None or done.returncode == expect, (
            f"pelton {' '.join(map(str, arguments))}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def registration_token(self):
        """For a runner that comes."""
        return self.client.post("/api/tokens", {"name": "far", "role": "registration", "ttl": "1h"})["token"]

    # ---- repositories and builds

    def git_url(self, name, token=None):
        """Where to push to, with the token as the password."""
        return f"http://ada:{token or self.token}@{self.address}/git/{name}.git"

    def create_repo(self, name):
        return self.client.post("/api/repos", {"name": name}, expect=201)

    def work(self, name, files=None):
        """A new repository and a working copy of it, with a first commit when there are files."""
        self.create_repo(name)
        work = Work(self.folder / "work" / name, self.git_url(name))
        if files is not None:
            work.commit(files)
        return work

    def push(self, name, files):
        """A new repository with one pushed commit: (Work, Push)."""
        work = self.work(name, files)
        return work, work.push()

    def build(self, number):
        return self.client.get(f"/api/builds/{number}")

    def wait_build(self, number, status=None, timeout=60.0, **options):
        """The finished build; status: what it must have become; options: of wait_for."""
        def how():
            return f"end of build {number}: {self.build(number)}\n{self.log(number)}\n{self.server_log()}"

        def finished():
            build = self.build(number)
            return build if build["status"] in FINISHED else None

        build = wait_for(how, finished, timeout, **options)
        assert status is None or build["status"] == status, (
            f"{build}\n{self.log(number)}\n{self.server_log()}")
        return build

    def log(self, number):
        """All that the build's jobs have printed, as text."""
        return self.api("GET", f"/api/builds/{number}/logs").json["logs"]

    # ---- what is live

    def wait_page(self, name, condition, path="/", timeout=60.0):
        """The page of the deployed repository, through the gateway."""
        try:
            return wait_page(self.ingress, f"{name}.localhost", condition, path, timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.deployments()}\n{self.server_log()}") from None

    def page(self, name, path="/", **options):
        return request(self.ingress, "GET", path, headers={"Host": f"{name}.localhost"}, **options)

    def deployments(self):
        return self.client.get("/api/deployments")["deployments"]

    def wait_live(self, commit, timeout=60.0):
        """The deployment of the commit once it is live; its failure fails the test."""
        def live():
            for deployment in self.deployments():
                if deployment["commit_sha"] == commit:
                    assert deployment["status"] not in ("failed", "cancelled"), (
                        f"{deployment}\n{self.server_log()}")
                    return deployment if deployment["status"] == "live" else None
            return None

        return wait_for(lambda: f"live {commit}: {self.deployments()}\n{self.server_log()}", live, timeout)
