"""Every recipe of docs/cookbook.md is pushed just as it stands there, and does what it promises."""

import io
import json
import platform
import shutil
import socket
import subprocess
import tarfile

import pytest

from lib import cookbook, engine, registry
from lib.receivers import Web
from lib.server import BINARY, base_env
from lib.wait import SLOWER, wait_for

RECIPES = cookbook.read(cookbook.PAGE.read_text())
TRIED = {}


def recipe(heading):
    """The test tries that recipe: it gets its files as `files`."""
    def mark(test):
        TRIED[heading] = test.__name__
        return pytest.mark.parametrize("files", [RECIPES.get(heading)], ids=["recipe"])(test)
    return mark


def repository(pelton, files):
    """The repository "hello" of the recipe: its working copy."""
    work = pelton.work("hello")
    return change(work, files) and work


def change(work, files):
    cookbook.write(files, work.path)
    return work.commit()


def push(pelton, files, status="success"):
    """The finished build of the recipe's first push, and its log."""
    build = pelton.wait_build(repository(pelton, files).push().build, status)
    return build, pelton.log(build["id"])


def jobs(build):
    return {job["name"]: job for job in build["jobs"]}


def statuses(build):
    return {name: job["status"] for name, job in jobs(build).items()}


def artifact(pelton, build, path):
    return pelton.api("GET", f"/api/builds/{build['id']}/artifacts/{path}").body


# ---- the page ----


def test_every_recipe_of_the_page_is_tried_and_every_one_that_is_tried_is_there():
    assert sorted(TRIED) == sorted(RECIPES) and len(RECIPES) >= 20
    assert len(set(TRIED.values())) == len(TRIED)  # a function of the same name would take another's place
    assert all(cookbook.PIPELINE in files for files in RECIPES.values())


@pytest.mark.parametrize("heading", RECIPES)
def test_a_recipe_is_linted_and_planned_without_a_server(tmp_path, heading):
    cookbook.write(RECIPES[heading], tmp_path)
    for words in ["lint"], ["plan"], ["plan", "--dot"]:
        said = subprocess.run([BINARY, *words], cwd=tmp_path, env=base_env(tmp_path), capture_output=True, text=True,
                              timeout=30 * SLOWER, check=False)
        assert said.returncode == 0, f"{words}: {said.stdout}{said.stderr}"


# ---- build and test ----


@recipe("A C program")
def test_c(pelton, files, tmp_path):
    build, _ = push(pelton, files)
    program = tmp_path / "count"
    program.write_bytes(artifact(pelton, build, "count"))
    program.chmod(0o755)
    assert subprocess.run([program], input=b"\n\n\n", capture_output=True, check=True).stdout == b"3 lines\n"


@recipe("A Python program")
def test_python(pelton, files):
    assert "Ran 1 test" in push(pelton, files)[1]


@recipe("Several compilers")
def test_compilers(pelton, files):
    build, log = push(pelton, files)
    assert list(jobs(build)) == ["test (gcc, -O0)", "test (gcc, -O2)", "test (clang-14, -O0)", "test (clang-14, -O2)",
                                 "done"]
    for said in "gcc -Wall -Werror -O0 ", "clang-14 -Wall -Werror -O2 ", "every compiler agrees\n":
        assert said in log


@recipe("A grid with holes and additions")
def test_grid(pelton, files):
    build, log = push(pelton, files)
    for said in "hello, in C\n", "hello, strictly, in C\n", "hello, strictly, in C.UTF-8\n":
        assert said in log
    assert statuses(build) == {"test (dash, C)": "success", "test (bash, C)": "success",
                               "test (bash, C.UTF-8)": "success", "test (no-such-shell, C, true)": "failed"}
    assert build["message"] == "job test (no-such-shell, C, true) failed, as it may"


@recipe("Only what has changed, in a monorepo")
def test_monorepo(pelton, files):
    work = repository(pelton, files)
    first = pelton.wait_build(work.push().build, "success")
    assert statuses(first) == {"api": "success", "web": "success"}
    work.commit({"web/new.html": "new"})
    assert statuses(pelton.wait_build(work.push().build)) == {"api": "skipped", "web": "success"}
    work.commit({"lib/both.c": "new"})
    assert statuses(pelton.wait_build(work.push().build)) == {"api": "success", "web": "success"}
    work.commit({"docs/new": "new", "web/README.md": "new"})
    assert "no file that it is for has changed" in work.push().text


