"""Pull requests of a hosted repository, by git alone: pushes to refs/pull/N/head."""

import sqlite3

import pytest

from lib.wait import wait_for

SAY = """jobs:
  t:
    steps:
      - echo "[$PELTON_EVENT $PELTON_PULL_REQUEST $PELTON_BRANCH $PELTON_TARGET_BRANCH $PELTON_REF]"
      - ls
"""
HEAD = "refs/pull/7/head"


def start(pelton, text=SAY, name="hello"):
    """A working copy on branch feature, which has left main after its first commit; main has gone on."""
    work = pelton.work(name, {".pelton.yml": text})
    work.push()
    work.git("switch", "-q", "-c", "feature")
    work.commit({"docs/feature": "1"})
    work.git("switch", "-q", "main")
    work.commit({"src/main": "1"})
    work.push()
    work.git("switch", "-q", "feature")
    return work


def pull(work, *options, number=7, env=None):
    return work.push(f"HEAD:refs/pull/{number}/head", *[word for option in options for word in ("-o", option)], env=env)


def builds(pelton, name="hello"):
    return pelton.client.get(f"/api/builds?repo={name}")["builds"]


def test_a_push_to_its_head_builds_it_and_the_steps_know_it(pelton):
    work = start(pelton)
    push = pull(work, "source=feature", "target=main", "title=A feature")
    build = pelton.wait_build(push.build, "success")
    assert "pelton: build" in push.text
    assert (build["event"], build["branch"], build["commit_hash"]) == ("pull_request", "feature", work.head())
    assert build["pull_request"]["title"] == "A feature" and build["pusher"] == "admin"
    log = pelton.log(push.build)
    assert f"[pull_request 7 feature main {HEAD}]" in log
    assert "docs\n" in log and "src\n" not in log  # its head is checked out, not what a merge would give


def test_other_builds_find_these_variables_empty(pelton):
    work = pelton.work("hello", {".pelton.yml": SAY.replace("ls", "'set -u; : $PELTON_PULL_REQUEST$PELTON_TARGET_BRANCH'")})
    push = work.push()
    pelton.wait_build(push.build, "success")
    assert "[push  main  refs/heads/main]" in pelton.log(push.build)


def test_without_options_it_is_for_the_default_branch(pelton):
    work = start(pelton)
    build = pelton.wait_build(pull(work).build, "success")
    assert build["branch"] == "pull/7" and build["pull_request"]["target"] == "main"
    assert build["untrusted"] is False


def test_an_option_that_it_does_not_know_is_said_and_costs_nothing(pelton):
    work = start(pelton)
    push = pull(work, "taget=main", "target=../main", "title=x")
    assert 'option "taget=main" of the push is left out: there are target=BRANCH' in push.text
    assert 'option "target=../main" of the push is left out: expected the name of a branch' in push.text
    build = pelton.wait_build(push.build, "success")
    assert build["pull_request"]["target"] == "main" and build["pull_request"]["title"] == "x"


def test_options_of_a_push_that_is_of_no_pull_request_are_said_to_do_nothing(pelton):
    work = start(pelton)
    work.commit({"x": "1"})
    push = work.push("-o", "ci.skip", "-o", "target=main", "feature")
    assert 'option "ci.skip" of the push is left out: a commit whose message has [skip ci] is not built' in push.text
    assert 'option "target=main" of the push is left out: options are for pushes to refs/pull/N/head' in push.text


def test_a_repository_that_is_older_than_push_options_takes_them(pelton):
    work = start(pelton)
    bare = pelton.state / "repos" / "hello.git"
    work.git("--git-dir", str(bare), "config", "--unset", "receive.advertisePushOptions")
    assert pelton.wait_build(pull(work, "title=x").build, "success")["pull_request"]["title"] == "x"


def test_a_push_by_path_says_it_too(pelton):
    work = start(pelton)
    work.url = str(pelton.state / "repos" / "hello.git")
    assert pelton.build(pull(work, "target=main", "title=local").build)["pull_request"]["title"] == "local"


