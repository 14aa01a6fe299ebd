"""Looks from outside whether anything was lost, doubled, torn or left behind; each finding is a Violation."""

import hashlib
import re
import subprocess
import zlib
from collections import defaultdict
from dataclasses import dataclass

from . import driver as calls

LOST, DOUBLED, HOLE, RESULT, LEFT, DIED = "lost", "doubled", "hole", "result", "left behind", "died"
CATEGORIES = (LOST, DOUBLED, HOLE, RESULT, LEFT, DIED)
MAX_ATTEMPTS = 3
NO_OUTPUT = 98  # of step.c: it could not write a file
OUR_LINES = re.compile(rb"\n?(==> [^\n]*\n)*")
OUR_START = re.compile(rb"\A(==> [^\n]*\n)+")  # where the log was cut before a step's own begin
OUR_END = re.compile(rb"\n?(==> [^\n]*\n)+\Z")
SHELL_SAYS = re.compile(rb"(Killed|Terminated)\n?\Z")  # of a command of its that a signal ended
NOT_THERE = re.compile(rb"/bin/sh: \d+: \./crash-step: not found\n")  # of a clean-up step after a checkout that was cancelled
STEP_LINE = re.compile(rb"==> step (\d+)/\d+: step \d+\n")

# harms that may cost an attempt: those to its job process, and those that keep its runner silent
TO_JOB = ("kill job process", "stop job process", "hang job process")
TO_RUNNER = ("kill machine", "kill both machines", "stop runner", "stop machine", "cut network", "kill runner",
             "kill runner in adoption", "SIGTERM runner", "kill server and runner")
TO_DISK = ("fill server's disk", "fill runner's disk", "fail server's write", "fail runner's write")
# a lease has at least a third of its time left whenever its runner falls silent
SHARE_OF_LEASE = 0.25


@dataclass
class Violation:
    category: str
    text: str

    def __str__(self):
        return f"{self.category}: {self.text}"


def emitted(tools, seed, size, kind):
    """What a step must have printed, or put into a file."""
    return subprocess.run([tools.step, "--emit", seed, str(size), kind], stdout=subprocess.PIPE, check=True).stdout


