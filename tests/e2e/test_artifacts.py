"""Artifacts: named, for so long, and taken by jobs that need those that made them."""

import hashlib
import json
import os

import pytest

from lib.wait import wait_for

MATRIX = r"""jobs:
  make:
    matrix: {os: [a, b]}
    checkout: false
    steps:
      - mkdir -p dist/${{ matrix.os }}
      - printf "#!/bin/sh\necho I am ${{ matrix.os }}\n" > dist/${{ matrix.os }}/run
      - chmod 755 dist/${{ matrix.os }}/run; echo text > dist/${{ matrix.os }}/text; echo ${{ matrix.os }} > both
    artifacts: {name: dist, paths: ["dist/**", both]}
  between: {checkout: false, needs: make, steps: ["test ! -e dist"]}
  take:
    needs: between
    checkout: false
    %s
    download: %s
    steps:
      - %s
"""


def matrix(download, step, more=""):
    return {".pelton.yml": MATRIX % (more, download, step)}


def listed(server, build, query=""):
    return server.client.get(f"/api/builds/{build}/artifacts{query}")


def objects(server):
    return {p.name for p in (server.state / "blobs" / "objects").rglob("*") if p.is_file()}


def names(server):
    folder = server.state / "blobs" / "artifacts"
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


# ---- download


@pytest.mark.parametrize("executor", ["sandbox", "shell"])
def test_what_two_jobs_of_a_matrix_made_is_there_with_its_mode(start_pelton, executor):
    pelton = start_pelton("--allow-executor", "shell")
    step = "dist/a/run; dist/b/run; cat both; stat -c '%a %n' dist/a/run dist/b/text; test ! -x dist/a/text"
    _, push = pelton.push("hello", matrix("[dist]", step, f"runs-on: {{executor: {executor}}}"))
    pelton.wait_build(push.build, "success")
    log = pelton.log(push.build)
    assert "I am a\nI am b\nb\n755 dist/a/run\n644 dist/b/text\n" in log  # of one path the later job's
    assert "artifacts: dist: 3 stored" in log and "download: dist: 5 files" in log
    rows = sorted(listed(pelton, push.build, "?name=dist")["artifacts"], key=lambda r: (r["path"], r["job"]))
    assert [(r["path"], r["job"], r["executable"], r["expires_at"]) for r in rows] == [
        ("both", "make (a)", False, None), ("both", "make (b)", False, None), ("dist/a/run", "make (a)", True, None),
        ("dist/a/text", "make (a)", False, None), ("dist/b/run", "make (b)", True, None), ("dist/b/text", "make (b)", False, None)]
    assert [pelton.api("GET", r["url"].removeprefix(pelton.url)).body for r in rows[:2]] == [b"a\n", b"b\n"]
    assert listed(pelton, push.build, "?name=other")["artifacts"] == []


def test_a_download_goes_to_a_folder_and_comes_from_one_job(pelton):
    step = "test \"$(cd in && find . -type f | sort | tr '\\n' ' ')\" = './both ./dist/b/run ./dist/b/text '; cat in/both; test ! -e dist"
    _, push = pelton.push("hello", matrix('{name: dist, job: "make (b)", path: in}', step))
    pelton.wait_build(push.build, "success")
    assert "\nb\n" in pelton.log(push.build)


def test_nothing_is_written_through_links_of_the_workspace(pelton):
    outside = pelton.folder / "outside"
    outside.mkdir(mode=0o777)
    outside.chmod(0o777)
    (outside / "both").write_text("of the host")
    (outside / "both").chmod(0o666)
    text = MATRIX % ("", "dist", "dist/a/run; test ! -L dist; test ! -L both; cat both")
    work = pelton.work("hello", {".pelton.yml": text.replace("    needs: between\n    checkout: false\n", "    needs: between\n")})
    (work.path / "dist").symlink_to(outside)
    (work.path / "both").symlink_to(outside / "both")
    work.git("add", "-A")
    work.commit({"x": "1"})
    push = work.push()
    pelton.wait_build(push.build, "success")
    assert "I am a\nb\n" in pelton.log(push.build)
    assert [path.name for path in outside.iterdir()] == ["both"] and (outside / "both").read_text() == "of the host"


def test_a_name_that_nobody_makes_is_refused_at_its_place(pelton):
    _, push = pelton.push("hello", matrix("[dits]", "true"))
    build = pelton.wait_build(push.build, "failed")
    assert build["message"] == (".pelton.yml, line 15, column 16: \"download\" of job \"take\": no job that it needs makes an artifact "
                                "\"dits\"; did you mean \"dist\"?")


def test_a_job_that_kept_nothing_fails_who_needs_it_unless_it_is_optional(pelton):
    text = ("jobs:\n  make: {checkout: false, steps: [\"true\"], artifacts: {name: dist, paths: [nothing]}}\n"
            "  take: {checkout: false, needs: make, download: %s, steps: [\"echo goes on\"]}\n")
    work, push = pelton.push("hello", {".pelton.yml": text % "dist"})
    build = pelton.wait_build(push.build, "failed")
    assert build["reason"] == "invalid"
    assert build["message"] == "job take: download dist: no job that this one needs has kept a file of it"
    assert "goes on" not in pelton.log(push.build)
    work.commit({".pelton.yml": text % "{name: dist, optional: true}"})
    push = work.push()
    pelton.wait_build(push.build, "success")
    assert "goes on" in pelton.log(push.build)


