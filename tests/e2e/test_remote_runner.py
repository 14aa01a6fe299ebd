"""A runner that was not started by the server: it registers once, and then has a token of its own."""

from lib import processes
from lib.wait import wait_for

PIPELINE = "jobs:\n  a:\n    steps: ['cat greeting']\n    artifacts: [greeting]\n"


def test_a_runner_registers_once_and_runs_jobs(start_pelton, start_runner, tmp_path):
    server = start_pelton("--runners", "0")
    token = server.registration_token()
    runner = start_runner(server, "--token", token)
    work, push = server.push("hello", {".pelton.yml": PIPELINE, "greeting": "hello from afar\n"})
    build = server.wait_build(push.build, "success")
    assert build["jobs"][0]["runner"] == "far"
    assert "hello from afar" in server.log(push.build)
    assert token not in processes.command_of(runner.pid)
    own = (tmp_path / "far" / "token").read_text().strip()
    assert own != token and server.as_token(own).get("/api/me")["role"] == "runner"

    runner.terminate()
    assert runner.wait(30) == 0
    start_runner(server)
    work.commit({"greeting": "hello again\n"})
    server.wait_build(work.push().build, "success")


def test_a_runner_elsewhere_brings_what_jobs_made_to_those_that_need_it(start_pelton, start_runner):
    server = start_pelton("--runners", "0")
    start_runner(server, "--token", server.registration_token())
    make = "steps: ['mkdir d; cp greeting d/run; chmod +x d/run'], artifacts: {name: it, paths: [d]}"
    take = "checkout: false, needs: make, download: it, steps: ['d/run']"
    _, push = server.push("hello", {".pelton.yml": f"jobs:\n  make: {{{make}}}\n  take: {{{take}}}\n", "greeting": "#!/bin/sh\necho ran afar\n"})
    server.wait_build(push.build, "success")
    assert "ran afar" in server.log(push.build)


def test_a_token_that_is_not_for_runners_is_refused(start_pelton, start_runner, tmp_path):
    server = start_pelton("--runners", "0")
    token = server.client.post("/api/tokens", {"name": "reader", "role": "read"})["token"]
    runner = start_runner(server, env={"PELTON_TOKEN": token})
    assert wait_for("its end", lambda: runner.poll() is not None) and runner.returncode == 4
    assert "not for runners" in (tmp_path / "far.log").read_text()
    assert not (tmp_path / "far" / "token").exists()


def test_a_runner_without_any_token_says_what_it_needs(start_pelton, start_runner, tmp_path):
    runner = start_runner(start_pelton("--runners", "0"))
    assert wait_for("its end", lambda: runner.poll() is not None) and runner.returncode == 2
    assert "registration token" in (tmp_path / "far.log").read_text()


def test_jobs_come_by_label_and_a_drained_runner_ends_and_says_how_to_go_on(start_pelton, start_runner, tmp_path):
    server = start_pelton("--runners", "0")
    runner = start_runner(server, "--token", server.registration_token(), "--label", "zone=eu", "--memory", "4G", "--cpu", "3")
    labelled = PIPELINE.replace("a:\n", "a:\n    runs-on: {labels: {zone: eu}}\n    resources: {memory: 1G, cpu: 1}\n")
    _, push = server.push("hello", {".pelton.yml": labelled, "greeting": "hi\n"})
    assert server.wait_build(push.build, "success")["jobs"][0]["runner"] == "far"
    row = next(row for row in server.client.get("/api/runners")["runners"] if row["name"] == "far")
    assert (row["labels"], row["cpu"], row["memory"]) == ({"zone": "eu"}, 3000, 4 << 30) and row["disk"] > 0

    server.run("runner", "drain", "far")
    assert runner.wait(30) == 0
    assert "pelton runner resume far" in (tmp_path / "far.log").read_text()
    again = start_runner(server)  # still drained
    assert again.wait(30) == 0
    server.run("runner", "resume", "far")
    start_runner(server, "--label", "zone=eu")
    server.wait_build(server.client.post("/api/repos/hello/builds", {}, expect=202)["id"], "success")


def test_a_runner_that_was_removed_says_how_it_comes_back(start_pelton, start_runner, tmp_path):
    server = start_pelton("--runners", "0")
    runner = start_runner(server, "--token", server.registration_token())
    wait_for("its call", lambda: [row for row in server.client.get("/api/runners")["runners"] if row["last_seen"]])
    server.run("runner", "drain", "far")
    assert runner.wait(30) == 0
    server.run("runner", "rm", "far")
    start_runner(server)
    wait_for("its complaint", lambda: "file token" in (tmp_path / "far.log").read_text())
    (tmp_path / "far" / "token").unlink()
    start_runner(server, "--token", server.registration_token())
    _, push = server.push("hello", {".pelton.yml": PIPELINE, "greeting": "hi\n"})
    assert server.wait_build(push.build, "success")["jobs"][0]["runner"] == "far"
