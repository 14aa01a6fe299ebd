"""The page in Chromium, in front of a real server."""

import re

import pytest
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from lib.wait import SLOWER

PIPELINE = """
jobs:
  slow:
    checkout: false
    steps:
      - echo first line of the log
      - tail -f /dev/null
"""


@pytest.fixture
def browser(tmp_path):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update", "--proxy-server=direct://",
                 "--window-size=1200,900", f"--user-data-dir={tmp_path / 'chromium'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
    yield driver
    driver.quit()


def wait(browser, condition, what):
    """The page draws itself anew as builds go on: what was found may be gone a moment later, and is looked for again."""
    redrawn = [StaleElementReferenceException, NoSuchElementException]
    return WebDriverWait(browser, 20 * SLOWER, poll_frequency=0.05, ignored_exceptions=redrawn).until(
        lambda _: condition(), what)


def click(browser, selector):
    wait(browser, lambda: browser.find_element(By.CSS_SELECTOR, selector).click() is None, selector)


def text(browser):
    return browser.find_element(By.TAG_NAME, "main").text


def wait_text(browser, wanted):
    wait(browser, lambda: wanted in text(browser), f"{wanted!r} on the page")


def log_in(browser, pelton):
    browser.get(pelton.url)
    wait(browser, lambda: browser.find_elements(By.ID, "token"), "a field for the token")
    browser.find_element(By.ID, "token").send_keys(pelton.token)
    browser.find_element(By.CSS_SELECTOR, "form button").click()
    wait(browser, lambda: not browser.find_elements(By.ID, "token"), "the page behind the login")


def complaints(browser):
    """What the browser complained of, but for the answer to who is not logged in yet."""
    return [entry["message"] for entry in browser.get_log("browser")
            if entry["level"] == "SEVERE" and " 401 " not in entry["message"]]


def test_a_wrong_token_is_refused_and_shows_nothing(pelton, browser):
    pelton.push("secret-thing", {".pelton.yml": PIPELINE})
    browser.get(pelton.url)
    wait(browser, lambda: browser.find_elements(By.ID, "token"), "a field for the token")
    browser.find_element(By.ID, "token").send_keys("plt_wrong")
    browser.find_element(By.CSS_SELECTOR, "form button").click()
    wait(browser, lambda: "wrong" in browser.find_element(By.ID, "notice").text, "the refusal")
    assert "secret-thing" not in browser.page_source


def test_a_build_from_a_fork_says_so_and_is_approved(pelton, browser):
    work = pelton.work("hello", {".pelton.yml": "jobs: {t: {checkout: false, secrets: [TOKEN], steps: [echo hi]}}\n"})
    pelton.run("secret", "set", "TOKEN", "--repo", "hello", input="hunter22-and-more")
    work.push()
    work.commit({"x": "1"})
    push = work.push("HEAD:refs/pull/7/head", "-o", "fork", "-o", "title=<b>Mine</b>")
    log_in(browser, pelton)
    browser.get(f"{pelton.url}/builds/{push.build}")
    wait_text(browser, "pull request 7 into main: <b>Mine</b>; from a fork, not approved")
    wait_text(browser, "waits for approval")
    click(browser, ".actions button:not(.danger)")
    wait_text(browser, "approved by admin")
    pelton.wait_build(push.build, "success")
    assert complaints(browser) == []


def test_a_pushed_build_appears_its_log_runs_and_cancel_ends_it(pelton, browser):
    log_in(browser, pelton)
    wait_text(browser, "No builds yet")
    _, push = pelton.push("hello", {".pelton.yml": PIPELINE})
    wait_text(browser, "hello")
    wait_text(browser, "running")
    click(browser, f'[data-build="{push.build}"]')
    wait(browser, lambda: "first line of the log" in browser.find_element(By.CSS_SELECTOR, "[role=log]").text,
         "the log")
    browser.execute_script("window.confirm = () => true")
    click(browser, "button.danger")
    wait_text(browser, "cancelled")
    assert pelton.wait_build(push.build)["status"] == "cancelled"
    assert not complaints(browser)