def test_what_is_kept_depends_on_how_the_steps_ended(pelton):
    text = ("jobs:\n  t:\n    checkout: false\n    steps: [\"touch a b c d; %s\"]\n    artifacts:\n"
            "      - a\n      - {paths: [b], if: failure()}\n      - {name: all, paths: [c], if: always()}\n"
            "      - {paths: [d], if: \"failure() && branch == 'other'\"}\n")
    work, push = pelton.push("hello", {".pelton.yml": text % "exit 3"})
    pelton.wait_build(push.build, "failed")
    assert [a["path"] for a in listed(pelton, push.build)["artifacts"]] == ["b", "c"]
    work.commit({".pelton.yml": text % "true"})
    push = work.push()
    pelton.wait_build(push.build, "success")
    assert [a["path"] for a in listed(pelton, push.build)["artifacts"]] == ["a", "c"]


def test_a_job_that_was_handed_over_takes_what_was_made_before_it(pelton):
    part = "jobs:\n  late: {checkout: false, needs: both, download: [dist, {job: find, path: in}], steps: [cat made in/list]}\n"
    text = ("jobs:\n  make: {checkout: false, steps: [echo made > made], artifacts: {name: dist, paths: [made]}}\n"
            "  both: {checkout: false, steps: [echo no > made], needs: make}\n"
            "  find: {needs: make, steps: [cp part $PELTON_PIPELINE, echo listed > list], artifacts: [list]}\n")
    _, push = pelton.push("hello", {".pelton.yml": text, "part": part})
    build = pelton.wait_build(push.build, "success")
    assert "late" in [job["name"] for job in build["jobs"]] and "made\nlisted\n" in pelton.log(push.build)


def test_a_rerun_of_the_taker_alone_takes_what_was_made_before(pelton):
    work, push = pelton.push("hello", matrix("dist", "dist/b/run; test -e /tmp/never && true"))
    build = pelton.wait_build(push.build, "failed")
    new = pelton.client.post(f"/api/builds/{push.build}/rerun", {"jobs": "failed"}, expect=202)["id"]
    pelton.wait_build(new, "failed")
    jobs = {job["name"]: job for job in pelton.build(new)["jobs"]}
    assert "I am b" in pelton.api("GET", f"/api/builds/{new}/logs?job=take").json["logs"]
    assert jobs["take"]["status"] == "failed" and build["jobs"][0]["status"] == "success"


def held(pelton):
    """Sizes of the files without a name that processes of the runner have open."""
    sizes = []
    for pid in pelton.processes():
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                path = f"/proc/{pid}/fd/{fd}"
                if "/jobs/#" in os.readlink(path):
                    sizes.append(os.stat(path).st_size)
        except OSError:
            pass
    return sizes


def test_a_download_goes_on_when_the_server_was_killed_in_it(pelton):
    size = 200_000_000
    text = (f"jobs:\n  make: {{checkout: false, steps: [\"truncate -s {size} big; sha256sum < big > sum\"], "
            "artifacts: {name: big, paths: [big, sum]}}\n"
            "  take: {checkout: false, needs: make, download: big, steps: [\"sha256sum < big | cmp - sum; echo whole\"]}\n")
    _, push = pelton.push("hello", {".pelton.yml": text})
    wait_for("its artifact", lambda: sha_of_zeros(size) in objects(pelton))
    wait_for("its begin", lambda: any(0 < n < size for n in held(pelton)))
    pelton.kill()
    logs = b"".join(p.read_bytes() for p in (pelton.state / "blobs" / "logs").rglob("*.log"))
    assert b"artifacts: big: 2 stored" in logs and b"download: big" not in logs
    pelton.start()
    pelton.wait_build(push.build, "success", 120)
    jobs = {job["name"]: job for job in pelton.build(push.build)["jobs"]}
    assert jobs["take"]["attempt"] == 1 and "whole" in pelton.log(push.build)


