"""What `.pelton.yml` says, seen from what a push does."""

import json

import pytest


def jobs_of(pelton, build):
    return {job["name"]: job for job in pelton.build(build)["jobs"]}


def start(pelton, repo, expect=range(200, 300), **body):
    return pelton.client.post(f"/api/repos/{repo}/builds", body, expect=expect)


def test_a_matrix_runs_each_combination(pelton):
    _, push = pelton.push("matrix", {".pelton.yml": """
jobs:
  test:
    checkout: false
    matrix: {n: [1, 2], word: [a, "b c"]}
    steps: ['echo "got ${{ matrix.n }}-${{ matrix.word }}."']
  after: {needs: test, checkout: false, steps: [echo all]}
"""})
    build = pelton.wait_build(push.build, "success")
    assert [job["name"] for job in build["jobs"]] == [
        "test (1, a)", "test (1, b c)", "test (2, a)", "test (2, b c)", "after"]
    assert sorted(build["jobs"][4]["needs"]) == sorted(job["name"] for job in build["jobs"][:4])
    log = pelton.log(push.build)
    for said in "got 1-a.", "got 1-b c.", "got 2-a.", "got 2-b c.":
        assert said in log


def test_a_value_that_is_shell_reaches_the_step_as_it_is(pelton):
    branch = "a$(touch${IFS}pwned);b"
    work = pelton.work("values", {".pelton.yml": """
jobs:
  say:
    steps: ['echo "on ${{ branch }}"; ls -a']
"""})
    work.git("checkout", "-q", "-b", branch)
    work.commit()
    build = work.push(branch).build
    pelton.wait_build(build, "success")
    log = pelton.log(build)
    assert f"on {branch}\n" in log
    assert "\npwned\n" not in log


def test_an_opening_of_ones_own_reaches_step_and_environment(pelton):
    _, push = pelton.push("braces", {".pelton.yml": """
jobs:
  say:
    checkout: false
    env: {GIVEN: "${{ '${{' }} env }}"}
    steps:
      - 'echo "run ${{ ''${{'' }} x }}, $GIVEN, \\$${{ branch }}"'
"""})
    pelton.wait_build(push.build, "success")
    assert "run ${{ x }}, ${{ env }}, $main\n" in pelton.log(push.build)


def test_failures_that_are_allowed_leave_a_success_that_says_so(pelton):
    _, push = pelton.push("allowed", {".pelton.yml": """
jobs:
  shaky: {allow-failure: true, checkout: false, steps: [exit 3]}
  goes-on:
    checkout: false
    steps:
      - {run: exit 4, continue-on-error: true}
      - echo went on
  after: {needs: [shaky, goes-on], checkout: false, steps: [echo after]}
"""})
    build = pelton.wait_build(push.build, "success")
    assert build["message"] == "job shaky failed, as it may"
    states = {name: job["status"] for name, job in jobs_of(pelton, push.build).items()}
    assert states == {"shaky": "failed", "goes-on": "success", "after": "success"}
    assert jobs_of(pelton, push.build)["shaky"]["allow_failure"] is True
    assert "went on" in pelton.log(push.build)


INPUTS = """
inputs:
  level: {options: [quick, full], default: quick}
  count: {type: number, default: 1}
jobs:
  test:
    checkout: false
    steps: ['echo "level ${{ inputs.level }}, count ${{ inputs.count }}"']
  full: {if: inputs.level == "full", checkout: false, steps: [echo everything]}
"""


def test_inputs_have_defaults_on_a_push_and_values_by_hand(pelton):
    _, push = pelton.push("inputs", {".pelton.yml": INPUTS})
    pelton.wait_build(push.build, "success")
    assert "level quick, count 1" in pelton.log(push.build)
    assert jobs_of(pelton, push.build)["full"]["status"] == "skipped"
    build = start(pelton, "inputs", inputs={"level": "full", "count": 7})["id"]
    pelton.wait_build(build, "success")
    assert "level full, count 7" in pelton.log(build)
    assert "everything" in pelton.log(build)
    told = pelton.run("build", "start", "inputs", "--input", "level=full", "--follow").stdout
    assert "level full, count 1" in told


@pytest.mark.parametrize("inputs, message", [
    ({"level": "most"}, 'input "level": expected one of quick, full, got "most"'),
    ({"leve": "full"}, 'there is no input "leve" (the first is level)'),
    ({"count": "many"}, 'input "count": expected a number, got "many"'),
])
def test_a_wrong_input_is_refused_and_starts_nothing(pelton, inputs, message):
    _, push = pelton.push("refused", {".pelton.yml": INPUTS})
    pelton.wait_build(push.build, "success")
    reply = pelton.api("POST", "/api/repos/refused/builds", {"inputs": inputs}, expect=[400])
    assert message in reply.json["message"]
    assert len(pelton.client.get("/api/builds?repo=refused")["builds"]) == 1


def test_all_wrong_inputs_of_a_start_are_told_at_once(pelton):
    pelton.push("refused", {".pelton.yml": INPUTS})
    told = pelton.run("build", "start", "refused", "--input", "level=most", "--input", "count=many", expect=2)
    assert ('input "count": expected a number, got "many"; input "level": expected one of quick, full, got "most"'
            in told.stderr)


