"""Caches: what a job leaves for later ones, and for whom."""

import json
import socket
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from lib.wait import wait_for

KEEP = """jobs:
  t:
    cache: {{key: "{key}", {restore}paths: [{paths}]}}
    runs-on: {{executor: sandbox}}
    steps:
      - |
        {script}
"""


def pipeline(script, key="k", restore="", paths="deps"):
    lines = script.replace("\n", "\n        ")
    return {".pelton.yml": KEEP.format(key=key, restore=restore and f"restore: [{restore}], ", paths=paths, script=lines)}


def built(pelton, work, files, ref="main", status="success"):
    """(the log, the build) of a further commit."""
    work.commit(files)
    push = work.push(ref)
    build = pelton.wait_build(push.build, status)
    return pelton.log(push.build), build


def caches(pelton, name="hello"):
    return pelton.client.get(f"/api/repos/{name}/caches")["caches"]


def test_what_a_job_keeps_is_there_for_the_next_as_it_was(pelton):
    work = pelton.work("hello", pipeline("mkdir -p deps/a/empty; echo one >deps/a/f; chmod 755 deps/a/f; ln -s f deps/a/l; ln -s /nowhere deps/far;"
                                         " touch -d @1000000000 deps/a/f; echo made"))
    log, _ = built(pelton, work, {"x": "1"})
    assert "cache: there is no k yet" in log and "cache: k kept, " in log
    log, _ = built(pelton, work, pipeline("cat deps/a/f deps/a/l; stat -c '%a %Y' deps/a/f; readlink deps/far; test -d deps/a/empty"))
    assert "cache: k restored, " in log and "one\none\n755 1000000000\n/nowhere\n" in log
    assert "kept" not in log
    assert [(c["key"], c["ref"]) for c in caches(pelton)] == [("k", "refs/heads/main")]


def test_a_key_of_a_files_hash_changes_with_it_and_a_prefix_finds_the_newest(pelton):
    key = "npm-${{ hash('lock', 'more/**') }}"
    work = pelton.work("hello", {**pipeline("mkdir -p deps; echo 1 >>deps/f; cat deps/f", key, "npm-"), "lock": "a"})
    log, _ = built(pelton, work, {"lock": "a", "more/x": "1"})
    assert "there is no npm-" in log
    log, _ = built(pelton, work, {"lock": "b"})
    assert "restored" in log and "kept" in log and "1\n1\n" in log
    log, _ = built(pelton, work, {"other": "x"})
    assert "restored" in log and "kept" not in log and "1\n1\n1\n" in log
    assert len({c["key"] for c in caches(pelton)}) == 2 and all(len(c["key"]) == 4 + 64 for c in caches(pelton))


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xff
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
def test_a_damaged_cache_is_as_none_and_the_job_keeps_a_good_one(pelton, damage):
    work = pelton.work("hello", pipeline("mkdir -p deps; echo made >>deps/f; cat deps/f"))
    built(pelton, work, {"x": "1"})
    [path] = [path for path in (pelton.state / "blobs" / "caches").rglob("*") if path.is_file()]
    damage(path)
    log, _ = built(pelton, work, {"x": "2"})
    assert "cache: k: it is damaged, and replaced when the job has gone well\n" in log and "cache: k kept, " in log, log
    assert "made\nmade\n" not in log and "another job" not in log
    log, _ = built(pelton, work, {"x": "3"})
    assert "cache: k restored, " in log and "made\nmade\n" in log
    assert len(caches(pelton)) == 1


def test_a_damaged_cache_of_another_branch_is_told_and_not_replaced(pelton):
    work = pelton.work("hello", pipeline("mkdir -p deps; echo made >>deps/f; cat deps/f"))
    built(pelton, work, {"x": "1"})
    [path] = [path for path in (pelton.state / "blobs" / "caches").rglob("*") if path.is_file()]
    flip(path)
    work.git("switch", "-q", "-c", "side")
    log, _ = built(pelton, work, {"x": "2"}, "side")
    number = [cache["id"] for cache in caches(pelton) if cache["ref"] == "refs/heads/main"][0]
    assert f"k is damaged; remove it: pelton cache rm hello {number}\n" in log and "cache: k kept, " in log
    log, _ = built(pelton, work, {"x": "3"}, "side")
    assert "cache: k restored, " in log


def test_a_job_that_fails_keeps_nothing(pelton):
    work = pelton.work("hello", pipeline("mkdir deps; touch deps/f; exit 1"))
    log, _ = built(pelton, work, {"x": "1"}, status="failed")
    assert "kept" not in log and caches(pelton) == []


