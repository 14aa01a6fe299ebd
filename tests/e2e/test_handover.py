"""What steps hand over: values to jobs that need theirs, and jobs to their build."""

import os

import pytest

from lib.wait import wait_for

EXECUTORS = ["sandbox", "shell"]


@pytest.fixture
def server(start_pelton):
    return start_pelton("--allow-executor", "shell")


def push(server, name, text):
    """The number of the pushed pipeline's build."""
    return server.push(name, {".pelton.yml": text})[1].build


def jobs_of(build):
    return {job["name"]: job for job in build["jobs"]}


# ---- $PELTON_OUTPUT


@pytest.mark.parametrize("executor", EXECUTORS)
def test_values_go_to_the_jobs_that_need_theirs_as_they_are(server, executor):
    build = server.wait_build(push(server, "values", f"""
templates: {{base: {{checkout: false, runs-on: {{executor: {executor}}}}}}}
jobs:
  make:
    extends: base
    steps:
      - 'echo "version=$(printf 1.2)" >> "$PELTON_OUTPUT"'
      - run: |
          cat > "$PELTON_OUTPUT" <<'END'
          odd=$(touch pwned); "quoted" `x` 'y'
          lines<<EOF
          one
            two
          EOF
          END
      - 'test "${{{{ outputs.version }}}}" = 1.2'
  use:
    extends: base
    needs: make
    if: needs.make.outputs.version == 1.2
    env: {{JOB: "v${{{{ needs.make.outputs.version }}}}"}}
    steps:
      - 'echo "[$JOB] [${{{{ needs.make.outputs.odd }}}}] [$STEP]"; ls -a'
      - {{run: 'echo "[$STEP]"', env: {{STEP: "${{{{ needs.make.outputs.lines }}}}"}}}}
  not:
    extends: base
    needs: make
    if: needs.make.outputs.version == 2
    steps: [echo no]
"""), "success")
    odd = """$(touch pwned); "quoted" `x` 'y'"""
    assert jobs_of(build)["make"]["outputs"] == {"version": "1.2", "odd": odd, "lines": "one\n  two"}
    assert jobs_of(build)["not"]["status"] == "skipped"
    log = server.log(build["id"])
    assert f"[v1.2] [{odd}] []\n" in log and "[one\n  two]\n" in log
    assert "pwned\n" not in log.replace(odd, "")


def test_of_a_matrix_those_that_a_job_needs_hand_over(server):
    build = server.wait_build(push(server, "one", """
jobs:
  make: {checkout: false, matrix: {n: [1, 2]}, steps: ['echo v=${{ matrix.n }} >> $PELTON_OUTPUT']}
  one:
    checkout: false
    needs: ["make (1)"]
    if: needs.make.outputs.v == 1
    steps: ['echo "one [${{ needs.make.outputs.v }}] [${{ needs.make.result }}]"']
  all: {checkout: false, needs: make, steps: ['echo "all [${{ needs.make.outputs.v }}]"']}
"""), "success")
    log = server.log(build["id"])
    assert "one [1] [success]\n" in log and "all [2]\n" in log, log


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("script, said", [
    ("echo fine=1 >> $PELTON_OUTPUT; echo what >> $PELTON_OUTPUT", "line 2: expected NAME=VALUE"),
    ("ln -s /etc/hostname $PELTON_OUTPUT", "it is no file"),
    ("mkdir $PELTON_OUTPUT", "it is no file"),
    ("mkfifo $PELTON_OUTPUT", "it is no file"),
    ("head -c 600000 /dev/zero > $PELTON_OUTPUT", "over 524288 bytes"),
])
def test_what_is_no_output_fails_the_step_and_says_why(server, executor, script, said):
    build = server.wait_build(push(server, "bad", f"""
jobs:
  t: {{checkout: false, runs-on: {{executor: {executor}}}, steps: ['{script}', echo not this]}}
"""), "failed")
    assert build["reason"] == "invalid" and said in build["message"], build["message"]
    assert [step["status"] for step in build["jobs"][0]["steps"]] == ["failed", "skipped"]
    assert build["jobs"][0]["outputs"] == {}
    assert said in server.log(build["id"])


