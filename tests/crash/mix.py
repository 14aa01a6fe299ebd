"""A random mix of builds: graphs of jobs, artifacts, big logs, failures, cancels. All of it follows from the seed."""

import json
from dataclasses import dataclass, field

KINDS = ("text", "text", "text", "binary", "line")


@dataclass
class Step:
    """exit_code: what it ends with by itself, but for attempts from `well` on (0: in all); files: {path: size}."""
    number: int
    size: int
    kind: str
    ms: int
    exit_code: int = 0
    well: int = 0
    always: bool = False
    files: dict = field(default_factory=dict)
    options: tuple = ()
    got: str = ""  # a job whose output it must have

    def exit_at(self, attempt):
        return 0 if self.well and attempt >= self.well else self.exit_code

    def command(self, program, socket):
        words = [program, socket, self.number, self.size, self.kind, self.ms, *self.options]
        words += [f"file={path}:{size}" for path, size in self.files.items()]
        words += [f"exit={self.exit_code}"] if self.exit_code else []
        words += [f"well={self.well}"] if self.well else []
        words += [f"got={self.got}"] if self.got else []
        return " ".join(map(str, words))


@dataclass
class Job:
    name: str
    executor: str
    checkout: bool
    needs: list
    steps: list
    limits: bool = False
    timeout: str = ""
    retry: int = 0
    outputs: bool = False  # its first step hands over o=NAME-ATTEMPT
    makes: list = field(default_factory=list)  # jobs that it hands over to its build
    takes: dict = field(default_factory=dict)  # {path: size} of what it downloads from those that it needs

    def runs(self, attempt):
        """The steps that run in that attempt when nothing comes between, in order."""
        good, found = True, []
        for step in self.steps:
            if good or step.always:
                found.append(step)
            good = good and step.exit_at(attempt) == 0
        return found

    def exit_code(self, attempt):
        """Of the first step that fails."""
        return next((step.exit_at(attempt) for step in self.steps if step.exit_at(attempt)), 0)

    def files(self, attempt):
        return {path: size for step in self.runs(attempt) for path, size in step.files.items()}

    def _command(self, step, program, socket):
        """Its first step fails without running when a download is not there to its last byte."""
        command = step.command("./crash-step" if self.checkout else program, socket)
        there = [f"[ \"$(stat -c %s {path})\" = {size} ]" for path, size in self.takes.items()]
        return " && ".join([*there, command]) if there and step is self.steps[0] else command

    def as_json(self, program, socket):
        text = {"runs-on": {"executor": self.executor}, "checkout": self.checkout, "steps": [
            {"name": f"step {step.number}", "run": self._command(step, program, socket),
             **({"if": "always()"} if step.always else {}),
             **({"env": {"GOT": f"${{{{ needs.{step.got}.outputs.o }}}}"}} if step.got else {})} for step in self.steps]}
        if any(step.files for step in self.steps):
            paths = [f"out-{self.name}-*"]
            text["artifacts"] = [{"name": "out", "paths": paths}, {"name": "brief", "paths": paths, "keep": "1s"}]
        if self.takes:
            text["download"] = "out"
        if self.needs:
            text["needs"] = self.needs
        if self.limits:
            text["resources"] = {"processes": 200}
        if self.timeout:
            text["timeout"] = self.timeout
        if self.retry:
            text["retry"] = {"times": self.retry, "backoff": "200ms"}
        return text


@dataclass
class Shape:
    """A pipeline. group: its builds take turns; cancel: what becomes of older ones then."""
    jobs: list
    group: str = ""
    cancel: str = ""

    def job(self, name):
        return next(job for one in self.jobs for job in [one, *one.makes] if job.name == name)

    def parts(self, program, socket, env):
        """{file: the jobs that a job hands over}; JSON is YAML."""
        return {f"part-{job.name}": json.dumps({"env": env, "jobs": {
            made.name: made.as_json(program, socket) for made in job.makes}}) for job in self.jobs if job.makes}

    def file(self, program, socket, env):
        """.pelton.yml; JSON is YAML."""
        text = {"env": env, "jobs": {job.name: job.as_json(program, socket) for job in self.jobs}}
        if self.group:
            text["concurrency"] = {"group": self.group, "cancel": self.cancel}
        return json.dumps(text, indent=1)


@dataclass
class Wish:
    """Something that a person does: at so many seconds. kind: push, start, cancel, again. number: of the trigger."""
    at: float
    kind: str
    number: int
    shape: int = 0


