"""The programs under examples/, from a push to their pages and artifacts."""

import hashlib
import shutil
import subprocess

import pytest

from lib.work import Work


def push_example(pelton, examples, name):
    work = pelton.work(name)
    work.copy(examples / name)
    commit = work.commit(message=f"{name}, as it is")
    return commit, work.push().build


def artifact(pelton, build, path):
    """The bytes, checked against what the list says of them."""
    listed = {entry["path"]: entry for entry in pelton.client.get(f"/api/builds/{build}/artifacts")["artifacts"]}
    data = pelton.api("GET", f"/api/builds/{build}/artifacts/{path}").body
    assert len(data) == listed[path]["size"]
    assert hashlib.sha256(data).hexdigest() == listed[path]["sha256"]
    return data


def test_hello_goes_from_a_push_to_its_page(pelton, examples):
    commit, build = push_example(pelton, examples, "hello")
    assert pelton.wait_build(build, "success")["commit_hash"] == commit
    assert "made site/index.html" in pelton.log(build)
    pelton.wait_live(commit)
    page = pelton.wait_page("hello", lambda reply: reply.status == 200)
    assert "Hello from Pelton" in page.text and commit[:8] in page.text
    assert page.body == artifact(pelton, build, "site/index.html")


def test_a_c_program_is_made_tested_kept_and_live(pelton, examples, tmp_path):
    commit, build = push_example(pelton, examples, "c-make")
    pelton.wait_build(build, "success")
    assert "all words are counted" in pelton.log(build)
    tally = tmp_path / "tally"
    tally.write_bytes(artifact(pelton, build, "tally"))
    tally.chmod(0o755)
    told = subprocess.run([tally], input="one three", capture_output=True, text=True, check=True).stdout
    assert told == "2 words, longest: three\n"
    pelton.wait_live(commit)
    reply = pelton.wait_page("c-make", lambda reply: reply.status == 200, "/from-a-jet-to-a-wheel")
    assert reply.text == "Hello from C: 6 words, longest: wheel\n"


def test_a_python_program_is_tested_and_live_with_its_environment(pelton, examples):
    commit, build = push_example(pelton, examples, "python-web")
    pelton.wait_build(build, "success")
    assert "Ran 4 tests" in pelton.log(build)
    pelton.wait_live(commit)
    page = pelton.wait_page("python-web", lambda reply: reply.status == 200)
    assert "Guests of Pelton" in page.text and "0 guests so far" in page.text.replace("Hello from Python. ", "")


def test_a_static_site_is_live_without_any_job(pelton, examples):
    commit, build = push_example(pelton, examples, "static-site")
    pelton.wait_build(build, "success")
    pelton.wait_live(commit)
    page = pelton.wait_page("static-site", lambda reply: reply.status == 200, "/history.html")
    assert page.body == (examples / "static-site" / "site" / "history.html").read_bytes()
    assert pelton.page("static-site", "/.pelton.yml").status == 404


def test_a_second_push_replaces_the_page_and_a_broken_one_does_not(pelton, examples):
    commit, build = push_example(pelton, examples, "static-site")
    pelton.wait_live(commit)
    work = Work(pelton.folder / "work" / "second", pelton.git_url("static-site"))
    shutil.copytree(examples / "static-site", work.path, dirs_exist_ok=True)
    second = work.commit({"site/index.html": "the second page"})
    work.push("--force", "main")
    pelton.wait_live(second)
    pelton.wait_page("static-site", lambda reply: reply.text == "the second page")
    work.commit({"site/index.html": "never seen",
                 ".pelton.yml": "deploy:\n  start: exit 7\n  files: ['site/**']\n"})
    broken = work.push().build
    pelton.wait_build(broken, "failed")
    assert pelton.page("static-site").text == "the second page"


@pytest.mark.parametrize("signal", ["stop", "kill"])
def test_what_is_live_stays_so_while_the_server_is_away(pelton, examples, signal):
    commit, build = push_example(pelton, examples, "static-site")
    pelton.wait_live(commit)
    getattr(pelton, signal)()
    assert pelton.page("static-site").status == 200
    pelton.start()
    assert pelton.page("static-site").status == 200
    assert [d["status"] for d in pelton.deployments()] == ["live"]
