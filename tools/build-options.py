#!/usr/bin/python3
"""Says whether a meson build directory has the given options: exits 0 when all hold, else 1.

usage: tools/build-options.py DIR OPTION=VALUE…
"""

import json
import subprocess
import sys


def options_of(build):
    """Name to value, or nothing when the directory cannot be read as a build directory."""
    done = subprocess.run(["/usr/bin/meson", "introspect", "--buildoptions", build], capture_output=True, text=True)
    if done.returncode != 0:
        return {}
    return {option["name"]: str(option["value"]).lower() for option in json.loads(done.stdout)}


def main():
    have = options_of(sys.argv[1])
    wanted = (pair.split("=", 1) for pair in sys.argv[2:])
    sys.exit(0 if all(have.get(name) == value for name, value in wanted) else 1)


if __name__ == "__main__":
    main()