def test_a_branch_reads_its_own_then_the_default_branchs_and_writes_its_own_only(pelton):
    work = pelton.work("hello", pipeline("mkdir -p deps; echo main >>deps/f; cat deps/f"))
    built(pelton, work, {"x": "1"})
    work.git("switch", "-q", "-c", "side")
    log, _ = built(pelton, work, pipeline("echo side >>deps/f; cat deps/f"), "side")
    assert "main\nside\n" in log and "k kept" in log
    log, _ = built(pelton, work, pipeline("cat deps/f; echo again"), "side")
    assert "main\nside\nagain\n" in log
    work.git("switch", "-q", "main")
    log, _ = built(pelton, work, pipeline("cat deps/f; echo end"))
    assert "main\nend\n" in log
    assert sorted(c["ref"] for c in caches(pelton)) == ["refs/heads/main", "refs/heads/side"]


def test_nothing_is_written_or_read_through_links_of_the_repository(pelton):
    outside = pelton.folder / "outside"
    outside.mkdir(mode=0o777)
    outside.chmod(0o777)
    (outside / "host").write_text("of the host")
    work = pelton.work("hello", pipeline("mkdir -p deps/in; echo hi >deps/in/f", paths="deps, link/host"))
    built(pelton, work, {"x": "1"})
    (work.path / "deps").symlink_to(outside)
    (work.path / "link").symlink_to(outside)
    work.git("add", "-A")
    log, _ = built(pelton, work, pipeline("cat deps/in/f; test ! -L deps", paths="deps, link/host"))
    assert "hi\n" in log
    assert [path.name for path in outside.iterdir()] == ["host"]
    log, _ = built(pelton, work, pipeline("true", "other", paths="deps, link/host, link/*"))
    assert "cache: other kept" in log  # the links themselves
    archive = b"".join(path.read_bytes() for path in (pelton.state / "blobs" / "caches").rglob("*") if path.is_file())
    assert archive and b"of the host" not in archive


def test_those_that_were_used_longest_ago_go_when_there_is_no_room(start_pelton):
    pelton = start_pelton("--cache-project", "2500K")
    work = pelton.work("hello", {"x": "0"})
    for key in ["a", "b"]:
        built(pelton, work, pipeline("mkdir deps; head -c 1000000 /dev/urandom >deps/f", key))
    built(pelton, work, pipeline("test -s deps/f", "a"))
    built(pelton, work, pipeline("mkdir deps; head -c 1000000 /dev/urandom >deps/f", "c"))
    assert [c["key"] for c in caches(pelton)] == ["c", "a"]
    log, _ = built(pelton, work, pipeline("mkdir deps; head -c 3000000 /dev/urandom >deps/f", "d"))
    assert "d is not kept" in log and "at most" in log
    assert len([p for p in (pelton.state / "blobs" / "caches").rglob("*") if p.is_file()]) == 2


def test_caches_are_listed_and_removed_by_hand(pelton):
    work = pelton.work("hello", pipeline("mkdir -p deps; touch deps/f", "one"))
    built(pelton, work, {"x": "1"})
    built(pelton, work, pipeline("mkdir -p deps; touch deps/f", "two"))
    listed = json.loads(pelton.run("cache", "list", "hello", "--json").stdout)["caches"]
    assert [c["key"] for c in listed] == ["two", "one"]
    assert "one" in pelton.run("cache", "list", "hello").stdout
    pelton.run("cache", "rm", "hello", str(listed[0]["id"]))
    pelton.run("cache", "rm", "hello", str(listed[0]["id"]), expect=3)
    assert [c["key"] for c in caches(pelton)] == ["one"]
    pelton.run("cache", "rm", "hello", expect=2)
    pelton.run("cache", "rm", "hello", "--all")
    assert caches(pelton) == []
    assert [p for p in (pelton.state / "blobs" / "caches").rglob("*") if p.is_file()] == []


def packing(pelton):
    """Whether a job has a child of its own kind."""
    def name(pid):
        try:
            return Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            return ""
    return [name(pid) for pid in pelton.processes()].count("pelton job") > 1


def kept_by(pelton, work, size, flag):
    """The number of a build whose cache has so many bytes; its step has ended all but."""
    script = f"mkdir deps; head -c {size} /dev/urandom >deps/f; sha256sum deps/f; echo made; until [ -e {flag} ]; do :; done"
    work.commit({".pelton.yml": pipeline(script)[".pelton.yml"].replace("sandbox", "shell")})
    number = work.push().build
    wait_for("the step", lambda: "made\n" in pelton.log(number))
    return number


def check_kept(pelton, work, number):
    pelton.wait_build(number, "success")
    log = pelton.log(number)
    assert "cache: k kept, " in log, log
    wait_for("no upload", lambda: [path for path in (pelton.state / "blobs" / "tmp").iterdir()] == [])
    work.url = pelton.git_url("hello")  # the server has come back at another port
    restored, _ = built(pelton, work, pipeline("sha256sum deps/f"))
    assert next(line for line in log.splitlines() if line.endswith(" deps/f")) in restored.splitlines()