def test_templates_are_beneath_the_jobs_that_extend_them(pelton):
    _, push = pelton.push("templates", {".pelton.yml": """
templates:
  base: {checkout: false, env: {A: base, B: base}, steps: ['echo "$A $B"']}
jobs:
  one: {extends: base, env: {B: one}}
"""})
    pelton.wait_build(push.build, "success")
    assert "base one\n" in pelton.log(push.build)


def test_only_changes_of_the_chosen_paths_are_built(pelton):
    work = pelton.work("paths", {
        ".pelton.yml": "on: {push: {branches: [main], paths: ['src/**'], ignore: ['**/*.md']}}\n"
                       "jobs: {a: {steps: [echo built]}}\n",
        "src/a.c": "1", "docs/a": "1"})
    pelton.wait_build(work.push().build, "success")  # a new branch: all of it is new
    work.commit({"docs/a": "2", "src/a.md": "2"})
    assert "no file that it is for has changed" in work.push().text
    work.commit({"src/b/c.c": "3"})
    build = work.push().build
    pelton.wait_build(build, "success")
    work.git("checkout", "-q", "-b", "other")
    work.commit({"src/a.c": "4"})
    assert "it is not for branch other" in work.push("other").text
    assert len(pelton.client.get("/api/builds?repo=paths")["builds"]) == 2
    by_hand = start(pelton, "paths", ref="other")["id"]
    pelton.wait_build(by_hand, "success")


def test_a_file_of_the_same_commit_is_included(pelton):
    work = pelton.work("include", {
        ".pelton.yml": "include: [{file: ci/common.yml}]\njobs: {a: {extends: base, steps: ['echo \"$WHO\"']}}\n",
        "ci/common.yml": "templates: {base: {env: {WHO: included}}}\n"})
    build = work.push().build
    pelton.wait_build(build, "success")
    assert "included\n" in pelton.log(build)
    work.commit({"ci/common.yml": "templates: {base: {env: {WHO: [x]}}}\n"})
    build = work.push().build
    told = pelton.wait_build(build, "failed")
    assert told["reason"] == "invalid"
    assert told["message"].startswith("ci/common.yml, line 1, column 31: ")


def test_a_job_may_ask_what_has_changed(pelton):
    work, push = pelton.push("parts", {".pelton.yml": """
jobs:
  api: {if: "changed('api/')", steps: [echo]}
  web: {if: "changed('web/')", steps: [echo]}
  "on": {needs: api, if: always(), steps: ['echo "the page: ${{ changed("web/**") }}"']}
""", "api/a": "1", "web/a": "1"})
    statuses = []
    for files in {}, {"web/b/c": "2"}, {"x": "3"}:
        build = push.build if not files else work.commit(files) and work.push().build
        pelton.wait_build(build, "success")
        statuses.append([job["status"] for job in jobs_of(pelton, build).values()])
        assert f"the page: {'true' if files != {'x': '3'} else 'false'}\n" in pelton.log(build)
    assert statuses == [["success"] * 3, ["skipped", "success", "success"], ["skipped", "skipped", "success"]]


def test_a_step_knows_its_branch_or_its_tag_and_where_its_build_is_seen(pelton):
    work, push = pelton.push("who", {
        ".pelton.yml": "jobs: {a: {steps: ['echo \"<$PELTON_BRANCH><$PELTON_TAG> $PELTON_BUILD_URL\"']}}\n"})
    work.git("tag", "v1")
    for build, where in (push.build, "<main><>"), (work.push("v1").build, "<><v1>"):
        pelton.wait_build(build, "success")
        assert f"{where} {pelton.build(build)['url']}\n" in pelton.log(build)


GRAPH = """
jobs:
  build: {steps: [make]}
  test: {needs: build, matrix: {n: [1, 2]}, if: branch == "main", steps: ["x ${{ matrix.n }}"]}
"""


def test_a_plan_is_shown_as_text_as_a_graph_and_as_json(pelton):
    assert pelton.run("plan", "-", input=GRAPH).stdout == (
        '1\n  build\n2\n  test (1) <- build  (if branch == "main")\n  test (2) <- build  (if branch == "main")\n')
    assert "test (1) <- build  (skipped)" in pelton.run("plan", "-", "--branch", "dev", input=GRAPH).stdout
    assert '  "build" -> "test (2)";\n' in pelton.run("plan", "-", "--dot", input=GRAPH).stdout
    job = json.loads(pelton.run("plan", "-", "--json", input=GRAPH).stdout)["jobs"][2]
    assert job["needs"] == ["build"] and job["spec"]["steps"][0]["env"] == {"PELTON_VALUE_1": "2"}
    told = pelton.run("plan", "-", "--event", "tag", input="on: push\n" + GRAPH).stdout
    assert told.startswith("nothing to build: it is not for a tag\n")
    told = pelton.run("plan", "-", input="jobs: {a: {stesp: [x]}}\n", expect=1).stdout
    assert 'did you mean "steps"?' in told
