"""pelton-stages.yml in a repository: the stages dialect, without a stored pipeline."""

SEQUENTIAL = """
name: two stages
environment: {GREETING: "hello from ${CI_BRANCH}"}
stages:
- name: Build
  steps:
  - {name: say, step_type: shell, config: {command: 'echo "$GREETING" | tee out'}}
  - {name: look, config: {command: cat out, environment: {A: "b"}}}
- name: Test
  parallel: true
  steps:
  - {name: one, config: {command: test -f source.txt}}
  - {name: may fail, continue_on_error: true, config: {command: exit 3}}
- name: Never
  condition: ${CI_BRANCH} == 'release'
  steps: [{name: x, config: {command: exit 1}}]
"""


def test_a_repository_with_stages_is_built(pelton):
    _, push = pelton.push("hello", {"pelton-stages.yml": SEQUENTIAL, "source.txt": "x"})
    build = pelton.wait_build(push.build, "success")
    assert build["planner"] == "stages"
    states = {job["name"]: job["status"] for job in build["jobs"]}
    assert states == {"Build": "success", "Test / one": "success", "Test / may fail": "success", "Never": "skipped"}
    assert "hello from main\n" in pelton.client.get(f"/api/builds/{push.build}/logs")["logs"]


def test_a_failed_stage_stops_those_behind_it(pelton):
    _, push = pelton.push("hello", {"pelton-stages.yml": """
name: fails
stages:
- {name: A, steps: [{name: x, config: {command: exit 4}}]}
- {name: B, steps: [{name: x, config: {command: echo never}}]}
- {name: Clean, condition: always(), steps: [{name: x, config: {command: echo cleaned}}]}
"""})
    build = pelton.wait_build(push.build, "failed")
    assert build["reason"] == "exit"
    assert [job["status"] for job in build["jobs"]] == ["failed", "skipped", "success"]


def test_mistakes_are_told_with_their_place(pelton):
    _, push = pelton.push("hello", {"pelton-stages.yml": "name: x\nstages:\n- {name: A, steps: []}\n"})
    build = pelton.wait_build(push.build, "failed")
    assert build["reason"] == "invalid"
    assert "pelton-stages.yml, line 3, column 20: Stage 'A' must have at least one step" in build["message"]


def test_steps_of_a_later_version_are_refused_with_that_reason(pelton):
    _, push = pelton.push("hello", {"pelton-stages.yml":
                                    "name: x\nstages:\n- {name: A, steps: [{name: s, step_type: aws}]}\n"})
    build = pelton.wait_build(push.build, "failed")
    assert "steps on AWS are run by a later version" in build["message"]
