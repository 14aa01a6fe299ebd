"""The contract of the git-hosted CI service: contracts/git-ci.md, 4.1 to 4.3."""

import os
import re
import socket

import pytest

from lib.wait import wait_for

BUILD_INFO = {"id", "repo", "commit_hash", "commit_short", "branch", "status", "retry_count", "max_retries",
              "created_at", "started_at", "finished_at", "duration_seconds"}
ZERO = "0" * 40


@pytest.fixture
def hook(bench):
    return bench.as_token((bench.state / "hook.token").read_text().strip())


def payload(bench, work, **fields):
    name = work.path.name
    return {"repo": name, "bare_repo_path": str(bench.state.resolve() / "repos" / f"{name}.git"),
            "new_rev": work.head(), "old_rev": ZERO, "ref": "refs/heads/main", **fields}


def silent_push(bench, work, *refs):
    """A push that the hook does not tell: the tests' own payload comes first."""
    bare = bench.state / "repos" / f"{work.path.name}.git"
    work.git("push", "-q", "--receive-pack=git -c core.hooksPath=/dev/null receive-pack", str(bare), *(refs or ["main"]))
    return work


# ---- repositories


def test_a_repository_is_created_with_its_urls(bench):
    name = bench.name()
    answer = bench.create_repo(name)
    path = str(bench.state.resolve() / "repos" / f"{name}.git")
    assert answer["name"] == name
    assert answer["path"] == path
    assert answer["git_url"] == f"git@{socket.gethostname()}:{path}"
    assert answer["clone_url"] == f"{bench.url}/git/{name}.git"
    assert os.path.isfile(path + "/hooks/post-receive") and os.access(path + "/hooks/post-receive", os.X_OK)


@pytest.mark.parametrize("name", ["", "a b", "../evil", "a/b", "..", ".", "a.b", "-rf", "a\0b", "a\nb", "x" * 101, "näme",
                                  "%2e%2e", "\\", "a;b", "$(id)", "'"], ids=range(17))
def test_a_name_that_is_none_is_refused(bench, name):
    reply = bench.api("POST", "/api/repos", {"name": name}, expect=400)
    if "\0" not in name:
        message = reply.json["message"]
        assert message.startswith("Invalid repo name. Use only alphanumeric, dash, and underscore: ")
        assert "a to z" in message and "no dash first" in message and "100" in message
    folders = {path.name for path in (bench.state / "repos").iterdir()}
    assert all(re.fullmatch(r"repo\d+\.git", folder) for folder in folders), folders
    assert not (bench.state / "evil.git").exists()


@pytest.mark.parametrize("body, status", [(b"", 400), (b"{", 400), (b"[]", 400), (b"null", 400), (b'{"name":1}', 422),
                                          (b'{"nam":"x"}', 422), (b'{"name":"a","name":"b"}', 400),
                                          (b'{"name":"\xff"}', 400), (b"[" * 100_000, 400)], ids=range(9))
def test_a_body_that_is_not_the_one_expected_is_refused(bench, body, status):
    bench.api("POST", "/api/repos", body, headers={"Content-Type": "application/json"}, expect=status)


def test_the_second_repository_of_a_name_is_refused(bench):
    name = bench.name()
    bench.create_repo(name)
    reply = bench.api("POST", "/api/repos", {"name": name}, expect=409)
    assert name in reply.json["message"]


def test_repositories_are_listed_with_their_last_build(bench):
    empty = bench.name()
    bench.create_repo(empty)
    number = bench.build_of()
    name = bench.build(number)["repo"]
    bench.more(name)
    last = bench.more(name)
    listed = {repo["name"]: repo for repo in bench.client.get("/api/repos")}
    assert listed[empty]["last_build"] is None and listed[empty]["builds_count"] == 0
    assert listed[name]["builds_count"] == 3
    assert listed[name]["last_build"]["id"] == last
    assert set(listed[name]["last_build"]) == BUILD_INFO
    assert listed[name]["path"].endswith(f"/repos/{name}.git")


