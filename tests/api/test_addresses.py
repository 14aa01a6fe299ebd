"""Where the server says that it is."""

import os
import signal
import socket
import subprocess

import pytest

from lib.server import BINARY, Pelton, base_env


def test_a_server_that_listens_everywhere_is_told_by_addresses_that_work(tmp_path):
    with Pelton(tmp_path, "--listen", "0.0.0.0:0", "--runners", "0") as server:
        port = server.where["address"].rsplit(":", 1)[1]
        assert server.where["url"] == f"http://127.0.0.1:{port}"
        assert server.where["public_url"] == f"http://{socket.gethostname()}:{port}"
        assert server.create_repo("a")["clone_url"] == f"http://{socket.gethostname()}:{port}/git/a.git"


def test_the_url_that_is_given_is_the_one_in_links(tmp_path):
    with Pelton(tmp_path, "--url", "https://ci.example.com/", "--runners", "0") as server:
        assert server.create_repo("a")["clone_url"] == "https://ci.example.com/git/a.git"
        assert server.where["url"].startswith("http://127.0.0.1:")


@pytest.mark.parametrize("url", ["ci.example.com", "ftp://ci.example.com", "/"])
def test_a_url_that_is_none_stops_the_start(tmp_path, url):
    done = subprocess.run([BINARY, "server", "--state", tmp_path / "state", "--url", url], cwd=tmp_path,
                          env=base_env(tmp_path), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "url" in done.stderr and url in done.stderr
    assert not (tmp_path / "state").exists()


def test_what_is_deployed_is_told_by_the_url_of_the_ingress(tmp_path):
    with Pelton(tmp_path, "--ingress-url", "https://apps.example.com/", "--trusted-proxy", "127.0.0.1,10.0.0.0/8", "--runners", "0") as server:
        assert "applications: https://NAME.apps.example.com/" in server.server_log()
        printed = subprocess.run([BINARY, "server", "--print-config", *server.flags], cwd=tmp_path, env=base_env(tmp_path), capture_output=True,
                                 text=True, timeout=60, check=True)
        assert 'domain: "apps.example.com"   # from ingress-url\n' in printed.stdout


@pytest.mark.parametrize("flags, word", [
    (["--ingress-url", "apps.example.com"], "ingress-url"), (["--ingress-url", "ftp://apps.example.com"], "ingress-url"),
    (["--ingress-url", "https://apps.example.com/x"], "ingress-url"), (["--ingress-url", "https://apps.example.com:0"], "ingress-url"),
    (["--ingress-url", "https://Apps_example"], "Apps_example"), (["--ingress-url", "https://a.example.com", "--domain", "b.example.com"], "leave one"),
    (["--trusted-proxy", "proxy.example.com"], "trusted proxy"), (["--trusted-proxy", "10.0.0.0/33"], "trusted proxy")])
def test_what_stands_before_the_ingress_must_be_said_right(tmp_path, flags, word):
    done = subprocess.run([BINARY, "server", "--state", tmp_path / "state", *flags], cwd=tmp_path,
                          env=base_env(tmp_path), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and word in done.stderr, done.stderr


def test_a_runner_that_hangs_does_not_keep_the_server_from_stopping(tmp_path):
    with Pelton(tmp_path) as server:
        runner = server.process_of("pelton runner")
        os.kill(runner, signal.SIGSTOP)
        server.stop()
        assert runner not in server.processes()
