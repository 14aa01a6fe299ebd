"""TLS as people have it: a small CA, certificates of it, and HAProxy with the configuration that the manual shows."""

import re
import socket
import ssl
import subprocess
from pathlib import Path

from .ports import free_port
from .server import ROOT, base_env
from .wait import wait_for

PAGE = ROOT / "docs" / "proxy.md"


def openssl(folder, *arguments):
    subprocess.run(["openssl", *map(str, arguments)], cwd=folder, check=True, capture_output=True, timeout=60)


class CA:
    """A CA in a folder of its own. file: its certificate."""

    def __init__(self, folder, name="test CA"):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.file = self.folder / "ca.crt"
        openssl(self.folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key",
                "-out", self.file, "-days", "30", "-subj", f"/CN={name}")

    def certificate(self, name, *hosts, expired=False):
        """A file with the certificate for the host names and addresses, and its key, as HAProxy wants it."""
        key, request, signed, bundle = (self.folder / f"{name}.{end}" for end in ("key", "csr", "crt", "pem"))
        names = ",".join(("IP:" if re.fullmatch(r"[0-9.]+", host) else "DNS:") + host for host in hosts)
        openssl(self.folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request,
                "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}")
        (self.folder / "index.txt").write_text("")
        (self.folder / "ca.cnf").write_text(
            f"[ca]\ndefault_ca=own\n[own]\ndatabase={self.folder}/index.txt\nnew_certs_dir={self.folder}\nrand_serial=yes\n"
            "default_md=sha256\npolicy=any\ncopy_extensions=copy\nunique_subject=no\n[any]\ncommonName=supplied\n")
        dates = ("20200101000000Z", "20200201000000Z") if expired else ("20200101000000Z", "20491231000000Z")
        openssl(self.folder, "ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", "ca.crt", "-keyfile", "ca.key", "-in", request,
                "-out", signed, "-startdate", dates[0], "-enddate", dates[1])
        bundle.write_bytes(signed.read_bytes() + key.read_bytes())
        return bundle

    def context(self):
        """For a Python client that believes this CA alone."""
        return ssl.create_default_context(cafile=self.file)


def documented():
    """The configuration that the manual shows."""
    return re.search(r"<!-- haproxy: begin -->\n```haproxy\n(.*?)```\n<!-- haproxy: end -->", PAGE.read_text(), re.S).group(1)


def replaced(text, changes):
    for old, new in changes.items():
        assert old in text, f"{PAGE.name} has no {old!r} in its configuration"
        text = text.replace(old, new)
    return text


class Proxy:
    """HAProxy before a server: https://localhost:PORT is the server's, every other name is an application's."""

    def __init__(self, folder, certificate, changes=None):
        """changes: of the documented configuration, {old: new}."""
        self.folder, self.certificate, self.changes = Path(folder), certificate, dict(changes or {})
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, self.plain_port = free_port(), free_port()
        self.url, self.plain_url = f"https://localhost:{self.port}", f"http://localhost:{self.plain_port}"
        self.apps_url = f"https://apps.localhost:{self.port}"
        self.process = None

    def start(self, server):
        assert self.process is None
        changes = {"bind :80\n": f"bind 127.0.0.1:{self.plain_port}\n", "bind :443 ": f"bind 127.0.0.1:{self.port} ",
                   "/etc/haproxy/pelton.pem": str(self.certificate), "ci.example.com": "localhost", "127.0.0.1:8080": server.address,
                   "127.0.0.1:8081": server.ingress}
        (self.folder / "haproxy.cfg").write_text(replaced(replaced(documented(), changes), self.changes))
        with open(self.folder / "haproxy.log", "ab") as log:
            self.process = subprocess.Popen(["haproxy", "-db", "-f", self.folder / "haproxy.cfg"], cwd=self.folder,
                                            env=base_env(self.folder), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self.log, self._listens)
        return self

    def log(self):
        return (self.folder / "haproxy.log").read_text()

    def _listens(self):
        assert self.process.poll() is None, self.log()
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self):
        """With all its connections, at once."""
        process, self.process = self.process, None
        process.kill()
        process.wait()

    def close(self):
        if self.process is not None:
            self.kill()
