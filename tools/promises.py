#!/usr/bin/python3
"""Checks that every test and document that docs/promises.md points to is there.

A reference is `path::name` (a Python or a C test, or all whose names begin so when it ends in `*`) or `path`
alone, in backquotes. Prints what is missing, a line each; exits with 1 when something is.

    tools/promises.py            docs/promises.md
    tools/promises.py FILE       another page
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = re.compile(r"`((?:tests|docs|benchmarks|src)/[\w./-]+)(?:::([\w*]+))?`")
TEST = re.compile(r"^(?:async )?def (test_\w+)|^static void (\w+)\(void \*\*\w+\)", re.MULTILINE)


def names_in(path):
    return {python or c for python, c in TEST.findall(path.read_text(encoding="utf-8", errors="replace"))}


def is_there(path, name):
    file = ROOT / path
    if not name:
        return file.exists()
    if not file.is_file():
        return False
    names = names_in(file)
    return any(n.startswith(name[:-1]) for n in names) if name.endswith("*") else name in names


def missing(page):
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        for path, name in REFERENCE.findall(line):
            if not is_there(path, name):
                yield f"{page.name}:{number}: there is no {path}{'::' + name if name else ''}"


def unproven(page):
    """Rows of its tables that point to nothing."""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if re.match(r"\| (?!\|?-)", line) and not line.startswith("| promise") and not REFERENCE.search(line):
            yield f"{page.name}:{number}: a promise without a test"


def main():
    if {"-h", "--help"} & set(sys.argv):
        print(__doc__.strip())
        return 0
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "promises.md"
    problems = [*missing(page), *unproven(page)]
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