def test_what_failed_runs_again_by_a_click(pelton, browser):
    _, push = pelton.push("again", {".pelton.yml": "jobs:\n  good:\n    checkout: false\n    steps: ['true']\n"
                                                   "  bad:\n    checkout: false\n    steps: ['false']\n"})
    pelton.wait_build(push.build, "failed")
    log_in(browser, pelton)
    browser.get(f"{pelton.url}/builds/{push.build}")
    wait_text(browser, "Run again")
    browser.find_element(By.XPATH, "//button[text()='Run what failed']").click()
    wait_text(browser, f"again #{push.build}")
    again = pelton.wait_build(push.build + 1, "failed")
    assert again["rerun_of"] == push.build and [job["copied"] for job in again["jobs"]] == [True, False]
    assert not complaints(browser)


def test_what_a_build_prints_is_text_and_not_markup(pelton, browser):
    nasty = "<img src=x onerror=\\\"document.title='owned'\\\">"
    _, push = pelton.push("nasty", {".pelton.yml": f'jobs:\n  t:\n    checkout: false\n    steps:\n'
                                                   f'      - run: echo "{nasty}"\n        name: "<b>step</b>"\n'})
    pelton.wait_build(push.build, "success")
    log_in(browser, pelton)
    browser.get(f"{pelton.url}/builds/{push.build}")
    wait(browser, lambda: "<img src=x" in browser.find_element(By.CSS_SELECTOR, "[role=log]").text, "the log")
    assert "<b>step</b>" in text(browser)
    assert "owned" not in browser.title


WAITS = {
    "paused": ("", "", "a new disk"),
    "no runner": ("", "", "there is no runner"),
    "needs": ("", "  first: {checkout: false, steps: [\"true\"]}\n", "waiting for first"),
    "group": ("concurrency: {group: turn, cancel: none}\n", "", "concurrency group turn: behind build"),
}


@pytest.mark.parametrize("why", WAITS)
def test_what_waits_says_why(start_pelton, browser, why):
    head, first, reason = WAITS[why]
    pelton = start_pelton("--runners", "0")
    if why == "paused":
        pelton.client.post("/api/queue/pause", {"reason": "a new disk"}, expect=200)
    needs = "    needs: [first]\n" if first else ""
    _, push = pelton.push("patient", {".pelton.yml": f"{head}jobs:\n{first}  slow:\n    checkout: false\n{needs}"
                                                     "    steps: [\"true\"]\n"})
    number = pelton.client.post("/api/repos/patient/builds", {}, expect=202)["id"] if why == "group" else push.build
    log_in(browser, pelton)
    if why == "paused":
        wait_text(browser, "queue paused by admin")
    click(browser, f'[data-build="{number}"]')
    wait(browser, lambda: reason in browser.find_element(By.CSS_SELECTOR, '[data-job="slow"]').text, "the reason")
    assert not complaints(browser)


def test_a_build_whose_place_was_taken_is_superseded_in_the_list_as_it_happens(start_pelton, browser):
    pelton = start_pelton()
    pelton.client.post("/api/queue/pause", {}, expect=200)
    pelton.push("turns", {".pelton.yml": "concurrency: turn\n" + PIPELINE})
    number = pelton.client.post("/api/repos/turns/builds", {}, expect=202)["id"]
    log_in(browser, pelton)
    wait(browser, lambda: browser.find_element(By.CSS_SELECTOR, f'[data-build="{number}"]'), "the build")
    pelton.client.post("/api/repos/turns/builds", {}, expect=202)
    wait(browser, lambda: "superseded" in browser.find_element(By.CSS_SELECTOR, f'[data-build="{number}"]').text,
         "how it ended")
    browser.refresh()
    wait(browser, lambda: "superseded" in browser.find_element(By.CSS_SELECTOR, f'[data-build="{number}"]').text,
         "the same in the list")