@recipe("Said once for many jobs")
def test_templates(pelton, files):
    build, log = push(pelton, files)
    assert "testing unit, full\n" in log and "testing system, full\n" in log
    assert jobs(build)["system"]["needs"] == ["unit"]


# ---- jobs together ----


@recipe("Fan out, fan in")
def test_fan(pelton, files):
    work = repository(pelton, files)
    build = pelton.wait_build(work.push().build, "success")
    assert artifact(pelton, build, "wheel.txt") == b"one nozzle\none rotor\none shaft\n"
    change(work, {"make-part.sh": files["make-part.sh"] + 'test "$1" != shaft\n'})
    build = pelton.wait_build(work.push().build, "failed")
    assert statuses(build)["wheel"] == "skipped"
    listed = {entry["path"] for entry in pelton.client.get(f"/api/builds/{build['id']}/artifacts")["artifacts"]}
    assert listed == {"parts/nozzle.txt", "parts/rotor.txt", "report-nozzle.txt", "report-rotor.txt", "report-shaft.txt"}


@recipe("Clean up, whatever happens")
def test_clean_up(pelton, files):
    work = repository(pelton, files)
    build = pelton.wait_build(work.push().build, "failed")
    log = pelton.log(build["id"])
    assert [step["status"] for step in build["jobs"][0]["steps"]] == ["success", "failed", "success", "success"]
    assert "what went wrong\nlab: take\nlab: measure\n" in log and log.endswith("lab: return\n")
    change(work, {"lab.sh": '#!/bin/sh\necho "lab: $1"\ntest "$1" != measure || exec sleep 600\n'})
    number = work.push().build
    wait_for("the measurement", lambda: "lab: measure\n" in pelton.log(number))
    pelton.run("cancel", number)
    assert [step["status"] for step in pelton.wait_build(number, "cancelled")["jobs"][0]["steps"]] == [
        "success", "cancelled", "skipped", "success"]


@recipe("A flaky job, again")
def test_retry(pelton, files):
    build, log = push(pelton, files)
    assert "this time it went well" in log and jobs(build)["test"]["attempt"] == 2
    assert "the wind is against us" in pelton.run("logs", build["id"], "--job", "test", "--attempt", "1").stdout


@recipe("A job that may fail")
def test_allow_failure(pelton, files):
    build, log = push(pelton, files)
    assert statuses(build) == {"test": "success", "lint": "failed", "package": "success"}
    assert "packaged, lint failed\n" in log
    assert build["message"] == "job lint failed, as it may"


@recipe("A message when something failed")
def test_message(pelton, files):
    with Web() as chat:
        work = repository(pelton, files)
        pelton.run("secret", "set", "CHAT_URL", "--repo", "hello", input=f"{chat.url}/hook\n")
        build = pelton.wait_build(work.push().build, "failed")
        assert statuses(build) == {"test": "failed", "tell": "success"}
        assert [(path, body) for path, _, body in chat.calls] == [
            ("/hook", {"text": f"tests failed, see {build['url']}"})]
        change(work, {"test.sh": "#!/bin/sh\n"})
        assert statuses(pelton.wait_build(work.push().build)) == {"test": "success", "tell": "skipped"}
        assert len(chat.calls) == 1


@recipe("Nothing runs for ever")
def test_timeouts(pelton, files):
    build, log = push(pelton, files)
    assert "asking the mirror\n" in log and "timed out after 1" in log and "tested with what there is\n" in log
    assert [step["status"] for step in build["jobs"][0]["steps"]] == ["failed", "success"]


@recipe("On a certain machine")
def test_labels(pelton, files, start_runner):
    number = repository(pelton, files).push().build
    assert "tier=quiet" in wait_for("why it waits", lambda: jobs(pelton.build(number))["benchmark"]["waiting"]
                                    if statuses(pelton.build(number))["test"] == "success" else None)
    start_runner(pelton, "--token", pelton.registration_token(), "--label", "tier=quiet")
    assert jobs(pelton.wait_build(number, "success"))["benchmark"]["runner"] == "far"


