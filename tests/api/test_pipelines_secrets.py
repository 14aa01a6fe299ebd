"""Stored secrets in pipelines of stages: who gets them, and who does not."""

import hashlib
import hmac
import json

import pytest

from lib.pipelines import Pipelines, simple

VALUE = "s3cret-and-long-enough"
COMMIT = "0123456789abcdef0123456789abcdef01234567"

STAGES = """name: Secret things
stages:
- name: First
  steps:
  - {name: with, config: {command: 'echo "${#TOKEN} $TOKEN"'}, secrets: [TOKEN]}
  - {name: without, config: {command: 'echo "[${TOKEN-nothing}]"'}}
- name: Second
  secrets: SHARED
  steps:
  - {name: a, config: {command: 'echo "${#SHARED} ${TOKEN-nothing}"'}}
- name: Third
  parallel: true
  steps:
  - {name: one, config: {command: 'echo "${#TOKEN}"'}, secrets: [TOKEN]}
  - {name: two, config: {command: 'echo "[${TOKEN-nothing}]"'}}
"""


@pytest.fixture
def ci(pelton):
    return Pipelines(pelton)


def project_of(ci, pipeline):
    return ci.client.get(f"/api/ci/pipelines/{pipeline['id']}")["project"]


def set_secret(ci, project, name, value=VALUE):
    ci.client.call("PUT", f"/api/repos/{project}/secrets/{name}", {"value": value}, expect=200)


def outputs(view):
    return {step["name"]: step["stdout"] for stage in view["stages"] for step in stage["steps"]}


def test_a_secret_reaches_the_steps_that_name_it_and_no_others(pelton, ci):
    made = ci.create(STAGES)
    set_secret(ci, project_of(ci, made), "TOKEN")
    ci.client.call("PUT", "/api/secrets/SHARED", {"value": "of the organisation"}, expect=200)
    view = ci.wait(ci.trigger(made), "success")
    assert outputs(view) == {"with": f"{len(VALUE)} ***\n", "without": "[nothing]\n", "a": "19 nothing\n",
                             "one": f"{len(VALUE)}\n", "two": "[nothing]\n"}
    assert VALUE not in json.dumps(view) and VALUE not in pelton.log(view["build"])
    assert VALUE not in pelton.server_log()


def test_the_pipelines_own_secret_goes_before_the_repositorys(pelton, ci):
    pelton.push("code", {"README": "x"})
    made = ci.create("secrets: [A, B, C]\n" + simple('echo "$A $B $C" | tr a-z b-za'))
    for project, names in ((project_of(ci, made), "A"), ("code", "AB")):
        for name in names:
            set_secret(ci, project, name, f"{project.split('-')[0]} secret {name}")
    ci.client.call("PUT", "/api/secrets/C", {"value": "everybodys secret"}, expect=200)
    view = ci.wait(ci.trigger(made, repository="someone/code"), "success")
    assert outputs(view)["step"] == "tjnqmf tfdsfu A dpef tfdsfu B fwfszcpezt tfdsfu\n"


def test_a_secret_that_is_not_there_fails_the_job_and_says_how_to_set_it(pelton, ci):
    made = ci.create(STAGES)
    project = project_of(ci, made)
    view = ci.wait(ci.trigger(made), "failed")
    job = pelton.build(view["build"])["jobs"][0]
    assert (job["status"], job["reason"]) == ("failed", "invalid")
    assert f"there is no secret TOKEN; set it: pelton secret set TOKEN --repo {project}" in job["message"]
    pelton.run("secret", "set", "TOKEN", "--repo", project, input=VALUE)
    pelton.run("secret", "set", "SHARED", "--org", input=VALUE)
    ci.wait(ci.trigger(made), "success")


def test_a_repositorys_own_stages_have_its_secrets(pelton, ci):
    work = pelton.work("code", {"pelton-stages.yml": "secrets: TOKEN\n" + simple('echo "${#TOKEN} $TOKEN"')})
    set_secret(ci, "code", "TOKEN")
    number = work.push().build
    pelton.wait_build(number, "success")
    assert f"{len(VALUE)} ***\n" in pelton.log(number)


def approve(pelton, ci, execution):
    """The execution, which waits for that, once it has ended well."""
    number = ci.execution(execution)["build"]
    job = pelton.build(number)["jobs"][0]
    assert job["status"] == "blocked" and "it comes from a fork, and names secrets" in job["waiting"]
    pelton.run("build", "approve", number)
    return ci.wait(execution, "success")


@pytest.mark.parametrize("head, fork", [({"full_name": "user/x"}, False), ({"full_name": "stranger/x"}, True), (None, True)])
def test_a_pull_request_from_a_fork_gets_them_when_it_is_approved(pelton, ci, head, fork):
    made = ci.create("secrets: TOKEN\n" + simple('echo "${#TOKEN}"'))
    set_secret(ci, project_of(ci, made), "TOKEN")
    secret = ci.client.get(f"/api/ci/pipelines/{made['id']}")["webhook"]["secret"]
    body = json.dumps({"action": "opened", "repository": {"full_name": "user/x"}, "pull_request": {
        "head": {"sha": COMMIT, "ref": "topic", "repo": head},
        "base": {"ref": "main", "repo": {"full_name": "user/x"}}}}).encode()
    headers = {"X-GitHub-Event": "pull_request", "Content-Type": "application/json",
               "X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}
    reply = ci.client.call("POST", f"/api/ci/pipelines/{made['id']}/webhook", body, headers=headers).json
    view = approve(pelton, ci, reply["execution_id"]) if fork else ci.wait(reply["execution_id"], "success")
    assert outputs(view)["step"] == f"{len(VALUE)}\n"


def test_a_merge_request_of_the_project_itself_is_no_forks(pelton, ci):
    made = ci.create("secrets: TOKEN\n" + simple('echo "${#TOKEN}"'))
    set_secret(ci, project_of(ci, made), "TOKEN")
    secret = ci.client.get(f"/api/ci/pipelines/{made['id']}")["webhook"]["secret"]
    for source, end in ((7, lambda execution: ci.wait(execution, "success")), (8, lambda execution: approve(pelton, ci, execution))):
        body = {"project": {"path_with_namespace": "user/x"}, "object_attributes": {
            "action": "open", "source_branch": "topic", "target_branch": "main", "last_commit": {"id": COMMIT},
            "source_project_id": source, "target_project_id": 7}}
        reply = ci.client.call("POST", f"/api/ci/pipelines/{made['id']}/webhook", body,
                               headers={"X-Gitlab-Event": "Merge Request Hook", "X-Gitlab-Token": secret}).json
        end(reply["execution_id"])


@pytest.mark.parametrize("login", ["{token}", "ada:{token}"])
def test_a_clone_may_log_in_with_a_secret(pelton, ci, login):
    pelton.push("private", {"README": "not for everybody\n"})
    made = ci.create(f"""name: Clone
stages:
- name: Get
  steps:
  - name: clone it
    config: {{repository_url: "{pelton.url}/git/private.git", branch: main, credentials: LOGIN}}
  - {{name: look, config: {{command: 'cat README; echo "[${{LOGIN-nothing}}]"; cat .git/config'}}}}
""")
    set_secret(ci, project_of(ci, made), "LOGIN", login.format(token=pelton.token))
    view = ci.wait(ci.trigger(made), "success")
    assert outputs(view)["look"].startswith("not for everybody\n[nothing]\n")
    assert pelton.token not in outputs(view)["look"]
    set_secret(ci, project_of(ci, made), "LOGIN", "wrong-for-sure")
    ci.wait(ci.trigger(made), "failed")