INPUTS = """
on: manual
inputs:
  level: {options: [quick, full], default: quick, description: how much to test}
  times: {type: number, default: 2}
  dry: {type: boolean, default: true}
  who: {required: true, description: "<b>whom</b> to greet"}
jobs:
  t: {checkout: false, steps: ["echo ${{ inputs.level }} ${{ inputs.times }} ${{ inputs.dry }} ${{ inputs.who }}."]}
"""


def start_by_hand(browser, pelton, repo, ref=""):
    browser.get(f"{pelton.url}/?repo={repo}")
    wait(browser, lambda: browser.find_elements(By.ID, "ref"), "a way to start a build")
    browser.find_element(By.ID, "ref").send_keys(ref + "\n")


def test_a_build_by_hand_asks_for_the_inputs_of_its_branch(pelton, browser):
    work, _ = pelton.push("asks", {".pelton.yml": "on: manual\njobs: {t: {checkout: false, steps: ['true']}}\n"})
    work.commit({".pelton.yml": INPUTS})
    work.push("HEAD:refs/heads/more")
    log_in(browser, pelton)
    start_by_hand(browser, pelton, "asks", "more")
    wait_text(browser, "What a build of more asks for")
    level, times, dry, who = (browser.find_element(By.ID, f"input-{name}") for name in ("level", "times", "dry", "who"))
    assert level.tag_name == "select" and level.get_property("value") == "quick" and level == browser.switch_to.active_element
    assert [option.text for option in level.find_elements(By.TAG_NAME, "option")] == ["quick", "full"]
    assert times.get_attribute("type") == "number" and times.get_property("value") == "2"
    assert dry.get_attribute("type") == "checkbox" and dry.is_selected()
    assert who.get_attribute("required") and "who (required)" in text(browser)
    assert who.accessible_name == "who (required)"
    assert "how much to test" in text(browser) and "<b>whom</b> to greet" in text(browser)
    level.send_keys("full")
    dry.send_keys(" ")
    who.send_keys("Ada\n")
    wait_text(browser, "asks #1")
    pelton.wait_build(1, "success")
    assert "full 2 false Ada.\n" in pelton.log(1)
    assert not complaints(browser)


def test_an_input_that_is_refused_says_so_beside_its_field(pelton, browser):
    work, _ = pelton.push("asks", {".pelton.yml": INPUTS})
    log_in(browser, pelton)
    start_by_hand(browser, pelton, "asks")
    wait_text(browser, "What a build of main asks for")
    work.commit({".pelton.yml": INPUTS.replace("quick", "short")})
    work.push()
    browser.find_element(By.ID, "input-who").send_keys("Ada\n")
    said = browser.find_element(By.ID, "input-level-error")
    wait(browser, lambda: 'expected one of short, full, got "quick"' in said.text, "what is wrong")
    level = browser.find_element(By.ID, "input-level")
    assert level.get_attribute("aria-invalid") == "true" and level == browser.switch_to.active_element
    assert browser.find_element(By.ID, "input-who").get_property("value") == "Ada"
    assert pelton.client.get("/api/builds")["total"] == 0
    browser.find_element(By.CSS_SELECTOR, "#input-level option[value=full]").click()
    browser.find_element(By.CSS_SELECTOR, ".inputs button[type=submit]").click()
    wait_text(browser, "asks #1")


def test_a_build_by_hand_without_inputs_starts_at_once(pelton, browser):
    _, push = pelton.push("plain", {".pelton.yml": "jobs: {t: {checkout: false, steps: ['true']}}\n"})
    pelton.wait_build(push.build, "success")
    log_in(browser, pelton)
    click(browser, '[data-page="repositories"]')
    click(browser, 'a.row[href="/?repo=plain"]')
    wait_text(browser, "Builds of plain")
    click(browser, ".head button")
    wait_text(browser, f"plain #{push.build + 1}")
    assert pelton.wait_build(push.build + 1, "success")["event"] == "manual"
    assert not complaints(browser)


