"""What people and programs hand over that is wrong, huge or both: a clear word, and the server goes on."""

import hashlib
import os
import shutil
import threading

import pytest

from lib.fake_runner import Later
from lib.machine import Peak, small_disk
from lib.wait import SLOWER, wait_for
from lib.work import Work

MB = 1024 * 1024
SANITIZED = SLOWER > 1  # the sanitizers keep freed memory back: flatness is not theirs to show

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


def still_serves(bench):
    assert bench.client.get("/health")["service"] == "pelton"
    assert bench.build_of()


# ---- pipelines


@pytest.mark.parametrize("text, word", [
    (b"\0\x01\xff\xfe", "line 1"), (b"jobs: {", "line"), (b"just a text\n", "jobs"), (b"", ""), (b"- a\n- b\n", ""),
    (b"jobs:\n\ttest:\n", "line 2"), (b"[" * 100_000, "deep"), (b"{a: " * 50_000, "deep"), (b"a: &a [*a, *a]\n", ""),
    (b"&a [" * 64 + b"]" * 64, ""), (b"x: y\n" * 300_000, ""), (b"jobs: {a: {steps: [x], steps: [y]}}\n", "steps"),
    (b"jobs: {a: {step: [x]}}\n", "steps"), (b"jobs: {a: {needs: b, steps: [x]}}\n", "b"),
    (b"jobs: {a: {needs: b, steps: [x]}, b: {needs: a, steps: [x]}}\n", "a"), (b"jobs: {a: {steps: []}}\n", "steps"),
    (b"jobs: {a: {executor: root, steps: [x]}}\n", "executor"), (b"jobs: {'../x': {steps: [x]}}\n", "../x")],
    ids=range(18))
def test_a_pipeline_with_mistakes_is_a_failed_build_that_says_where(bench, text, word):
    _, push = bench.push(bench.name(), {".pelton.yml": text})
    build = bench.build(push.build)
    assert (build["status"], build["reason"]) == ("failed", "invalid")
    assert word in build["message"] and ".pelton.yml" in build["message"], build["message"]
    assert len(build["message"]) < 10_000
    assert str(push.build) in push.text and "failed" in push.text


def test_a_pipeline_of_ten_thousand_jobs_is_planned_or_refused(bench):
    jobs = "".join(f"  j{i}: {{steps: [echo {i}]{f', needs: j{i - 1}' if i else ''}}}\n" for i in range(10_000))
    _, push = bench.push(bench.name(), {".pelton.yml": "jobs:\n" + jobs})
    build = bench.client.get(f"/api/builds/{push.build}", timeout=60)
    if build["status"] == "failed":
        assert build["reason"] == "invalid" and "jobs" in build["message"]
    else:
        assert len(build["jobs"]) == 10_000
        runner = bench.runner()
        runner.finish(runner.take(), b"x\n")
        assert runner.take()["name"] == "j1"
        bench.api("POST", f"/api/builds/{push.build}/cancel", timeout=60)
    still_serves(bench)


def test_a_hundred_jobs_each_needing_all_before_are_planned(bench):
    needs = [", ".join(f"j{k}" for k in range(i)) for i in range(100)]
    jobs = "".join(f"  j{i}: {{steps: [x]{f', needs: [{list}]' if list else ''}}}\n" for i, list in enumerate(needs))
    number = bench.build_of({".pelton.yml": "jobs:\n" + jobs})
    assert len(bench.build(number)["jobs"]) == 100
    assert len(bench.build(number)["jobs"][99]["needs"]) == 99


def test_the_pipeline_file_may_be_anything_but_a_file(bench):
    for name, make in (("link", lambda p: p.symlink_to("/etc/passwd")), ("folder", lambda p: p.mkdir()),
                       ("dangling", lambda p: p.symlink_to("nowhere"))):
        work = bench.work(f"{bench.name()}{name}")
        make(work.path / ".pelton.yml")
        (work.path / "README").write_text("x")
        if name == "folder":
            (work.path / ".pelton.yml" / "x").write_text("x")
        work.commit()
        push = work.push()
        assert "root:" not in push.text
        for number in push.builds:
            assert "root:" not in bench.build(number)["message"]
    still_serves(bench)


# ---- repositories


def test_a_folder_that_is_no_repository_is_told(bench):
    number = bench.build_of()
    name = bench.build(number)["repo"]
    bare = bench.state / "repos" / f"{name}.git"
    shutil.rmtree(bare)
    assert bench.client.call("POST", f"/api/repos/{name}/builds", {}, expect=None).status in (400, 404, 500, 503)
    bare.mkdir()
    (bare / "x").write_text("not a repository")
    reply = bench.client.call("POST", f"/api/repos/{name}/builds", {}, expect=None)
    assert reply.status in (400, 404, 500, 503) and reply.json["message"]
    work = Work(bench.folder / "none" / name, bench.git_url(name))
    work.commit({"x": "y"})
    assert work.push(check=False).status != 0
    assert bench.client.get(f"/api/repos/{name}")["name"] == name
    still_serves(bench)


