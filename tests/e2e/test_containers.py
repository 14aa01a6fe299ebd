"""Jobs in containers: from a push to a real engine and back."""

import pytest

from lib.engine import ENGINES, IMAGE, Engine, missing
from lib.pipelines import Pipelines
from lib.stage_examples import EXAMPLES, run_and_check
from lib.wait import wait_for


def if_there(kind):
    return pytest.param(kind, marks=pytest.mark.skipif(missing(kind) is not None, reason=str(missing(kind))))


@pytest.fixture(scope="module", params=map(if_there, ENGINES))
def engine(request):
    with Engine(request.param) as running:
        yield running


@pytest.fixture
def server(start_pelton, engine):
    yield start_pelton("--cancel-grace", "1s", env=engine.env)
    assert wait_for("no containers, no networks", lambda: not engine.ours())


def test_a_push_runs_in_its_image_beside_its_services(server, engine):
    pipeline = f"""
jobs:
  test:
    image: {IMAGE}
    services:
      db: {{image: "{IMAGE}", command: [nc, -ll, -p, "5000", -e, cat], ready: "netstat -ltn | grep -q :5000"}}
    steps:
      - cat greeting; pwd; id -u
      - run: echo "$WORD" | nc -w 2 db 5000 | tee answer
        env: {{WORD: "it's there"}}
    artifacts: [answer]
"""
    _, push = server.push("hello", {".pelton.yml": pipeline, "greeting": "from the commit\n"})
    build = server.wait_build(push.build, "success")
    log = server.log(push.build)
    assert "from the commit\n/workspace\n0\n" in log
    assert "it's there\n" in log
    assert build["jobs"][0]["executor"] == "docker"


BESIDE = f"""
jobs:
  a:
    image: {IMAGE}
    services:
      good: {{image: "{IMAGE}", command: [sleep, "600"]}}
      bad: {{image: "{IMAGE}", command: [sh, -c, "until [ -e /go ]; do sleep 0.1; done; END"]}}
    steps:
      - "echo begun; until [ -e /go ]; do sleep 0.1; done"
      - STEP
"""


def end_a_service(server, engine, end, step, limit=(), kill=False):
    """A build in whose job the second service ends by `end`, or is killed, while the first step runs; `step` is the second."""
    _, push = server.push("hello", {".pelton.yml": BESIDE.replace("END", end).replace("STEP", step)})
    wait_for("its first line", lambda: "begun" in server.log(push.build))
    service = next(name for name in engine.ours() if name.endswith("-service-1"))
    job = next(name for name in engine.ours() if name.endswith("slot-0"))
    if limit:
        engine.run("update", *limit, service)
    engine.run(*["kill", service] if kill else ["exec", service, "touch", "/go"])
    wait_for("the service's end", lambda: engine.run("inspect", "-f", "{{.State.Status}}", service).stdout == "exited\n")
    engine.run("exec", job, "touch", "/go")
    return push.build


@pytest.mark.parametrize("end, kill, how", [
    ("exit 3", False, "exit status 3"), ("exit 0", False, "exit status 0"), ("", True, "exit status 137 (Killed)"),
])
def test_a_service_that_ends_while_its_job_goes_on_is_told(server, engine, end, kill, how):
    build = end_a_service(server, engine, end, "echo went on", kill=kill)
    server.wait_build(build, "success")
    log = server.log(build)
    assert log.endswith(f"went on\n==> service bad has ended by itself, before the steps were over: {how}\n"), log
    assert "service good has" not in log


@pytest.mark.parametrize("engine", [if_there("docker")], indirect=True)  # Podman changes no limits of what runs
def test_a_service_whose_memory_was_out_is_told_so(server, engine):
    build = end_a_service(server, engine, "exec tail /dev/zero", "true", ["--memory", "64m", "--memory-swap", "64m"])
    server.wait_build(build, "success")
    assert "before the steps were over: exit status 137 (Killed), out of memory\n" in server.log(build)


def test_a_service_s_end_is_told_once_where_a_step_fails(server, engine):
    build = end_a_service(server, engine, "echo farewell; exit 3", "exit 1")
    server.wait_build(build, "failed")
    log = server.log(build)
    assert "==> service bad has ended with exit status 3, and said last:\nfarewell\n" in log
    assert "==> service good said last:\n" in log and "by itself" not in log