def test_a_repository_tells_its_builds_and_how_to_push(bench):
    number = bench.build_of()
    name = bench.build(number)["repo"]
    numbers = [number] + [bench.more(name) for _ in range(11)]
    repo = bench.client.get(f"/api/repos/{name}")
    assert set(repo) >= {"name", "path", "git_url", "ssh_url", "clone_url", "builds_count", "recent_builds",
                         "setup_instructions", "flake_metadata"}
    assert repo["builds_count"] == 12
    assert [build["id"] for build in repo["recent_builds"]] == numbers[:1:-1]
    assert all(set(build) == BUILD_INFO for build in repo["recent_builds"])
    assert repo["clone_url"] in " ".join(repo["setup_instructions"]["new_repo"])
    assert repo["clone_url"] in " ".join(repo["setup_instructions"]["existing_repo"])
    assert repo["flake_metadata"] is None


def test_an_unknown_repository_is_told(bench):
    reply = bench.api("GET", "/api/repos/nowhere", expect=404)
    assert "Repository 'nowhere' not found" in reply.text


# ---- builds


def test_a_build_has_the_contracts_fields_before_and_after(bench):
    runner = bench.runner()
    work, push = bench.push(bench.name(), {"Makefile": "all:\n"})
    number, job = bench.job(runner, push.build)
    early = bench.build(number)
    assert set(early) >= BUILD_INFO
    assert early["repo"] == work.path.name
    assert early["commit_hash"] == work.head() and early["commit_short"] == work.head()[:8]
    assert early["branch"] == "main"
    assert early["finished_at"] is None and early["duration_seconds"] is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", early["created_at"])
    runner.finish(job, b"hello\n")
    late = bench.build(number)
    assert late["status"] == "success"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", late["started_at"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", late["finished_at"])
    assert late["duration_seconds"] >= 0


def test_the_status_words_are_the_contracts(bench):
    runner = bench.runner()
    number = bench.build_of()
    assert bench.build(number)["status"] == "queued"
    job = runner.take()
    runner.report(job, "running", steps=[])
    assert bench.build(number)["status"] == "running"
    runner.finish(job, state="failed")
    assert bench.build(number)["status"] == "failed"


def test_builds_come_newest_first_at_most_a_hundred_with_the_total(bench):
    number = bench.build_of()
    name = bench.build(number)["repo"]
    for _ in range(104):
        bench.more(name)
    answer = bench.client.get("/api/builds")
    ids = [build["id"] for build in answer["builds"]]
    assert len(ids) == 100 and ids == sorted(ids, reverse=True)
    assert answer["total"] >= 105
    assert all(set(build) == BUILD_INFO for build in answer["builds"])
    only = bench.client.get(f"/api/builds?repo={name}&limit=3")
    assert only["total"] == 105 and [b["repo"] for b in only["builds"]] == [name] * 3
    page = bench.client.get(f"/api/builds?repo={name}&before={ids[50]}")
    assert page["builds"][0]["id"] == ids[51]


@pytest.mark.parametrize("number", ["0", "999999", "-1", "x", "1x", "99999999999999999999"])
def test_an_unknown_build_is_told(bench, number):
    for method, path in (("GET", ""), ("GET", "/logs"), ("POST", "/cancel"), ("POST", "/rerun"), ("GET", "/artifacts")):
        reply = bench.api(method, f"/api/builds/{number}{path}", {} if method == "POST" else None, expect=404)
        assert reply.json["message"] == f"Build not found: {number}"


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "before=-1", "limit=99999999999999999999"])
def test_a_bad_query_is_told(bench, query):
    assert query.split("=")[0] in bench.api("GET", f"/api/builds?{query}", expect=400).json["message"]


def test_logs_of_a_build_are_one_text(bench):
    runner = bench.runner()
    number = bench.build_of()
    assert bench.client.get(f"/api/builds/{number}/logs") == {"logs": "No logs available yet"}
    job = runner.take()
    runner.finish(job, 'first "quoted" \\ \x01 ü\nsecond\n'.encode())
    assert bench.client.get(f"/api/builds/{number}/logs") == {"logs": 'first "quoted" \\ \x01 ü\nsecond\n'}


# ---- the hook's payload


