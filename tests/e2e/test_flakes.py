"""Flakes: from a push to nix and its summary."""

import json
import os
import platform
import shutil
import tempfile
from pathlib import Path

import pytest

FLAKE = """{
  description = "what it is for";
  outputs = { self }: let
    make = name: script: derivation {
      inherit name; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" script ];
    };
  in {
    packages.x86_64-linux.hello = make "hello" "echo building; echo hello > $out";
    nixosModules.router = { };
    checks.x86_64-linux.good = make "good" "echo checking; echo ok > $out";
  };
}
"""

pytestmark = pytest.mark.skipif(shutil.which("nix") is None or platform.machine() != "x86_64", reason="no nix here")


def test_a_repository_with_only_a_flake_has_its_checks_run(pelton):
    _, push = pelton.push("flaky", {"flake.nix": FLAKE})
    build = pelton.wait_build(push.build, "success")
    assert [(job["name"], job["executor"]) for job in build["jobs"]] == [("flake", "nix")]
    log = pelton.log(push.build)
    assert "$ nix flake check .\n" in log and "good> checking\n" in log and "@nix" not in log
    summary = json.loads(pelton.api("GET", f"/api/builds/{push.build}/artifacts/.pelton/nix-summary.json").body)
    assert summary["total_steps"] > 0 and "good" in summary["checks_run"]
    assert summary["packages_checked"] == ["packages.x86_64-linux.hello"]
    [evaluating] = [step for step in summary["timeline"] if step["text"] == "evaluating flake"]
    assert "checking flake output 'packages'" in [step["text"] for step in evaluating["children"]]
    [running] = [step for step in summary["timeline"] if step["text"] == "running flake checks"]
    assert any(step["text"].startswith("building ") and "good" in step["text"] for step in running["children"])
    assert pelton.client.get("/api/repos/flaky")["flake_metadata"] == {
        "description": "what it is for", "packages": ["x86_64-linux.hello"], "checks": ["x86_64-linux.good"], "apps": [],
        "dev_shells": [], "nixos_modules": ["router"]}


def test_what_a_flake_offers_is_known_long_after_its_check(pelton):
    work = pelton.work("flaky", {"flake.nix": FLAKE})
    pelton.wait_build(work.push().build, "success")
    work.commit({".pelton.yml": "jobs: {a: {checkout: false, steps: ['true']}}\n"})
    builds = [work.push().build] + [pelton.api("POST", "/api/repos/flaky/builds", {"ref": "main"}).json["id"] for _ in range(10)]
    for build in builds:
        pelton.wait_build(build, "success")
    repo = pelton.client.get("/api/repos/flaky")
    assert len(repo["recent_builds"]) == 10 and repo["flake_metadata"]["checks"] == ["x86_64-linux.good"]


def test_a_flake_s_package_is_built_for_the_steps_behind_it(pelton):
    pipeline = """
jobs:
  a:
    network: false
    steps:
      - {uses: nix, with: {packages: [".#hello"]}}
      - cat result
"""
    _, push = pelton.push("flaky", {"flake.nix": FLAKE, ".pelton.yml": pipeline})
    pelton.wait_build(push.build, "success")
    assert "hello> building\n" in pelton.log(push.build) and "cat result\nhello\n" in pelton.log(push.build)


def test_a_job_s_summary_has_all_that_its_steps_did(pelton):
    pipeline = """
jobs:
  a:
    network: false
    steps:
      - {uses: nix, with: {packages: [".#hello"]}}
      - {uses: nix, with: {check: .}}
      - {uses: nix, with: {packages: [".#hello"]}}
"""
    _, push = pelton.push("flaky", {"flake.nix": FLAKE, ".pelton.yml": pipeline})
    pelton.wait_build(push.build, "success")
    summary = json.loads(pelton.api("GET", f"/api/builds/{push.build}/artifacts/.pelton/nix-summary.json").body)
    assert "good" in summary["checks_run"] and summary["flake"]["checks"] == ["x86_64-linux.good"]
    did = [step["text"] for step in summary["steps"]]
    assert summary["total_steps"] == len(did) and did.count("running flake checks") == 1
    assert "hello" in did[[step.startswith("building ") for step in did].index(True)]
    assert [step["text"] for step in summary["timeline"]].count("running flake checks") == 1
    assert did.index("running flake checks") < len(did) - 1


