"""/api/ci/pipelines/{id}/trigger and /api/ci/executions: what runs, and how it is shown."""

import pytest

from lib.pipelines import Pipelines, simple
from lib.wait import wait_for
from lib.websocket import WebSocket

NOBODY = "00000000-0000-4000-8000-000000000000"

STAGES = """
name: stages
environment: {LEVEL: pipeline, SHARED: "1"}
stages:
- name: Build
  environment: {LEVEL: stage}
  steps:
  - {name: say, step_type: shell, config: {command: 'echo "$LEVEL $SHARED $GIVEN"'}}
  - {name: own, step_type: shell, config: {command: 'echo "$LEVEL"', environment: {LEVEL: step}}}
- name: Test
  parallel: true
  steps:
  - {name: one, config: {command: echo one}}
  - {name: two, config: {command: echo two}}
- name: Release
  condition: ${CI_BRANCH} == 'release'
  steps: [{name: ship, config: {command: exit 9}}]
"""


@pytest.fixture
def ci(pelton):
    return Pipelines(pelton)


def steps_of(view):
    return {f"{stage['name']}/{step['name']}": step for stage in view["stages"] for step in stage["steps"]}


def stdout(ci, execution):
    """Of its first step."""
    return ci.execution(execution)["stages"][0]["steps"][0]["stdout"]


def test_a_job_that_a_step_has_made_is_a_stage_of_its_own(ci):
    part = "jobs: {more: {checkout: false, steps: [echo more]}}"
    view = ci.run(simple(f'echo "{part}" > "$PELTON_PIPELINE"'))
    assert [(stage["name"], stage["status"]) for stage in view["stages"]] == [("Only", "success"), ("more", "success")]
    assert view["stages"][1]["steps"][0]["stdout"] == "more\n"
    assert {event["stage"] for event in view["logs"] if event["step"]} == {"Only", "more"}


def test_an_execution_runs_and_is_shown_whole(ci):
    pipeline = ci.create(STAGES)
    reply = ci.client.post(f"/api/ci/pipelines/{pipeline['id']}/trigger",
                           {"trigger_type": "manual", "branch": "main", "commit_hash": "abc123def456",
                            "repository": "user/x", "environment": {"GIVEN": "by hand"}})
    assert reply["message"] == "Pipeline triggered successfully"
    view = ci.wait(reply["execution_id"], "success")
    assert (view["id"], view["pipeline_id"]) == (reply["execution_id"], pipeline["id"])
    assert view["trigger_info"] == {"trigger_type": "manual", "triggered_by": "api", "commit_hash": "abc123def456",
                                    "branch": "main", "repository": "user/x", "webhook_payload": None}
    assert [(s["name"], s["status"]) for s in view["stages"]] == [
        ("Build", "success"), ("Test", "success"), ("Release", "skipped")]
    steps = steps_of(view)
    assert steps["Build/say"]["stdout"] == "stage 1 by hand\n" and steps["Build/say"]["stderr"] == ""
    assert steps["Build/own"]["stdout"] == "step\n"
    assert steps["Test/two"]["stdout"] == "two\n"
    assert steps["Build/say"]["exit_code"] == 0 and steps["Build/say"]["command"].startswith("echo")
    assert steps["Release/ship"]["status"] == "skipped" and steps["Release/ship"]["exit_code"] is None
    assert view["environment"] == {"GIVEN": "by hand"}
    assert isinstance(view["duration"], int) and view["finished_at"] >= view["started_at"] >= view["created_at"]
    assert {log["level"] for log in view["logs"]} == {"info"}
    assert view["artifacts"] == []


def test_what_is_given_by_hand_wins_over_the_file(ci):
    view = ci.run(STAGES, environment={"LEVEL": "hand", "GIVEN": ""})
    assert steps_of(view)["Build/say"]["stdout"] == "hand 1 \n"
    assert steps_of(view)["Build/own"]["stdout"] == "hand\n"