def test_a_cache_that_is_packed_while_the_server_is_away_is_kept_when_it_is_back(start_pelton, tmp_path):
    pelton = start_pelton("--allow-executor", "shell")
    work = pelton.work("hello", {"x": "0"})
    number = kept_by(pelton, work, 8_000_000, tmp_path / "flag")
    pelton.stop()
    (tmp_path / "flag").touch()
    wait_for("packing", lambda: packing(pelton))
    pelton.start()
    check_kept(pelton, work, number)


def test_a_server_that_is_killed_while_it_takes_a_cache_gets_it_again(start_pelton, tmp_path):
    pelton = start_pelton("--allow-executor", "shell")
    work = pelton.work("hello", {"x": "0"})
    number = kept_by(pelton, work, 150_000_000, tmp_path / "flag")
    (tmp_path / "flag").touch()
    wait_for("an upload", lambda: any(path.stat().st_size for path in (pelton.state / "blobs" / "tmp").iterdir()))
    pelton.kill()
    pelton.start()
    check_kept(pelton, work, number)


def test_what_cannot_be_read_ends_the_keeping_and_not_the_job(pelton):
    work = pelton.work("hello", {"x": "0"})
    log, _ = built(pelton, work, pipeline("mkdir deps; head -c 20000000 /dev/urandom >deps/a; touch deps/b; chmod 0 deps/b"))
    assert "cache: k is not kept: open deps/b: Permission denied" in log
    wait_for("no upload", lambda: [path for path in (pelton.state / "blobs" / "tmp").iterdir()] == [])
    assert caches(pelton) == []


def test_a_cancel_ends_the_keeping_too(start_pelton, tmp_path):
    pelton = start_pelton("--allow-executor", "shell")
    work = pelton.work("hello", {"x": "0"})
    number = kept_by(pelton, work, 300_000_000, tmp_path / "flag")
    (tmp_path / "flag").touch()
    wait_for("an upload", lambda: any(path.stat().st_size for path in (pelton.state / "blobs" / "tmp").iterdir()))
    pelton.run("cancel", str(number))
    pelton.wait_build(number, "cancelled")
    wait_for("no upload", lambda: [path for path in (pelton.state / "blobs" / "tmp").iterdir()] == [])
    assert "kept" not in pelton.log(number) and caches(pelton) == [] and not packing(pelton)


class Cutter:
    """Stands between a runner and its server. Connections break in the midst of a cache that is sent, `cuts` times."""

    def __init__(self, server, cuts, size):
        host, port = server.address.rsplit(":", 1)
        self.to, self.cuts, self.size, self.came = (host, int(port)), cuts, size, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                ours = self.listener.accept()[0]
            except OSError:
                return
            theirs = socket.create_connection(self.to)
            for way in ((ours, theirs, self._hears_a_cache), (theirs, ours, lambda data: False)):
                threading.Thread(target=self._copy, args=way, daemon=True).start()

    def _hears_a_cache(self, data):
        """A request begins with what it is for. Whether its connection is to break."""
        if not (data.startswith(b"PUT /api/runner/jobs/") and b"/cache?" in data.split(b"\r\n")[0]):
            return False
        self.came += 1
        return self.came <= self.cuts

    def _copy(self, source, to, breaks):
        left = None  # bytes until it breaks
        try:
            while data := source.recv(65536):
                if left is None and breaks(data):
                    left = self.size
                if left is not None:
                    data = data[:left]
                    left -= len(data)
                to.sendall(data)
                if left == 0:
                    break
        except OSError:
            pass
        for one in (source, to):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


@pytest.fixture
def cut_off(start_pelton, start_runner):
    """cut_off(cuts): (what is between, the server, the log) of a job whose cache's connection broke that often in its midst."""
    def run(cuts):
        pelton = start_pelton("--runners", "0")
        with Cutter(pelton, cuts, 1_000_000) as cutter:
            start_runner(SimpleNamespace(binary=pelton.binary, url=cutter.url), "--token", pelton.registration_token())
            work = pelton.work("hello", pipeline("mkdir deps; head -c 3000000 /dev/urandom >deps/f"))
            number = work.push().build
            pelton.wait_build(number, "success", timeout=120)
            return cutter, pelton, pelton.log(number)

    return run


def test_a_cache_whose_connection_breaks_each_time_is_packed_five_times_and_the_job_succeeds(cut_off):
    cutter, pelton, log = cut_off(1000)
    assert log.count("cache: k is not kept: ") == 1 and "cache: k kept" not in log, log
    assert cutter.came == 5 and caches(pelton) == []
    wait_for("no upload", lambda: [path for path in (pelton.state / "blobs" / "tmp").iterdir()] == [])


def test_a_cache_whose_connection_breaks_four_times_is_kept(cut_off):
    cutter, pelton, log = cut_off(4)
    assert "cache: k kept, " in log and "not kept" not in log, log
    assert cutter.came == 5 and [one["key"] for one in caches(pelton)] == ["k"]