def test_the_hooks_payload_makes_a_build(bench, hook):
    work = silent_push(bench, bench.work(bench.name(), {"Makefile": "all:\n"}))
    full = payload(bench, work, commit_author="Ada", commit_email="ada@example.com", commit_message='a "subject"',
                   gpg_status="N", gpg_key="", gpg_signer="", pusher="ada", ssh_client_ip="10.0.0.1",
                   ssh_key_fingerprint="SHA256:x")
    answer = hook.post("/api/builds", full, expect=202)
    assert answer["status"] == "queued" and isinstance(answer["id"], int)
    build = bench.build(answer["id"])
    assert (build["commit_hash"], build["branch"], build["pusher"]) == (work.head(), "main", "ada")
    assert (build["gpg_status"], build["gpg_key"], build["gpg_signer"]) == ("N", None, None)


def test_what_a_hook_says_of_a_signature_is_kept(bench, hook):
    work = silent_push(bench, bench.work(bench.name(), {"Makefile": "all:\n"}))
    whole = payload(bench, work, gpg_status="G", gpg_key="1234ABCD", gpg_signer="Ada <ada@example.com>")
    for wrong in ("g", "GG", "?"):
        assert "gpg_status" in hook.call("POST", "/api/builds", {**whole, "gpg_status": wrong}, expect=400).json["message"]
    build = bench.build(hook.post("/api/builds", whole, expect=202)["id"])
    assert (build["gpg_status"], build["gpg_key"], build["gpg_signer"]) == ("G", "1234ABCD", "Ada <ada@example.com>")
    assert "signed   good, Ada <ada@example.com>, key 1234ABCD" in bench.run("build", "show", str(build["id"])).stdout


def test_without_a_word_of_a_signature_nothing_is_claimed(bench, hook):
    work = silent_push(bench, bench.work(bench.name(), {"Makefile": "all:\n"}))
    build = bench.build(hook.post("/api/builds", payload(bench, work, gpg_status=""), expect=202)["id"])
    assert build["gpg_status"] is None
    assert "signed" not in bench.run("build", "show", str(build["id"])).stdout


def test_only_the_payloads_required_fields_are_required(bench, hook):
    work = silent_push(bench, bench.work(bench.name(), {"Makefile": "all:\n"}))
    whole = payload(bench, work)
    del whole["old_rev"]
    for field in ("repo", "bare_repo_path", "new_rev", "ref"):
        part = {key: value for key, value in whole.items() if key != field}
        assert field in hook.call("POST", "/api/builds", part, expect=422).json["message"]
        assert field in hook.call("POST", "/api/builds", {**whole, field: 7}, expect=422).json["message"]
    assert hook.post("/api/builds", whole, expect=202)["id"]


@pytest.mark.parametrize("body, media, status", [(b"{", "application/json", 400), (b"", "application/json", 400),
                                                 (b"{}", "application/json", 422), (b"{}", "text/plain", 415)])
def test_a_payload_that_cannot_be_read_is_refused_as_what_it_is(hook, body, media, status):
    hook.call("POST", "/api/builds", body, headers={"Content-Type": media}, expect=status)


def test_the_same_payload_twice_is_one_build(bench, hook):
    work = silent_push(bench, bench.work(bench.name(), {"Makefile": "all:\n"}))
    first = hook.post("/api/builds", payload(bench, work), expect=202)
    again = hook.post("/api/builds", payload(bench, work), expect=202)
    assert first["id"] == again["id"]
    assert bench.client.get(f"/api/repos/{work.path.name}")["builds_count"] == 1


def test_a_push_that_a_hook_told_is_not_built_again_by_less_or_more_of_it(bench, hook):
    work = silent_push(bench, bench.work(bench.name(), {"Makefile": "all:\n"}))
    whole = payload(bench, work)
    required = {key: whole[key] for key in ("repo", "bare_repo_path", "new_rev", "ref")}
    told = [whole, required, {**required, "old_rev": ""}, whole, required]
    assert len({hook.post("/api/builds", one, expect=202)["id"] for one in told}) == 1
    assert bench.client.get(f"/api/repos/{work.path.name}")["builds_count"] == 1


def test_nobody_else_may_say_what_the_hook_says(bench, hook):
    work = silent_push(bench, bench.work(bench.name(), {"Makefile": "all:\n"}))
    runner = bench.runner()
    others = [bench.client, runner.client]
    for role in ("user", "read", "registration"):
        made = bench.client.post("/api/tokens", {"name": role, "role": role}, expect=201)
        others.append(bench.as_token(made["token"]))
    for other in others:
        other.call("POST", "/api/builds", payload(bench, work), expect=403)
    bench.as_token(None).call("POST", "/api/builds", payload(bench, work), expect=401)
    assert bench.client.get(f"/api/repos/{work.path.name}")["builds_count"] == 0
    for method, path in (("GET", "/api/builds"), ("POST", "/api/repos"), ("GET", "/api/tokens")):
        hook.call(method, path, expect=403)