def test_a_failed_stage_ends_it_and_those_behind_it_stay_pending(ci):
    view = ci.run("""
name: fails
stages:
- name: A
  steps: [{name: bad, config: {command: 'echo oh; exit 7'}}, {name: next, config: {command: echo never}}]
- {name: B, steps: [{name: x, config: {command: echo never}}]}
""", "failed")
    assert [(s["name"], s["status"]) for s in view["stages"]] == [("A", "failed"), ("B", "pending")]
    steps = steps_of(view)
    assert (steps["A/bad"]["status"], steps["A/bad"]["exit_code"], steps["A/bad"]["stdout"]) == ("failed", 7, "oh\n")
    assert steps["A/next"]["status"] == "pending" and steps["B/x"]["status"] == "pending"
    assert view["stages"][1]["started_at"] is None
    assert any(log["level"] == "error" and log["step"] == "bad" for log in view["logs"])


def test_a_step_may_fail_when_it_says_so(ci):
    view = ci.run("name: P\nstages: [{name: S, steps: [{name: a, continue_on_error: true, config: {command: exit 3}},"
                  " {name: b, config: {command: echo b}}]}]")
    assert [s["status"] for s in view["stages"][0]["steps"]] == ["failed", "success"]


def test_all_steps_of_a_parallel_stage_are_awaited(ci):
    view = ci.run("""
name: parallel
stages:
- name: S
  parallel: true
  steps: [{name: bad, config: {command: exit 1}}, {name: good, config: {command: echo good}}]
- {name: T, steps: [{name: x, config: {command: echo x}}]}
""", "failed")
    assert {k: s["status"] for k, s in steps_of(view).items()} == {
        "S/bad": "failed", "S/good": "success", "T/x": "pending"}


def test_a_step_that_takes_too_long_is_a_timeout(ci):
    view = ci.run("name: P\nstages: [{name: S, steps: [{name: a, timeout: 1, config: {command: sleep 70}}]}]", "timeout")
    assert view["stages"][0]["status"] == "timeout" and view["stages"][0]["steps"][0]["status"] == "timeout"


def test_what_goes_on_after_a_step_that_took_too_long_has_not_failed(ci):
    view = ci.run("""
name: P
stages:
- name: S
  steps:
  - {name: slow, timeout: 1, continue_on_error: true, config: {command: sleep 70}}
  - {name: bad, continue_on_error: true, config: {command: exit 3}}
  - {name: good, config: {command: echo good}}
- {name: T, steps: [{name: x, config: {command: echo x}}]}
""")
    assert [s["status"] for s in view["stages"][0]["steps"]] == ["timeout", "failed", "success"]
    assert [s["status"] for s in view["stages"]] == ["success", "success"]
    ends = {log["step"]: log["message"] for log in view["logs"] if log["step"] and log["message"].startswith("Step ended")}
    assert ends["slow"] == "Step ended: timeout" and ends["bad"] == "Step ended: failed"


def test_a_step_is_not_given_the_reason_of_another(ci):
    view = ci.run("name: P\nstages: [{name: S, steps: [{name: bad, continue_on_error: true, config: {command: exit 3}},"
                  " {name: slow, timeout: 1, config: {command: sleep 70}}]}]", "timeout")
    assert [s["status"] for s in view["stages"][0]["steps"]] == ["failed", "timeout"]
    assert view["stages"][0]["status"] == "timeout"


def test_the_output_of_a_step_is_shown_while_it_runs(ci):
    execution = ci.trigger(ci.create(simple("head -c 100000 /dev/zero | tr '\\0' x; echo; echo last; sleep 71718")))

    def shown():
        step = ci.execution(execution)["stages"][0]["steps"][0]
        return step if step["stdout"].endswith("last\n") else None
    step = wait_for(lambda: str(ci.execution(execution)["stages"])[-500:], shown)
    assert step["status"] == "running" and step["finished_at"] is None
    assert step["stdout"] == ("x" * 65536 + "\nlast\n")[-65536:]
    ci.client.call("DELETE", f"/api/ci/executions/{execution}/cancel")
    view = ci.wait(execution, "cancelled")
    assert view["stages"][0]["steps"][0]["stdout"] == step["stdout"]


