#!/usr/bin/python3
"""Measures functions and files of src/: warns of functions over 90 lines and files over 900, fails at twice that.

usage: tools/sizes.py [ROOT]
Counts on the layout that clang-format gives: a function begins and ends in the first column.
"""

import re
import statistics
import sys
from pathlib import Path

FUNCTION_MAX = 90
FILE_MAX = 900
NOT_A_FUNCTION = re.compile(r"^(typedef|struct|enum|union|extern)\b|=")


def functions(text):
    """(name, first line, lines) of each function of a C file."""
    head, start = None, 0
    for number, line in enumerate(text.splitlines(), 1):
        if head is None or line and not line[0].isspace() and line[0] not in "}#/":
            if line and (line[0].isalpha() or line[0] == "_"):
                head, start = line, number
        if line == "}" and head and "(" in head and not NOT_A_FUNCTION.search(head.split("(")[0]):
            name = re.search(r"(\w+)\s*\(", head)
            yield name[1] if name else head, start, number - start + 1
        if line.startswith("}"):
            head = None


def main():
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    files, lengths, worst = [], [], 0
    for path in sorted((root / "src").rglob("*.[ch]")):
        text = path.read_text(errors="replace")
        lines = text.count("\n")
        files.append(lines)
        shown = path.relative_to(root)
        if lines > FILE_MAX:
            print(f"{shown}:1: warning: {lines} lines; can one file be two?")
            worst = max(worst, lines / FILE_MAX)
        for name, start, length in functions(text) if path.suffix == ".c" else ():
            lengths.append(length)
            if length > FUNCTION_MAX:
                print(f"{shown}:{start}: warning: {name} has {length} lines")
                worst = max(worst, length / FUNCTION_MAX)
    p90 = statistics.quantiles(lengths, n=10)[8]
    print(f"{len(lengths)} functions, median {statistics.median(lengths):.0f}, p90 {p90:.0f} lines; "
          f"{len(files)} files, median {statistics.median(files):.0f} lines")
    sys.exit(1 if worst > 2 else 0)


if __name__ == "__main__":
    main()
