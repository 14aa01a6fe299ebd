"""Builds of pull requests by the API: what may be asked, what they know, and who may approve one from a fork."""

import pytest

PLAIN = "jobs:\n  t:\n    checkout: false\n    steps: [echo hi]\n"
SECRET = PLAIN + "  s:\n    checkout: false\n    secrets: [TOKEN]\n    steps: [echo hi]\n"


def repository(bench, text=PLAIN):
    """A working copy on branch feature, which is a commit ahead of main; nothing waits for a runner."""
    work = bench.work(bench.name(), {".pelton.yml": text})
    work.push()
    work.git("switch", "-q", "-c", "feature")
    work.commit({"feature": "1"})
    work.push("feature")
    bench.settle()
    return work


def ask(bench, work, expect=202, headers=None, body=None, **pull):
    return bench.client.call("POST", f"/api/repos/{work.path.name}/builds", {"pull_request": {"number": 7, **pull}, **(body or {})},
                             headers=headers, expect=expect)


def asked(bench, work, **pull):
    return bench.build(ask(bench, work, **pull).json["id"])


def message(reply):
    return reply.json["message"]


def test_what_was_said_of_it_is_told(bench):
    work = repository(bench)
    build = asked(bench, work, source="feature", target="main", title="Faster", author="ann", head=work.head())
    assert (build["event"], build["branch"], build["ref"]) == ("pull_request", "feature", "refs/pull/7/head")
    assert build["commit_hash"] == work.head()
    assert build["pull_request"] == {"number": 7, "source": "feature", "target": "main", "title": "Faster", "author": "ann", "fork": False}
    assert build["untrusted"] is False and build["approved_by"] is None
    shown = bench.run("build", "show", build["id"]).stdout
    assert "7 into main: Faster, by ann" in shown and "trust" not in shown


def test_a_build_that_is_none_says_so(bench):
    work = repository(bench)
    build = bench.build(bench.more(work.path.name))
    assert build["pull_request"] is None and build["untrusted"] is False


def test_what_is_not_said_is_as_it_was_said_before_else_the_default_branch(bench):
    work = repository(bench)
    assert asked(bench, work, source="feature")["pull_request"]["target"] == "main"
    work.push("main:refs/heads/stable")
    asked(bench, work, source="feature", target="stable", title="one")
    again = asked(bench, work, source="feature", title="two")["pull_request"]
    assert again == {"number": 7, "source": "feature", "target": "stable", "title": "two", "author": "", "fork": False}


def test_its_commit_is_the_head_else_its_ref_else_its_branch(bench):
    work = repository(bench)
    feature, main = work.head(), work.git("rev-parse", "main").strip()
    assert asked(bench, work, source="feature")["commit_hash"] == feature
    work.push("main:refs/pull/7/head")
    assert asked(bench, work, source="feature")["commit_hash"] == main
    assert asked(bench, work, source="feature", head=feature[:12])["commit_hash"] == feature


@pytest.mark.parametrize("pull, body, word", [
    ({"number": 0}, {}, "number"), ({"number": -1}, {}, "number"), ({"number": "7"}, {}, "number"), ({"number": 2**31}, {}, "number"),
    ({"head": "0" * 40}, {}, "head"), ({"head": "nowhere"}, {}, "head"), ({}, {}, "refs/pull/7/head"),
    ({"source": "elsewhere"}, {}, '"elsewhere"'), ({"source": "feature", "fork": True}, {}, "refs/pull/7/head"),
    ({"source": "a b", "head": "feature"}, {}, "source"), ({"target": "mian", "head": "feature"}, {}, 'there is no branch "mian"'),
    ({"target": "../x", "head": "feature"}, {}, "target"), ({"target": 1, "head": "feature"}, {}, "target"),
    ({"title": "x" * 1001, "head": "feature"}, {}, "title"), ({"fork": "yes", "head": "feature"}, {}, "fork"),
    ({"head": "feature"}, {"ref": "main"}, "ref"), ({"head": "feature"}, {"branch": "main"}, "branch")])
def test_what_it_cannot_be_is_refused_and_says_which_field(bench, pull, body, word):
    work = repository(bench)
    assert word in message(ask(bench, work, 400, body=body, **pull))
    assert bench.client.get(f"/api/builds?repo={work.path.name}&limit=1")["builds"][0]["branch"] == "feature"  # the push's


def test_a_pull_request_that_is_no_object_is_refused_and_null_is_none(bench):
    work = repository(bench)
    path = f"/api/repos/{work.path.name}/builds"
    assert "pull_request" in message(bench.client.call("POST", path, {"pull_request": 7}, expect=400))
    assert bench.build(bench.client.post(path, {"pull_request": None}, expect=202)["id"])["event"] == "manual"


def test_what_its_pipeline_does_not_want_is_skipped_and_no_error(bench):
    work = repository(bench, "on: {pull_request: [release]}\n" + PLAIN)
    answer = ask(bench, work, 200, source="feature").json
    assert answer["id"] is None and answer["status"] == "skipped" and "not for branch main" in answer["message"]


def test_the_same_key_is_the_same_build(bench):
    work = repository(bench)
    key = {"Idempotency-Key": f"pull of {work.path.name}"}
    first = ask(bench, work, headers=key, source="feature").json["id"]
    assert ask(bench, work, headers=key, source="feature").json["id"] == first


def test_its_head_by_the_name_of_its_ref_is_built_as_one_and_no_more_trusted(bench):
    work = repository(bench)
    work.push("feature:refs/pull/7/head", "-o", "fork", "-o", "target=main")
    answer = bench.client.post(f"/api/repos/{work.path.name}/builds", {"ref": "refs/pull/7/head"}, expect=202)
    build = bench.build(answer["id"])
    assert build["event"] == "pull_request" and build["untrusted"] is True and build["branch"] == "pull/7"


