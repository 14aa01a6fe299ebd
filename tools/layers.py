#!/usr/bin/env python3
"""Checks that a room of src/ includes only its own headers and those of the rooms before it.

The order is the list `rooms` of meson.build. Prints file:line for every violation and exits 1.
usage: tools/layers.py [ROOT]
"""

import re
import sys
from pathlib import Path

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')

GENERATED = {"base/version.h"}  # made by meson, in the build folder


def read_rooms(meson_build):
    """The rooms, lowest floor first."""
    block = re.search(r"^rooms = \[\n(.*?)^\]", meson_build.read_text(), re.M | re.S)
    rooms = re.findall(r"^\s*\['(\w+)',", block.group(1), re.M) if block else []
    if not rooms:
        sys.exit(f"{meson_build}: no list `rooms`")
    return rooms


def complaint(path, src, include, quoted, rooms):
    """What is wrong with the include, or None."""
    own = path.relative_to(src).parts[0]
    room, slash, _ = include.partition("/")
    if not slash:
        if quoted and path.parent != src and (path.parent / include).exists():
            return f'"{include}": write "{own}/{include}"'
        return None
    if ".." in include.split("/"):
        return f'"{include}": leaves its folder'
    if room not in rooms:
        if (src / room).is_dir():
            return f'"{include}": {room} is not among the rooms of meson.build'
        return None
    if path.parent == src:
        return None
    if rooms.index(room) > rooms.index(own):
        return f'"{include}": {own} may not use {room}, which stands above it'
    if not (src / include).exists() and quoted and include not in GENERATED:
        return f'"{include}": no such header'
    return None


def check(src, rooms):
    found = 0
    for path in sorted([*src.rglob("*.c"), *src.rglob("*.h")]):
        parts = path.relative_to(src).parts
        if len(parts) > 1 and parts[0] not in rooms:
            print(f"{path}:1: {parts[0]} is not among the rooms of meson.build")
            found += 1
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            match = INCLUDE.match(line)
            what = match and complaint(path, src, match[1] or match[2], bool(match[1]), rooms)
            if what:
                print(f"{path}:{number}: {what}")
                found += 1
    return found


def main():
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    sys.exit(1 if check(root / "src", read_rooms(root / "meson.build")) else 0)


if __name__ == "__main__":
    main()
