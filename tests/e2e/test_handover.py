"""What steps hand over: values to jobs that need theirs, and jobs to their build."""

import pytest

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