def test_a_repository_that_is_not_there_cannot_be_pushed_to(bench):
    work = Work(bench.folder / "nowhere", bench.git_url("nowhere"))
    work.commit({"x": "y"})
    push = work.push(check=False)
    assert push.status != 0 and "not found" in push.text
    assert not (bench.state / "repos" / "nowhere.git").exists()


def test_a_push_with_a_wrong_token_is_refused(bench):
    work = bench.work(bench.name(), {"x": "y"})
    for token in ("plt_wrong", "x", bench.client.post("/api/tokens", {"name": "r", "role": "read"})["token"]):
        work.url = bench.git_url(work.path.name, token)
        assert work.push(check=False).status != 0
    assert not list((bench.state / "repos" / f"{work.path.name}.git" / "refs" / "heads").iterdir())


# ---- size


def test_a_push_of_a_hundred_megabytes_takes_no_memory(bench):
    work = bench.work(bench.name(), {"Makefile": "all:\n"})
    work.git("config", "core.compression", "0")
    work.git("config", "pack.window", "0")
    for i in range(4):
        (work.path / f"big{i}").write_bytes(os.urandom(25 * MB))
    work.commit()
    peak = Peak(bench.pid)
    push = work.push()
    assert push.builds
    assert SANITIZED or peak.growth < 16 * MB, f"{peak.growth / MB:.0f} MB"
    copy = Work(bench.folder / "copies" / work.path.name, work.url)
    peak = Peak(bench.pid)
    copy.git("fetch", "-q", work.url, "main")
    assert copy.git("rev-parse", "FETCH_HEAD").strip() == work.head()
    assert SANITIZED or peak.growth < 16 * MB, f"{peak.growth / MB:.0f} MB"


def test_a_line_of_a_gigabyte_is_kept_whole_in_flat_memory(bench):
    """The line comes as a runner sends it, in pieces; a follower reads along."""
    size, piece = (64 if SANITIZED else 1024) * MB, b"x" * (8 * MB)
    runner = bench.runner()
    number, job = bench.job(runner)
    peak = Peak(bench.pid)
    got = [0]

    def read_along():
        with bench.client.stream(f"/api/builds/{number}/logs?follow=1", {"Accept": "text/plain"}, timeout=60) as stream:
            while data := stream.read(MB):
                assert not data.strip(b"x")
                got[0] += len(data)

    reader = Later(read_along)
    for at in range(0, size, len(piece)):
        runner.log(job, piece, at)
    runner.finish(job, offset=size)
    reader.result(120)
    assert got[0] == size == bench.build(number)["jobs"][0]["log_size"]
    assert SANITIZED or peak.growth < 24 * MB, f"{peak.growth / MB:.0f} MB"
    tail = bench.api("GET", f"/api/builds/{number}/logs", headers={"Range": "bytes=-5"}, expect=206)
    assert tail.body == b"xxxxx"