def test_a_stage_has_a_time_and_so_has_the_pipeline(ci):
    ci.run("name: P\nstages: [{name: S, timeout: 1, steps: [{name: a, config: {command: sleep 70}}]}]", "timeout")
    view = ci.run("""
name: P
timeout: 1
stages:
- name: S
  steps:
  - {name: good, config: {command: echo}}
  - {name: slow, config: {command: sleep 70}}
  - {name: next, config: {command: echo}}
- {name: T, steps: [{name: x, config: {command: echo}}]}
""", "timeout")
    assert [s["status"] for s in view["stages"]] == ["timeout", "pending"]
    assert {k: s["status"] for k, s in steps_of(view).items()} == {
        "S/good": "success", "S/slow": "timeout", "S/next": "pending", "T/x": "pending"}


def test_a_step_whose_turn_has_not_come_waits(ci):
    execution = ci.trigger(ci.create("name: P\nstages: [{name: S, steps: [{name: a, config: {command: sleep 71717}},"
                                     " {name: b, config: {command: echo b}}]}]"))

    def states():
        return [s["status"] for s in ci.execution(execution)["stages"][0]["steps"]]
    wait_for(lambda: str(states()), lambda: states() == ["running", "pending"])
    ci.client.call("DELETE", f"/api/ci/executions/{execution}/cancel")
    ci.wait(execution, "cancelled")
    assert states() == ["cancelled", "cancelled"]


def test_a_failed_stage_is_tried_again(ci):
    view = ci.run("""
name: again
retry_count: 2
stages:
- name: S
  steps: [{name: a, config: {command: 'echo "attempt $PELTON_ATTEMPT"; [ "$PELTON_ATTEMPT" = 3 ]'}}]
- {name: T, retry_count: 0, steps: [{name: b, config: {command: exit 1}}]}
""", "failed")
    assert steps_of(view)["S/a"]["stdout"] == "attempt 3\n"
    assert view["stages"][0]["status"] == "success"
    build = ci.client.get(f"/api/builds/{view['build']}")
    assert [job["attempt"] for job in build["jobs"]] == [3, 1]


def test_a_condition_is_heard(ci):
    assert ci.run(STAGES, "failed", branch="release", environment={"GIVEN": ""})["stages"][2]["status"] == "failed"


def test_the_version_that_was_current_runs(ci):
    made = ci.create(simple("echo one"))
    ci.client.call("PUT", f"/api/ci/pipelines/{made['id']}", {"yaml_content": simple("echo two")})
    view = ci.wait(ci.trigger(made), "success")
    assert view["version"] == 2 and view["stages"][0]["steps"][0]["stdout"] == "two\n"


def test_each_execution_has_a_workspace_of_its_own(ci):
    made = ci.create(simple("ls -A | wc -l; touch left"))
    for execution in [ci.trigger(made) for _ in range(4)]:
        assert ci.wait(execution, "success")["stages"][0]["steps"][0]["stdout"] == "0\n"


def test_a_hosted_repository_is_checked_out(pelton, ci):
    pelton.push("code", {"README": "hello\n", ".pelton.yml": "jobs: {a: {steps: ['true']}}\n"})
    view = ci.run(simple("cat README"), repository="someone/code", branch="main")
    assert view["stages"][0]["steps"][0]["stdout"] == "hello\n"
    assert pelton.client.get(f"/api/builds/{view['build']}")["repo"] == "code"
    made = ci.create(simple("x"))
    ci.client.call("POST", f"/api/ci/pipelines/{made['id']}/trigger",
                   {"trigger_type": "manual", "repository": "code", "branch": "nope"}, expect=404)


def test_the_list_is_newest_first_and_can_be_of_one_pipeline(ci):
    a, b = ci.create(simple("echo a", "a")), ci.create(simple("echo b", "b"))
    ids = [ci.trigger(a), ci.trigger(b), ci.trigger(a)]
    for execution in ids:
        ci.wait(execution, "success")
    every = ci.client.get("/api/ci/executions")
    assert [e["id"] for e in every] == ids[::-1]
    assert set(every[0]) == {"id", "pipeline_id", "status", "started_at", "finished_at", "duration"}
    assert [e["id"] for e in ci.client.get(f"/api/ci/executions?pipeline_id={a['id']}")] == [ids[2], ids[0]]
    assert ci.client.get(f"/api/ci/executions?pipeline_id={NOBODY}") == []
    assert len(ci.client.get("/api/ci/executions?pipeline_id=seven")) == 3


