"""Secrets: who may set them, who gets them, and what is told of them."""

import json
import sqlite3

import pytest

SECRET = "hunter22-and-more"


def set_secret(bench, path, value=SECRET, **options):
    return bench.client.call("PUT", path, {"value": value}, **options)


def leased(bench, names, prepare=lambda name: None):
    """(the project's name, what a lease gives: a JOB or None, the build)."""
    name = bench.name()
    runner = bench.runner()
    secrets = f"    secrets: {json.dumps(names)}\n" if names else ""
    pipeline = f"jobs:\n  t:\n    checkout: false\n{secrets}    steps: [echo hi]\n"
    number = bench.push(name, {".pelton.yml": pipeline})[1].build
    prepare(name)
    jobs = runner.client.post("/api/runner/lease", {**runner.facts(), "wait": 0})["jobs"]
    return name, jobs[0] if jobs else None, bench.build(number)


def test_only_their_names_are_ever_told(bench):
    name = bench.name()
    bench.create_repo(name)
    answer = set_secret(bench, f"/api/repos/{name}/secrets/TOKEN", expect=200)
    assert answer.json == {"name": "TOKEN", "level": "project", "warning": None}
    listed = bench.client.call("GET", f"/api/repos/{name}/secrets", expect=200)
    assert [(s["name"], s["level"], s["updated_by"]) for s in listed.json["secrets"]] == [("TOKEN", "project", "admin")]
    assert SECRET not in listed.text and "sealed" not in listed.text


def test_a_job_gets_the_secrets_that_it_names_and_no_others(bench):
    def prepare(name):
        set_secret(bench, f"/api/repos/{name}/secrets/TOKEN", expect=200)
        set_secret(bench, f"/api/repos/{name}/secrets/OTHER", "another value", expect=200)

    _, job, _ = leased(bench, ["TOKEN"], prepare)
    assert job["secrets"] == {"TOKEN": SECRET}
    _, job, _ = leased(bench, [], prepare)
    assert "secrets" not in job


def test_the_projects_secret_goes_before_the_organisations(bench):
    set_secret(bench, "/api/secrets/SHARED", "of the organisation", expect=200)
    _, job, _ = leased(bench, ["SHARED"])
    assert job["secrets"] == {"SHARED": "of the organisation"}
    _, job, _ = leased(bench, ["SHARED"],
                       lambda name: set_secret(bench, f"/api/repos/{name}/secrets/SHARED", "the project's", expect=200))
    assert job["secrets"] == {"SHARED": "the project's"}


def test_a_job_that_names_a_secret_that_is_not_there_ends_as_invalid_and_says_which(bench):
    other = bench.name()
    bench.create_repo(other)
    set_secret(bench, f"/api/repos/{other}/secrets/ELSEWHERE", expect=200)
    name, job, build = leased(bench, ["ELSEWHERE"])
    assert job is None
    assert build["status"] == "failed" and build["reason"] == "invalid"
    assert f"there is no secret ELSEWHERE; set it: pelton secret set ELSEWHERE --repo {name}" in build["message"]
    assert build["jobs"][0]["status"] == "failed"


def test_a_build_of_someone_who_is_not_trusted_gets_none(bench):
    def prepare(name):
        set_secret(bench, f"/api/repos/{name}/secrets/TOKEN", expect=200)
        with sqlite3.connect(bench.state / "pelton.db", timeout=30) as db:
            db.execute("UPDATE build SET untrusted = 1 WHERE project_id = (SELECT id FROM project WHERE name = ?)", (name,))
        db.close()

    _, job, build = leased(bench, ["TOKEN"], prepare)
    assert job is None and build["reason"] == "invalid" and "fork" in build["message"]
    _, job, _ = leased(bench, [], prepare)
    assert job is not None


def test_all_are_sealed_and_open_with_a_new_key_after_a_rotation(bench):
    def key():
        return (bench.state / "secret.key").read_text()

    before = key()

    def prepare(name):
        set_secret(bench, f"/api/repos/{name}/secrets/TOKEN", expect=200)
        assert bench.client.call("POST", "/api/secrets/rotate", expect=200).json["secrets"] >= 1

    _, job, _ = leased(bench, ["TOKEN"], prepare)
    assert job["secrets"] == {"TOKEN": SECRET}
    assert key() != before and len([line for line in key().splitlines() if line[0] != "#"]) == 1
    assert (bench.state / "secret.key").stat().st_mode & 0o777 == 0o600


