"""Notifications: mail, Slack's form, plain webhooks, commit statuses; the outbox; what they may not reach."""

import threading

import pytest

from lib.pipelines import Pipelines, simple
from lib.receivers import Mail, Web
from lib.server import Pelton
from lib.wait import wait_for

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def mail():
    with Mail() as server:
        yield server


@pytest.fixture
def ci(tmp_path, mail):
    with Pelton(tmp_path, "--smtp", mail.url, "--smtp-from", "ci@example.com", "--notify-allow", "127.0.0.1") as server:
        made = Pipelines(server)
        made.server = server
        yield made


def told(**moments):
    lines = ["notifications:"]
    for moment, targets in moments.items():
        lines.append(f"  on_{moment}:")
        for kind, config in targets:
            inner = ", ".join(f"{key}: '{value}'" for key, value in config.items())
            lines.append(f"  - {{target_type: {kind}, config: {{{inner}}}}}")
    return "\n".join(lines) + "\n"


def settled(ci, execution, status):
    """The execution's notifications once each that is due is through."""
    ci.wait(execution, status)

    def look():
        view = ci.execution(execution)["notifications"]
        return view if all(n["status"] in ("sent", "failed", "dropped") for n in view) else None
    return wait_for(lambda: str(ci.execution(execution)["notifications"]), look)


def test_a_webhook_hears_of_start_and_success(ci):
    with Web() as web:
        pipeline = ci.create(simple("echo hi", more=told(
            start=[("webhook", {"webhook_url": f"{web.url}/start"})],
            success=[("webhook", {"webhook_url": f"{web.url}/good?a=b"})],
            failure=[("webhook", {"webhook_url": f"{web.url}/bad"})])))
        execution = ci.trigger(pipeline, branch="main")
        view = settled(ci, execution, "success")
        assert [(n["moment"], n["status"], n["attempts"]) for n in view] == [
            ("start", "sent", 1), ("success", "sent", 1), ("failure", "dropped", 0)]
        calls = {path: body for path, _, body in web.calls}
        assert set(calls) == {"/start", "/good?a=b"}
        good = calls["/good?a=b"]
        assert (good["event"], good["status"], good["execution_id"], good["pipeline_id"]) == (
            "success", "success", execution, pipeline["id"])
        assert good["branch"] == "main" and good["url"].endswith("/builds/1") and good["name"] == "simple"
        assert calls["/start"]["event"] == "start"


def test_a_receiver_that_does_not_answer_holds_up_nobody_else(ci, mail):
    others = threading.Event()

    def read(body):  # answers once the others have what is for them
        others.wait(60)
        return body

    with Web(read=read) as stuck, Web() as web:
        hangs = [("webhook", {"webhook_url": f"{stuck.url}/{number}"}) for number in range(9)]  # each for 10 s
        first = ci.trigger(ci.create(simple("echo 1", "first", told(
            success=[*hangs, ("email", {"email": "ops@example.com"})]))))
        ci.wait(first, "success")
        wait_for("the mail", lambda: mail.messages)
        second = ci.trigger(ci.create(simple("echo 2", "second", told(success=[("webhook", {"webhook_url": web.url})]))))
        settled(ci, second, "success")
        attempts = [n["attempts"] for n in ci.execution(first)["notifications"]]
        assert attempts[-2:] == [0, 1]
        others.set()
        settled(ci, first, "success")


def test_more_receivers_that_hang_than_there_are_threads_leave_the_others_their_turn(ci):
    over = threading.Event()

    def read(body):
        over.wait(300)
        return body

    with Web(read=read) as stuck, Web() as web:
        for number in range(17):
            made = ci.create(simple("exit 0", f"hanging-{number}", told(success=[("webhook", {"webhook_url": stuck.url})] * 20)))
            ci.wait(ci.trigger(made), "success")
        good = ci.trigger(ci.create(simple("exit 0", "good", told(success=[("webhook", {"webhook_url": web.url})]))))
        settled(ci, good, "success")
        assert len(web.calls) == 1
        over.set()


def test_a_failure_is_told_with_its_reason(ci, mail):
    with Web() as web:
        execution = ci.trigger(ci.create(simple("exit 3", more=told(
            success=[("email", {"email": "good@example.com"})],
            failure=[("email", {"email": "ops@example.com, dev@example.com"}),
                     ("slack", {"webhook_url": f"{web.url}/slack", "slack_channel": "#alerts"})]))))
        settled(ci, execution, "failed")
        [(sender, to, text)] = mail.messages
        assert (sender, to) == ("<ci@example.com>", ["<ops@example.com>", "<dev@example.com>"])
        assert "Subject: simple #1 failed: job Only: step 1 (step): exit status 3\n" in text
        assert "To: ops@example.com, dev@example.com\n" in text and "/builds/1" in text
        assert f"Message-ID: <{execution}." in text
        [(path, headers, body)] = web.calls
        assert path == "/slack" and headers["Content-Type"] == "application/json"
        assert body["channel"] == "#alerts" and "exit status 3\nhttp" in body["text"]


def test_a_status_goes_to_the_commit(ci):
    with Web() as web:
        execution = ci.trigger(
            ci.create(simple("echo hi", more=told(start=[("git_hub", {"github_status": "true"})],
                                                  success=[("github", {})]) +
                             f"environment: {{GITHUB_TOKEN: tell-nobody, GITHUB_API_URL: '{web.url}'}}\n")),
            repository="user/x", commit_hash=COMMIT)
        settled(ci, execution, "success")
        assert [(path, body["state"]) for path, _, body in web.calls] == [
            (f"/repos/user/x/statuses/{COMMIT}", "pending"), (f"/repos/user/x/statuses/{COMMIT}", "success")]
        assert web.calls[0][1]["Authorization"] == "Bearer tell-nobody"
        assert web.calls[1][2]["context"] == "pelton/simple"