def test_a_ref_that_is_not_there_is_told(pelton, browser):
    pelton.push("plain", {".pelton.yml": "on: manual\njobs: {t: {checkout: false, steps: ['true']}}\n"})
    log_in(browser, pelton)
    start_by_hand(browser, pelton, "plain", "nowhere")
    wait(browser, lambda: "nowhere" in browser.find_element(By.ID, "notice").text, "the refusal")


LONG = "a-name-that-goes-on-and-on-and-does-not-want-to-end-anywhere-soon"
TICKS = "jobs:\n  slow:\n    checkout: false\n    steps: ['i=0; while sleep 0.1; do i=$((i+1)); echo tick $i.; done']\n"


def ticks(browser):
    shown = browser.find_element(By.CSS_SELECTOR, "[role=log]").get_property("textContent")
    return [int(number) for number in re.findall(r"tick (\d+)\.", shown)]


def test_the_page_says_that_the_server_is_away_and_goes_on_when_it_is_back(pelton, browser):
    _, push = pelton.push("ticking", {".pelton.yml": TICKS})
    address = pelton.address
    log_in(browser, pelton)
    browser.get(f"{pelton.url}/builds/{push.build}")
    wait(browser, lambda: ticks(browser), "the log")
    pelton.stop()
    wait(browser, lambda: "no connection" in browser.find_element(By.ID, "live").text, "that the server is away")
    assert "no connection" in browser.find_element(By.CSS_SELECTOR, ".log-head").text
    before = ticks(browser)[-1]
    pelton.start("--listen", address)
    wait(browser, lambda: browser.find_element(By.ID, "live").text == "live", "the server")
    wait(browser, lambda: ticks(browser)[-1] > before + 20, "the rest of the log")
    seen = ticks(browser)
    assert seen == list(range(1, len(seen) + 1))


def test_a_view_that_the_server_does_not_answer_for_comes_when_it_is_back(pelton, browser):
    pelton.push("hello", {".pelton.yml": PIPELINE})
    address = pelton.address
    log_in(browser, pelton)
    wait_text(browser, "hello")
    pelton.stop()
    click(browser, '[data-page="repositories"]')
    wait(browser, lambda: "does not answer" in browser.find_element(By.ID, "notice").text, "that the server is away")
    pelton.start("--listen", address)
    wait_text(browser, "Repositories")
    assert browser.find_element(By.ID, "notice").text == "" and "hello" in text(browser)


def test_a_session_that_ends_asks_for_the_token_and_goes_on_where_it_was(pelton, browser):
    _, push = pelton.push("hello", {".pelton.yml": PIPELINE})
    token = pelton.client.post("/api/tokens", {"name": "short", "role": "read", "ttl": "1h"})
    browser.get(f"{pelton.url}/builds/{push.build}")
    wait(browser, lambda: browser.find_elements(By.ID, "token"), "a field for the token")
    browser.find_element(By.ID, "token").send_keys(token["token"] + "\n")
    wait_text(browser, "hello #1")
    pelton.api("DELETE", f"/api/tokens/{token['id']}")
    wait(browser, lambda: browser.find_elements(By.ID, "token"), "a field for the token")
    assert "session has ended" in browser.find_element(By.ID, "notice").text
    browser.find_element(By.ID, "token").send_keys(pelton.token + "\n")
    wait_text(browser, "hello #1")
    assert browser.find_element(By.ID, "notice").text == ""


