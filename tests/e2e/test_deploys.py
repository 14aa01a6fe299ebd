"""What is live stays live: under load, through bad releases, restarts and kills."""

import http.client
import os
import signal
import sqlite3
import tempfile
import threading

import pytest

from lib import processes
from lib.client import wait_page
from lib.ports import free_port
from lib.wait import wait_for

SERVE = 'exec python3 -u -m http.server "$PORT" --bind 127.0.0.1 --directory site'


def pipeline(start=SERVE, health="/", timeout="30s"):
    return (f"deploy:\n  start: {start!r}\n  files: ['site/**']\n"
            f"  health: {{path: {health}, timeout: {timeout}}}\n")


def live_site(pelton, text="page 0", **options):
    """(Work, commit) of a site that is live and shows the text."""
    work, push = pelton.push("site", {"site/index.html": text, ".pelton.yml": pipeline(**options)})
    pelton.wait_build(push.build, "success")
    pelton.wait_page("site", lambda reply: reply.text == text)
    return work


def push_page(pelton, work, text, **files):
    commit = work.commit({"site/index.html": text, **files})
    return commit, work.push().build


def haproxy_pid(pelton):
    return next(pid for pid, command in pelton.processes().items() if "haproxy" in command.split()[0])


class Load:
    """Asks for the page again and again, on kept and on new connections, until stopped."""

    def __init__(self, address, host, keep):
        self.address, self.host, self.keep = address, host, keep
        self.seen, self.failures, self.stopping = {}, [], threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        connection = None
        while not self.stopping.is_set():
            try:
                connection = connection or http.client.HTTPConnection(self.address, timeout=30)
                connection.request("GET", "/", headers={"Host": self.host})
                answer = connection.getresponse()
                text = answer.read().decode()
                if answer.status != 200:
                    self.failures.append((answer.status, text[:200]))
                self.seen[text] = self.seen.get(text, 0) + 1
                if not self.keep:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection = None

    def stop(self):
        self.stopping.set()
        self.thread.join()


def test_deploys_under_load_fail_no_request_and_need_no_reload(pelton):
    work = live_site(pelton)
    before = haproxy_pid(pelton)
    loads = [Load(pelton.ingress, "site.localhost", keep) for keep in (True, False)]
    try:
        for number in range(1, 6):
            commit, build = push_page(pelton, work, f"page {number}")
            pelton.wait_build(build, "success")
            pelton.wait_live(commit)
            for load in loads:
                wait_for(f"page {number} under load", lambda load=load: load.seen.get(f"page {number}") or load.failures)
    finally:
        for load in loads:
            load.stop()
    for load in loads:
        assert load.failures == []
        assert set(load.seen) == {f"page {number}" for number in range(6)}
    assert haproxy_pid(pelton) == before
    deployments = pelton.deployments()
    assert [deployment["status"] for deployment in deployments] == ["live"] + ["superseded"] * 5
    assert pelton.client.get(f"/api/deployments/{deployments[0]['id']}") == deployments[0]


def test_a_release_that_is_not_healthy_in_time_leaves_the_old_one_live(pelton):
    work = live_site(pelton, "good")
    commit, build = push_page(pelton, work, "bad", **{".pelton.yml": pipeline(health="/missing", timeout="1s")})
    assert pelton.wait_build(build, "failed")["jobs"][-1]["name"] == "deploy"
    assert pelton.page("site").text == "good"
    newest, old = pelton.deployments()
    assert (newest["commit_sha"], newest["status"], old["status"]) == (commit, "failed", "live")
    assert "/missing" in newest["error_message"]
    wait_for("the failed release to be gone", lambda: len(release_pids(pelton)) == 1)


def test_a_release_that_ends_at_once_says_its_last_words(pelton):
    work = live_site(pelton, "good")
    _, build = push_page(pelton, work, "bad", **{".pelton.yml": pipeline(start="echo no such table >&2; exit 3")})
    pelton.wait_build(build, "failed")
    assert "no such table" in pelton.deployments()[0]["error_message"]
    assert pelton.page("site").text == "good"


def test_a_release_outlives_the_server_and_is_there_after_its_restart(pelton):
    work = live_site(pelton, "first")
    ingress, releases = pelton.ingress, release_pids(pelton)
    pelton.kill()
    assert http_text(ingress) == "first"
    pelton.start()
    assert pelton.ingress == ingress
    assert http_text(ingress) == "first"
    assert release_pids(pelton) == releases
    work.url = pelton.git_url("site")
    _, build = push_page(pelton, work, "second")
    pelton.wait_build(build, "success")
    pelton.wait_page("site", lambda reply: reply.text == "second")


def in_a_folder_that_is_gone():
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    os.rmdir(folder)


@pytest.mark.parametrize("prepare", [lambda: os.umask(0o077), lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
                                     in_a_folder_that_is_gone], ids=["umask", "ignored children", "folder"])
def test_what_who_starts_the_server_has_set_does_not_matter(start_pelton, prepare):
    live_site(start_pelton(prepare=prepare), "seen")


def release_pids(pelton):
    return {pid for pid, command in pelton.processes().items() if " release --dir " in command}


