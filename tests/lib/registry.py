"""A registry of images that lets in the user "tester" with the password "secret"."""

import base64
import json
import re
import subprocess
import tempfile
from pathlib import Path

from .client import basic, request
from .wait import wait_for

PROGRAM = "/usr/bin/docker-registry"
CONFIG = """version: 0.1
storage: {{filesystem: {{rootdirectory: {0}/images}}}}
http: {{addr: "127.0.0.1:0"}}
auth: {{htpasswd: {{realm: test, path: {0}/users}}}}
"""
USERS = "tester:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"


def missing():
    """Why there can be none here; None: there can."""
    return None if Path(PROGRAM).exists() else f"{PROGRAM} is not installed"


class Registry:
    """`with Registry() as registry`: registry.address, registry.login (the JSON of `docker login`), registry.tags(name)."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="pelton-registry-")
        path = Path(self.folder.name)
        (path / "users").write_text(USERS)
        (path / "config.yml").write_text(CONFIG.format(path))
        with open(path / "log", "wb") as log:
            self.process = subprocess.Popen([PROGRAM, "serve", path / "config.yml"], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        try:
            self.address = wait_for("registry that listens", lambda: self._listens(path / "log"))
        except BaseException:
            self.__exit__()
            raise
        login = base64.b64encode(b"tester:secret").decode()
        self.login = json.dumps({"auths": {self.address: {"auth": login}}})
        return self

    def tags(self, name):
        headers = {"Authorization": basic("tester", "secret")}
        return sorted(request(self.address, "GET", f"/v2/{name}/tags/list", headers=headers).json["tags"])

    def _listens(self, log):
        assert self.process.poll() is None, log.read_text()
        found = re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text())
        return found and found[1]

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()