def test_long_names_push_nothing_out_of_a_narrow_page(pelton, browser):
    work = pelton.work(LONG, {".pelton.yml": f"jobs:\n  {LONG}:\n    checkout: false\n    steps: [{{name: {'s' * 100}, run: exit 3}}]\n"})
    work.commit({"note": "x"}, message="m" * 300)
    push = work.push(f"HEAD:refs/heads/{LONG}")
    pelton.wait_build(push.build, "failed")
    browser.set_window_size(500, 900)
    log_in(browser, pelton)
    for page in ("/", "/#/repositories", f"/builds/{push.build}"):
        browser.get("about:blank")
        browser.get(pelton.url + page)
        wait_text(browser, "failed")
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth"), page
        status = browser.find_element(By.CSS_SELECTOR, ".status")
        assert status.rect["x"] >= 0 and status.rect["width"] > 50, page
    browser.get(pelton.url)
    wait(browser, lambda: f"#{push.build}" in text(browser), "the build's number")
    number = browser.find_element(By.CSS_SELECTOR, ".named .dim").rect
    assert number["width"] > 10 and number["x"] + number["width"] < browser.execute_script("return innerWidth")


def test_the_log_of_many_jobs_is_within_reach(pelton, browser):
    _, push = pelton.push("many", {".pelton.yml": "jobs:\n  t:\n    checkout: false\n    matrix: {n: [" + ",".join(
        map(str, range(60))) + "]}\n    steps: ['test ${{ matrix.n }} -ne 7']\n"})
    pelton.wait_build(push.build, "failed")
    log_in(browser, pelton)
    browser.get(f"{pelton.url}/builds/{push.build}")
    wait_text(browser, "1 failed · 59 success")
    assert browser.find_element(By.CSS_SELECTOR, "[role=log]").rect["y"] < 1200
    last = browser.find_element(By.CSS_SELECTOR, '[data-job="t (59)"]')
    browser.execute_script("arguments[0].focus()", last)
    assert browser.execute_script("return document.querySelector('.stages').scrollTop") > 1000


def test_what_is_drawn_anew_keeps_the_focus(start_pelton, browser):
    pelton = start_pelton("--runners", "0")
    _, push = pelton.push("patient", {".pelton.yml": PIPELINE})
    log_in(browser, pelton)
    browser.get(f"{pelton.url}/builds/{push.build}")
    wait_text(browser, "there is no runner")
    browser.execute_script("document.querySelector('button.danger').focus()")
    pelton.client.post("/api/queue/pause", {"reason": "a new disk"}, expect=200)
    wait_text(browser, "a new disk")
    assert browser.switch_to.active_element.text == "Cancel"


def test_a_build_without_jobs_shows_its_mistakes_and_no_empty_log(pelton, browser):
    _, push = pelton.push("broken", {".pelton.yml": "jobs: {t: {stesp: [x]}}\n"})
    log_in(browser, pelton)
    browser.get(f"{pelton.url}/builds/{push.build}")
    wait_text(browser, 'did you mean "steps"?')
    assert not browser.find_element(By.CSS_SELECTOR, "[role=log]").is_displayed()
    browser.get(f"{pelton.url}/builds/999")
    wait(browser, lambda: "Build not found: 999 (" in browser.find_element(By.ID, "notice").text, "what is wrong")


def test_what_is_read_of_a_long_log_stays_where_it_is(pelton, browser):
    _, push = pelton.push("long", {".pelton.yml": TICKS.replace("i=0;", "seq -f \"line %g.\" 6000; i=0;")})
    log_in(browser, pelton)
    browser.get(f"{pelton.url}/builds/{push.build}")
    wait(browser, lambda: ticks(browser), "the log's end")
    first = ("const box = document.querySelector('[role=log]'), top = box.getBoundingClientRect().top;"
             "return [...box.children].find((line) => line.getBoundingClientRect().top >= top).textContent")
    browser.execute_script("document.querySelector('[role=log]').scrollTop = 40000")
    wait(browser, lambda: browser.find_element(By.XPATH, "//button[text()='Follow']").is_displayed(), "that it follows no more")
    before, seen = browser.execute_script(first), ticks(browser)[-1]
    assert before.startswith("line ")
    wait(browser, lambda: ticks(browser)[-1] > seen + 20, "more of it")
    assert browser.execute_script(first) == before
