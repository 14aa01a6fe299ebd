"""Fixtures of the black-box tests. Each test has a server, and a state directory, of its own."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib.server import ROOT, Pelton  # noqa: E402


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
def examples():
    return ROOT / "examples"
