"""A container engine of the tests' own, with folders, socket and images of its own: a dockerd without a bridge, or Podman's
service in name spaces of its own."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import processes
from .wait import wait_for

DOCKER = "/usr/bin/docker"  # docker.io's, whatever else PATH has of that name; it speaks with Podman too
IMAGE = "busybox:test"


def _dockerd(folder, host):
    return ["/usr/sbin/dockerd", "--data-root", folder / "data", "--exec-root", folder / "exec", "--pidfile", folder / "pid",
            "-H", host, "--iptables=false", "--bridge=none", "--userland-proxy=false", "--log-level=error"]


def _podman(folder, host):
    # its rules for packets and its mounts are gone with their name spaces; its names of containers are in one place for all engines
    Path("/run/containers").mkdir(exist_ok=True)
    alone = ["unshare", "--net", "--mount", "sh", "-c", 'ip link set lo up && mount -t tmpfs none /run/containers && exec "$@"', "-"]
    return [*alone, "/usr/bin/podman", "--root", folder / "data", "--runroot", folder / "exec", "--tmpdir", folder / "tmp",
            "system", "service", "--time=0", host]


ENGINES = {  # how it is started, and what must be there
    "docker": (_dockerd, ["/usr/sbin/dockerd"]),
    "podman": (_podman, ["/usr/bin/podman", "/usr/lib/podman/netavark", "/usr/lib/podman/aardvark-dns",
                         "/usr/libexec/podman/catatonit"]),
}


def missing(kind="docker"):
    """Why that engine cannot be started here; None: it can."""
    if os.geteuid() != 0:
        return f"{kind} needs root"
    for program in (DOCKER, "/bin/busybox", *ENGINES[kind][1]):
        if not Path(program).exists():
            return f"{program} is not installed"
    return None


class Engine:
    """`with Engine() as engine`: it runs, and has the image IMAGE, nothing but busybox."""

    def __init__(self, kind="docker"):
        self.kind = kind

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="pelton-engine-"))
        self.env = {"DOCKER_HOST": f"unix://{self.folder / 'docker.sock'}"}
        command = ENGINES[self.kind][0](self.folder, self.env["DOCKER_HOST"])
        with open(self.folder / "log", "wb") as log:
            # conmon, Podman's monitor, leaves a file called "oom" in the current folder
            self.process = subprocess.Popen(command, env={**os.environ, "CONTAINERS_CONF": self._settings()}, cwd=self.folder,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for(lambda: f"{self.kind}\n{(self.folder / 'log').read_text()}", self._answers)
            self._import()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)
        processes.kill_all(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _settings(self):
        """Podman's: by itself it asks for limits that a machine without CAP_SYS_RESOURCE cannot give, and has its networks with
        those of all others on the machine."""
        path = self.folder / "containers.conf"
        path.write_text('[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
                        f'[network]\nnetwork_config_dir = "{self.folder / "networks"}"\n')
        return path

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
