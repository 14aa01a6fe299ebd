"""A repository that is deleted is gone, with what is live of it; its builds are not, whatever dies meanwhile."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib.wait import wait_for
from lib.work import Work

JOB = {".pelton.yml": "jobs:\n  t:\n    checkout: false\n    artifacts: [x]\n    steps: ['echo said; echo made > x']\n"}
SLOW = {".pelton.yml": "jobs:\n  t:\n    checkout: false\n    steps: ['tail -f /dev/null']\n"}
SERVE = 'exec python3 -u -m http.server "$PORT" --bind 127.0.0.1 --directory site'
STUBBORN = "trap '' TERM; python3 -u -m http.server \"$PORT\" --bind 127.0.0.1 --directory site & while :; do wait; done"


def site(start=SERVE):
    return {"site/index.html": "page", ".pelton.yml": f"deploy:\n  start: {json.dumps(start)}\n  files: ['site/**']\n"}


def repos(pelton):
    return {path.name for path in (pelton.state / "repos").iterdir()}


def push_again(pelton, files):
    """Another repository of the name."""
    pelton.create_repo("hello")
    work = Work(pelton.folder / "work" / "again", pelton.git_url("hello"))
    work.commit(files)
    return work.push()


def delete(pelton, name="hello", expect=200, query=""):
    return pelton.client.call("DELETE", f"/api/repos/{name}{query}", expect=expect)


def page(pelton, status):
    return pelton.wait_page("hello", lambda reply: reply.status == status)


def test_its_builds_logs_and_artifacts_stay_and_the_name_is_free(pelton):
    _, push = pelton.push("hello", JOB)
    pelton.wait_build(push.build, "success")
    assert pelton.build(push.build)["repo"] == "hello"  # and is kept in memory
    answer = delete(pelton).json
    assert answer["name"] == "hello" and answer["builds_count"] == 1
    assert repos(pelton) == set()
    assert pelton.client.get("/api/repos") == []
    for path in ("/api/repos/hello", "/api/repos/hello/secrets", "/git/hello.git/info/refs?service=git-upload-pack"):
        pelton.client.call("GET", path, expect=404)
    build = pelton.build(push.build)
    assert (build["repo"], build["status"]) == (answer["builds"], "success")
    assert "said" in pelton.log(push.build)
    assert pelton.client.call("GET", f"/api/builds/{push.build}/artifacts/x").body == b"made\n"
    listed = pelton.client.get("/api/builds?repo=" + answer["builds"].replace(" ", "%20"))["builds"]
    assert [build["id"] for build in listed] == [push.build]
    assert "was deleted" in pelton.client.call("POST", f"/api/builds/{push.build}/rerun", {}, expect=409).text
    # the same name once more, and nothing of the old one in it
    again = push_again(pelton, JOB)
    assert pelton.wait_build(again.build, "success")["repo"] == "hello"
    assert pelton.client.get("/api/repos/hello")["builds_count"] == 1
    delete(pelton)
    assert len(pelton.client.get("/api/builds")["builds"]) == 2


def test_what_runs_keeps_it_and_is_cancelled_with_force(pelton):
    _, push = pelton.push("hello", SLOW)
    wait_for("the job to run", lambda: pelton.build(push.build)["status"] == "running")
    said = delete(pelton, expect=409).json["message"]
    assert str(push.build) in said and "pelton repo delete hello --force" in said
    assert repos(pelton) == {"hello.git"}
    delete(pelton, query="?force=1")
    build = pelton.build(push.build)
    assert (build["status"], build["message"]) == ("cancelled", "cancelled by admin")
    assert repos(pelton) == set()


def test_what_is_live_keeps_it_and_is_taken_off_with_force(pelton):
    _, push = pelton.push("hello", site())
    pelton.wait_build(push.build, "success")
    page(pelton, 200)
    assert "hello is live" in delete(pelton, expect=409).json["message"]
    page(pelton, 200)
    delete(pelton, query="?force=1")
    page(pelton, 404)
    assert not list((pelton.state / "releases").iterdir())
    past = pelton.client.get("/api/deployments")["deployments"]
    assert [(one["status"], one["error_message"]) for one in past] == [("superseded", "its repository was deleted")]
    # the host name is free as well
    push = push_again(pelton, site())
    pelton.wait_build(push.build, "success")
    page(pelton, 200)


def test_killed_before_its_release_has_stopped_it_is_finished_at_the_next_start(pelton):
    _, push = pelton.push("hello", site(STUBBORN))
    pelton.wait_build(push.build, "success")
    page(pelton, 200)
    with ThreadPoolExecutor(1) as pool:
        deleting = pool.submit(pelton.client.call, "DELETE", "/api/repos/hello?force=1", expect=None)
        page(pelton, 404)  # its release has ten seconds to stop
        pelton.kill()
        assert deleting.exception() is not None
    assert any(name.startswith("deleted.") for name in repos(pelton))
    pelton.start()
    wait_for(lambda: f"left: {repos(pelton)}", lambda: not repos(pelton))
    wait_for("the release to go", lambda: not list((pelton.state / "releases").iterdir()))
    page(pelton, 404)
    assert pelton.build(push.build)["repo"].startswith("hello (deleted")
    push_again(pelton, JOB)


def test_killed_when_its_folder_was_moved_and_no_more_it_is_as_before(pelton):
    work, push = pelton.push("hello", JOB)
    pelton.wait_build(push.build, "success")
    pelton.kill()
    # as a deletion leaves it whose transaction was not through
    with sqlite3.connect(pelton.state / "pelton.db") as db:
        (uuid,), = db.execute("SELECT uuid FROM project")
    (pelton.state / "repos" / "hello.git").rename(pelton.state / "repos" / f"deleted.{uuid}")
    pelton.start()
    assert repos(pelton) == {"hello.git"}
    work.url = pelton.git_url("hello")
    work.commit({"more": "1"})
    assert pelton.wait_build(work.push().build, "success")["repo"] == "hello"


@pytest.mark.parametrize("role, status", [("user", 403), ("read", 403), ("admin", 200)])
def test_only_an_administrator_may(start_pelton, role, status):
    pelton = start_pelton("--ingress", "off")
    pelton.push("hello", JOB)
    pelton.wait_build(1, "success")
    token = pelton.client.post("/api/tokens", {"name": "x", "role": role}, expect=201)["token"]
    pelton.client.call("DELETE", "/api/repos/hello", headers={"Authorization": f"Bearer {token}"}, expect=status)
    assert repos(pelton) == (set() if status == 200 else {"hello.git"})


def test_the_command_line_asks_and_says_where_the_builds_are(pelton):
    pelton.push("hello", JOB)
    pelton.wait_build(1, "success")
    refused = pelton.run("repo", "delete", "hello", expect=2)
    assert "--yes" in refused.stderr and repos(pelton) == {"hello.git"}
    assert pelton.run("repo", "delete", "nobody", "--yes", expect=3).stderr
    said = pelton.run("repo", "delete", "hello", "--yes").stderr
    assert "repository hello is deleted" in said and "pelton builds --repo 'hello (deleted 1)'" in said
    assert "hello (deleted 1)" in pelton.run("builds", "--repo", "hello (deleted 1)").stdout
    assert repos(pelton) == set()
