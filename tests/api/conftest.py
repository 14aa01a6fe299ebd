"""A server for all tests of a file, where the state that they leave does not matter to the others."""

import itertools

import pytest

from lib.fake_runner import FakeRunner
from lib.server import Pelton

ONE_JOB = {".pelton.yml": "jobs:\n  test:\n    checkout: false\n    steps:\n      - echo hi\n"}


class Bench:
    """A server without a runner of its own, and runners that do what the test says."""

    def __init__(self, server):
        self.server = server
        self.numbers = itertools.count(1)

    def __getattr__(self, name):
        return getattr(self.server, name)

    def runner(self, **options):
        return FakeRunner(self.server, f"fake{next(self.numbers)}", **options)

    def name(self):
        return f"repo{next(self.numbers)}"

    def build_of(self, files=None):
        """The number of a new build of a new repository."""
        return self.push(self.name(), files or ONE_JOB)[1].build

    def more(self, name, expect=202):
        """Another build of a repository."""
        return self.server.client.post(f"/api/repos/{name}/builds", {}, expect=expect)["id"]

    def job(self, runner, number=None, files=None):
        """A job of a new build, leased to the runner: (build, job)."""
        number = number or self.build_of(files)
        job = runner.take()
        assert job["build"] == number
        return number, job

    def settle(self):
        """Ends what a test has left, so that the next one's runner does not get it."""
        before = ""
        while builds := self.server.client.get(f"/api/builds?limit=100{before}")["builds"]:
            for build in builds:
                if build["status"] in ("queued", "running"):
                    self.server.api("POST", f"/api/builds/{build['id']}/cancel", expect=(200, 409))
            before = f"&before={builds[-1]['id']}"


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory, request):
    """A module's FLAGS are further ones of it."""
    flags = getattr(request.module, "FLAGS", ())
    with Pelton(tmp_path_factory.mktemp("shared"), "--runners", "0", *flags) as server:
        yield Bench(server)


@pytest.fixture
def bench(shared_server):
    yield shared_server
    shared_server.settle()


@pytest.fixture
def own_bench(start_pelton):
    """own_bench(*flags): a Bench with a server of the test's own."""
    return lambda *flags, **options: Bench(start_pelton("--runners", "0", *flags, **options))


@pytest.fixture
def one_job():
    return dict(ONE_JOB)
