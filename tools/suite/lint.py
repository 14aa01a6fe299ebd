"""What can be seen without running the program."""

import re
from concurrent.futures import ThreadPoolExecutor

from .tally import JOBS, RELEASE, ROOT, build, output_of, say, tracked

CLANG = ["buildtype=debugoptimized", "b_sanitize=none"]
MAN_ENV = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "MANWIDTH": "100", "MANPAGER": "cat"}
C_FILES = ["src/*.c", "src/*.h", "tests/*.c", "tests/*.h"]


def failure(*command):
    """The output of a command that has failed, or ""."""
    status, text = output_of(*command)
    return (text.strip() or f"{command[0]}: exit status {status}") if status != 0 else ""


def clang_build():
    good, text = build("build-clang", CLANG, env={"CC": "clang-14"}, targets=["all", "meson-test-prereq"],
                       keep_going=True)
    return "" if good else text[-8000:]


def tidy_one(path):
    status, text = output_of("clang-tidy-14", "--quiet", "-p", "build-clang", path)
    problems = [line for line in text.splitlines() if not re.match(r"^\d+ warnings? (and \d+ errors? )?generated", line)]
    return "\n".join(problems).strip() if status != 0 or re.search(r": (warning|error):", text) else ""


def tidy():
    """Every source file, the long ones first so that both cores end together."""
    paths = sorted(tracked("src/*.c"), key=lambda path: -len(open(path, "rb").read()))
    with ThreadPoolExecutor(JOBS) as pool:
        return "\n".join(filter(None, pool.map(tidy_one, paths)))


def shell_scripts():
    """By their first line, for most have no suffix."""
    def is_shell(path):
        with open(path, "rb") as file:
            return re.match(rb"#!\s*(/usr/bin/env |/bin/(busybox )?)(ba|da)?sh\b", file.readline(80))
    candidates = tracked("*.sh", "setup", "test", "demo", "bench", ".ci/*", "tools/*", "packaging/*", "bench/*",
                         "examples/*", "tests/vm/*")
    return [path for path in candidates if is_shell(path)]


def sizes():
    """Warns in passing; only what is far too long fails."""
    status, text = output_of("/usr/bin/python3", "tools/sizes.py")
    say(text.rstrip())
    return text if status != 0 else ""


def python_syntax(paths):
    program = "import ast,sys\nfor path in sys.argv[1:]: ast.parse(open(path, 'rb').read(), path)"
    return failure("/usr/bin/python3", "-c", program, *paths)


def man_pages():
    """Those that the build has made: what groff says of them."""
    build("build", RELEASE)
    problems = []
    for page in sorted((ROOT / "build" / "packaging").glob("*.1")):
        text = output_of("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", str(page), env=MAN_ENV)[1]
        problems += [line for line in text.splitlines() if re.search(r"(warning|error):", line)]
    return "\n".join(problems)


def lint(tally, match):
    checks = {
        "layers": lambda: failure("/usr/bin/python3", "tools/layers.py"),
        "format": lambda: failure("clang-format-14", "--dry-run", "-Werror", *tracked(*C_FILES)),
        "sizes": sizes,
        "promises": lambda: failure("/usr/bin/python3", "tools/promises.py"),
        "shellcheck": lambda: failure("shellcheck", *shell_scripts()),
        "python": lambda: python_syntax(tracked("*.py")),
        "man-pages": man_pages,
        "clang-build": clang_build,
        "clang-tidy": tidy,
    }
    for name, check in checks.items():
        if not match or match in name:
            say(f"       {name} …")
            tally.check(f"lint: {name}", check())