@recipe("What one job finds out for another")
def test_outputs(pelton, files):
    work = repository(pelton, files)
    build = pelton.wait_build(work.push().build, "success")
    log = pelton.log(build["id"])
    assert "building 1.4\n" in log and "here is 1.4\n" in log
    change(work, {"VERSION": "2.0-rc1\n"})
    build = pelton.wait_build(work.push().build, "success")
    assert statuses(build) == {"version": "success", "build": "success", "announce": "skipped"}
    assert "building 2.0-rc1\n" in pelton.log(build["id"])


@recipe("A job for each thing that is found")
def test_jobs_that_are_found(pelton, files):
    work = repository(pelton, files)
    build = pelton.wait_build(work.push().build, "success")
    assert statuses(build) == {"find": "success", "tar": "success", "zip": "success"}
    log = pelton.log(build["id"])
    assert "tar is fine\n" in log and "zip is fine\n" in log
    work.commit({"packages/cpio/Makefile": "check:\n\t@false\n", "packages/tar/Makefile": None})
    assert statuses(pelton.wait_build(work.push().build, "failed")) == {
        "find": "success", "cpio": "failed", "zip": "success"}


# ---- when it runs ----


@recipe("Asked for by hand")
def test_by_hand(pelton, files):
    told = repository(pelton, files).push()
    assert told.builds == [] and "it is not for a push" in told.text
    assert '"who"' in pelton.run("build", "start", "hello", expect=2).stderr
    quick = pelton.run("build", "start", "hello", "--input", "who=ada", "--follow")
    assert "a quick test for ada\n" in quick.stdout and "and all the rest" not in quick.stdout
    full = pelton.run("build", "start", "hello", "--input", "who=ada", "--input", "level=full", "--follow")
    assert "a full test for ada\n" in full.stdout and "and all the rest\n" in full.stdout


@recipe("A tag makes a release")
def test_release(pelton, files):
    work = repository(pelton, files)
    assert statuses(pelton.wait_build(work.push().build, "success")) == {"test": "success", "release": "skipped"}
    work.git("tag", "v1.2")
    work.git("tag", "other")
    told = work.push("v1.2", "other")
    assert len(told.builds) == 1 and "it is not for tag other" in told.text
    build = pelton.wait_build(told.build, "success")
    with tarfile.open(fileobj=io.BytesIO(artifact(pelton, build, "greet-v1.2.tar.gz"))) as archive:
        assert archive.extractfile("greet-v1.2/greet.sh").read() == b'#!/bin/sh\necho "greet v1.2"\n'
        assert archive.getmember("greet-v1.2/README")
    assert pelton.api("GET", f"/artifacts/{work.head()}/greet-v1.2.tar.gz")


@recipe("Pull requests, also from strangers")
def test_pull_requests(pelton, files):
    work = repository(pelton, files)
    pelton.run("secret", "set", "PREVIEW_TOKEN", "--repo", "hello", input="open sesame 42\n")
    assert statuses(pelton.wait_build(work.push().build, "success")) == {
        "test": "success", "changes": "skipped", "preview": "skipped"}
    work.git("switch", "-q", "-c", "faster")
    assert "it is not for branch faster" in work.push("faster").text
    work.commit({"faster.c": "int x;\n"})
    ours = pelton.wait_build(work.push("HEAD:refs/pull/7/head", "-o", "target=main").build, "success")
    log = pelton.log(ours["id"])
    assert "faster.c | 1 +" in log and "preview of 7 with a token of 14 letters\n" in log
    theirs = work.push("HEAD:refs/pull/8/head", "-o", "target=main", "-o", "fork").build
    assert f"pelton build approve {theirs}" in wait_for("why it waits", lambda: jobs(pelton.build(theirs))["preview"][
        "waiting"] if statuses(pelton.build(theirs))["test"] == "success" else None)
    pelton.run("build", "approve", theirs)
    pelton.wait_build(theirs, "success")
    assert "preview of 8 with a token of 14 letters\n" in pelton.log(theirs)