def test_cancel_stops_the_process_and_the_status_stays(ci):
    execution = ci.trigger(ci.create(simple("echo begun; sleep 71719")))
    wait_for("running", lambda: stdout(ci, execution) == "begun\n")
    reply = ci.client.call("DELETE", f"/api/ci/executions/{execution}/cancel").json
    assert reply == {"message": "Execution cancelled successfully", "execution_id": execution}
    view = ci.wait(execution, "cancelled")
    assert view["stages"][0]["steps"][0]["status"] == "cancelled"
    error = ci.client.call("DELETE", f"/api/ci/executions/{execution}/cancel", expect=404).json
    assert error["message"] == "Execution not found or not running"
    ci.client.call("DELETE", f"/api/ci/executions/{NOBODY}/cancel", expect=404)


def test_an_unknown_execution_is_404_and_no_uuid_400(ci):
    ci.client.call("GET", f"/api/ci/executions/{NOBODY}", expect=404)
    ci.client.call("GET", "/api/ci/executions/seven", expect=400)


@pytest.mark.parametrize("body, status", [
    ({}, 422),
    ({"trigger_type": "moon"}, 422),
    ({"trigger_type": "manual", "environment": ["a"]}, 422),
    ({"trigger_type": "manual", "environment": {"A": 1}}, 422),
    ({"trigger_type": "manual", "environment": {"A-B": "x"}}, 422),
    ({"trigger_type": "manual", "environment": {"PELTON_JOB": "x"}}, 422),
    ({"trigger_type": "manual", "branch": "a b"}, 422),
    ({"trigger_type": "manual", "branch": 7}, 422),
    (b"{", 400),
])
def test_triggers_that_are_refused(ci, body, status):
    made = ci.create(simple("x"))
    headers = {"Content-Type": "application/json"}
    ci.client.call("POST", f"/api/ci/pipelines/{made['id']}/trigger", body, headers, expect=status)
    assert ci.client.get("/api/ci/executions") == []


def test_an_execution_goes_on_over_a_restart(pelton, ci):
    execution = ci.trigger(ci.create(simple("echo begun; sleep 1; echo ended")))
    wait_for("running", lambda: stdout(ci, execution) == "begun\n")
    pelton.kill()
    pelton.start()
    view = Pipelines(pelton).wait(execution, "success")
    assert view["stages"][0]["steps"][0]["stdout"] == "begun\nended\n"


# ---- stream

def follow(ci, execution):
    import json
    path = f"/api/ci/executions/{execution}/stream"
    socket = WebSocket(ci.client.address, path, {"Authorization": f"Bearer {ci.client.token}"})
    assert socket.status == 101, socket.head
    while True:
        message = socket.message()
        if message is None:
            return
        ci.client.schemas.check_frame(path, message)
        yield json.loads(message)


def test_the_stream_tells_the_log_as_it_grows_and_the_end(ci):
    execution = ci.trigger(ci.create(STAGES), environment={"GIVEN": "x"})
    messages = list(follow(ci, execution))
    text = "".join(m["text"] for m in messages if m["event"] == "log")
    assert "stage 1 x\n" in text and "two\n" in text
    jobs = {m["name"]: m["status"] for m in messages if m["event"] == "job"}
    assert jobs == {"Build": "success", "Test / one": "success", "Test / two": "success", "Release": "skipped"}
    assert messages[-1] == {"event": "end", "status": "success"}


def test_the_stream_tells_apart_what_was_cut_off_and_what_never_began(ci):
    execution = ci.trigger(ci.create("name: P\ntimeout: 1\nstages: [{name: S, steps: [{name: a, config: {command: "
                                     "sleep 70}}]}, {name: T, steps: [{name: b, config: {command: echo}}]}]"))
    messages = list(follow(ci, execution))
    assert {m["name"]: m["status"] for m in messages if m["event"] == "job"} == {"S": "timeout", "T": "pending"}
    assert messages[-1]["status"] == "timeout"


