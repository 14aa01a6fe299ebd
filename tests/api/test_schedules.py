"""`on.schedule` of a repository's file: builds that the clock starts."""

import sqlite3
import time

from lib.wait import wait_for

JOB = "jobs: {say: {checkout: false, steps: ['echo \"by $PELTON_EVENT $PELTON_SCHEDULE.\"']}}\n"
EVERY_SECOND = {".pelton.yml": 'on: {schedule: {often: "* * * * * *"}}\n' + JOB}
NIGHTLY = {".pelton.yml": 'timezone: Europe/Berlin\non: {push: , schedule: {nightly: "0 3 * * *"}}\n' + JOB}


def schedules(pelton, repo):
    return {s["name"]: s for s in pelton.client.get(f"/api/repos/{repo}")["schedules"]}


def builds(pelton, repo):
    return pelton.client.get(f"/api/builds?repo={repo}&limit=100")["builds"]


def strike(pelton, behind):
    """All schedules are due since so many seconds: as if the clock had gone on. The server is not there."""
    with sqlite3.connect(pelton.state / "pelton.db") as db:
        db.execute("UPDATE timer SET due_at = ? WHERE kind = 'schedule'", [int((time.time() - behind) * 1e6)])


def test_a_schedule_builds_again_and_again_until_the_file_has_it_no_more(pelton):
    work, push = pelton.push("clock", EVERY_SECOND)
    assert push.builds == [] and "it is not for a push" in push.text
    seen = wait_for("two builds", lambda: (b := builds(pelton, "clock")) and len(b) >= 2 and b)
    build = pelton.wait_build(seen[-1]["id"], "success")
    assert (build["event"], build["schedule"], build["branch"]) == ("schedule", "often", "main")
    assert build["commit_hash"] == work.head() and build["pusher"] == "schedule"
    assert "by schedule often.\n" in pelton.log(build["id"])
    one = schedules(pelton, "clock")["often"]
    assert one["last_build"] and one["last_at"] and one["next_at"] and one["message"] == ""
    work.commit({".pelton.yml": JOB})
    number = work.push().build
    assert schedules(pelton, "clock") == {}
    assert pelton.wait_build(number, "success")["schedule"] is None
    assert "by push .\n" in pelton.log(number)
    count = len(builds(pelton, "clock"))
    pelton.push("other", EVERY_SECOND)
    wait_for("two builds of the other", lambda: len(builds(pelton, "other")) >= 2)
    assert len(builds(pelton, "clock")) == count


def test_a_repository_shows_its_schedules_and_their_next_times(pelton):
    work, _ = pelton.push("shown", NIGHTLY)
    one = schedules(pelton, "shown")["nightly"]
    assert {key: one[key] for key in ("cron", "timezone", "last_at", "last_build", "message")} == {
        "cron": "0 3 * * *", "timezone": "Europe/Berlin", "last_at": None, "last_build": None, "message": ""}
    assert one["next_at"].endswith(("T01:00:00.000000Z", "T02:00:00.000000Z"))
    shown = pelton.run("repo", "show", "shown").stdout
    assert "SCHEDULE" in shown and "nightly" in shown and "0 3 * * *" in shown and "Europe/Berlin" in shown
    work.commit({".pelton.yml": NIGHTLY[".pelton.yml"].replace("0 3", "30 4")}, "later [skip ci]")
    assert "asks to skip" in work.push().text
    assert schedules(pelton, "shown")["nightly"]["cron"] == "30 4 * * *"
    work.commit({".pelton.yml": NIGHTLY[".pelton.yml"].replace("0 3", "0 25")})
    assert pelton.wait_build(work.push().build, "failed")["reason"] == "invalid"
    assert schedules(pelton, "shown")["nightly"]["cron"] == "30 4 * * *"


def test_what_was_due_while_the_server_was_away_is_built_once(pelton):
    pelton.push("away", NIGHTLY)
    assert len(builds(pelton, "away")) == 1
    pelton.kill()
    strike(pelton, behind=3 * 24 * 3600)
    pelton.start()
    wait_for("the build", lambda: len(builds(pelton, "away")) == 2)
    pelton.restart()
    pelton.kill()
    pelton.start()
    pelton.push("other", EVERY_SECOND)
    wait_for("what the clock does now", lambda: builds(pelton, "other"))
    assert [b["id"] for b in builds(pelton, "away")] == [2, 1]
    assert schedules(pelton, "away")["nightly"]["last_build"] == 2


def test_a_push_while_the_server_was_away_counts_at_its_start(pelton):
    work, _ = pelton.push("missed", NIGHTLY)
    pelton.kill()
    work.commit({".pelton.yml": NIGHTLY[".pelton.yml"].replace("nightly", "other")})
    work.git("push", "-q", str(pelton.state / "repos" / "missed.git"), "main", check=False)
    strike(pelton, behind=1)
    pelton.start()
    wait_for("the push", lambda: len(builds(pelton, "missed")) == 2)
    assert set(schedules(pelton, "missed")) == {"other"}
    assert pelton.build(2)["event"] == "push"


def test_a_paused_queue_holds_what_the_clock_starts(pelton):
    pelton.run("pause")
    pelton.push("paused", EVERY_SECOND)
    number = wait_for("a build", lambda: builds(pelton, "paused"))[-1]["id"]
    assert "queue paused by" in pelton.build(number)["jobs"][0]["waiting"]
    pelton.run("resume")
    pelton.wait_build(number, "success")


def test_a_reader_sees_them_and_a_stages_file_has_them_too(pelton):
    pelton.push("stages", {"pelton-stages.yml": """
name: x
triggers:
- {trigger_type: schedule, config: {cron_expression: "* * * * * *"}}
stages:
- {name: s, steps: [{name: t, config: {command: 'echo "stage $CI_EVENT"'}}]}
"""})
    reader = pelton.as_token(pelton.client.post("/api/tokens", {"name": "r", "role": "read"})["token"])
    assert [s["name"] for s in reader.get("/api/repos/stages")["schedules"]] == ["trigger-1"]
    number = wait_for("a build", lambda: builds(pelton, "stages"))[-1]["id"]
    pelton.wait_build(number, "success")
    assert "stage schedule\n" in pelton.log(number)