# ---- forks


def forked(bench, text=SECRET):
    work = repository(bench, text)
    bench.client.call("PUT", f"/api/repos/{work.path.name}/secrets/TOKEN", {"value": "hunter22-and-more"}, expect=200)
    return work, ask(bench, work, source="main", head="feature", fork=True).json["id"]


def lease_all(runner):
    return {job["name"]: job for job in runner.lease()["jobs"]}


def test_a_fork_gets_no_secret_until_somebody_approves(bench):
    runner = bench.runner()
    _, number = forked(bench)
    jobs = lease_all(runner)
    assert list(jobs) == ["t"] and "secrets" not in jobs["t"]
    runner.finish(jobs["t"])
    build = bench.build(number)
    assert build["status"] == "running" and build["untrusted"] is True
    why = {job["name"]: job["waiting"] for job in build["jobs"]}["s"]
    assert why == f"waits for approval: it comes from a fork, and names secrets: pelton build approve {number}"
    shown = bench.run("build", "show", number).stdout
    assert "nobody has approved it" in shown and f"pelton build approve {number}" in shown

    bench.run("build", "approve", number)
    job = lease_all(runner)["s"]
    assert job["secrets"] == {"TOKEN": "hunter22-and-more"}
    assert job["pull_request"]["number"] == 7 and job["pull_request"]["fork"] is True
    runner.finish(job)
    build = bench.build(number)
    assert (build["status"], build["untrusted"], build["approved_by"]) == ("success", False, "admin")
    assert "approved by admin" in bench.run("build", "show", number).stdout


def test_who_waits_for_a_job_hears_of_an_approval_at_once(bench):
    runner = bench.runner()
    _, number = forked(bench, SECRET.replace("  t:\n    checkout: false\n    steps: [echo hi]\n", ""))
    waiting = runner.lease_later()
    bench.api("POST", f"/api/builds/{number}/approve", expect=200)
    assert waiting.result()["jobs"][0]["name"] == "s"


def test_only_who_may_push_may_approve(bench):
    _, number = forked(bench)
    runner = bench.runner()
    for role in ("read", "hook", "registration"):
        if role == "hook":
            token = (bench.state / "hook.token").read_text().strip()
        else:
            token = bench.client.post("/api/tokens", {"name": role, "role": role})["token"]
        bench.as_token(token).call("POST", f"/api/builds/{number}/approve", expect=403)
    runner.client.call("POST", f"/api/builds/{number}/approve", expect=403)
    bench.as_token(None).call("POST", f"/api/builds/{number}/approve", expect=401)
    assert bench.build(number)["untrusted"] is True
    user = bench.client.post("/api/tokens", {"name": "bob", "role": "user"})["token"]
    assert "approved by bob" in message(bench.as_token(user).call("POST", f"/api/builds/{number}/approve", expect=200))
    assert "approved by bob" in message(bench.api("POST", f"/api/builds/{number}/approve", expect=200))  # once more changes nothing


def test_what_needs_no_approval_cannot_get_one(bench):
    work, _ = forked(bench)
    trusted = ask(bench, work, source="feature", fork=False).json["id"]
    assert "not from a fork" in message(bench.api("POST", f"/api/builds/{trusted}/approve", expect=409))
    bench.api("POST", "/api/builds/999999/approve", expect=404)
    bench.run("build", "approve", trusted, expect=None)


def test_one_that_has_finished_is_approved_for_what_repeats_it(bench):
    runner = bench.runner()
    _, number = forked(bench)
    bench.api("POST", f"/api/builds/{number}/cancel", expect=200)
    assert "approved by admin" in message(bench.api("POST", f"/api/builds/{number}/approve", expect=200))
    assert runner.lease()["jobs"] == [] and bench.build(number)["status"] == "cancelled"
    again = bench.client.post(f"/api/builds/{number}/rerun", {})["id"]
    assert bench.build(again)["untrusted"] is False
    assert lease_all(runner)["s"]["secrets"] == {"TOKEN": "hunter22-and-more"}


def test_a_runner_is_told_that_a_job_is_not_trusted(bench):
    runner = bench.runner()
    work, number = forked(bench)
    job = lease_all(runner)["t"]
    assert job["untrusted"] is True
    runner.finish(job)
    bench.api("POST", f"/api/builds/{number}/approve", expect=200)
    job = lease_all(runner)["s"]
    assert "untrusted" not in job
    runner.finish(job)
    asked(bench, work, source="feature", fork=False)
    assert "untrusted" not in lease_all(runner)["t"]


def test_it_is_the_commit_that_is_approved_the_next_one_is_not(bench):
    work, number = forked(bench)
    bench.api("POST", f"/api/builds/{number}/approve", expect=200)
    work.commit({"feature": "2"})
    push = work.push("feature:refs/pull/7/head")
    assert bench.build(push.build)["untrusted"] is True


def test_a_hook_tells_of_the_pull_request_whose_head_was_pushed(bench):
    work = repository(bench)
    work.git("push", "-q", work.url, "feature:refs/notes/x")
    hook = bench.as_token((bench.state / "hook.token").read_text().strip())
    body = {"repo": work.path.name, "bare_repo_path": str(bench.state / "repos" / f"{work.path.name}.git"), "new_rev": work.head(),
            "ref": "refs/pull/7/head", "pull_request": {"number": 8}}
    assert "pull_request.number" in message(hook.call("POST", "/api/builds", body, expect=400))
    body["pull_request"] = {"number": 7, "fork": True}
    assert bench.build(hook.post("/api/builds", body, expect=202)["id"])["untrusted"] is True