@recipe("Every night")
def test_nightly(pelton, files):
    work = repository(pelton, files)
    assert statuses(pelton.wait_build(work.push().build, "success")) == {"quick": "success", "long": "skipped"}
    assert "0 3 * * *" in pelton.run("repo", "show", "hello").stdout
    now = files[cookbook.PIPELINE].replace("0 3 * * *", "* * * * * *")
    commit = change(work, {cookbook.PIPELINE: now})
    number = work.push().build + 1
    wait_for("the clock's build", lambda: pelton.client.get("/api/builds")["builds"][0]["id"] >= number)
    assert pelton.build(number)["event"] == "schedule"
    assert statuses(pelton.wait_build(number, "success")) == {"quick": "success", "long": "success"}
    assert f"long test of {commit}\n" in pelton.log(number)


@recipe("Only the newest counts")
def test_newest(pelton, files):
    work = repository(pelton, {**files, "test.sh": "#!/bin/sh\necho begun; exec sleep 600\n"})
    old = work.push().build
    wait_for("the old build", lambda: "begun\n" in pelton.log(old))
    change(work, files)
    new = pelton.wait_build(work.push().build, "success")
    old = pelton.wait_build(old, "cancelled")
    assert (old["reason"], old["message"]) == ("superseded", f"superseded by build {new['id']}")


@recipe("Deploys in turn")
def test_in_turn(pelton, files):
    with socket.create_server(("127.0.0.1", 0)) as gate:
        gate.settimeout(60 * SLOWER)
        ask = ("#!/bin/sh\nexec python3 -c 'import socket; "
               f"socket.create_connection((\"127.0.0.1\", {gate.getsockname()[1]})).recv(1)'\n")
        work = repository(pelton, {**files, "deploy.sh": ask})
        first = work.push().build
        held, _ = gate.accept()
        rest = []
        for number in "2", "3":
            change(work, {**files, "number": number})
            rest.append(work.push().build)
        assert [pelton.build(build)["held"] for build in rest] == [True, True]
        held.close()
    ended = [pelton.wait_build(build, "success") for build in (first, *rest)]
    for before, after in zip(ended, ended[1:]):
        assert before["finished_at"] <= after["started_at"]
    assert f"deployed {ended[2]['commit_hash']}\n" in pelton.log(rest[1])


# ---- caches and secrets ----


@recipe("Dependencies kept by their lock file")
def test_cache(pelton, files):
    work = repository(pelton, files)

    def fetched(changes):
        change(work, changes)
        build = pelton.wait_build(work.push().build, "success")
        return [line for line in pelton.log(build["id"]).splitlines() if line.startswith("fetching ")]

    assert fetched({}) == ["fetching water 1.0", "fetching wheel 2.1"]
    assert fetched({"other": "1"}) == []
    assert fetched({"deps.lock": files["deps.lock"] + "axle 3.0\n"}) == ["fetching axle 3.0"]


@recipe("Publishing with a password")
def test_publish(pelton, files):
    with Web(201, read=bytes) as packages:
        pipeline = files[cookbook.PIPELINE].replace("https://packages.example.com", packages.url)
        work = repository(pelton, {**files, cookbook.PIPELINE: pipeline})
        pelton.run("secret", "set", "PACKAGES_TOKEN", "--repo", "hello", input="open sesame 42\n")
        build = pelton.wait_build(work.push().build, "success")
        (path, headers, body), = packages.calls
        assert (path, headers["Authorization"]) == ("/tool.tar.gz", "Bearer open sesame 42")
        assert tarfile.open(fileobj=io.BytesIO(body)).getnames() == ["tool.sh"]
        log = pelton.log(build["id"])
        assert "put tool.tar.gz with token ***: 201\n" in log and "sesame" not in log
        work.git("switch", "-q", "-c", "other")
        change(work, {"more": "1"})
        assert statuses(pelton.wait_build(work.push("other").build, "success"))["publish"] == "skipped"


# ---- containers and nix ----