class Check:
    """run() gives all that is wrong. Everything is at rest meanwhile."""

    def __init__(self, world, driver, saboteur, ledger, facts):
        self.world, self.driver, self.ledger, self.facts = world, driver, ledger, facts
        self.harms, self.cancelled = saboteur.harms, saboteur.cancelled
        self.found = []
        self.builds = [facts.build(number) for number in facts.numbers()]
        self.attempts = facts.attempts()
        self.jobs = sum(len(build["jobs"]) for build in self.builds)

    def wrong(self, category, text):
        self.found.append(Violation(category, text))

    def _cancelled_build(self, job):
        return job["id"] in self.of_cancelled

    def run(self):
        self.of_cancelled = {job["id"] for build in self.builds
                             if build["status"] == "cancelled" or build["stop_reason"] for job in build["jobs"]}
        self._triggers()
        for build in self.builds:
            self._build(build)
        self._groups()
        damage = self.facts.damage()
        if damage:
            self.wrong(LOST, f"the database is damaged: {damage}")
        for text in self.ledger.strange:
            self.wrong(DOUBLED, text)
        return self.found

    # ---- every accepted trigger has exactly one build

    def _triggers(self):
        named, refs = self.facts.triggers(), self.facts.refs()
        builds_of = defaultdict(list)
        self.trigger_of = {}
        by_commit = {trigger.commit: trigger for trigger in self.driver.triggers.values() if trigger.commit}
        again = {trigger.build: trigger for trigger in self.driver.triggers.values() if trigger.says and trigger.build}
        by_name = {trigger.name: trigger for trigger in self.driver.triggers.values()}
        for build in self.builds:
            trigger = (again.get(build["id"]) or by_name.get(named.get(build["id"], ""))
                       or by_commit.get(build["commit_hash"]))
            if trigger is None:
                self.wrong(DOUBLED, f"build {build['id']} has no trigger: {build['event']} {build['branch']}")
                continue
            self.trigger_of[build["id"]] = trigger
            builds_of[trigger.name].append(build["id"])
        for trigger in self.driver.triggers.values():
            self._trigger(trigger, builds_of[trigger.name], refs)

    def _trigger(self, trigger, builds, refs):
        stored = trigger.kind == "push" and refs.get(trigger.name) == trigger.commit
        must = trigger.outcome in (calls.ACCEPTED, calls.STORED) or stored
        if len(builds) > 1:
            self.wrong(DOUBLED, f"trigger {trigger.name} has the builds {builds}: {trigger.answer}")
        elif must and not builds:
            self.wrong(LOST, f"trigger {trigger.name} ({trigger.kind}, {trigger.outcome}) has no build: {trigger.answer}")
        elif trigger.build and builds != [trigger.build]:
            self.wrong(LOST, f"trigger {trigger.name} was told build {trigger.build}, but has {builds}")
        elif trigger.outcome == calls.REFUSED and builds:
            self.wrong(DOUBLED, f"trigger {trigger.name} was refused, but has {builds}: {trigger.answer}")
        if trigger.answer.startswith("harness:"):
            self.wrong(LOST, f"trigger {trigger.name}: {trigger.answer}")

    # ---- builds of a group take turns

    def _groups(self):
        turns = defaultdict(list)
        for build in self.builds:
            trigger = self.trigger_of.get(build["id"])
            group = trigger and self.driver.mix.shapes[trigger.shape].group
            if group and build["started_at"]:
                turns[group].append((build["started_at"], build["finished_at"], build["id"]))
        for group, times in turns.items():
            times.sort()
            for before, after in zip(times, times[1:]):
                if after[0] < before[1]:
                    self.wrong(RESULT, f"{group}: build {after[2]} began before {before[2]} had ended: {before}, {after}")

    # ---- a build and its jobs

    def _build(self, build):
        trigger = self.trigger_of.get(build["id"])
        if trigger is None:
            return
        shape = self.driver.mix.shapes[trigger.shape]
        if not self._has_its_jobs(build, shape):
            return
        self._cancels(build, trigger)
        for job in build["jobs"]:
            what = f"build {build['id']} job {job['id']} ({job['name']})"
            problem = self._result(build, job, shape.job(job["name"]), trigger)
            if problem:
                self.wrong(RESULT, f"{what} is {job['status']} ({job['reason']}: {job['message']}), attempt "
                           f"{job['attempt']}: {problem}")
            self._runs(what, build, job, trigger)
            self._past_attempts(what, build, job, shape.job(job["name"]))
            self._log(what, build, job, shape.job(job["name"]))
        self._artifacts(build, shape)
        self._sum(build)

    def _has_its_jobs(self, build, shape):
        """Those that were planned, and those that a job handed over which went well, unless the build was to end."""
        names = [job["name"] for job in build["jobs"]]
        planned = [job.name for job in shape.jobs]
        made = sorted(made.name for job in build["jobs"][:len(planned)] if job["status"] == "success"
                      for made in shape.job(job["name"]).makes)
        rest = sorted(names[len(planned):])
        if names[:len(planned)] == planned and (rest == made or build["stop_reason"] and set(rest) <= set(made)):
            return True
        self.wrong(LOST, f"build {build['id']} has the jobs {names}, planned were {planned} and then {made}")
        return False

    def _sum(self, build):
        states = [job["status"] for job in build["jobs"]]
        wanted = "cancelled" if "cancelled" in states else "failed" if "failed" in states else "success"
        if build["status"] != wanted:
            self.wrong(RESULT, f"build {build['id']} is {build['status']}, its jobs are {states}")

    def _cancels(self, build, trigger):
        """An accepted cancel is one, unless every job had come to its own end."""
        for cancel in trigger.cancels:
            if cancel.outcome == calls.REFUSED and cancel.status not in (0, 409):
                self.wrong(RESULT, f"a cancel of build {build['id']} was answered {cancel.status}")
            if cancel.outcome != calls.ACCEPTED:
                continue
            late = [(job["name"], attempt.number) for job in build["jobs"]
                    for attempt in self.attempts.get(job["id"], ()) if attempt.started > cancel.answered]
            if late:
                self.wrong(RESULT, f"build {build['id']}: after its cancel these began: {late}")

    def _wanted_to_cancel(self, trigger):
        return any(cancel.outcome in (calls.ACCEPTED, calls.UNKNOWN) for cancel in trigger.cancels)

    def _result(self, build, job, plan, trigger):
        """What is wrong with the job's result; None: nothing, or it has none, which was told already."""
        judge = {"success": self._success, "failed": self._failed, "cancelled": self._cancelled,
                 "skipped": self._skipped}.get(job["status"])
        return judge(build, job, plan, trigger) if judge else None

    def _success(self, build, job, plan, trigger):
        if plan.exit_code(job["attempt"]):
            return "a step of it fails"
        handed = {"o": f"{job['name']}-{job['attempt']}"} if plan.outputs else {}
        if job["outputs"] != handed:
            return f"it has the outputs {job['outputs']}, handed over were {handed}"
        for step in plan.runs(job["attempt"]):
            runs = [run for run in self.ledger.of(job["id"], job["attempt"]) if run.step == step.number]
            if len(runs) != 1 or runs[0].exit_code != 0:
                return f"step {step.number} did not run to its end in this attempt: {runs}"
        return None

    def _failed(self, build, job, plan, trigger):
        judge = {"exit": self._failed_by_exit, "lost": self._failed_as_lost, "timeout": self._failed_by_time,
                 "infrastructure": self._failed_by_machine}.get(job["reason"])
        return judge(job, plan) if judge else "no such failure was to come"

    def _failed_by_exit(self, job, plan):
        runs, planned = self.ledger.of(job["id"], job["attempt"]), plan.exit_code(job["attempt"])
        if planned and job["exit_code"] == planned:
            if not any(run.exit_code == planned for run in runs):
                return "the step never ended so"
            return self._was_repeated(job, plan)
        if self._harmed(job["id"], job["attempt"], ("kill step",)):
            return None
        if job["exit_code"] == NO_OUTPUT and self._disk_was_hurt(job):
            return None
        return f"exit status {job['exit_code']}, planned was {planned}; {runs}"

    def _was_repeated(self, job, plan):
        own = [attempt for attempt in self.attempts[job["id"]] if attempt.reason != "lost"]
        return None if len(own) == plan.retry + 1 or self._cancelled_build(job) else (
            f"it failed {len(own)} times, its rule allows {plan.retry} repetitions")

    def _failed_as_lost(self, job, plan):
        lost = [attempt for attempt in self.attempts[job["id"]] if attempt.reason == "lost"]
        return None if len(lost) == MAX_ATTEMPTS else f"only {len(lost)} attempts were lost"

    def _failed_by_time(self, job, plan):
        if plan.timeout or self._harmed(job["id"], job["attempt"], ("stop job process", "hang job process")):
            return None
        return "it has all the time that it wants"

    def _failed_by_machine(self, job, plan):
        return None if self._disk_was_hurt(job) else "nothing was wrong with the machine"

    def _disk_was_hurt(self, job):
        attempt = self.attempts[job["id"]][-1]
        return any(harm.kind in TO_DISK and harm.runner in ("", attempt.runner) and
                   harm.overlaps(attempt.started, attempt.finished, tail=1) for harm in self.harms)

    def _cancelled(self, build, job, plan, trigger):
        shape = self.driver.mix.shapes[trigger.shape]
        if job["reason"] == "superseded" and shape.group and shape.cancel != "none":
            return None
        hung = build["id"] in self.cancelled
        return None if hung or self._wanted_to_cancel(trigger) else "nobody has cancelled it"

    def _skipped(self, build, job, plan, trigger):
        states = {other["name"]: other["status"] for other in build["jobs"]}
        if all(states[need] == "success" for need in plan.needs):
            return "all that it needs went well"
        return "it has run" if self.ledger.of(job["id"], job["attempt"]) else None

    def _harmed(self, job, attempt, kinds):
        return any(harm.kind in kinds and (harm.job, harm.attempt) == (job, attempt) for harm in self.harms)

    # ---- what the steps did

    def _runs(self, what, build, job, trigger):
        attempts = self.attempts.get(job["id"], [])
        if [attempt.number for attempt in attempts] != list(range(1, job["attempt"] + 1)):
            self.wrong(LOST, f"{what}: attempt {job['attempt']}, but these are known: {attempts}")
        for number in range(1, job["attempt"] + 2):
            seen = defaultdict(int)
            for run in self.ledger.of(job["id"], number):
                seen[run.step] += 1
                if number > job["attempt"]:
                    self.wrong(DOUBLED, f"{what}: attempt {number} ran, which was never given")
                if run.build != build["id"] or run.trigger != (trigger.says or trigger.name):
                    self.wrong(DOUBLED, f"{what}: ran for build {run.build}, trigger {run.trigger}")
            for step, count in seen.items():
                if count > 1:
                    self.wrong(DOUBLED, f"{what}: step {step} ran {count} times in attempt {number}")

    def _past_attempts(self, what, build, job, plan):
        attempts = self.attempts.get(job["id"], [])
        for attempt in attempts:
            if attempt.reason != "lost" and attempt.number < job["attempt"] and not plan.retry:
                self.wrong(DOUBLED, f"{what}: attempt {attempt.number} ended as {attempt.state} ({attempt.reason}), "
                           "and yet there was another")
            if attempt.reason == "lost" and not self._may_be_lost(job["id"], attempt):
                self.wrong(LOST, f"{what}: attempt {attempt.number} on {attempt.runner} was lost "
                           f"({attempt.started:.3f} to {attempt.finished:.3f}), and nothing had happened to it; steps: "
                           f"{self.ledger.of(job['id'], attempt.number)}")
            if attempt.number < job["attempt"]:
                problem = self._torn(job, attempt.number, build, plan)
                if problem:
                    self.wrong(HOLE, f"{what}, lost attempt {attempt.number}: {problem}")

    def _may_be_lost(self, job, attempt):
        if self._harmed(job, attempt.number, TO_JOB):
            return True
        begun = self.ledger.of(job, attempt.number)
        for harm in self.harms:
            if harm.kind in TO_DISK and harm.runner in ("", attempt.runner) and harm.overlaps(
                    attempt.started - 1, attempt.finished):
                return True
            if not harm.overlaps(attempt.started - 1, attempt.finished):
                continue
            if (harm.server or harm.runner) and not begun:
                return True  # the answer that gave it was lost with the one or the other
            silent = harm.until - harm.at >= SHARE_OF_LEASE * self.world.lease or harm.kind.startswith("kill machine")
            if harm.kind in TO_RUNNER and harm.runner in ("*", attempt.runner) and (
                    silent or harm.kind == "kill both machines"):
                return True
        return False

    # ---- logs

    def _seed(self, build, job, what, attempt):
        return f"{build['id']}/{job['name']}/{what}/{attempt}"

    def _log(self, what, build, job, plan):
        if not job["attempt"]:
            return
        if any(step["status"] == "running" for step in job["steps"]):
            self.wrong(RESULT, f"{what}: it is {job['status']}, and a step of it runs")
        log = self.facts.log(build["id"], job["name"])
        if len(log) != job["log_size"]:
            self.wrong(HOLE, f"{what}: its log has {len(log)} bytes, it is told to have {job['log_size']}")
        lost = job["reason"] == "lost" or any(
            words in job["message"] for words in ("it was to stop when its ", "hung and was killed"))  # nobody has told of its steps' ends
        if lost or job["status"] == "cancelled" and not job["steps"]:
            problem = self._torn(job, job["attempt"], build, plan)
            if problem:
                self.wrong(HOLE, f"{what}: {problem}")
            return
        at, cut = None, "the log is cut" in job["message"]
        steps = [step for step in job["steps"] if step["status"] != "skipped"]
        for step in steps:
            # of an append that failed the server may have kept a part
            open_end = cut and step is steps[-1]
            end = len(log) if open_end else step["log_end"]
            data = log[step["log_start"]:end]
            self._slice(what, build, job, plan.steps[step["position"]], step, OUR_END.sub(b"", OUR_START.sub(b"", data)) if open_end else data)
            if at is not None and not OUR_LINES.fullmatch(log[at:step["log_start"]]):
                self.wrong(HOLE, f"{what}: foreign bytes before step {step['position'] + 1}: {log[at:at + 200]!r}")
            at = end
        if at is not None and not OUR_LINES.fullmatch(log[at:]):
            self.wrong(HOLE, f"{what}: foreign bytes after its last step: {log[at:at + 200]!r}")

    def _slice(self, what, build, job, plan, step, data):
        """What the server has of a step's output against what it printed."""
        began = self.ledger.of(job["id"], job["attempt"])
        runs = [run for run in began if run.step == plan.number]
        if not runs:
            if data and (began or job["status"] != "cancelled" or not NOT_THERE.fullmatch(data)):
                self.wrong(HOLE, f"{what}: step {plan.number} never ran, but printed {data[:200]!r}")
            return
        cut = "the log is cut" in job["message"]  # there was no room for more of it
        whole = runs[-1].exit_code is not None and step["status"] in ("success", "failed") and not cut
        if whole and (len(data), zlib.crc32(data)) != (runs[-1].bytes, runs[-1].crc):
            self.wrong(HOLE, f"{what}: of step {plan.number} there are {len(data)} bytes, crc {zlib.crc32(data)}; it "
                       f"printed {runs[-1].bytes}, crc {runs[-1].crc}")
        expected = emitted(self.world.tools, self._seed(build, job, plan.number, job["attempt"]), plan.size, plan.kind)
        if not whole and not expected.startswith(SHELL_SAYS.sub(b"", data)):
            self.wrong(HOLE, f"{what}: of step {plan.number} there are {len(data)} bytes that are not the first of it")

    def _torn(self, job, attempt, build, plan):
        """What is wrong in the log of an attempt that never came to its end, whose steps nobody has told; None: nothing."""
        log = self.facts.log_of_attempt(job["id"], attempt)
        steps = {step.number: step for step in plan.steps}
        line = STEP_LINE.search(log)
        while line:
            step = steps[int(line.group(1))]
            expected = emitted(self.world.tools, self._seed(build, job, step.number, attempt), step.size, step.kind)
            rest = log[line.end():]
            if not rest.startswith(expected):
                ends = [len(rest), *(end.start() for end in re.finditer(rb"\n?==> ", rest))]
                first = any(expected.startswith(SHELL_SAYS.sub(b"", rest[:end])) for end in ends)
                return None if first else f"step {step.number} did not print this: {rest[:200]!r}"
            line = STEP_LINE.match(rest[len(expected):].lstrip(b"\n"))
            log = rest[len(expected):].lstrip(b"\n")
        return None

    # ---- artifacts

    def _artifacts(self, build, shape):
        kept = {artifact["path"]: artifact for artifact in self.facts.artifacts(build["id"])}
        for job in build["jobs"]:
            if job["status"] != "success":
                continue
            for path, size in shape.job(job["name"]).files(job["attempt"]).items():
                what = f"build {build['id']} artifact {path}"
                if path not in kept:
                    self.wrong(HOLE, f"{what} is missing")
                    continue
                data = self.facts.artifact(build["id"], path)
                expected = emitted(self.world.tools, self._seed(build, job, path, job["attempt"]), size, "binary")
                if hashlib.sha256(data).hexdigest() != kept[path]["sha256"] or len(data) != kept[path]["size"]:
                    self.wrong(HOLE, f"{what} is not what its sha256 says")
                if data != expected:
                    self.wrong(HOLE, f"{what} is not what attempt {job['attempt']} made")
