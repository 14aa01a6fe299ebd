"""pelton run: the working tree's pipeline on this machine, with no server to be there."""

import json
import os
import re
import signal
import subprocess

import pytest

from lib import processes
from lib.server import BINARY
from lib.wait import wait_for

PIPELINE = """
jobs:
  make:
    steps: [{run: 'cat note; echo "on $PELTON_BRANCH for $WHOM"'}]
    env: {WHOM: nobody}
    artifacts: [note]
  check:
    needs: make
    steps: [test "$(cat note)" = "changed"]
  other:
    steps: ["echo other"]
  long:
    steps: ["echo began; sleep 1000"]
deploy: {start: sleep 1000, job: make}
"""


def git(folder, *args):
    return subprocess.run(["git", "-C", folder, "-c", "user.name=t", "-c", "user.email=t@example.org", *args],
                          check=True, capture_output=True, text=True).stdout


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "tree"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "topic")
    (folder / ".pelton.yml").write_text(PIPELINE)
    (folder / ".gitignore").write_text("ignored\n")
    (folder / "note").write_text("committed\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    return folder


@pytest.fixture
def scratch(tmp_path):
    """Where everything of a run is while it lasts."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    for path in (tmp_path, folder):
        path.chmod(0o755)
    return folder


def environment(scratch):
    keep = {k: v for k, v in os.environ.items() if k in ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS")}
    return {**keep, "HOME": str(scratch), "TMPDIR": str(scratch)}


def run(tree, scratch, *args):
    return subprocess.run([BINARY, "run", *args], cwd=tree, env=environment(scratch), capture_output=True,
                          text=True, timeout=120)


def assert_nothing_left(scratch):
    assert list(scratch.iterdir()) == []
    assert processes.processes_of(scratch) == []


@pytest.mark.parametrize("makefile", [False, True])
@pytest.mark.parametrize("verb", ["lint", "plan"])
def test_a_folder_of_the_tree_is_of_its_pipeline(tree, scratch, verb, makefile):
    (tree / "sub" / "deep").mkdir(parents=True)
    if makefile:
        (tree / "sub" / "deep" / "Makefile").write_text("all:\n")
    (tree / "ci").mkdir()
    (tree / "ci" / "more.yml").write_text("jobs: {more: {steps: ['true']}}\n")
    (tree / ".pelton.yml").write_text("include: [{file: ci/more.yml}]\njobs: {one: {steps: ['true']}}\n")
    out = subprocess.run([BINARY, verb], cwd=tree / "sub" / "deep", env=environment(scratch), capture_output=True, text=True,
                         timeout=60)
    assert out.returncode == 0 and "one" in out.stdout and "more" in out.stdout, out


def test_a_run_from_a_folder_of_the_tree_is_called_like_the_tree(tree, scratch):
    (tree / "sub").mkdir()
    (tree / ".pelton.yml").write_text("jobs: {one: {steps: ['echo \"in $PELTON_PROJECT\"']}}\n")
    out = run(tree / "sub", scratch)
    assert out.returncode == 0 and "in tree\n" in out.stdout, out


def test_submodules_are_as_they_are_here(tree, scratch, tmp_path):
    for name in ("lib", "inner"):
        git(tmp_path, "init", "-q", "-b", "main", name)
        (tmp_path / name / "own file").write_text(f"of {name}\n")
        git(tmp_path / name, "add", "-A")
        git(tmp_path / name, "commit", "-q", "-m", "first")
    add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add")
    git(tmp_path / "lib", *add, "../inner", "deep/inner")
    git(tmp_path / "lib", "commit", "-q", "-m", "inner")
    git(tree, *add, "../lib", "libs/a lib")
    git(tree, "-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init", "--recursive")
    (tree / ".pelton.yml").write_text("jobs: {t: {steps: ['cd libs/a*; cat own* new; cat deep/inner/own*']}}\n")
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", "lib")
    (tree / "libs" / "a lib" / "own file").write_text("changed\n")
    (tree / "libs" / "a lib" / "new").write_text("new\n")
    before = git(tree, "status", "--porcelain"), git(tree, "submodule", "status", "--recursive")
    (tree / "sub").mkdir()
    out = run(tree / "sub", scratch)
    assert out.returncode == 0 and "changed\nnew\nof inner\n" in out.stdout, out
    assert (git(tree, "status", "--porcelain"), git(tree, "submodule", "status", "--recursive")) == before
    assert_nothing_left(scratch)


def test_a_run_takes_the_files_as_they_are_and_leaves_no_trace(tree, scratch):
    (tree / "note").write_text("changed\n")
    (tree / "new").write_text("not known to git")
    before = git(tree, "count-objects", "-v"), git(tree, "status", "--porcelain")
    out = run(tree, scratch, "check", "--env", "WHOM=me")
    assert out.returncode == 0, out.stderr
    assert "changed\non topic for me\n" in out.stdout and "other" not in out.stdout
    assert "with what is not committed" in out.stderr
    assert (git(tree, "count-objects", "-v"), git(tree, "status", "--porcelain")) == before
    assert_nothing_left(scratch)


def test_a_run_waits_for_a_job_that_clears_away_for_long(tree, scratch):
    """The build is over before; what its job has left would stay, and its control groups."""
    (tree / ".pelton.yml").write_text("""jobs:
  many:
    runs-on: {executor: shell}
    steps: ["cat /proc/self/cgroup; seq 1 8000 | xargs touch"]
""")
    out = run(tree, scratch)
    assert out.returncode == 0, out.stderr
    group = re.search(r"0::(\S*/pelton-\S+)/slot-0", out.stdout)
    roots = [line.split()[1] for line in open("/proc/self/mounts") if line.split()[2] == "cgroup2"]
    assert [root for root in roots if group and os.path.exists(root + group[1])] == []
    assert_nothing_left(scratch)


def test_a_run_of_what_is_committed_is_of_that_commit(tree, scratch):
    out = run(tree, scratch, "make")
    assert out.returncode == 0, out.stderr
    assert git(tree, "rev-parse", "--short=8", "HEAD").strip() in out.stderr
    assert "not committed" not in out.stderr


def test_a_run_that_fails_exits_with_1(tree, scratch):
    out = run(tree, scratch, "check")
    assert out.returncode == 1
    assert_nothing_left(scratch)


def test_a_run_without_a_pipeline_is_told_as_plan_tells_it(tree, scratch):
    git(tree, "rm", "-q", "-f", ".pelton.yml")
    out = run(tree, scratch)
    plan = subprocess.run([BINARY, "plan"], cwd=tree, env=environment(scratch), capture_output=True, text=True)
    for done in (out, plan):
        assert done.returncode == 3, done.stderr
        assert "nothing to build: no .pelton.yml, .pelton.yaml, pelton-stages.yml, GNUmakefile, makefile, Makefile or flake.nix " in done.stderr
    assert "at the root of the working tree; see" in out.stderr and len(out.stderr.splitlines()) == 1
    assert_nothing_left(scratch)


def test_a_run_of_no_such_job_names_those_that_are(tree, scratch):
    out = run(tree, scratch, "chek")
    assert out.returncode == 2
    assert 'no job "chek"' in out.stderr and "make, check, other, long" in out.stderr
    assert_nothing_left(scratch)


def test_all_wrong_inputs_of_a_run_are_told_at_once(tree, scratch):
    (tree / ".pelton.yml").write_text(
        "inputs: {n: {type: number}, who: {required: true}}\njobs: {t: {steps: ['true']}}\n")
    out = run(tree, scratch, "--input", "n=many", "--input", "whom=ada")
    assert out.returncode == 2
    assert ('input "n": expected a number, got "many"; input "who" is required; there is no input "whom" (the first is n)'
            in out.stderr)
    assert_nothing_left(scratch)


def test_a_variable_of_ours_cannot_be_given(tree, scratch):
    out = run(tree, scratch, "make", "--env", "PELTON_JOB=7")
    assert out.returncode == 2 and "Pelton sets PELTON_JOB in every step" in out.stderr
    assert_nothing_left(scratch)


def test_mistakes_are_told_with_their_place(tree, scratch):
    (tree / ".pelton.yml").write_text("jobs: {a: {stesp: [x]}}\n")
    out = run(tree, scratch)
    assert out.returncode == 2 and ".pelton.yml, line 1" in out.stderr and "steps" in out.stderr


def test_a_folder_without_a_repository_runs_too(scratch, tmp_path):
    folder = tmp_path / "a plain.folder"
    folder.mkdir()
    (folder / "Makefile").write_text("all:\n\techo made here\n")
    out = run(folder, scratch)
    assert out.returncode == 0 and "made here" in out.stdout
    assert [path.name for path in folder.iterdir()] == ["Makefile"]


@pytest.mark.parametrize("name, project", [(".dotfiles", "dotfiles"), ("--x", "x"), ("日本", "folder"), ("x" * 101, "folder")])
def test_a_folder_may_have_any_name(scratch, tmp_path, name, project):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "Makefile").write_text("all:\n\t@echo this is $$PELTON_PROJECT\n")
    out = run(folder, scratch)
    assert out.returncode == 0 and f"this is {project}\n" in out.stdout, out


def test_what_git_cannot_take_of_the_tree_is_named(tree, scratch):
    git(tree, "init", "-q", "begun")  # a repository without a commit
    out = run(tree, scratch)
    assert out.returncode != 0 and "begun/" in out.stderr and "does not have a commit checked out" in out.stderr


def test_a_shallow_clone_runs_too(tree, scratch, tmp_path):
    (tree / "note").write_text("changed\n")
    git(tree, "commit", "-qam", "second")
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{tree}", tmp_path / "shallow"], check=True)
    out = run(tmp_path / "shallow", scratch, "check")
    assert out.returncode == 0, out.stderr


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGKILL])
def test_what_ends_a_run_ends_its_jobs(tree, scratch, sig):
    with subprocess.Popen([BINARY, "run", "long"], cwd=tree, env=environment(scratch), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        wait_for("the step", lambda: "began" in process.stdout.readline())
        process.send_signal(sig)
        process.wait(60)
    wait_for("nothing to be left", lambda: not processes.processes_of(scratch) and not list(scratch.iterdir()))


LABELLED = """
jobs:
  first: {steps: ["echo first"]}
  second: {needs: first, runs-on: {labels: {tier: high-memory}}, steps: ["echo second"]}
  third: {if: 'branch == "other"', steps: ["echo third"]}
"""


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_run_says_why_a_job_does_not_begin(tree, scratch, flags):
    (tree / ".pelton.yml").write_text(LABELLED)
    with subprocess.Popen([BINARY, "run", *flags], cwd=tree, env=environment(scratch), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        line = next(line for line in process.stdout if "high-memory" in line)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    if flags:
        event = json.loads(line)
        assert (event["event"], event["name"]) == ("waiting", "second")
        assert event["waiting"].startswith("no runner has label tier=high-memory")
    else:
        assert line.startswith("second waits: no runner has label tier=high-memory; runners: local")
    assert_nothing_left(scratch)


def test_a_run_has_the_labels_that_it_is_given_and_names_what_was_skipped(tree, scratch):
    (tree / ".pelton.yml").write_text(LABELLED)
    out = run(tree, scratch, "--label", "tier=high-memory")
    assert out.returncode == 0 and "second\n" in out.stdout
    assert "skipped: third (its condition is false)\nbuild 1 success\n" in out.stderr


def test_a_kept_state_keeps_what_was_made(tree, scratch, tmp_path):
    state = tmp_path / "kept"
    for number in (1, 2):
        out = run(tree, scratch, "make", "--state", str(state))
        assert out.returncode == 0, out.stderr
        assert f"build {number} success" in out.stderr
    assert list((state / "blobs").rglob("*"))
    assert list(scratch.iterdir()) == []