REDIS = f"""FROM {engine.IMAGE}
RUN printf '%s\\n' '#!/bin/sh' 'while read -r line; do case $line in PING*) echo +PONG;; *) echo +OK; exit;; esac; done' > /bin/talk
RUN printf '%s\\n' '#!/bin/sh' 'echo PING | nc -w 1 127.0.0.1 6379 | grep -q PONG' > /bin/redis-cli
RUN chmod 755 /bin/talk /bin/redis-cli
CMD ["nc", "-ll", "-p", "6379", "-e", "/bin/talk"]
"""

needs_engine = pytest.mark.skipif(engine.missing() is not None, reason=str(engine.missing()))


@pytest.fixture(scope="module")
def docker(tmp_path_factory):
    """An engine that has the images that recipes name: busybox under their names, and what stands for redis."""
    with engine.Engine() as running:
        for name in "alpine:3.20", "busybox:1.36":
            running.run("tag", engine.IMAGE, name)
        folder = tmp_path_factory.mktemp("redis")
        (folder / "Dockerfile").write_text(REDIS)
        running.run("build", "--network", "none", "-t", "redis:7", folder)
        yield running


@pytest.fixture
def server(start_pelton, docker):
    yield start_pelton(env=docker.env)
    assert wait_for("no containers, no networks", lambda: not docker.ours())


@needs_engine
@recipe("In a container")
def test_container(server, files):
    build, log = push(server, files)
    assert [job["executor"] for job in build["jobs"]] == ["docker", "docker"]
    for image in "alpine:3.20", "busybox:1.36":
        assert f"a tool in {image}, at /workspace\n" in log


@needs_engine
@recipe("A database beside the tests")
def test_service(server, files):
    _, log = push(server, files)
    assert "+PONG\n" in log.replace("\r", "") and "+OK\n" in log.replace("\r", "")


@needs_engine
@pytest.mark.skipif(registry.missing() is not None, reason=str(registry.missing()))
@recipe("An image, built, pushed and used")
def test_image(server, files, docker):
    with registry.Registry() as images:
        pipeline = files[cookbook.PIPELINE].replace("registry.example.com", images.address)
        work = repository(server, {**files, cookbook.PIPELINE: pipeline})
        server.run("secret", "set", "DOCKER_AUTH_CONFIG", "--repo", "hello", input=images.login)
        build = server.wait_build(work.push().build, "success")
        short = build["commit_short"]
        assert f"hello from an image, {short}\n" in server.log(build["id"])
        work.git("switch", "-q", "-c", "other")
        change(work, {"more": "1"})
        assert statuses(server.wait_build(work.push("other").build, "success")) == {"image": "success", "try": "skipped"}
        assert images.tags("team/hello") == sorted([short, "latest"])


@pytest.mark.skipif(shutil.which("nix") is None or platform.machine() != "x86_64", reason="no nix here")
@recipe("A flake")
def test_flake(pelton, files):
    build, log = push(pelton, files)
    assert "greets> hello from nix\n" in log and log.endswith("cat result\nhello from nix\n")
    summary = json.loads(artifact(pelton, build, ".pelton/nix-summary.json"))
    assert "greets" in summary["checks_run"]


# ---- going live ----


@recipe("A static site")
def test_site(pelton, files):
    push(pelton, files)
    page = pelton.wait_page("hello", lambda reply: reply.status == 200)
    assert "<title>index</title>" in page.text and "A wheel, and a jet of water." in page.text
    assert pelton.page("hello", "/pages/index.txt").status == 404


@recipe("A web application, switched without a gap")
def test_application(pelton, files):
    work = repository(pelton, files)
    first = work.head()
    pelton.wait_build(work.push().build, "success")
    pelton.wait_page("hello", lambda reply: reply.text == f"Hello from {first[:8]}\n")
    change(work, {"app.py": files["app.py"].replace("HEALTHY = True", "HEALTHY = False")})
    broken = pelton.wait_build(work.push().build, "failed")
    assert statuses(broken) == {"test": "success", "deploy": "failed"}
    assert pelton.page("hello").text == f"Hello from {first[:8]}\n"
    third = change(work, files)
    pelton.wait_build(work.push().build, "success")
    pelton.wait_page("hello", lambda reply: reply.text == f"Hello from {third[:8]}\n")
