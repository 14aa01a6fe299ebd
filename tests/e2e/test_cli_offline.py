"""The command line without a server: help, usage, lint, completion, what it says when nobody answers."""

import json
import os
import pathlib
import socket
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PELTON = os.environ.get("PELTON_BIN", str(ROOT / "build" / "pelton"))


@pytest.fixture
def run(tmp_path):
    def call(*args, stdin=None, **env):
        keep = {k: v for k, v in os.environ.items() if k in ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TMPDIR")}
        return subprocess.run([PELTON, *args], input=stdin, capture_output=True, text=True, timeout=60, cwd=tmp_path,
                              env={**keep, "HOME": str(tmp_path), **env})

    return call


def nobody():
    """An address where nobody listens."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{s.getsockname()[1]}"


def commands():
    out = subprocess.run([PELTON, "help", "--json"], capture_output=True, text=True, check=True).stdout
    return json.loads(out)


@pytest.mark.parametrize("name", [c["name"] for c in commands()] if os.path.exists(PELTON) else [])
def test_help_of_every_verb_has_usage_flags_and_examples(run, name):
    out = run(*name.split(), "--help")
    assert out.returncode == 0
    assert out.stdout.startswith(f"Usage: pelton {name}")
    assert "Flags:" in out.stdout and "Examples:\n  " in out.stdout
    assert run("help", *name.split()).stdout == out.stdout
    assert "\x1b" not in out.stdout


@pytest.mark.parametrize("words, names", [("logs", ["logs"]), ("build show", ["build show"]),
                                          ("build", ["build start", "build approve", "build show"]), ("nope", None), ("build nope", None)])
def test_help_of_a_verb_as_json_is_of_that_verb(run, words, names):
    out = run("help", *words.split(), "--json")
    assert out.returncode == (2 if names is None else 0)
    assert (json.loads(out.stdout) if out.stdout else None) == (None if names is None else [c for c in commands() if c["name"] in names])


def test_no_verb_prints_the_overview_and_is_usage(run):
    out = run()
    assert out.returncode == 2 and "repo create" in out.stdout
    assert run("--help").returncode == 0
    assert "post-receive" not in out.stdout and "__complete" not in out.stdout


@pytest.mark.parametrize("line", [
    "nope", "repo", "repo nope", "logs", "logs x", "logs 1 2", "logs 0", "builds --limit 0", "builds --limt 3", "cancel",
    "artifacts 1 put x", "build start r --env X", "token create t --role king", "login", "login ftp://x --token-stdin",
    "completion fish", "help nope", "hook post-receive", "logs -z 1", "token create t --ttl soon",
])
def test_usage_mistakes_exit_with_2(run, line):
    out = run(*line.split(), PELTON_URL="http://127.0.0.1:1", stdin="")
    assert out.returncode == 2, out.stderr
    assert line == "repo" or out.stderr.startswith("pelton: ")


@pytest.mark.parametrize("verb", ["build start r", "plan"])
def test_all_inputs_without_a_name_or_a_value_are_told_at_once(run, tmp_path, verb):
    (tmp_path / ".pelton.yml").write_text("jobs: {t: {steps: ['true']}}\n")
    out = run(*verb.split(), "--input", "level", "--input", "who=ada", "--input", "=full", PELTON_URL=nobody())
    assert out.returncode == 2
    assert "--input level, --input =full: expected NAME=VALUE" in out.stderr


def test_the_nearest_verb_is_named(run):
    assert 'did you mean "builds"?' in run("buidls").stderr
    assert 'did you mean "repo create"?' in run("repo", "craete").stderr


@pytest.mark.parametrize("line", [
    "builds", "build show 1", "build start r", "logs 1", "logs -f 1", "cancel 1", "artifacts 1", "artifacts 1 get a",
    "repo list", "repo create r", "repo show r", "deployments", "open r", "runners", "token list", "token create t",
    "token revoke 1", "version --server",
])
def test_a_server_out_of_reach_is_5_and_says_what_to_do(run, line):
    url = nobody()
    out = run(*line.split(), PELTON_URL=url)
    assert out.returncode == 5, out.stderr
    assert f"no server at {url}" in out.stderr and "pelton server --state DIR" in out.stderr
    assert out.stdout == ""


@pytest.mark.parametrize("line", ["buidls --json", "repo craete --json", "--json builds", "logs -z 1 --json",
                                  "server --sltos 3 --json", "completion fish --json"])
def test_a_usage_mistake_as_json(run, line):
    out = run(*line.split())
    error = json.loads(out.stderr)
    assert (out.returncode, out.stdout, error["exit"], error["error"]) == (2, "", 2, "invalid") and error["message"]


@pytest.mark.parametrize("line, key", [("completion bash", "script"), ("help logs --man", "man")])
def test_a_text_as_json(run, line, key):
    assert json.loads(run(*line.split(), "--json").stdout) == {key: run(*line.split()).stdout}


@pytest.mark.parametrize("line, flag", [("builds --repoo x", "--repo"), ("server --slot 3", "--slots")])
def test_the_nearest_flag_is_named_as_it_is_written(run, line, flag):
    assert f'did you mean "{flag}"?' in run(*line.split()).stderr


def test_an_error_as_json(run):
    out = run("builds", "--json", PELTON_URL=nobody())
    error = json.loads(out.stderr)
    assert out.returncode == 5 and error["error"] == "unavailable" and error["exit"] == 5


def test_the_url_flag_wins_over_the_environment(run):
    url = nobody()
    assert url in run("builds", "--url", url, PELTON_URL="http://127.0.0.1:1").stderr


def test_login_out_of_reach_keeps_nothing(run, tmp_path):
    out = run("login", nobody(), "--token-stdin", stdin="secret\n")
    assert out.returncode == 5
    assert not (tmp_path / ".config").exists()
    assert "secret" not in out.stderr


def test_a_broken_config_names_its_place(run, tmp_path):
    (tmp_path / "c.yml").write_text("url: http://x\ntokn: y\n")
    out = run("builds", PELTON_CONFIG=str(tmp_path / "c.yml"))
    assert out.returncode == 2
    assert "c.yml:2" in out.stderr and 'did you mean "token"' in out.stderr


def test_lint_shows_every_mistake_with_a_caret(run, tmp_path):
    (tmp_path / ".pelton.yml").write_text("jobs:\n  test:\n    steps:\n      - make\n    neds: [x]\n    timeout: soon\n")
    out = run("lint")
    lines = out.stdout.splitlines()
    assert out.returncode == 1
    place = next(i for i, line in enumerate(lines) if line.startswith(".pelton.yml:5:5:"))
    assert 'did you mean "needs"?' in lines[place]
    assert lines[place + 1].index("neds") == lines[place + 2].index("^")
    assert any(line.startswith(".pelton.yml:6:") for line in lines)


def test_lint_as_json_names_every_mistake_with_its_place(run, tmp_path):
    (tmp_path / "a.yml").write_text("env: {A: b}\nincude: x\njobs:\n  ü: {steps: [make]}\n  b:\n    steps: []\n    timeout: soon\n")
    out = run("lint", "a.yml", "--json")
    assert out.returncode == 1 and out.stderr == ""
    told = json.loads(out.stdout)
    assert set(told) == {"file", "ok", "problems", "jobs", "schedules"}
    assert told["file"] == "a.yml" and told["ok"] is False and told["jobs"] == [] and told["schedules"] == []
    assert all(set(problem) == {"file", "line", "column", "message"} for problem in told["problems"])
    assert [(problem["file"], problem["line"], problem["column"]) for problem in told["problems"]] == [
        ("a.yml", 2, 1), ("a.yml", 4, 3), ("a.yml", 6, 12), ("a.yml", 7, 14)]
    assert told["problems"][0]["message"] == 'unknown key "incude" at the top level; did you mean "include"?'
    assert 'bad name "ü" of a job' in told["problems"][1]["message"]


def test_lint_as_json_names_the_file_that_a_mistake_is_in(run, tmp_path):
    (tmp_path / "ci.yml").write_text("env: [x]\n")
    (tmp_path / ".pelton.yml").write_text("include: ci.yml\njobs: {a: {steps: [make]}}\n")
    (problem,) = json.loads(run("lint", "--json").stdout)["problems"]
    assert (problem["file"], problem["line"], problem["column"]) == ("ci.yml", 1, 6)


def test_lint_as_json_of_what_is_no_yaml_and_of_nothing(run, tmp_path):
    (tmp_path / "a.yml").write_text("jobs: [\n")
    out = run("lint", "a.yml", "--json")
    (problem,) = json.loads(out.stdout)["problems"]
    assert out.returncode == 1 and problem["line"] == 2
    (problem,) = json.loads(run("lint", "-", "--json", stdin="").stdout)["problems"]
    assert (problem["line"], problem["column"]) == (0, 0) and "the file is empty" in problem["message"]
    out = run("lint", "nofile", "--json")
    assert out.returncode == 3 and out.stdout == "" and json.loads(out.stderr)["exit"] == 3


def test_lint_as_json_of_a_good_file_has_its_jobs(run, tmp_path):
    (tmp_path / "a.yml").write_text("jobs:\n  a: {steps: [make]}\n  b: {needs: a, steps: [x], if: branch == 'dev'}\ndeploy: {start: ./x, job: a}\n")
    out = run("lint", "a.yml", "--json")
    told = json.loads(out.stdout)
    assert out.returncode == 0 and told["ok"] is True and told["problems"] == []
    assert told["jobs"][1] == {"name": "b", "kind": "steps", "executor": "sandbox", "skip": True, "needs": ["a"]}
    assert [job["kind"] for job in told["jobs"]] == ["steps", "steps", "deploy"]


def test_lint_of_several_files_shows_each(run, tmp_path):
    (tmp_path / "good.yml").write_text("jobs: {a: {steps: [x]}}\n")
    (tmp_path / "bad.yml").write_text("jobs: {a: {steps: [x], timeout: zz}}\n")
    out = run("lint", "bad.yml", "good.yml")
    assert out.returncode == 1 and "zz" in out.stdout and "ok  good.yml: 1 job" in out.stdout
    objects = [json.loads(line) for line in run("lint", "--json", "bad.yml", "good.yml").stdout.splitlines()]
    assert [(told["file"], told["ok"]) for told in objects] == [("bad.yml", False), ("good.yml", True)]
    out = run("lint", "good.yml", "good.yml")
    assert out.returncode == 0 and out.stdout.count("ok  ") == 2


def test_lint_of_a_good_file(run, tmp_path):
    (tmp_path / "x.yml").write_text("jobs:\n  a:\n    steps: [make]\n  b:\n    needs: [a]\n    steps: [make]\n")
    out = run("lint", "x.yml")
    assert out.returncode == 0 and "2 jobs" in out.stdout
    plan = json.loads(run("lint", "x.yml", "--json").stdout)
    assert plan["ok"] and plan["jobs"][1]["needs"] == ["a"]
    assert run("lint", "-", stdin=(tmp_path / "x.yml").read_text()).returncode == 0


SCHEDULED = """timezone: Europe/Berlin
on: {schedule: {nightly: "0 3 * * *", weekly: "@weekly"}}
jobs:
  a: {steps: [x], if: schedule == "nightly"}
  b: {steps: [x], if: schedule == "weekly"}
"""


STAGES = """name: p
stages: [{name: s, steps: [{name: t, step_type: shell, config: {command: 'true'}}]}]
triggers: [{trigger_type: git_push, config: {branch_patterns: [main]}}]
"""


def test_lint_and_plan_know_when_the_clock_starts_a_build(run, tmp_path):
    (tmp_path / ".pelton.yml").write_text(SCHEDULED)
    assert "nightly   0 3 * * *  Europe/Berlin  in " in run("lint").stdout
    (nightly, weekly) = json.loads(run("lint", "--json").stdout)["schedules"]
    assert (nightly["name"], weekly["cron"], weekly["timezone"]) == ("nightly", "@weekly", "Europe/Berlin")
    assert nightly["next_at"] < weekly["next_at"]
    assert "it is not for a push" in run("plan").stdout

    def skipped(*flags):
        plan = json.loads(run("plan", "--json", "--event", "schedule", *flags).stdout)
        return [job["skip"] for job in plan["jobs"]]

    assert skipped() == [False, True]
    assert skipped("--schedule", "weekly") == [True, False]
    assert run("plan", "--event", "schedule").stdout.startswith("schedule nightly\n")
    assert "it has no schedule monthly" in run("plan", "--event", "schedule", "--schedule", "monthly").stdout
    wrong = run("plan", "--schedule", "weekly")
    assert wrong.returncode == 2 and "--event schedule" in wrong.stderr


def test_plan_of_stages_knows_their_triggers(run, tmp_path):
    (tmp_path / "pelton-stages.yml").write_text(STAGES)
    assert "none of its triggers is for a push other" in run("plan", "--branch", "other").stdout
    assert "none of its triggers" not in run("plan", "--branch", "main").stdout


def test_lint_says_what_is_wrong_with_a_time(run, tmp_path):
    (tmp_path / ".pelton.yml").write_text(SCHEDULED.replace("0 3 * * *", "0 3 * * monday").replace("Berlin", "Berln"))
    out = run("lint")
    lines = out.stdout.splitlines()
    assert out.returncode == 1
    assert lines[0].startswith(".pelton.yml:1:11:") and 'did you mean "Europe/Berlin"?' in lines[0]
    assert lines[3].startswith(".pelton.yml:2:35:") and 'did you mean "0 3 * * mon"?' in lines[3]
    assert lines[4].index("monday") == lines[5].index("^")


def test_lint_of_what_is_not_for_a_push_says_so(run, tmp_path):
    (tmp_path / "x.yml").write_text("on: [tag, manual]\njobs: {a: {steps: [make]}}\n")
    out = run("lint", "x.yml")
    assert out.returncode == 0 and "it is not for a push" in out.stdout and "--event" in out.stdout


@pytest.mark.parametrize("verb", ["lint", "plan"])
def test_a_file_that_is_not_there_is_named(run, verb):
    out = run(verb, "/nope")
    assert out.returncode == 3 and out.stderr.startswith("pelton: read /nope: No such file")


def test_lint_of_nothing(run):
    assert run("lint", "nofile").returncode == 3
    assert "nothing to build" in run("lint").stderr


def test_version(run):
    assert json.loads(run("version", "--json").stdout)["name"] == "pelton"
    assert run("--version").stdout == run("version").stdout


def test_logout_without_login(run):
    assert run("logout").returncode == 0


@pytest.mark.parametrize("verb", ["pelton", *sorted({c["name"].split()[0] for c in commands()} if os.path.exists(PELTON) else [])])
def test_man_pages_are_clean_roff(run, verb):
    page = run("help", "--man", verb)
    assert page.returncode == 0 and page.stdout.startswith('.TH "PELTON')
    for line in page.stdout.splitlines():
        assert not line.startswith(".") or line.split()[0] in (".TH", ".SH", ".SS", ".TP", ".PP", ".B", ".br"), line
        assert not line.startswith("'")


def test_every_verb_has_a_man_page_that_is_installed():
    built = {page.stem for page in (pathlib.Path(PELTON).parent / "packaging").glob("*.1")}
    assert built == {"pelton", *(f"pelton-{c['name'].split()[0]}" for c in commands())}


def complete(words, tmp_path):
    """What bash offers for the last of the words."""
    script = tmp_path / "complete.sh"
    script.write_text(
        'PELTON=$1; shift; source <("$PELTON" completion bash) || exit 9\n'
        'COMP_WORDS=("$PELTON" "$@"); COMP_CWORD=$#; _pelton; printf "%s\\n" "${COMPREPLY[@]}"\n')
    out = subprocess.run(["bash", str(script), PELTON, *words], capture_output=True, text=True, cwd=tmp_path,
                         env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PELTON_URL": "http://127.0.0.1:1"})
    assert out.returncode == 0 and out.stderr == "", out.stderr
    return out.stdout.split()


def test_completion_knows_verbs_flags_and_files(tmp_path):
    (tmp_path / "pipeline.yml").write_text("")
    assert complete(["bu"], tmp_path) == ["build", "builds"]
    assert {"create", "list", "show"} <= set(complete(["repo", ""], tmp_path))
    assert complete(["repo", "cr"], tmp_path) == ["create"]
    assert complete(["logs", "--fo"], tmp_path) == ["--follow"]
    assert "--ref" in complete(["build", "start", "hello", "--"], tmp_path)
    assert complete(["lint", "pipe"], tmp_path) == ["pipeline.yml"]
    assert complete(["help", "runn"], tmp_path)[0].startswith("runner")
    assert complete(["completion", ""], tmp_path) == ["bash"]
    assert complete(["logs", ""], tmp_path) == []  # no server, no numbers, no complaint