def test_a_service_s_end_is_told_where_the_job_is_cancelled(server, engine):
    build = end_a_service(server, engine, "exit 3", "trap '' TERM; echo second; while :; do sleep 1; done")
    wait_for("its second step", lambda: "second\n" in server.log(build))
    server.run("cancel", build)
    server.wait_build(build, "cancelled")
    assert "==> service bad has ended by itself, before the steps were over: exit status 3\n" in server.log(build)


def test_what_another_job_made_runs_in_a_container(server):
    pipeline = f"""
jobs:
  make:
    image: {IMAGE}
    steps: ["mkdir bin; printf '#!/bin/sh\\necho I run in $0\\n' > bin/it; chmod 755 bin/it"]
    artifacts: {{name: it, paths: [bin/it], if: always()}}
  use:
    image: {{name: {IMAGE}, user: "1000"}}
    needs: make
    checkout: false
    download: {{name: it, path: from}}
    steps: [from/bin/it, "id -u"]
"""
    _, push = server.push("hello", {".pelton.yml": pipeline})
    server.wait_build(push.build, "success")
    assert "I run in from/bin/it\n" in server.log(push.build) and "\n1000\n" in server.log(push.build)


def test_a_failing_container_fails_the_build(server):
    _, push = server.push("hello", {".pelton.yml": f"jobs: {{a: {{image: '{IMAGE}', steps: [exit 7]}}}}\n"})
    build = server.wait_build(push.build, "failed")
    assert build["jobs"][0]["exit_code"] == 7


def test_a_user_of_an_image_that_has_no_users_is_told_to_be_none(server):
    pipeline = f"jobs: {{t: {{image: {{name: '{IMAGE}', user: builder}}, steps: [id]}}}}\n"
    _, push = server.push("hello", {".pelton.yml": pipeline})
    [job] = server.wait_build(push.build, "failed")["jobs"]
    assert (job["reason"], job["message"]) == ("invalid", 'user "builder" is not in the image: it has no /etc/passwd')


EATS = "tail /dev/zero"


@pytest.mark.parametrize("steps, reason, code", [
    ([EATS], "oom", 137),
    ([f"{EATS} || exit 3"], "oom", 3),  # a child of it was killed
    ([f"{EATS} || true", "kill -9 $$"], "exit", 137),  # that was the step before
], ids=["itself", "a child", "killed by itself"])
def test_a_step_that_the_kernel_killed_for_want_of_memory_says_so(server, steps, reason, code):
    listed = "\n".join(f"      - {step!r}" for step in steps)
    pipeline = f"jobs:\n  a:\n    image: {IMAGE}\n    resources: {{memory: 64M}}\n    steps:\n{listed}\n"
    _, push = server.push("hello", {".pelton.yml": pipeline})
    job = server.wait_build(push.build, "failed")["jobs"][0]
    assert (job["reason"], job["exit_code"]) == (reason, code)


def test_an_image_is_built_from_the_commit_and_runs_the_next_job(server):
    pipeline = """
jobs:
  image:
    network: false
    steps:
      - echo made > made
      - uses: docker
        with: {build: ., tag: "app:${{ commit.short }}", args: {WORD: hello}}
  use:
    needs: image
    image: {name: "app:${{ commit.short }}", pull: never}
    steps: [cat /app/made /said]
"""
    dockerfile = f"FROM {IMAGE}\nARG WORD\nRUN echo $WORD > /said\nCOPY made /app/made\n"
    _, push = server.push("hello", {".pelton.yml": pipeline, "Dockerfile": dockerfile})
    server.wait_build(push.build, "success")
    assert "made\nhello\n" in server.log(push.build)


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_fork_has_no_image_that_only_the_engine_has_until_it_is_approved(server, engine, by):
    """As another's job has built it, or has pulled it with a login; no registry is there."""
    name = "127.0.0.1:1/private:1"
    engine.run("tag", IMAGE, name)
    if by == "id":
        name = engine.run("images", "-q", name).stdout.strip().split(":")[-1][:12]
    pipeline = f"jobs: {{a: {{image: {{name: '{name}', pull: never}}, steps: [echo I am in]}}}}\n"
    work, push = server.push("hello", {".pelton.yml": pipeline})
    server.wait_build(push.build, "success")
    number = work.push("HEAD:refs/pull/7/head", "-o", "fork").build
    server.wait_build(number, "failed")
    log = server.log(number)
    assert "has its images from their registries" in log and "I am in" not in log
    server.run("build", "approve", number)
    again = server.client.post(f"/api/builds/{number}/rerun", {})["id"]
    server.wait_build(again, "success")
    assert "I am in\n" in server.log(again)


