"""A container engine of the tests' own: a dockerd with folders, socket and images of its own, and no bridge."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from .wait import wait_for

DOCKER = "/usr/bin/docker"  # docker.io's, whatever else PATH has of that name
IMAGE = "busybox:test"


def missing():
    """Why no engine can be started here; None: it can."""
    if os.geteuid() != 0:
        return "dockerd needs root"
    for program in (DOCKER, "/usr/sbin/dockerd", "/bin/busybox"):
        if not Path(program).exists():
            return f"{program} is not installed"
    return None


class Engine:
    """`with Engine() as engine`: it runs, and has the image IMAGE, nothing but busybox."""

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="pelton-engine-"))
        self.socket = self.folder / "docker.sock"
        self.env = {"DOCKER_HOST": f"unix://{self.socket}"}
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                ["/usr/sbin/dockerd", "--data-root", self.folder / "data", "--exec-root", self.folder / "exec",
                 "--pidfile", self.folder / "pid", "-H", self.env["DOCKER_HOST"], "--iptables=false", "--bridge=none",
                 "--userland-proxy=false", "--log-level=error"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for(lambda: f"dockerd\n{(self.folder / 'log').read_text()}", self._answers)
            self._import()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        return self.run("version", check=False).returncode == 0

    def _import(self):
        root = self.folder / "root"
        (root / "bin").mkdir(parents=True)
        (root / "tmp").mkdir()
        shutil.copy("/bin/busybox", root / "bin")
        for name in subprocess.run(["/bin/busybox", "--list"], check=True, stdout=subprocess.PIPE,
                                   text=True).stdout.split():
            if name != "busybox":
                (root / "bin" / name).symlink_to("busybox")
        with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as tar:
            self.run("import", "-", IMAGE, stdin=tar.stdout)

    def run(self, *words, check=True, stdin=subprocess.DEVNULL):
        return subprocess.run([DOCKER, *map(str, words)], env={**os.environ, **self.env}, stdin=stdin,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=check)

    def ours(self):
        """The names of what jobs have made and not removed."""
        found = [self.run(*kind, "--filter", "label=pelton.runner", "--format", "{{.Name" + plural + "}}").stdout.split()
                 for kind, plural in ((("ps", "-a"), "s"), (("network", "ls"), ""))]
        return sorted(sum(found, []))
