"""Fixtures of the black-box tests. Each test has a server, and a state directory, of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib import processes  # noqa: E402
from lib.server import ROOT, Pelton, base_env  # noqa: E402


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.failed = outcome.get_result().failed


@pytest.fixture
def start_pelton(tmp_path, request):
    """start_pelton(*flags, env=…): a server; several may be started."""
    servers = []

    def start(*flags, folder=None, **options):
        server = Pelton(folder or tmp_path / f"pelton{len(servers) or ''}", *flags, **options)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        if getattr(request.node, "failed", False):
            print(f"---- {server.log_path}\n{server.server_log()}")
    errors = []
    for server in servers:
        try:
            server.close()
        except AssertionError as error:
            errors.append(error)
    if errors:
        raise errors[0]


@pytest.fixture
def pelton(start_pelton):
    """A server on free ports, with one runner of its own."""
    return start_pelton()


@pytest.fixture
def start_runner(tmp_path):
    """start_runner(server, *flags, env=…): the runner "far", which the server has not started."""
    started = []

    def start(server, *flags, env=None):
        command = [server.binary, "runner", "--server", server.url, "--dir", tmp_path / "far", "--name", "far", *flags]
        with open(tmp_path / "far.log", "ab") as log:
            runner = subprocess.Popen(command, cwd=tmp_path, env={**base_env(tmp_path), **(env or {})},
                                      stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        started.append(runner)
        return runner

    yield start
    for runner in started:
        runner.terminate()
        runner.wait(30)
    processes.kill_all(tmp_path / "far")
    processes.remove_groups(*tmp_path.glob("far"))


@pytest.fixture
def examples():
    return ROOT / "examples"