def test_a_secret_is_not_handed_over(server):
    work = server.work("secret", {".pelton.yml": """
jobs:
  t: {checkout: false, secrets: [TOKEN], steps: ['echo "url=https://x:$TOKEN@y" >> "$PELTON_OUTPUT"']}
"""})
    server.api("PUT", "/api/repos/secret/secrets/TOKEN", {"value": "correct-horse-battery"})
    build = server.wait_build(work.push().build, "failed")
    assert '"url" holds a secret' in build["message"]
    assert "correct-horse" not in str(build)


@pytest.mark.parametrize("line", ["a-${TOKEN}-name=1", "$TOKEN is no line"])
def test_a_secret_is_in_no_name_and_no_mistake_of_what_is_handed_over(server, line):
    work = server.work("names", {".pelton.yml": f"""
jobs:
  t: {{checkout: false, secrets: [TOKEN], steps: ['echo "{line}" >> "$PELTON_OUTPUT"']}}
"""})
    server.api("PUT", "/api/repos/names/secrets/TOKEN", {"value": "correct_horse_" * 5})
    build = server.wait_build(work.push().build, "failed")
    assert build["reason"] == "invalid" and "holds a secret of the job" in build["message"]
    assert "correct_horse" not in str(build) + server.log(build["id"])


def test_what_a_failed_attempt_handed_over_does_not_count(server):
    build = server.wait_build(push(server, "again", """
jobs:
  flaky:
    checkout: false
    runs-on: {executor: shell}
    retry: 1
    steps:
      - 'echo "once=$PELTON_ATTEMPT" >> "$PELTON_OUTPUT"; test $PELTON_ATTEMPT = 2'
  use: {needs: flaky, checkout: false, steps: ['echo "got ${{ needs.flaky.outputs.once }}."']}
"""), "success")
    assert "got 2.\n" in server.log(build["id"])
    assert jobs_of(build)["flaky"]["outputs"] == {"once": "2"}


def test_a_failed_job_hands_over_what_it_wrote_before(server):
    build = server.wait_build(push(server, "failed", """
jobs:
  t: {checkout: false, steps: ['echo "seen=7" >> "$PELTON_OUTPUT"; exit 3']}
  tell:
    needs: t
    checkout: false
    if: failure() && needs.t.outputs.seen == 7
    steps: ['echo "${{ needs.t.result }} after ${{ needs.t.outputs.seen }}"']
"""), "failed")
    assert "failed after 7\n" in server.log(build["id"])


def test_a_job_that_runs_again_alone_has_the_values_of_those_that_do_not(server):
    first = server.wait_build(push(server, "rerun", """
jobs:
  make: {checkout: false, steps: ['echo "v=1" >> "$PELTON_OUTPUT"']}
  use: {needs: make, checkout: false, steps: ['echo "v is ${{ needs.make.outputs.v }}"']}
"""), "success")
    again = server.api("POST", f"/api/builds/{first['id']}/rerun", {"jobs": ["use"]}).json["id"]
    build = server.wait_build(again, "success")
    assert "v is 1\n" in server.log(again)
    assert jobs_of(build)["make"]["copied"] and jobs_of(build)["make"]["outputs"] == {"v": "1"}


@pytest.mark.parametrize("executor", EXECUTORS)
def test_nothing_of_it_is_left_for_the_next_job_of_the_slot(start_pelton, executor):
    server = start_pelton("--allow-executor", "shell", "--slots", "1")
    text = f"""
jobs:
  t:
    checkout: false
    runs-on: {{executor: {executor}}}
    env: {{HERE: 'cd "$(dirname "$PELTON_OUTPUT")" && ls -A'}}
    steps: ['eval "$HERE"; echo x > junk; exit 1', {{if: always(), run: 'eval "$HERE" | sed s/^/left:/'}}]
"""
    first = server.wait_build(push(server, "one", text), "failed")
    second = server.wait_build(push(server, "two", text), "failed")
    assert "left:junk\n" in server.log(first["id"])
    assert "junk\n" not in server.log(second["id"]).split("==> step 2/2")[0]


# ---- $PELTON_PIPELINE