def _size(rng):
    return rng.choice([rng.randrange(0, 200), rng.randrange(200, 20_000), rng.randrange(20_000, 400_000)])


def _step(rng, number, job):
    big = rng.random() < 0.06
    step = Step(number, rng.randrange(1 << 20, 5 << 20) if big else _size(rng), rng.choice(KINDS),
                int(rng.expovariate(1 / 250)))
    if rng.random() < 0.3:
        step.files = {f"out-{job}-{number}-{name}": _size(rng) for name in range(rng.randrange(1, 4))}
    if rng.random() < 0.06:
        step.exit_code = rng.choice([1, 3, 77])
    if number > 1 and rng.random() < 0.15:
        step.always = True
    step.options = tuple(word for word, share in (("brood", 0.1), ("deaf", 0.05)) if rng.random() < share)
    return step


def _made(rng, maker):
    """Jobs that the maker hands over; the second one needs the first one and what that hands over."""
    names = [f"{maker.name}m{number}" for number in range(1, rng.choice([2, 3]))]
    jobs = [Job(name, "sandbox", True, [maker.name], [_step(rng, 1, name)]) for name in names]
    jobs[0].outputs = True
    for job in jobs[1:]:
        job.needs.append(names[0])
        job.steps[0].got = names[0]
    return jobs


def _job(rng, number, earlier):
    name = f"j{number}"
    executor = rng.choice(["sandbox", "shell"])
    job = Job(name, executor, executor == "sandbox" or rng.random() < 0.3,
              sorted(rng.sample(earlier, min(len(earlier), rng.choice([0, 0, 1, 2])))),
              [_step(rng, step, name) for step in range(1, rng.choice([2, 2, 3, 4]))], limits=rng.random() < 0.15)
    if rng.random() < 0.03:
        job.timeout = "1s"
        job.steps[-1].ms = 5000
    if rng.random() < 0.15:
        job.retry = rng.choice([1, 2])
        job.steps[0].exit_code, job.steps[0].well = rng.choice([(0, 0), (5, 2), (5, 3), (5, 0)])
    job.outputs = rng.random() < 0.5
    if job.checkout and rng.random() < 0.15:
        job.makes = _made(rng, job)
        job.steps[0].options += (f"part=part-{name}",)
    return job


def _hand_over(jobs):
    """Of what they need, and of what they hand over."""
    handing = {job.name for job in jobs if job.outputs}
    for job in jobs:
        job.steps[0].got = job.steps[0].got or next((need for need in job.needs if need in handing), "")
        if job.outputs:
            job.steps[0].options += ("output",)


def _take(jobs):
    """Those of a part as well, whose makers are in the build already."""
    made = {job.name: job for job in jobs}

    def below(job):
        return {name for need in job.needs for name in [need, *below(made[need])]}

    for job in jobs:
        for name in sorted(below(job)):
            if not made[name].retry and not any(step.always or step.exit_code for step in made[name].steps):
                job.takes.update(made[name].files(1))


def shape(rng, name):
    jobs, group = [], rng.random() < 0.2
    for number in range(rng.choice([1, 1, 2, 3, 5])):
        jobs.append(_job(rng, number, [job.name for job in jobs]))
    _hand_over([job for one in jobs for job in [one, *one.makes]])
    _take([job for one in jobs for job in [one, *one.makes]])
    return Shape(jobs, name if group else "", rng.choice(["queued", "running", "none"]) if group else "")


class Mix:
    """shapes: pipelines; wishes: in the order of time. Trigger number n pushes a commit of its own, or starts a shape."""

    def __init__(self, rng, builds, seconds, shapes=5):
        self.shapes = [shape(rng, f"group{number}") for number in range(shapes)]
        self.wishes = []
        for number in range(builds):
            at = rng.uniform(0, seconds)
            kind = "push" if rng.random() < 0.35 else "start"
            self.wishes.append(Wish(at, kind, number, rng.randrange(shapes)))
            if rng.random() < 0.2:
                later = rng.choice([0, rng.uniform(0, 0.3), rng.expovariate(1)])
                self.wishes += [Wish(at + later, "cancel", number)] * rng.choice([1, 1, 2])
            if rng.random() < 0.08:
                self.wishes.append(Wish(at + rng.uniform(0, 2), "again", number))
        self.wishes.sort(key=lambda wish: wish.at)
