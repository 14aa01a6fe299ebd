"""Named artifacts by the runner protocol, and as people list them."""

import pytest

from lib.wait import wait_for

THREE = {".pelton.yml": "jobs:\n" + "".join(
    f"  {name}: {{checkout: false, steps: [x], artifacts: {{name: dist, paths: [x]}}}}\n" for name in ["a", "b", "c"])
    + "  take: {checkout: false, steps: [x], needs: [a, b], download: dist}\n"}


def listed(bench, number, query=""):
    return bench.client.get(f"/api/builds/{number}/artifacts{query}")["artifacts"]


def three(bench):
    """(runner, build, the jobs by name)"""
    runner = bench.runner(slots=3)
    number = bench.build_of(THREE)
    jobs = {}
    while len(jobs) < 3:
        jobs.update({job["name"]: job for job in runner.lease_later().result()["jobs"]})
    return runner, number, jobs


def test_jobs_have_files_of_one_path_and_the_last_in_the_file_is_found_by_it_alone(bench):
    runner, number, jobs = three(bench)
    for name in ["c", "a", "b"]:
        runner.put(jobs[name], "out", name.encode(), name="dist", mode="755")
    runner.put(jobs["b"], "out", b"other", name="apart")
    rows = listed(bench, number)
    assert [(r["job"], r["name"], r["executable"]) for r in rows] == [
        ("a", "dist", True), ("b", "dist", True), ("b", "apart", False), ("c", "dist", True)]
    assert [bench.api("GET", r["url"].removeprefix(bench.url)).body for r in rows] == [b"a", b"b", b"other", b"c"]
    assert bench.api("GET", f"/api/builds/{number}/artifacts/out").body == b"c"
    assert bench.api("GET", f"/api/builds/{number}/artifacts/out?name=apart").body == b"other"
    bench.api("GET", f"/api/builds/{number}/artifacts/out?job=a&name=apart", expect=404)
    assert [r["job"] for r in listed(bench, number, "?name=apart")] == ["b"]
    assert [r["name"] for r in listed(bench, number, "?job=b")] == ["dist", "apart"]


def taken(runner, number, jobs):
    """The job `take`, once those that it needs have ended."""
    for name in ["a", "b", "c"]:
        runner.finish(jobs[name], state="success")
    job = runner.take()
    assert (job["build"], job["name"]) == (number, "take")
    return job


def test_a_job_is_told_the_files_of_the_jobs_that_it_needs(bench):
    runner, number, jobs = three(bench)
    runner.put(jobs["a"], "both", b"of a", name="dist", mode="700")
    runner.put(jobs["a"], "only", b"only a", name="dist")
    runner.put(jobs["b"], "both", b"of b", name="dist")
    runner.put(jobs["b"], "plain", b"plain")
    runner.put(jobs["b"], ".pelton/nix-summary.json", b"{}")
    runner.put(jobs["c"], "both", b"of c", name="dist")
    job = taken(runner, number, jobs)
    files = {f["path"]: f for f in runner.downloads(job, name="dist")["files"]}
    assert {path: runner.download(job, f["id"]) for path, f in files.items()} == {"both": b"of b", "only": b"only a"}
    files = runner.downloads(job, name="dist", job="a")["files"]
    assert [(f["path"], f["size"], f["mode"]) for f in files] == [("both", 4, 0o700), ("only", 6, 0o644)]
    assert [f["path"] for f in runner.downloads(job, job="b")["files"]] == ["both", "plain"]
    assert runner.downloads(job, name="nothing") == {"files": [], "expired": []}
    assert runner.downloads(job, job="c")["files"] == []
    runner.downloads(job, name=5, expect=400)


def test_files_of_other_builds_and_for_stale_attempts_are_not_given(bench):
    runner, number, jobs = three(bench)
    runner.put(jobs["a"], "out", b"a", name="dist")
    job = taken(runner, number, jobs)
    file = runner.downloads(job)["files"][0]["id"]
    assert runner.download(job, file) == b"a"
    other, _, others = three(bench)
    other.download(others["b"], file, expect=404)
    stale = {**job, "attempt": 7}
    runner.downloads(stale, expect=409)
    runner.client.call("GET", f"/api/runner/jobs/{stale['id']}/downloads/{file}?attempt=7", expect=409)


@pytest.mark.parametrize("said", [{"name": "a b"}, {"name": "x" * 101}, {"mode": "rwx"}, {"mode": "4755"}, {"keep": "-2"}, {"keep": "x"}],
                         ids=str)
def test_what_is_said_of_a_file_is_checked(bench, said):
    runner = bench.runner()
    number, job = bench.job(runner)
    reply = runner.put(job, "out", b"x", expect=400, **said).json
    assert next(iter(said)) in reply["message"]
    assert listed(bench, number) == []


def test_what_has_expired_is_told_to_who_would_take_it(bench):
    runner, number, jobs = three(bench)
    runner.put(jobs["a"], "out", b"x", name="dist", keep=1000)
    runner.finish(taken(runner, number, jobs), state="failed")
    wait_for("its end", lambda: listed(bench, number) == [])
    again = bench.api("POST", f"/api/builds/{number}/rerun", {"jobs": "failed"}, expect=202).json["id"]
    job = runner.take()
    assert job["build"] == again
    answer = runner.downloads(job, name="dist")
    assert answer["files"] == [] and [(e["job"], e["name"], e["keep"]) for e in answer["expired"]] == [("a", "dist", 1000)]
    assert runner.downloads(job, name="dist", job="b")["expired"] == []
    assert bench.client.get(f"/api/builds/{again}/artifacts")["expired"][0]["keep"] == "1ms"