def push_maker(server, name, part, rest=""):
    """The number of a build whose job `make` hands over the part; the rest: what comes after it in the file."""
    text = f"jobs:\n  make: {{steps: ['cp part.yml \"$PELTON_PIPELINE\"']}}\n{rest}"
    return server.push(name, {".pelton.yml": text, "part.yml": part.lstrip("\n")})[1].build


def test_jobs_that_a_job_hands_over_are_its_builds(server):
    build = server.wait_build(push_maker(server, "part", """
env: {WORD: hello}
templates: {base: {checkout: false}}
jobs:
  one:
    extends: base
    matrix: {n: [1, 2]}
    steps: ['echo "$WORD from ${{ matrix.n }}"']
  two:
    extends: base
    needs: [one, other, make]
    steps: ['echo "${{ needs.other.outputs.v }} and ${{ needs.one.result }}"']
""", """
  other: {checkout: false, steps: ['echo "v=7" >> "$PELTON_OUTPUT"']}
"""), "success")
    jobs = jobs_of(build)
    assert list(jobs) == ["make", "other", "one (1)", "one (2)", "two"]
    assert [jobs[name]["made_by"] for name in jobs] == [None, None, "make", "make", "make"]
    assert sorted(jobs["two"]["needs"]) == ["make", "one (1)", "one (2)", "other"]
    assert jobs["one (1)"]["needs"] == ["make"]
    log = server.log(build["id"])
    assert "hello from 1\n" in log and "hello from 2\n" in log and "7 and success\n" in log


def test_jobs_that_a_job_hands_over_are_planned_as_those_of_its_file_are(server):
    work = server.work("like", {"part.yml": """
env: {OVER: part}
templates: {slow: {env: {SLOW: "yes"}}}
jobs:
  made:
    extends: [base, slow]
    steps:
      - 'echo "[$FE] [$OVER] [$BASE] [$INCLUDED] [$SLOW] [${{ inputs.level }}]"'
      - 'echo "${{ commit.message }}" | grep more || true'
      - {if: "changed('zzz')", run: echo zzz has changed}
      - {if: "changed('a*')", run: echo a has changed}
""", "more.yml": "env: {INCLUDED: more}\n", ".pelton.yml": """
include: more.yml
env: {FE: "of the file, ${{ inputs.level }}", OVER: file}
inputs: {level: {type: choice, options: [quick, full], default: quick}, who: {required: true}}
templates:
  base: {env: {BASE: base}}
jobs:
  make: {steps: ['cp part.yml "$PELTON_PIPELINE"']}
  never: {if: "false", steps: [x]}
"""})
    server.wait_build(work.push().build, "success")
    (work.path / "a1").write_text("")
    work.git("add", "-A")
    work.git("commit", "-q", "-m", "a subject", "-m", "and more of it")
    first = server.wait_build(work.push().build, "success")["id"]
    again = server.wait_build(server.api("POST", f"/api/builds/{first}/rerun", {}).json["id"], "success")["id"]
    for number in (first, again):
        log = server.log(number)
        assert "[of the file, quick] [part] [base] [more] [yes] [quick]\n" in log, log
        assert "\nand more of it\n" in log
        assert "a has changed\n" in log and "zzz has changed\n" not in log, log
    by_hand = server.api("POST", "/api/repos/like/builds", {"ref": "main", "inputs": {"level": "full", "who": "me"}}).json["id"]
    server.wait_build(by_hand, "success")
    again = server.api("POST", f"/api/builds/{by_hand}/rerun", {}).json["id"]
    server.wait_build(again, "success")
    for number in (by_hand, again):
        assert "[of the file, full] [part] [base] [more] [yes] [full]\n" in server.log(number)


@pytest.mark.parametrize("part", ["", "\n  \n"])
def test_a_script_that_finds_no_jobs_to_make_may_say_so_with_nothing(server, part):
    assert list(jobs_of(server.wait_build(push_maker(server, "none", part), "success"))) == ["make"]


