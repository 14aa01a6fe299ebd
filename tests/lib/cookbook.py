"""docs/cookbook.md, as a test wants it: every recipe's heading, and the files of its repository."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "cookbook.md"
PIPELINE = ".pelton.yml"
FILE_NAME = re.compile(r"`([^`]+)`")


def read(text):
    """{heading: {path: text}}: a recipe's first block is its pipeline, every further one has its path above it."""
    recipes, files, block, path = {}, None, None, PIPELINE
    for line in text.splitlines(keepends=True):
        if block is not None and line != "```\n":
            block.append(line)
        elif block is not None:
            assert path not in files, f"{path} twice, or a block without its path: {block}"
            files[path], block, path = "".join(block), None, None
        elif line.startswith("### "):
            files, path = recipes.setdefault(line[4:].strip(), {}), PIPELINE
        elif line.startswith("```"):
            block = []
        elif line.strip() and path != PIPELINE:
            path = (FILE_NAME.fullmatch(line.strip()) or [None, None])[1]
    return recipes


def write(files, folder):
    """What begins as a script may be executed, as in a repository."""
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(0o755 if text.startswith("#!") else 0o644)
