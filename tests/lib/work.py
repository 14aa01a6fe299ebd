"""A working copy of git, and what a push of it said."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from .wait import SLOWER

ENV = {
    "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "Ada Example",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada Example",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
}


class Push:
    """status: git's exit status; text: all it printed; builds: the numbers of the builds that it announced."""

    def __init__(self, status, text):
        self.status, self.text = status, text
        self.builds = [int(number) for number in re.findall(r"pelton: build (\d+) \w+: http", text)]

    @property
    def build(self):
        assert self.builds, f"the push announced no build:\n{self.text}"
        return self.builds[-1]


class Work:
    def __init__(self, path, url):
        self.path, self.url = Path(path), url
        self.path.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments, check=True, timeout=120.0, env=None):
        """What git printed on both outputs."""
        done = subprocess.run(["git", *arguments], cwd=self.path, env={**ENV, **(env or {})},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=timeout * SLOWER, check=False)
        text = done.stdout.decode(errors="replace")
        assert not check or done.returncode == 0, f"git {' '.join(arguments)}: {text}"
        self.status = done.returncode
        return text

    def write(self, files):
        """{"path": text, bytes or None to delete}."""
        for name, content in files.items():
            target = self.path / name
            if content is None:
                target.unlink()
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)

    def copy(self, folder):
        """Takes in everything of a folder, an example say."""
        shutil.copytree(folder, self.path, dirs_exist_ok=True)

    def commit(self, files=None, message="change"):
        """The new commit's hash."""
        self.write(files or {})
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.head()

    def head(self):
        return self.git("rev-parse", "HEAD").strip()

    def push(self, *refs, check=True, env=None):
        """Pushes main, or the refs and flags given."""
        text = self.git("push", self.url, *(refs or ["main"]), check=False, env=env)
        assert not check or self.status == 0, f"git push: {text}"
        return Push(self.status, text)