def test_who_follows_a_build_of_one_job_follows_those_that_it_hands_over(server):
    fifo = server.folder / "go"
    os.mkfifo(fifo)
    number = push(server, "followed", f"""
jobs:
  make:
    checkout: false
    runs-on: {{executor: shell}}
    steps:
      - 'echo waiting; read x <{fifo}; echo "jobs: {{more: {{checkout: false, steps: [echo more]}}}}" > "$PELTON_PIPELINE"'
""")
    with server.client.events(f"/api/builds/{number}/logs?follow=true") as events:
        events.until(lambda event: event.name == "log" and "waiting" in event.json["text"].splitlines())
        fifo.write_text("go\n")
        seen = events.until(lambda event: event.name == "end")
    assert seen[-1].json["status"] == "success"
    assert [event.json["name"] for event in seen if event.name == "job"] == ["make", "more"]


def test_jobs_that_were_handed_over_may_hand_over_more(server):
    build = server.wait_build(push_maker(server, "deep", """
jobs:
  next:
    checkout: false
    steps:
      - 'echo "jobs: {last: {checkout: false, steps: [exit 4]}}" > "$PELTON_PIPELINE"'
"""), "failed")
    assert list(jobs_of(build)) == ["make", "next", "last"] and build["message"].startswith("job last: ")
    assert jobs_of(build)["last"]["made_by"] == "next"


def test_a_part_with_mistakes_fails_the_job_with_all_of_them(server):
    build = server.wait_build(push_maker(server, "mistakes", """
on: push
jobs:
  a: {steps: [x], needs: [maek, other]}
  other: {steps: [x], image: 1, stesp: 2}
  make: {steps: [x]}
""", """
  other: {checkout: false, steps: ["true"]}
  after: {needs: make, checkout: false, steps: ["true"]}
"""), "failed")
    job = jobs_of(build)["make"]
    assert job["status"] == "failed" and job["reason"] == "invalid"
    assert job["message"].splitlines() == [
        '$PELTON_PIPELINE, line 1, column 1: "on" cannot be in a part of a pipeline; expected env, templates or jobs']
    assert jobs_of(build)["after"]["status"] == "skipped"
    build = server.wait_build(push_maker(server, "mistakes2", """
jobs:
  a: {steps: [x], needs: [maek, other]}
  other: {steps: [x], stesp: 2}
  make: {steps: [x]}
""", """
  other: {checkout: false, steps: ["true"]}
"""), "failed")
    assert jobs_of(build)["make"]["message"].splitlines() == [
        '$PELTON_PIPELINE, line 2, column 27: job "a" needs "maek", which is not there; did you mean "make"?',
        '$PELTON_PIPELINE, line 3, column 3: the build has a job "other" already',
        '$PELTON_PIPELINE, line 3, column 23: unknown key "stesp" in job "other"; did you mean "steps"?',
        '$PELTON_PIPELINE, line 4, column 3: the build has a job "make" already']


def test_jobs_of_a_job_that_failed_do_not_come(server):
    build = server.wait_build(push(server, "failing", """
jobs:
  make:
    checkout: false
    steps: ['echo "jobs: {a: {steps: [x]}}" > "$PELTON_PIPELINE"', exit 1]
"""), "failed")
    assert list(jobs_of(build)) == ["make"]


def test_a_deploy_waits_for_jobs_that_were_handed_over(server):
    part = "jobs:\n  check: {checkout: false, steps: [%s]}\n"
    rest = """
deploy: {start: 'exec python3 -m http.server "$PORT"', files: [none]}
"""
    build = server.wait_build(push_maker(server, "held", part % "exit 1", rest), "failed")
    assert jobs_of(build)["deploy"]["status"] == "skipped"
    build = server.wait_build(push_maker(server, "goes", part % '"true"', rest), "success")
    assert jobs_of(build)["deploy"]["needs"] == ["make", "check"]
    assert list(jobs_of(build)) == ["make", "check", "deploy"]
    again = server.wait_build(server.api("POST", f"/api/builds/{build['id']}/rerun", {}).json["id"], "success")
    assert list(jobs_of(again)) == ["make", "check", "deploy"]
    build = server.wait_build(push_maker(server, "circle", """
jobs:
  check: {checkout: false, needs: deploy, steps: ["true"]}
""", rest), "failed")
    assert 'job "check" needs the deploy, which waits for all jobs' in build["message"]