def test_its_paths_are_those_that_it_has_changed_since_it_left_its_target(pelton):
    work = start(pelton, 'on: {pull_request: {paths: ["src/**"]}}\n' + SAY)
    push = pull(work)
    assert push.builds == [] and "pull request 7: nothing to build: .pelton.yml: no file that it is for has changed" in push.text
    work.commit({"src/feature": "1"})
    assert pelton.wait_build(pull(work).build, "success")["event"] == "pull_request"


def test_its_branches_are_its_targets(pelton):
    work = start(pelton, "on: {pull_request: [release]}\n" + SAY)
    assert "it is not for branch main" in pull(work, "source=release").text
    work.commit({"x": "1"})
    work.push("main:refs/heads/release")
    assert pelton.wait_build(pull(work, "target=release").build, "success")["pull_request"]["target"] == "release"


def test_it_is_not_deployed(pelton):
    work = start(pelton, SAY + "deploy: {start: ./run, branch: feature}\n")
    build = pelton.wait_build(pull(work, "source=feature").build, "success")
    assert [job["name"] for job in build["jobs"]] == ["t"] and pelton.deployments() == []


def test_a_newer_push_takes_the_place_of_an_older_one(pelton):
    slow = "concurrency: {group: '${{ branch }}', cancel: running}\njobs: {t: {steps: [sleep 600]}}\n"
    work = start(pelton, slow)
    first = pull(work, "source=feature").build
    wait_for(lambda: pelton.build(first), lambda: pelton.build(first)["status"] == "running")
    work.commit({".pelton.yml": slow.replace("sleep 600", "echo hi")})
    second = pull(work).build
    assert pelton.wait_build(first, "cancelled")["message"] == f"superseded by build {second}"
    pelton.wait_build(second, "success")


def test_one_that_goes_away_is_noted_and_built_again_when_it_comes_back(pelton):
    work = start(pelton)
    pelton.wait_build(pull(work, "title=x").build, "success")
    before = len(builds(pelton))
    gone = work.push(f":{HEAD}")
    assert f"{HEAD} was deleted" in gone.text and len(builds(pelton)) == before
    assert pelton.wait_build(pull(work).build, "success")["pull_request"]["title"] == ""


def test_what_lies_beside_the_head_is_not_built(pelton):
    work = start(pelton)
    push = work.push("HEAD:refs/pull/7/merge")
    assert push.builds == [] and "neither a branch, a tag nor the head of a pull request" in push.text


def test_a_push_that_nobody_told_is_found_with_what_was_told_before(pelton):
    work = start(pelton)
    work.push("main:refs/heads/release")
    pelton.wait_build(pull(work, "target=release", "source=feature").build, "success")
    pelton.stop()
    work.url = str(pelton.state / "repos" / "hello.git")
    work.commit({"more": "1"})
    assert "NOT BUILT YET" in work.push(f"HEAD:{HEAD}", "-o", "target=lost", check=False).text
    missed = work.head()
    work.commit({"more": "2"})
    work.push("HEAD:refs/pull/8/head", check=False)
    pelton.start()
    found = wait_for(lambda: builds(pelton), lambda: len([b for b in builds(pelton) if b["commit_hash"] in (missed, work.head())]) == 2
                     and {b["commit_hash"]: b["id"] for b in builds(pelton)})
    known = pelton.wait_build(found[missed], "success")
    assert (known["event"], known["branch"], known["pull_request"]["target"], known["untrusted"]) == (
        "pull_request", "feature", "release", False)
    # of this one nothing is known: it may be anybody's
    unknown = pelton.wait_build(found[work.head()], "success")
    assert (unknown["ref"], unknown["pull_request"]["target"], unknown["untrusted"]) == ("refs/pull/8/head", "main", True)


# ---- forks

GUARDED = """jobs:
  test:
    steps: ['echo "test has [$TOKEN]"']
  publish:
    needs: test
    secrets: [TOKEN]
    steps: ['test "$TOKEN" = hunter22-and-more && echo "published with $TOKEN"']
"""