def sha_of_zeros(size):
    digest = hashlib.sha256()
    for _ in range(size // 1_000_000):
        digest.update(bytes(1_000_000))
    return digest.hexdigest()


def test_the_command_line_fetches_a_named_artifact_with_its_folders(pelton, tmp_path):
    _, push = pelton.push("hello", matrix("dist", "true"))
    pelton.wait_build(push.build, "success")
    told = pelton.run("artifacts", push.build, "get", "--name", "dist", "-o", tmp_path / "there", "--json").stdout
    assert len(json.loads(told)["files"]) == 6
    there = tmp_path / "there"
    assert {str(f.relative_to(there)): (os.access(f, os.X_OK), f.read_text()) for f in there.rglob("*") if f.is_file()} == {
        "both": (False, "b\n"), "dist/a/run": (True, "#!/bin/sh\necho I am a\n"), "dist/a/text": (False, "text\n"),
        "dist/b/run": (True, "#!/bin/sh\necho I am b\n"), "dist/b/text": (False, "text\n")}
    assert pelton.run("artifacts", push.build, "get", "both", "-o", "-").stdout == "b\n"
    assert pelton.run("artifacts", push.build, "get", "both", "--job", "make (a)", "-o", "-").stdout == "a\n"
    assert "dist/b/run" not in pelton.run("artifacts", push.build, "--job", "make (a)").stdout
    assert "no artifact" in pelton.run("artifacts", push.build, "get", "--name", "dits", expect=3).stderr


# ---- keep

SHORT = """jobs:
  make:
    checkout: false
    steps: ["echo gone > gone; echo stays > stays; echo same | tee copy > same"]
    artifacts: [{name: short, paths: [gone, same], keep: %s}, stays, copy]
"""


def test_what_has_had_its_time_goes_with_its_file_and_says_so(pelton):
    work, push = pelton.push("hello", {".pelton.yml": SHORT % "1500ms"})
    build = pelton.wait_build(push.build, "success")
    rows = {a["path"]: a for a in listed(pelton, push.build)["artifacts"]}
    assert rows["stays"]["expires_at"] is None and rows["gone"]["expires_at"] > build["finished_at"].replace(" ", "T")
    assert sha("gone\n") in objects(pelton)
    pelton.run("artifacts", push.build, "get", "--name", "short", "-o", "there")

    wait_for("its end", lambda: [a["path"] for a in listed(pelton, push.build)["artifacts"]] == ["copy", "stays"])
    wait_for("its file's end", lambda: objects(pelton) == {sha("stays\n"), sha("same\n")})
    wait_for("its names' end", lambda: names(pelton) == {work.head(), f"{work.head()}/copy", f"{work.head()}/stays"})
    gone = listed(pelton, push.build)["expired"]
    assert [(e["name"], e["job"], e["files"], e["size"], e["keep"]) for e in gone] == [("short", "make", 2, 10, "1s500ms")]
    for path in [f"/api/builds/{push.build}/artifacts/gone", f"/artifacts/{work.head()}/gone"]:
        answer = pelton.api("GET", path, expect=410)
        assert "what job make made as short was removed at" in answer.json["message"] and "its keep of 1s500ms" in answer.json["message"]
    assert pelton.api("GET", f"/api/builds/{push.build}/artifacts/stays").body == b"stays\n"
    assert "after a keep of 1s500ms" in pelton.run("artifacts", push.build, "get", "gone", expect=3).stderr
    assert "short of job make: 2 files, 10 B, removed " in pelton.run("artifacts", push.build).stdout
    assert "after a keep of" in pelton.run("artifacts", push.build, "get", "--name", "short", expect=3).stderr


def test_time_goes_on_while_the_server_is_down_and_the_servers_own_setting_holds(start_pelton):
    pelton = start_pelton("--artifact-keep", "3s")
    text = ("jobs:\n  make: {steps: [\"echo index > index\"], artifacts: [index, {paths: [.pelton.yml], keep: forever}]}\n"
            "deploy: {start: \"python3 -m http.server $PORT\", files: [index]}\n")
    _, push = pelton.push("hello", {".pelton.yml": text})
    pelton.wait_build(push.build, "success")
    assert {a["path"]: a["expires_at"] is None for a in listed(pelton, push.build)["artifacts"]} == {
        ".pelton.yml": True, ".pelton/release.tar.zst": True, "index": False}
    pelton.kill()
    pelton.start()
    wait_for("its end", lambda: "index" not in [a["path"] for a in listed(pelton, push.build)["artifacts"]])
    wait_for("its file's end", lambda: sha("index\n") not in objects(pelton))
    assert len(objects(pelton)) == 2


def test_a_repeated_build_keeps_its_copies_for_its_own_time_and_says_what_it_misses(pelton):
    text = ("jobs:\n  make: {checkout: false, steps: [\"echo made > made\"], artifacts: {name: it, paths: [made], keep: 2s}}\n"
            "  take: {checkout: false, needs: make, download: it, steps: [cat made, \"exit 1\"]}\n")
    _, push = pelton.push("hello", {".pelton.yml": text})
    pelton.wait_build(push.build, "failed")
    new = pelton.client.post(f"/api/builds/{push.build}/rerun", {"jobs": "failed"}, expect=202)["id"]
    assert pelton.wait_build(new, "failed")["reason"] == "exit"
    for number in [push.build, new]:
        wait_for("its end", lambda n=number: listed(pelton, n)["artifacts"] == [])
    late = pelton.client.post(f"/api/builds/{push.build}/rerun", {"jobs": "failed"}, expect=202)["id"]
    build = pelton.wait_build(late, "failed")
    assert build["reason"] == "invalid" and 'what job "make" made was removed at' in build["message"]
    assert "after its keep of 2s; run that job again" in build["message"]
    whole = pelton.client.post(f"/api/builds/{push.build}/rerun", {"jobs": ["make"]}, expect=202)["id"]
    assert pelton.wait_build(whole, "failed")["reason"] == "exit"