def http_text(ingress):
    connection = http.client.HTTPConnection(ingress, timeout=30)
    connection.request("GET", "/", headers={"Host": "site.localhost"})
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def test_what_died_while_the_server_was_away_runs_again(pelton):
    live_site(pelton, "here")
    pelton.kill()
    processes.kill_all(pelton.folder)
    pelton.start()
    pelton.wait_page("site", lambda reply: reply.text == "here")


def test_an_application_that_crashes_is_started_again(pelton):
    start = 'if [ -e once ]; then exec python3 -u -m http.server "$PORT" --bind 127.0.0.1 --directory site; fi; ' \
            'touch once; python3 -u -m http.server "$PORT" --bind 127.0.0.1 --directory site & ' \
            'while [ ! -e site/die ]; do sleep 0.1; done; exit 1'
    live_site(pelton, "still here", start=start)
    files = next((pelton.state / "releases").glob("*/files"))
    (files / "site" / "die").touch()
    wait_for("a restart", lambda: '"restarts":1' in
             next((pelton.state / "releases").glob("*/state.json")).read_text().replace(" ", ""))
    pelton.wait_page("site", lambda reply: reply.text == "still here")


def test_a_cancelled_deploy_leaves_the_old_one_live(pelton):
    work = live_site(pelton, "old")
    _, build = push_page(pelton, work, "new", **{".pelton.yml": pipeline(start="sleep 600", timeout="5m")})
    wait_for("the deploy to begin", lambda: pelton.deployments()[0]["status"] == "deploying")
    pelton.api("POST", f"/api/builds/{build}/cancel")
    pelton.wait_build(build, "cancelled")
    assert pelton.deployments()[0]["status"] == "cancelled"
    assert pelton.page("site").text == "old"
    wait_for("one release only", lambda: len(release_pids(pelton)) == 1)


def test_what_is_live_is_taken_off_by_hand_and_stays_off(pelton):
    live_site(pelton, "here")
    said = pelton.run("deployment", "stop", "site").stderr
    assert "taken off" in said and "pelton rerun 1" in said
    wait_for("the release to be gone", lambda: not release_pids(pelton) and not list((pelton.state / "releases").iterdir()))
    assert pelton.page("site").status == 503
    one, = pelton.deployments()
    assert (one["status"], one["error_message"]) == ("superseded", "stopped by admin")
    pelton.client.call("POST", f"/api/deployments/{one['id']}/stop", expect=409)
    assert "nothing of site is live" in pelton.run("deployment", "stop", "site", expect=3).stderr
    pelton.kill()
    pelton.start()
    assert pelton.page("site").status == 503 and not release_pids(pelton)
    pelton.run("rerun", "1")
    pelton.wait_page("site", lambda reply: reply.text == "here")


def test_what_was_taken_off_just_before_the_server_died_is_stopped_by_the_next(pelton):
    live_site(pelton, "here")
    pelton.kill()
    with sqlite3.connect(pelton.state / "pelton.db") as db:
        db.execute("UPDATE deployment SET status = 'superseded'")
    pelton.start()
    wait_for("the release to be gone", lambda: not release_pids(pelton))
    assert pelton.page("site").status == 503


def test_what_a_stopped_server_leaves_can_be_ended_as_the_documents_say(pelton):
    live_site(pelton, "here")
    pelton.stop()
    os.kill(int((pelton.state / "ingress/haproxy.pid").read_text()), signal.SIGTERM)
    for pid in release_pids(pelton):
        os.kill(pid, signal.SIGTERM)
    wait_for("nothing to be left", lambda: not pelton.processes())


def test_what_is_live_is_told_where_it_is_served_now(pelton):
    live_site(pelton, "here")
    assert pelton.run("open", "site").stdout == f"http://site.localhost:{pelton.ingress.split(':')[1]}/\n"
    port = free_port()
    pelton.restart("--ingress", f"127.0.0.1:{port}", "--domain", "apps.test")
    url = f"http://site.apps.test:{port}/"
    wait_page(pelton.ingress, "site.apps.test", lambda reply: reply.text == "here")
    assert pelton.run("open", "site").stdout == url + "\n"
    assert pelton.deployments()[0]["url"] == url and url in pelton.run("deployments").stdout
    one = pelton.client.get(f"/api/deployments/{pelton.deployments()[0]['id']}")
    assert one["url"] == url
    pelton.restart("--ingress", "off")
    assert "url" not in pelton.deployments()[0]
    assert "--ingress off" in pelton.run("open", "site", expect=3).stderr


def test_a_host_that_nobody_deployed_is_not_found(pelton):
    live_site(pelton)
    assert pelton.page("nobody").status == 404


def test_any_repository_name_has_a_host_name_of_its_own(pelton):
    urls = {}
    for name in ("My_App", "my-app"):
        _, push = pelton.push(name, {"site/index.html": f"I am {name}", ".pelton.yml": pipeline()})
        pelton.wait_build(push.build, "success")
        urls[name] = pelton.client.get(f"/api/deployments?repo={name}")["deployments"][0]["url"]
    hosts = {name: url.split("/")[2].split(":")[0] for name, url in urls.items()}
    assert hosts["My_App"] == "my-app.localhost"
    assert hosts["my-app"].startswith("my-app-") and len(hosts["my-app"]) == len("my-app-abcd.localhost")
    for name, host in hosts.items():
        assert pelton.page(host.removesuffix(".localhost")).text == f"I am {name}"