def test_a_follower_of_the_build_reads_on_in_jobs_that_were_handed_over(server, tmp_path):
    go = tmp_path / "go"
    number = server.push("followed", {"part.yml": """
jobs:
  more: {checkout: false, steps: [echo and more]}
""", ".pelton.yml": f"""
jobs:
  make:
    runs-on: {{executor: shell}}
    steps: ['cp part.yml "$PELTON_PIPELINE"; echo made; until test -e {go}; do sleep 0.05; done']
deploy: {{start: 'exec python3 -m http.server "$PORT"', files: [none]}}
"""})[1].build
    said = []
    with server.client.events(f"/api/builds/{number}/logs?follow=1") as events:
        def heard(event):
            said.append(event)
            if "made" in str(event.json):
                go.write_text("")
            return event.name == "end"
        events.until(heard)
    text = str([event.json for event in said])
    assert text.index("made") < text.index("and more") < text.index("'deploy'")


@pytest.mark.parametrize("steps", ["[echo $TOKEN]", "[echo $(printf %s $TOKEN | base64)]", "[a], timeout: $TOKEN"])
def test_a_part_that_holds_a_secret_is_refused_and_shown_nowhere(server, steps):
    """Jobs that name no secret hide none, and what is said of a mistake shows the value."""
    work = server.work("part", {"part.sh": f'echo "jobs: {{x: {{steps: {steps}}}}}"\n', ".pelton.yml": """
jobs:
  part: {secrets: [TOKEN], steps: ['sh part.sh > "$PELTON_PIPELINE"']}
"""})
    server.api("PUT", "/api/repos/part/secrets/TOKEN", {"value": "correct-horse-battery"})
    build = server.wait_build(work.push().build, "failed")
    assert build["reason"] == "invalid"
    assert "$PELTON_PIPELINE: it holds a secret of the job" in build["message"]
    assert list(jobs_of(build)) == ["part"]
    assert "correct-horse" not in str(build) + server.log(build["id"])


def test_what_runs_again_makes_its_jobs_again_and_what_does_not_keeps_them(server):
    flag = server.state.parent / "flag"
    first = server.wait_build(push_maker(server, "once-more", f"""
jobs:
  a: {{checkout: false, runs-on: {{executor: shell}}, steps: ['test -e {flag}']}}
"""), "failed")
    flag.write_text("")
    failed = server.api("POST", f"/api/builds/{first['id']}/rerun", {"jobs": "failed"}).json["id"]
    build = server.wait_build(failed, "success")
    assert [(job["name"], job["copied"], job["made_by"]) for job in build["jobs"]] == [
        ("make", True, None), ("a", False, "make")]
    whole = server.api("POST", f"/api/builds/{failed}/rerun", {}).json["id"]
    build = server.wait_build(whole, "success")
    assert [(job["name"], job["copied"], job["made_by"]) for job in build["jobs"]] == [
        ("make", False, None), ("a", False, "make")]


def test_a_build_that_is_made_to_end_gets_no_new_jobs(server, tmp_path):
    go = tmp_path / "go"
    number = push(server, "stopped", f"""
jobs:
  make:
    checkout: false
    runs-on: {{executor: shell}}
    steps:
      - 'trap "" TERM; echo began; until test -e {go}; do sleep 0.05; done; echo "jobs: {{a: {{steps: [x]}}}}" > "$PELTON_PIPELINE"'
""")
    wait_for("the step", lambda: "\nbegan\n" in server.log(number))
    server.api("POST", f"/api/builds/{number}/cancel")
    go.write_text("")
    build = server.wait_build(number)
    assert list(jobs_of(build)) == ["make"]


def test_a_build_has_at_most_10000_jobs(server):
    build = server.wait_build(push(server, "many", """
jobs:
  make:
    checkout: false
    steps: ['(echo "jobs:"; for n in $(seq 10000); do echo "  j$n: {steps: [x]}"; done) > "$PELTON_PIPELINE"']
"""), "failed")
    assert "the build would have 10001 jobs; at most 10000" in build["message"]
