"""The report: what was done, what was found; as JSON, as text, and as the table of docs/reliability.md."""

import json
from collections import Counter

from .check import CATEGORIES
from .sabotage import KINDS

BEGIN, END = "<!-- report: begin -->", "<!-- report: end -->"


class Report:
    def __init__(self, options, results, seconds):
        self.options, self.results, self.seconds = options, results, seconds
        self.kills = sum((result.kills for result in results), Counter())
        self.violations = Counter(violation.category for result in results for violation in result.violations)

    def total(self, name):
        return sum(getattr(result, name) for result in self.results)

    def as_json(self):
        return {"command": self.options.command, "seed": self.options.seed, "rounds": len(self.results),
                "seconds": round(self.seconds, 1), "kills": dict(self.kills), "left_out": self.options.left_out,
                "builds": self.total("builds"), "jobs": self.total("jobs"), "steps": self.total("steps"),
                "again": self.total("again"), "violations": {name: self.violations[name] for name in CATEGORIES},
                "results": [result.as_json() for result in self.results]}

    def markdown(self):
        """What the page has between its markers."""
        kinds = sorted(self.kills, key=lambda kind: -self.kills[kind])
        words = {"lost": "lost (a trigger, build, attempt or result)", "doubled": "doubled (a build, attempt or step)",
                 "hole": "holes (a log or artifact that is not what was written)", "result": "results that are not true",
                 "left behind": "left behind (process, control group, mount, workspace, spool)",
                 "died": "servers or runners that ended by themselves"}
        lines = [f"`{self.options.command}`, {len(self.results)} rounds in {self.seconds / 60:.0f} minutes:", "",
                 "| what | |", "|---|---|", f"| harms done | {sum(self.kills.values()):,} |",
                 f"| builds | {self.total('builds'):,} |", f"| jobs | {self.total('jobs'):,} |",
                 f"| steps that ran | {self.total('steps'):,} |",
                 f"| attempts beyond a job's first | {self.total('again'):,} |"]
        lines += [f"| **{words[name]}** | **{self.violations[name]}** |" for name in CATEGORIES]
        lines += ["", "| harm | times |", "|---|---|", *[f"| {kind} | {self.kills[kind]} |" for kind in kinds]]
        if self.options.left_out:
            lines += ["", f"This machine does not allow: {', '.join(self.options.left_out)}."]
        return "\n".join(lines) + "\n"

    def into_page(self, path):
        text = path.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN)
        after = rest.split(END)[1]
        path.write_text(f"{before}{BEGIN}\n{self.markdown()}{END}{after}", encoding="utf-8")

    def text(self):
        found = ", ".join(f"{self.violations[name]} {name}" for name in CATEGORIES)
        unused = [kind for kind in KINDS if kind not in self.kills and kind not in self.options.left_out]
        return (f"{sum(self.kills.values())} harms, {self.total('builds')} builds, {self.total('jobs')} jobs, "
                f"{self.total('steps')} steps, {self.total('again')} attempts beyond a first, {self.seconds:.0f} s: {found}"
                + (f"; left out: {', '.join(self.options.left_out)}" if self.options.left_out else "")
                + (f"; not drawn: {', '.join(unused)}" if unused else ""))


def write(report, path):
    path.write_text(json.dumps(report.as_json(), indent=1), encoding="utf-8")