@pytest.mark.parametrize("path", ["/etc", "/", "", "../other.git", "{state}/repos/other.git", "{own}/", "{own}/../x.git",
                                  "{state}/repos/../repos/{name}.git"], ids=range(8))
def test_a_path_that_is_not_the_repositorys_is_refused(bench, hook, path):
    work = silent_push(bench, bench.work(bench.name(), {"Makefile": "all:\n"}))
    own = payload(bench, work)
    path = path.format(state=bench.state.resolve(), own=own["bare_repo_path"], name=work.path.name)
    assert hook.call("POST", "/api/builds", {**own, "bare_repo_path": path}, expect=400)
    assert bench.client.get(f"/api/repos/{work.path.name}")["builds_count"] == 0


@pytest.mark.parametrize("field, value", [("new_rev", "HEAD"), ("new_rev", "--upload-pack=x"), ("new_rev", "f" * 39),
                                          ("old_rev", "x"), ("new_rev", "g" * 40), ("new_rev", "F" * 40)])
def test_a_revision_that_is_none_is_refused(bench, hook, field, value):
    work = silent_push(bench, bench.work(bench.name(), {"Makefile": "all:\n"}))
    reply = hook.call("POST", "/api/builds", payload(bench, work, **{field: value}), expect=400)
    assert field in reply.json["message"]


def test_a_commit_that_is_not_there_makes_no_build(bench, hook):
    work = silent_push(bench, bench.work(bench.name(), {"Makefile": "all:\n"}))
    hook.call("POST", "/api/builds", payload(bench, work, new_rev="1" * 40), expect=(400, 404))
    # what the branch really holds may be found meanwhile
    builds = bench.client.get(f"/api/builds?repo={work.path.name}")["builds"]
    assert {build["commit_hash"] for build in builds} <= {work.head()}


def test_a_payload_for_an_unknown_repository_is_refused(bench, hook):
    work = bench.work(bench.name(), {"Makefile": "all:\n"})
    hook.call("POST", "/api/builds", payload(bench, work, repo="nowhere"), expect=404)
    hook.call("POST", "/api/builds", payload(bench, work, repo="../" + work.path.name), expect=404)


def test_a_delete_makes_no_build(bench, hook):
    work = silent_push(bench, bench.work(bench.name(), {"Makefile": "all:\n"}))
    head = work.head()
    answer = hook.post("/api/builds", payload(bench, work, old_rev=head, new_rev=ZERO), expect=200)
    assert answer["id"] is None
    assert bench.client.get(f"/api/repos/{work.path.name}")["builds_count"] == 0


# ---- several refs of one push


def many(bench, work, *names, **change):
    return [payload(bench, work, ref=f"refs/tags/{name}", **change) for name in names]


def test_refs_that_are_told_together_are_built_as_if_each_were_told(bench, hook):
    work = silent_push(bench, bench.work(bench.name(), {"Makefile": "all:\n"}))
    first = work.head()
    work.git("tag", "light")
    second = work.commit({"x": "y"}, "more")
    work.git("tag", "-a", "-m", "x", "noted")
    silent_push(bench, work, "main", "light", "noted")
    told = [payload(bench, work, new_rev=first, ref="refs/tags/light"), payload(bench, work, new_rev=second, ref="refs/tags/noted"),
            payload(bench, work), payload(bench, work, ref="refs/notes/x")]
    results = hook.post("/api/pushes", {"pushes": told}, expect=200)["results"]
    assert [set(result) for result in results[:3]] == [{"id", "status", "url"}] * 3
    built = [bench.build(result["id"]) for result in results[:3]]
    assert [(b["commit_hash"], b["branch"]) for b in built] == [
        (first, "refs/tags/light"), (second, "refs/tags/noted"), (second, "main")]
    assert results[3]["id"] is None and "neither a branch" in results[3]["message"]
    again = hook.post("/api/pushes", {"pushes": told}, expect=200)["results"]
    assert [result["id"] for result in again] == [result["id"] for result in results]