def test_a_fork_gets_a_secret_when_it_is_approved_and_not_before(pelton):
    work = start(pelton, GUARDED)
    pelton.run("secret", "set", "TOKEN", "--repo", "hello", input="hunter22-and-more")
    pelton.wait_build(builds(pelton)[0]["id"])
    number = pull(work, "fork", "source=main").build

    def waits():
        return {job["name"]: job for job in pelton.build(number)["jobs"]}["publish"]["waiting"].startswith("waits for approval")

    wait_for(lambda: pelton.build(number), waits)
    assert "test has []" in pelton.log(number)
    reader = pelton.client.post("/api/tokens", {"name": "stranger", "role": "read"})["token"]
    pelton.as_token(reader).call("POST", f"/api/builds/{number}/approve", expect=403)
    assert pelton.build(number)["untrusted"] is True
    pelton.run("build", "approve", number)
    build = pelton.wait_build(number, "success")
    assert build["approved_by"] == "admin"
    log = pelton.log(number)
    assert "published with ***" in log and "hunter22" not in log
    work.commit({"x": "1"})
    assert pelton.build(pull(work).build)["untrusted"] is True


def test_an_approval_survives_a_restart_and_a_kill(pelton):
    work = start(pelton, GUARDED.replace("    needs: test\n", ""))
    pelton.run("secret", "set", "TOKEN", "--repo", "hello", input="hunter22-and-more")
    number = pull(work, "fork").build
    pelton.kill()
    pelton.start()
    assert pelton.build(number)["untrusted"] is True
    pelton.run("build", "approve", number)
    pelton.kill()
    pelton.start()
    assert pelton.wait_build(number, "success")["approved_by"] == "admin"


def test_a_fork_runs_nothing_outside_the_sandbox_until_it_is_approved(start_pelton):
    pelton = start_pelton("--allow-executor", "shell")
    work = start(pelton, "jobs: {t: {runs-on: {executor: shell}, steps: [touch $HOME/was-here]}}\n")
    number = pull(work, "fork").build
    job = pelton.build(number)["jobs"][0]
    assert job["status"] == "blocked" and "runs outside the sandbox" in job["waiting"]
    pelton.run("build", "approve", number)
    pelton.wait_build(number, "success")


def test_a_forks_file_sends_nobody_anything(pelton):
    stages = ("name: x\nstages: [{name: s, steps: [{name: t, step_type: shell, config: {command: echo hi}}]}]\n"
              "notifications: {on_success: [{target_type: webhook, config: {webhook_url: 'http://127.0.0.1:9/'}}]}\n")
    work = pelton.work("hello", {"pelton-stages.yml": stages})
    ours = work.push().build
    pelton.wait_build(ours, "success")
    work.git("switch", "-q", "-c", "feature")
    work.commit({"x": "1"})
    theirs = pull(work, "fork").build
    pelton.wait_build(theirs, "success")
    with sqlite3.connect(pelton.state / "pelton.db", timeout=30) as db:
        noted = {number for (number,) in db.execute("SELECT build_id FROM notice")}
    db.close()
    assert ours in noted and theirs not in noted


# ---- submodules

SECRET = "only for those who may read priv"
ASKING = {".pelton.yml": "on: {push: , pull_request: }\njobs: {t: {steps: ['git --git-dir=.git/modules/m show origin/main:secret.txt']}}\n"}


def with_submodule(pelton, url="../priv.git"):
    """A working copy, on branch feature, whose submodule is the first commit of priv; the second one has the secret."""
    private = pelton.work("priv", {"plain.txt": "1"})
    first = private.head()
    private.push()
    private.commit({"secret.txt": SECRET})
    private.push()
    work = pelton.work("fk", {"f": "1"})
    work.push()
    work.git("switch", "-q", "-c", "feature")
    work.write({".gitmodules": f'[submodule "m"]\n\tpath = m\n\turl = {url}\n', **ASKING})
    work.git("add", "-A")
    (work.path / "m").mkdir()
    work.git("update-index", "--add", "--cacheinfo", f"160000,{first},m")
    work.git("commit", "-qm", "submodule")
    return work


@pytest.mark.parametrize("url", ["../priv.git", "{}/git/priv.git"], ids=["relative", "whole"])
def test_a_fork_reads_no_other_repository_by_a_submodule_until_it_is_approved(pelton, url):
    work = with_submodule(pelton, url.format(pelton.url))
    number = pull(work, "fork", "target=main").build
    job = pelton.wait_build(number, "failed")["jobs"][0]
    assert f"before it is approved: pelton build approve {number}, then pelton rerun {number}" in job["message"]
    assert SECRET not in pelton.log(number) and "plt_" not in pelton.log(number)
    assert f"pelton rerun {number}" in (told := pelton.run("build", "approve", number)).stdout + told.stderr
    again = pelton.client.post(f"/api/builds/{number}/rerun", {})["id"]
    assert pelton.wait_build(again, "success")["approved_by"] == "admin"
    assert SECRET in pelton.log(again)