def test_ten_followers_that_stall_cost_nothing(bench):
    """They take the head of a log of 200 MB and read no further; others are served, and memory stays flat."""
    size, piece = (32 if SANITIZED else 200) * MB, (b"y" * 99 + b"\n") * 40_000
    runner = bench.runner()
    number, job = bench.job(runner)
    peak = Peak(bench.pid)
    forms = ({"Accept": "text/plain"}, {"Accept": "text/event-stream"})
    stalled = [bench.client.stream(f"/api/builds/{number}/logs?follow=1", forms[i % 2]) for i in range(10)]
    at = 0
    while at < size:
        runner.log(job, piece, at)
        at += len(piece)
    for stream in stalled:
        assert stream.read(100)
    bench.client.get("/health")
    digest, count = hashlib.sha256(), 0
    runner.finish(job, offset=at)
    with bench.client.stream(f"/api/builds/{number}/logs?follow=1", {"Accept": "text/plain"}) as reader:
        while data := reader.read(MB):
            digest.update(data)
            count += len(data)
    expected = hashlib.sha256()
    for _ in range(at // len(piece)):
        expected.update(piece)
    assert count == at and digest.digest() == expected.digest()
    growth = peak.growth
    for stream in stalled:
        stream.close()
    assert SANITIZED or growth < 24 * MB, f"{growth / MB:.0f} MB"


# ---- a full disk


@needs_root
def test_a_full_disk_is_told_and_the_server_goes_on_when_there_is_space_again(own_bench, tmp_path):
    with small_disk(tmp_path / "disk", 48 * MB) as disk:
        bench = own_bench(folder=disk / "pelton")
        try:
            full_disk(bench, disk, tmp_path / "work")
        finally:
            bench.server.close()


def full_disk(bench, disk, folder):
    runner = bench.runner()
    bench.create_repo("there")
    work = Work(folder, bench.git_url("there"))
    work.commit({"Makefile": "all:\n"})
    number, job = bench.job(runner, work.push().build)
    runner.log(job, b"before\n")
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as out:
        try:
            while out.write(b"z" * 65536):
                pass
        except OSError:
            pass
    # whatever writes is told so, with the status that says why; nothing half-done is left
    reply = runner.log(job, b"q" * MB, 7, expect=None)
    assert reply.status == 507 and "disk is nearly full" in reply.json["message"], reply
    kept = runner.log(job, b"", 2 ** 40, expect=409).json["next"]
    reply = runner.put(job, "a", b"w" * MB, expect=None)
    assert reply.status == 507, reply
    reply = bench.client.call("POST", "/api/repos", {"name": "later"}, expect=None)
    assert reply.status in (201, 507, 503), reply
    # who reads is served
    assert bench.client.call("GET", "/health", expect=(200, 503)).json
    assert bench.build(number)["id"] == number
    assert bench.api("GET", f"/api/builds/{number}/logs").json["logs"].startswith("before\n")
    work.commit({"big": os.urandom(2 * MB)})
    assert work.push(check=False).status != 0
    filler.unlink()
    # and all goes on where it was
    rest = b"q" * (MB - (kept - 7)) + b"after\n"
    runner.put(job, "a", b"w" * MB)
    runner.finish(job, rest, offset=kept)
    assert bench.build(number)["status"] == "success"
    assert bench.log(number) == "before\n" + "q" * MB + "after\n"
    push = work.push()
    assert push.builds, push.text
    assert bench.client.get("/health")["status"] in ("ok", "degraded")
    bench.client.call("POST", "/api/repos", {"name": "afterwards"}, expect=201)


# ---- many at once


def test_two_pushes_at_once_to_one_repository_are_each_built_or_refused(bench):
    work = bench.work(bench.name(), {"Makefile": "all:\n"})
    first = work.push().build
    clones = []
    for i in range(4):
        clone = Work(bench.folder / "clones" / f"{work.path.name}{i}", work.url)
        clone.git("pull", "-q", work.url, "main")
        clone.commit({f"file{i}": "x"}, f"change {i}")
        clones.append(clone)
    pushes = [Later(lambda c=clone, n=i: c.push(f"HEAD:refs/heads/branch{n}", "HEAD:refs/heads/main", check=False))
              for i, clone in enumerate(clones)]
    done = [push.result(60) for push in pushes]
    builds = [number for push in done for number in push.builds]
    assert len(builds) == len(set(builds)) and first not in builds
    heads = {clone.head() for clone in clones}
    built = {bench.build(number)["commit_hash"] for number in builds}
    assert built == heads, "\n".join(push.text for push in done)
    main = work.git("ls-remote", work.url, "refs/heads/main").split()[0]
    assert main in heads
    assert any(bench.build(n)["commit_hash"] == main and bench.build(n)["branch"] == "main" for n in builds)


def test_pushes_to_many_repositories_at_once_are_all_built(bench):
    works = [bench.work(bench.name(), {"Makefile": "all:\n"}) for _ in range(8)]
    pushes = [Later(work.push) for work in works]
    numbers = [push.result(60).build for push in pushes]
    assert len(set(numbers)) == 8
    assert [bench.build(n)["repo"] for n in numbers] == [work.path.name for work in works]


def test_one_name_is_given_once_however_many_ask(bench):
    name = bench.name()
    calls = [Later(lambda: bench.client.call("POST", "/api/repos", {"name": name}, expect=None).status) for _ in range(8)]
    assert sorted(call.result() for call in calls) == [201] + [409] * 7


def test_readers_are_served_while_a_log_pours_in(bench):
    runner = bench.runner()
    number, job = bench.job(runner)
    stop = threading.Event()

    def pour():
        at = 0
        while not stop.is_set():
            runner.log(job, b"p" * MB, at)
            at += MB
        return at

    pouring = Later(pour)
    try:
        wait_for("bytes", lambda: bench.build(number)["jobs"][0]["log_size"] > 4 * MB)
        for _ in range(100):
            assert bench.build(number)["id"] == number
    finally:
        stop.set()
    runner.finish(job, offset=pouring.result())