def test_a_secret_is_in_no_summary_and_no_description(pelton):
    pipeline = """
jobs:
  a:
    network: false
    secrets: [TOKEN]
    steps:
      - 'sed "s/what it is for/for \"$TOKEN\"/" flake.nix >new; mv new flake.nix'
      - {uses: nix, with: {check: .}}
"""
    work = pelton.work("flaky", {"flake.nix": FLAKE, ".pelton.yml": pipeline})
    pelton.run("secret", "set", "TOKEN", "--repo", "flaky", input="super-secret-9x")
    number = work.push().build
    pelton.wait_build(number, "success")
    text = pelton.api("GET", f"/api/builds/{number}/artifacts/.pelton/nix-summary.json").body.decode()
    assert json.loads(text)["flake"]["description"] == "for ***" and "secret-9x" not in text
    assert pelton.client.get("/api/repos/flaky")["flake_metadata"]["description"] == "for ***"


WRAPPER = """#!/bin/sh
echo "this is mine: $2" >&2
exec {real} "$@"
"""


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def nix_of(start_pelton, *folders):
    """The log of a job whose runner has these before the system's folders."""
    server = start_pelton(env={"PATH": ":".join([*map(str, folders), "/usr/bin:/bin"])})
    pipeline = """
jobs:
  a:
    network: false
    steps:
      - {uses: nix, with: {packages: [".#hello"]}}
      - {run: 'command -v nix; nix eval --raw .#hello.name; ls -A "$(dirname "$(command -v nix)")"', if: always()}
"""
    _, push = server.push("flaky", {"flake.nix": FLAKE, ".pelton.yml": pipeline})
    server.wait_build(push.build, "success")
    return server.log(push.build)


@pytest.fixture
def folder_in():
    """folder_in(parent): a new folder there that everybody may read."""
    made = []

    def make(parent):
        made.append(tempfile.TemporaryDirectory(prefix="pelton-test-", dir=parent))
        os.chmod(made[-1].name, 0o755)
        return Path(made[-1].name)

    yield make
    for folder in made:
        folder.cleanup()


def test_another_nix_on_path_is_used_and_nothing_beside_it_is_seen(start_pelton, folder_in):
    folder = folder_in("/tmp")
    write_program(folder / "nix", WRAPPER.format(real="/usr/bin/nix"))
    (folder / "private").write_text("of somebody")
    log = nix_of(start_pelton, folder)
    assert "this is mine: .#hello\n" in log and "hello> building\n" in log
    assert f"\n{folder}/nix\n" in log and "this is mine: --raw" in log and "private" not in log


@pytest.mark.skipif(not os.access("/opt", os.W_OK), reason="/opt is not ours")
def test_a_nix_in_opt_has_its_package_with_it(start_pelton, folder_in):
    folder = folder_in("/opt")
    write_program(folder / "bin" / "nix", WRAPPER.format(real=f"{folder}/libexec/nix"))
    write_program(folder / "libexec" / "nix", '#!/bin/sh\nexec /usr/bin/nix "$@"\n')
    log = nix_of(start_pelton, folder / "bin")
    assert "this is mine: .#hello\n" in log and "hello> building\n" in log


@pytest.mark.skipif(os.geteuid() != 0, reason="jobs' users are the runner's")
def test_a_nix_that_jobs_cannot_reach_is_passed_over(start_pelton, folder_in):
    closed = folder_in("/tmp") / "closed"
    write_program(closed / "nix", WRAPPER.format(real="/usr/bin/nix"))
    closed.chmod(0o700)
    log = nix_of(start_pelton, closed)
    assert "this is mine" not in log and "hello> building\n" in log