def test_other_builds_have_their_submodules_by_the_runners_token(pelton):
    work = with_submodule(pelton)
    for number in (pull(work, "target=main").build, work.push("HEAD:main").build):
        pelton.wait_build(number, "success")
        assert SECRET in pelton.log(number)


def test_a_forks_job_finds_neither_a_token_nor_another_repository(pelton):
    pelton.work("priv", {"secret.txt": SECRET}).push()
    assert (pelton.state / "repos" / "priv.git" / "HEAD").exists() and (pelton.state / "admin.token").exists()
    look = f"""jobs:
  t:
    steps:
      - "! grep -rlE 'plt_[A-Za-z0-9]{{20}}' .git $HOME /tmp /etc /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null"
      - "! ls {pelton.state}/repos/priv.git"
      - "! cat {pelton.state}/admin.token {pelton.state}/hook.token"
      - "! find / -xdev -name '*.token' -readable 2>/dev/null | grep ."
      - "! git ls-remote {pelton.url}/git/priv.git </dev/null"
      - "! git ls-remote {pelton.state}/repos/priv.git"
      - git log -1
"""
    work = start(pelton, look)
    number = pull(work, "fork").build
    pelton.wait_build(number, "success")
    assert SECRET not in pelton.log(number)


# ---- caches

CACHED = """jobs:
  t:
    cache: {key: k, paths: [deps]}
    steps: ['mkdir -p deps; echo %s >>deps/f; cat deps/f']
"""


def caches(pelton):
    return sorted(cache["ref"] for cache in pelton.client.get("/api/repos/hello/caches")["caches"])


def test_it_reads_its_targets_caches_and_writes_its_own(pelton):
    work = pelton.work("hello", {".pelton.yml": CACHED % "main"})
    pelton.wait_build(work.push().build, "success")
    work.git("switch", "-q", "-c", "release")
    work.commit({".pelton.yml": (CACHED % "release").replace("key: k", "key: r")})
    pelton.wait_build(work.push("release").build, "success")
    work.commit({".pelton.yml": (CACHED % "pull").replace("key: k", "key: r")})
    number = pull(work, "target=release").build
    pelton.wait_build(number, "success")
    assert "release\npull\n" in pelton.log(number)
    work.commit({"x": "1"})
    number = pull(work).build
    pelton.wait_build(number, "success")
    assert "release\npull\npull\n" in pelton.log(number)
    assert caches(pelton) == ["refs/heads/main", "refs/heads/release", HEAD]
    work.commit({".pelton.yml": (CACHED % "again").replace("key: k", "key: r")})
    number = work.push("HEAD:release").build
    pelton.wait_build(number, "success")
    assert "release\nagain\n" in pelton.log(number)


def test_what_a_commit_of_a_fork_leaves_is_not_read_by_the_next_one(pelton):
    work = pelton.work("hello", {".pelton.yml": "jobs: {t: {steps: [echo hi]}}\n"})
    pelton.wait_build(work.push().build, "success")
    work.git("switch", "-q", "-c", "feature")
    poisoned = work.commit({".pelton.yml": CACHED % "poison"})
    pelton.wait_build(pull(work, "fork").build, "success")
    assert caches(pelton) == [f"{HEAD} at {poisoned}"]
    work.commit({".pelton.yml": (CACHED % "harmless").replace("    steps", "    secrets: [TOKEN]\n    steps")})
    pelton.run("secret", "set", "TOKEN", "--repo", "hello", input="hunter22-and-more")
    number = pull(work).build
    pelton.run("build", "approve", number)
    pelton.wait_build(number, "success")
    log = pelton.log(number)
    assert "harmless\n" in log and "poison" not in log
    assert caches(pelton) == [HEAD, f"{HEAD} at {poisoned}"]