def test_a_ref_that_cannot_be_built_does_not_keep_the_others(bench, hook):
    work = silent_push(bench, bench.work(bench.name(), {"Makefile": "all:\n"}))
    told = [*many(bench, work, "gone", new_rev="1" * 40), payload(bench, work)]
    gone, there = hook.post("/api/pushes", {"pushes": told}, expect=200)["results"]
    assert set(gone) == {"error"} and "1" * 40 in gone["error"]
    assert bench.build(there["id"])["commit_hash"] == work.head()


@pytest.mark.parametrize("change, status", [({"new_rev": "x"}, 400), ({"repo": "other"}, 404), ({"bare_repo_path": "/etc"}, 400),
                                            ({"ref": 7}, 400)])
def test_of_refs_that_are_told_together_each_is_checked_before_any_counts(bench, hook, change, status):
    work = silent_push(bench, bench.work(bench.name(), {"Makefile": "all:\n"}))
    told = [payload(bench, work), {**payload(bench, work, ref="refs/heads/x"), **change}]
    assert "pushes[1]" in hook.call("POST", "/api/pushes", {"pushes": told}, expect=status).json["message"]
    assert bench.client.get(f"/api/repos/{work.path.name}")["builds_count"] == 0
    hook.call("POST", "/api/pushes", {"pushes": []}, expect=400)
    bench.client.call("POST", "/api/pushes", {"pushes": told}, expect=403)


# ---- events


def test_events_tell_each_change_of_a_build(bench):
    runner = bench.runner()
    with bench.client.events("/api/events") as events:
        number = bench.build_of()
        runner.finish(runner.take(), b"x\n")
        seen = events.until(lambda event: event.json["type"] == "completed" and event.json["build"]["id"] == number)
    kinds = [event.json["type"] for event in seen if event.json["build"]["id"] == number]
    assert kinds[0] == "created" and kinds[-1] == "completed" and set(kinds[1:-1]) == {"updated"}
    assert all(event.name == "message" and set(event.json["build"]) == BUILD_INFO for event in seen)
    assert seen[-1].json["build"]["status"] == "success"
    ids = [int(event.id) for event in seen]
    assert ids == sorted(set(ids))


def test_events_go_on_where_the_listener_was(bench):
    runner = bench.runner()
    with bench.client.events("/api/events") as events:
        first = bench.build_of()
        runner.finish(runner.take(), b"x\n")
        seen = events.until(lambda event: event.json["type"] == "completed")
    for start in range(len(seen)):
        with bench.client.events("/api/events", last_id=seen[start].id) as events:
            missed = bench.build_of()
            again = events.until(lambda event: event.json["build"]["id"] == missed)
        assert [event.id for event in again][:len(seen) - start - 1] == [event.id for event in seen[start + 1:]]
        assert all(event.json["build"]["id"] in (first, missed) or start for event in again)


@pytest.mark.parametrize("last", ["x", "-1", "99999999999999999999", "", "1e3"])
def test_a_last_event_id_that_is_none_is_no_harm(bench, last):
    with bench.client.events("/api/events", last_id=last) as events:
        number = bench.build_of()
        events.until(lambda event: event.json["build"]["id"] == number)


def test_a_listener_of_a_state_that_had_more_events_goes_on(bench):
    # as after the state was restored from a backup, or made anew
    for ahead in (1, 1000, 2**63 - 1):
        with bench.client.events("/api/events") as events:
            bench.build_of()
            newest = int(events.until(lambda event: True)[-1].id)
        with bench.client.events("/api/events", last_id=min(newest + ahead, 2**63 - 1)) as events:
            number = bench.build_of()
            events.until(lambda event: event.json["build"]["id"] == number)


def test_a_failed_and_a_cancelled_build_complete_as_well(bench):
    runner = bench.runner()
    with bench.client.events("/api/events") as events:
        failed = bench.build_of()
        runner.finish(runner.take(), state="failed")
        cancelled = bench.build_of()
        bench.api("POST", f"/api/builds/{cancelled}/cancel")
        seen = events.until(lambda e: e.json["type"] == "completed" and e.json["build"]["id"] == cancelled)
    ends = {e.json["build"]["id"]: e.json["build"]["status"] for e in seen if e.json["type"] == "completed"}
    assert ends == {failed: "failed", cancelled: "cancelled"}