def test_the_stream_speaks_in_the_words_of_the_execution(ci):
    execution = ci.trigger(ci.create("name: P\nstages: [{name: S, steps: [{name: a, timeout: 1, config: {command: "
                                     "sleep 70}}]}]"))
    assert list(follow(ci, execution))[-1] == {"event": "end", "status": "timeout"}


def test_a_plain_request_for_the_stream_is_told_to_upgrade(ci):
    execution = ci.trigger(ci.create(simple("x")))
    ci.client.call("GET", f"/api/ci/executions/{execution}/stream", expect=426)
    ci.client.call("GET", f"/api/ci/executions/{NOBODY}/stream", expect=404)


# ---- the workspace goes from stage to stage

CARRY = """
name: carry
stages:
- name: Source
  steps: [{name: make, config: {command: 'mkdir dir; echo one > dir/a; ln -s a dir/link; echo x > x; chmod 755 x; git init -q .'}}]
- name: Change
  parallel: true
  steps:
  - {name: left, config: {command: 'echo left > left; echo changed > dir/a'}}
  - {name: right, config: {command: 'cat dir/a; echo right > right'}}
- name: Skipped
  condition: ${NEVER} == 'true'
  steps: [{name: x, config: {command: rm -r dir}}]
- name: Look
  steps: [{name: look, config: {command: 'cat dir/link left right; ls -ld x | cut -c1-4; ls -A'}}, {name: drop, config: {command: rm left}}]
- name: End
  steps: [{name: end, config: {command: 'ls -A'}}]
"""


def test_a_stage_begins_with_what_the_one_before_it_left(ci):
    steps = steps_of(ci.run(CARRY))
    assert steps["Change/right"]["stdout"] == "one\n"
    assert steps["Look/look"]["stdout"] == "changed\nleft\nright\n-rwx\n.git\ndir\nleft\nright\nx\n"
    assert steps["End/end"]["stdout"] == ".git\ndir\nright\nx\n"


def test_a_checkout_keeps_its_git_folder_from_stage_to_stage(pelton):
    _, push = pelton.push("hello", {"keep": "1\n", "gone": "2\n", "pelton-stages.yml": """
name: carry
stages:
- {name: A, steps: [{name: a, config: {command: 'rm gone; echo new > new'}}]}
- {name: B, steps: [{name: b, config: {command: 'git status --short; git log --format=%s'}}]}
"""})
    pelton.wait_build(push.build, "success")
    assert " D gone\n?? new\nchange\n" in pelton.client.get(f"/api/builds/{push.build}/logs")["logs"]


def test_what_a_failed_stage_left_is_there_for_the_one_that_cleans_up(ci):
    view = ci.run("""
name: clean
stages:
- {name: A, steps: [{name: a, config: {command: 'echo report > report; exit 1'}}]}
- {name: B, condition: failure(), steps: [{name: b, config: {command: cat report}}]}
""", "failed")
    assert steps_of(view)["B/b"]["stdout"] == "report\n"


def test_a_clean_up_sees_what_the_last_stage_that_ran_left(ci):
    view = ci.run("""
name: clean
stages:
- {name: A, steps: [{name: a, config: {command: 'echo report > report; exit 1'}}]}
- {name: B, steps: [{name: b, config: {command: rm report}}]}
- {name: C, condition: always(), steps: [{name: c, config: {command: cat report}}]}
""", "failed")
    assert steps_of(view)["C/c"]["stdout"] == "report\n"


def test_an_execution_that_is_run_again_goes_on_with_the_workspace(ci):
    first = ci.run("""
name: again
stages:
- {name: A, steps: [{name: a, config: {command: 'echo made > made'}}]}
- {name: B, steps: [{name: b, config: {command: 'cat made; test "$PELTON_BUILD" != 1'}}]}
""", "failed")
    assert first["build"] == 1
    ci.client.post(f"/api/builds/{first['build']}/rerun", {"jobs": "failed"})
    again = ci.client.get("/api/ci/executions")[0]
    view = ci.wait(again["id"], "success")
    assert view["id"] != first["id"] and view["pipeline_id"] == first["pipeline_id"]
    assert steps_of(view)["B/b"]["stdout"] == "made\n"
    assert steps_of(view)["A/a"] == steps_of(first)["A/a"]
