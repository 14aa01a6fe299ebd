"""A benchmark's figures, how they are printed, and the command line that every one of them has."""

import argparse
import json
import sys
from dataclasses import asdict, dataclass, field

AT_MOST, AT_LEAST = "≤", "≥"


@dataclass
class Figure:
    """One row: what was measured, beside what the machine itself does in the same run.

    target: the number to reach (None: no promise is made of it), bound: on which side of it.
    """
    what: str
    value: float
    unit: str
    bound: str = AT_MOST
    target: float | None = None
    reference: str = ""
    reference_value: float | None = None
    note: str = ""
    extra: dict = field(default_factory=dict)
    bench: str = ""

    @property
    def reached(self):
        if self.target is None:
            return None
        return self.value <= self.target if self.bound == AT_MOST else self.value >= self.target

    @property
    def ratio(self):
        """Of the figure to the machine's own."""
        return self.value / self.reference_value if self.reference_value else None

    @property
    def share(self):
        """Of the target: 1 is just reached, less is better than it."""
        if not self.target:
            return None
        return self.value / self.target if self.bound == AT_MOST else self.target / max(self.value, 1e-9)

    def as_json(self):
        return {**asdict(self), "ratio": self.ratio, "reached": self.reached}

    @classmethod
    def from_json(cls, row):
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


def number(value):
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


HEAD = ["what", "figure", "to reach", "", "the machine itself", "ratio"]


def cells(figure):
    verdict = {True: "reached", False: "MISSED", None: ""}[figure.reached]
    target = f"{figure.bound} {number(figure.target)} {figure.unit}" if figure.target is not None else ""
    own = f"{number(figure.reference_value)} {figure.reference}" if figure.reference_value is not None else ""
    ratio = f"{figure.ratio:.2f}" if figure.ratio is not None else ""
    return [figure.what, f"{number(figure.value)} {figure.unit}", target, verdict, own, ratio]


def table(figures):
    rows = [HEAD, *map(cells, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def markdown(figures):
    rows = [HEAD, ["---"] * len(HEAD), *map(cells, figures)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def notes(figures):
    return "\n".join(f"{figure.what}: {figure.note}" for figure in figures if figure.note)


def options(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--rounds", type=int, default=3, metavar="N",
                        help="take the median of so many runs, which alternate with the reference's (default: 3)")
    parser.add_argument("--binary", metavar="FILE", help="the program to measure (default: build/pelton)")
    parser.add_argument("--keep", metavar="DIR",
                        help="keep what is costly to make, the long history, in DIR, and take it from there")
    return parser


def main(description, run):
    """The whole of a benchmark script. run(Rig) gives its Figures one after the other."""
    from .rig import Rig
    arguments = options(description).parse_args()
    name = sys.argv[0].rpartition("/")[2]
    figures = []
    with Rig(arguments) as rig:
        for figure in run(rig):
            figure.bench = name
            figures.append(figure)
    if arguments.json:
        print(json.dumps([figure.as_json() for figure in figures], indent=1))
        return
    print(table(figures))
    if notes(figures):
        print("\n" + notes(figures))