def test_what_fails_is_tried_again(ci):
    with Web(500) as web:
        execution = ci.trigger(ci.create(simple("echo hi", more=told(
            success=[("webhook", {"webhook_url": web.url})]))))
        [notice] = settled(ci, execution, "success")
        assert (notice["status"], notice["attempts"], notice["error"]) == ("sent", 2, None)
        assert len(web.calls) == 2


@pytest.mark.parametrize("kind, key, value, error", [
    ("webhook", "webhook_url", "ftp://127.0.0.1/", "is no http:// or https:// address"),
    ("webhook", "webhook_url", "http://127.0.0.2:9/", "this address is not allowed"),
    ("webhook", "webhook_url", "http://169.254.169.254/latest/", "this address is not allowed"),
    ("webhook", "webhook_url", "http://[::1]:9/", "this address is not allowed"),
    ("email", "email", "nobody", "is not an address for mail"),
    ("email", "email", "a@b.c>,<x@y.z", "is not an address for mail"),
    ("git_hub", "github_status", "true", "it is not known which commit"),
])
def test_what_will_never_work_fails_at_once_and_says_why(ci, kind, key, value, error):
    execution = ci.trigger(ci.create(simple("echo hi", more=told(success=[(kind, {key: "${TO}"})]))),
                           environment={"TO": value})
    [notice] = settled(ci, execution, "success")
    assert (notice["status"], notice["attempts"]) == ("failed", 1) and error in notice["error"]


@pytest.mark.parametrize("kind, config, error", [
    ("webhook", {"webhook_url": "ftp://127.0.0.1/"}, "expected an http:// or https:// address"),
    ("email", {"email": "nobody"}, "expected an address for mail"),
    ("slack", {"slack_token": "x"}, 'missing "slack_channel"'),
])
def test_an_address_that_is_none_is_refused_when_the_pipeline_is_stored(ci, kind, config, error):
    assert error in ci.refuse(simple("echo hi", more=told(success=[(kind, config)])), 400)["message"]


def test_a_refusal_is_final(ci):
    with Web(404) as web:
        execution = ci.trigger(ci.create(simple("echo hi", more=told(success=[("webhook", {"webhook_url": web.url})]))))
        [notice] = settled(ci, execution, "success")
        assert (notice["status"], notice["attempts"]) == ("failed", 1)


def test_a_mail_server_that_refuses_is_told_so(tmp_path):
    with Mail(refuse=True) as mail, Pelton(tmp_path, "--smtp", mail.url) as server:
        ci = Pipelines(server)
        execution = ci.trigger(ci.create(simple("echo hi", more=told(success=[("email", {"email": "a@b.c"})]))))
        [notice] = settled(ci, execution, "success")
        assert notice["status"] == "failed" and "550" in notice["error"]


def test_without_a_mail_server_it_says_what_is_missing(pelton):
    ci = Pipelines(pelton)
    execution = ci.trigger(ci.create(simple("echo hi", more=told(success=[("email", {"email": "a@b.c"})]))))
    [notice] = settled(ci, execution, "success")
    assert notice["status"] == "failed" and "smtp" in notice["error"]


def test_this_machine_is_out_of_reach_unless_allowed(pelton):
    ci = Pipelines(pelton)
    with Web() as web:
        execution = ci.trigger(ci.create(simple("echo hi", more=told(success=[("webhook", {"webhook_url": web.url})]))))
        [notice] = settled(ci, execution, "success")
        assert notice["status"] == "failed" and web.calls == []


def test_nothing_is_lost_when_the_server_dies(ci):
    with Web(500) as web:
        execution = ci.trigger(ci.create(simple("echo hi", more=told(success=[("webhook", {"webhook_url": web.url})]))))
        ci.wait(execution, "success")
        wait_for("the first attempt", lambda: web.calls)
        ci.server.kill()
        ci.server.start()
        ci.client = ci.server.client
        assert settled(ci, execution, "success")[0]["status"] == "sent"


def test_what_stages_left_for_each_other_is_removed_afterwards(ci):
    two = "name: two\nstages:\n- {name: A, steps: [{name: a, config: {command: echo a > a}}]}\n" \
          "- {name: B, steps: [{name: b, config: {command: cat a}}]}\n"
    view = ci.run(two)

    def kept():
        return [a["path"] for a in ci.client.get(f"/api/builds/{view['build']}/artifacts")["artifacts"]]
    wait_for(lambda: f"removal: {kept()}", lambda: kept() == [])
    blobs = ci.server.state / "blobs"
    for folder in ["objects", "artifacts"]:
        wait_for("its files' end", lambda f=folder: not [p for p in (blobs / f).rglob("*") if p.is_file()])


def test_tokens_in_notifications_are_sealed_at_rest(ci):
    ci.run(simple("echo hi", more=told(failure=[("slack", {"slack_token": "xoxb-tell-nobody", "slack_channel": "x"})])))
    ci.server.stop()
    rows = [p.read_bytes() for p in ci.server.state.glob("pelton.db*")]
    import sqlite3
    with sqlite3.connect(ci.server.state / "pelton.db") as db:
        assert "xoxb" not in str(db.execute("SELECT config FROM notice").fetchall())
    assert rows
    ci.server.start()