def test_a_value_that_is_short_comes_with_a_warning_and_one_that_cannot_be_hidden_is_refused(bench):
    name = bench.name()
    bench.create_repo(name)
    assert "short" in set_secret(bench, f"/api/repos/{name}/secrets/PIN", "123456", expect=200).json["warning"]
    assert "lines of it" in set_secret(bench, f"/api/repos/{name}/secrets/PIN", "user: me\nhunter\n", expect=200).json["warning"]
    assert "too short to be hidden" in set_secret(bench, f"/api/repos/{name}/secrets/PIN", "123", expect=400).text
    set_secret(bench, f"/api/repos/{name}/secrets/BIG", "x" * 65536, expect=200)
    set_secret(bench, f"/api/repos/{name}/secrets/BIG", "x" * 65537, expect=413)


@pytest.mark.parametrize("secret", ["1ST", "A-B", "A%20B", "PATH", "PELTON_TOKEN", "x" * 101])
def test_a_name_that_is_no_variable_or_one_of_ours_is_refused(bench, secret):
    name = bench.name()
    bench.create_repo(name)
    set_secret(bench, f"/api/repos/{name}/secrets/{secret}", expect=400)


@pytest.mark.parametrize("body", [b'{"value": "hunter22-and-more', b'{"value": ["hunter22-and-more"]}', b'{"value":"hunter22-and-more\\u0000"}',
                                  b'{"hunter22-and-more": 1}', b'"hunter22-and-more"'])
def test_no_error_repeats_what_was_sent(bench, body):
    name = bench.name()
    bench.create_repo(name)
    reply = bench.client.call("PUT", f"/api/repos/{name}/secrets/TOKEN", body, headers={"Content-Type": "application/json"}, expect=400)
    assert "hunter" not in reply.text and "hunter" not in bench.server_log()


def test_who_may_only_read_sees_and_sets_none_and_the_organisations_are_the_administrators(bench):
    name = bench.name()
    bench.create_repo(name)
    reader = bench.as_token(bench.client.post("/api/tokens", {"name": "r", "role": "read"})["token"])
    user = bench.as_token(bench.client.post("/api/tokens", {"name": "u", "role": "user"})["token"])
    for method, path in [("GET", f"/api/repos/{name}/secrets"), ("PUT", f"/api/repos/{name}/secrets/A"),
                         ("DELETE", f"/api/repos/{name}/secrets/A"), ("GET", "/api/secrets")]:
        reader.call(method, path, {"value": SECRET} if method == "PUT" else None, expect=403)
    user.call("PUT", f"/api/repos/{name}/secrets/A", {"value": SECRET}, expect=200)
    for method, path in [("PUT", "/api/secrets/A"), ("DELETE", "/api/secrets/A"), ("POST", "/api/secrets/rotate")]:
        user.call(method, path, {"value": SECRET} if method == "PUT" else None, expect=403)


def test_a_removed_secret_is_gone(bench):
    name = bench.name()
    bench.create_repo(name)
    set_secret(bench, f"/api/repos/{name}/secrets/TOKEN", expect=200)
    bench.client.call("DELETE", f"/api/repos/{name}/secrets/TOKEN", expect=204)
    bench.client.call("DELETE", f"/api/repos/{name}/secrets/TOKEN", expect=404)
    assert [s for s in bench.client.get(f"/api/repos/{name}/secrets")["secrets"] if s["level"] == "project"] == []


def test_the_command_line_reads_the_value_from_its_input(bench):
    name = bench.name()
    bench.create_repo(name)
    done = bench.run("secret", "set", "TOKEN", "--repo", name, input=SECRET + "\n")
    assert SECRET not in done.stdout + done.stderr
    assert "TOKEN" in bench.run("secret", "list", "--repo", name).stdout
    bench.run("secret", "set", "TOKEN", input=SECRET, expect=2)
    bench.run("secret", "set", "TOKEN", SECRET, "--repo", name, input="", expect=2)
    _, job, _ = leased(bench, ["ONE", "TWO"], lambda repo: [
        bench.run("secret", "set", "ONE", "--repo", repo, input="one line\n"),
        bench.run("secret", "set", "TWO", "--repo", repo, input="two\nlines\n")])
    assert job["secrets"] == {"ONE": "one line", "TWO": "two\nlines\n"}
    bench.run("secret", "rm", "TOKEN", "--repo", name)
    bench.run("secret", "rm", "TOKEN", "--repo", name, expect=3)
    bench.run("secret", "rotate")