# ---- by hand, cancel


def test_a_build_is_started_by_hand_of_any_ref(bench):
    work, _ = bench.push(bench.name(), {"Makefile": "all:\n"})
    first = work.head()
    work.git("tag", "v1")
    work.commit({"x": "y"}, "second")
    work.push("main", "v1")
    url = f"/api/repos/{work.path.name}/builds"
    for ref, commit, branch in (("main", work.head(), "main"), ("refs/heads/main", work.head(), "main"),
                                ("v1", first, None), (first, first, None), (None, work.head(), "main")):
        answer = bench.client.post(url, {"ref": ref} if ref else {}, expect=202)
        build = bench.build(answer["id"])
        assert build["commit_hash"] == commit and build["event"] == "manual"
        assert branch is None or build["branch"] == branch
    assert bench.client.call("POST", url, expect=202).json["id"]


@pytest.mark.parametrize("ref", ["nowhere", "--all", "main..main", "-x", "@{-1}", "main:Makefile", "a b", "", "x" * 5000,
                                 "../../etc/passwd"], ids=range(10))
def test_a_build_of_a_ref_that_is_not_there_is_refused(bench, ref):
    work, _ = bench.push(bench.name(), {"Makefile": "all:\n"})
    bench.client.call("POST", f"/api/repos/{work.path.name}/builds", {"ref": ref}, expect=(400, 404))


def test_variables_given_by_hand_reach_the_job(bench):
    runner = bench.runner()
    work, push = bench.push(bench.name(), {"Makefile": "all:\n"})
    runner.finish(runner.take())
    bench.client.post(f"/api/repos/{work.path.name}/builds", {"env": {"MODE": "a\"b\n$(id)"}}, expect=202)
    assert runner.take()["env"]["MODE"] == "a\"b\n$(id)"
    for env in ({"1X": "y"}, {"A=B": "y"}, {"": "y"}, {"A": 1}, {"A": "x\0y"}, {"A-B": "y"}):
        bench.client.call("POST", f"/api/repos/{work.path.name}/builds", {"env": env}, expect=400)
    refused = bench.client.call("POST", f"/api/repos/{work.path.name}/builds", {"env": {"PELTON_JOB": "7"}}, expect=400)
    assert "Pelton sets PELTON_JOB in every step, over this; take another name" in refused.text
    said = bench.run("build", "start", work.path.name, "--env", "PELTON_TAG=v1", expect=2)
    assert "Pelton sets PELTON_TAG in every step" in said.stderr


def test_a_repository_with_nothing_to_build_says_so(bench):
    work = bench.work(bench.name(), {"README": "nothing\n"})
    push = work.push()
    assert push.builds == [] and "nothing to build" in push.text
    reply = bench.client.call("POST", f"/api/repos/{work.path.name}/builds", {}, expect=400)
    assert "nothing to build" in reply.json["message"].lower()


def test_a_finished_build_cannot_be_cancelled(bench):
    runner = bench.runner()
    number = bench.build_of()
    runner.finish(runner.take())
    bench.api("POST", f"/api/builds/{number}/cancel", expect=409)
    assert bench.build(number)["status"] == "success"


# ---- health


@pytest.mark.parametrize("path", ["/health", "/healthz"])
def test_health_is_told_to_everyone(bench, path):
    reply = bench.as_token(None).call("GET", path)
    assert reply.headers["Content-Type"].startswith("application/json")
    assert reply.json["status"] == "ok" and reply.json["service"] == "pelton"


def test_a_push_prints_the_build_and_where_to_watch_it(bench):
    _, push = bench.push(bench.name(), {"Makefile": "all:\n"})
    assert f"{bench.url}/builds/{push.build}" in push.text
    wait_for("build", lambda: bench.build(push.build))


def test_errors_are_a_line_of_text_for_who_does_not_ask_for_json(bench):
    for path, words in (("/api/builds/999999", "Build not found: 999999"),
                        ("/api/repos/nobody", "Repository 'nobody' not found")):
        reply = bench.api("GET", path, headers={"Accept": "*/*"}, expect=404)
        assert reply.headers["Content-Type"].startswith("text/plain")
        assert reply.text == words + "\n"
        assert words in bench.api("GET", path, expect=404).json["message"]