def test_a_container_s_job_outlives_a_restart_of_the_server(server, engine):
    _, push = server.push("hello", {".pelton.yml": f"""
jobs:
  a:
    image: {IMAGE}
    steps:
      - "echo begun; until [ -e /go ]; do sleep 0.1; done; echo went on"
"""})
    wait_for("its first line", lambda: "begun" in server.log(push.build))
    server.restart()
    container = next(name for name in engine.ours() if name.endswith("slot-0"))
    engine.run("exec", container, "touch", "/go")
    server.wait_build(push.build, "success")
    assert "went on" in server.log(push.build)


def test_without_an_engine_the_job_waits_and_both_sides_say_why(start_pelton, tmp_path):
    server = start_pelton(env={"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    wait_for("what the runner says", lambda: "no executor docker: the container engine does not answer" in server.server_log())
    wait_for("what it offers", lambda: "sandbox" in server.client.get("/api/runners")["runners"][0]["executors"])
    assert "docker" not in server.client.get("/api/runners")["runners"][0]["executors"]
    _, push = server.push("hello", {".pelton.yml": f"jobs: {{a: {{image: '{IMAGE}', steps: [echo]}}}}\n"})
    wait_for("why it waits", lambda: "docker" in str(server.build(push.build)["jobs"][0].get("waiting")))


def test_a_stored_pipeline_builds_an_image_and_runs_steps_in_containers(server):
    ci = Pipelines(server)
    view = ci.run(f"""
name: containers
environment: {{NAME: "from-a-pipeline"}}
stages:
- name: Source
  steps: [{{name: write, config: {{command: 'printf "FROM {IMAGE}\\nCOPY source /built\\n" > Dockerfile; echo source > source'}}}}]
- name: Build
  steps:
  - {{name: image, step_type: docker, config: {{dockerfile: Dockerfile, image: "${{NAME}}:test"}}}}
  - {{name: inside, step_type: docker, config: {{image: "${{NAME}}:test", command: cat /built source; echo made > made}}}}
  - {{name: elsewhere, step_type: docker, config: {{image: "{IMAGE}", script: pwd, working_directory: /app}}}}
- name: Fail
  parallel: true
  steps:
  - {{name: good, step_type: docker, config: {{image: "{IMAGE}", command: cat made}}}}
  - {{name: bad, step_type: docker, config: {{image: "{IMAGE}", command: exit 3}}}}
""", "failed")
    steps = {step["name"]: step for stage in view["stages"] for step in stage["steps"]}
    assert [stage["status"] for stage in view["stages"]] == ["success", "success", "failed"], view["message"]
    assert steps["inside"]["stdout"] == "source\nsource\n"
    assert steps["elsewhere"]["stdout"] == "/app\n"
    assert steps["good"]["stdout"] == "made\n"
    assert (steps["bad"]["status"], steps["bad"]["exit_code"]) == ("failed", 3)


@pytest.mark.parametrize("example", [pytest.param(e, id=e.name) for e in EXAMPLES if e.needs == "engine"])
def test_an_example_of_stages_runs_in_containers(server, example):
    run_and_check(Pipelines(server), example, image=IMAGE)


def test_in_a_container_a_secret_that_a_step_names_is_not_the_others(server):
    ci = Pipelines(server)
    made = ci.create(f"""
name: Secrets
stages:
- name: One
  secrets: [ALL]
  steps:
  - {{name: a, config: {{image: "{IMAGE}", command: 'echo "${{#ALL}} ${{#OWN}}"', secrets: [OWN]}}}}
  - {{name: b, config: {{image: "{IMAGE}", command: 'echo "${{#ALL}} [$OWN]"; env | grep -c OWN || true'}}}}
""")
    project = ci.client.get(f"/api/ci/pipelines/{made['id']}")["project"]
    for name in ("ALL", "OWN"):
        ci.client.call("PUT", f"/api/repos/{project}/secrets/{name}", {"value": "some 'quoted'\nsecret"}, expect=200)
    view = ci.wait(ci.trigger(made), "success", timeout=60)
    assert [step["stdout"] for step in view["stages"][0]["steps"]] == ["20 20\n", "20 []\n0\n"]
