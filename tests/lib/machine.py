"""What the machine gives and takes: memory of a process, small disks."""

import contextlib
import subprocess
from pathlib import Path


def resident(pid):
    """Bytes of memory that are the process's own (not files it has mapped)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"{pid} has no memory")


class Peak:
    """The most memory of a process, from now on."""

    def __init__(self, pid):
        self.pid, self.start = pid, resident(pid)
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # VmHWM begins anew (proc(5))
        self.files = self._status("VmRSS") - self.start

    def _status(self, name):
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"{self.pid}: no {name}")

    @property
    def growth(self):
        """Bytes that it has had at most above what it had at the start."""
        return self._status("VmHWM") - self.files - self.start


@contextlib.contextmanager
def small_disk(folder, size):
    """A file system of its own at the folder, of so many bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "pelton-test", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


class Disk:
    """A disk of its own, an ext4 file system in a file, mounted at the folder. Its power can be cut: what its
    machine had not written to it by then is lost."""

    def __init__(self, folder, size="96M"):
        self.folder, self.image = Path(folder), Path(folder).with_suffix(".image")
        self.folder.mkdir(parents=True)
        subprocess.run(["truncate", "-s", size, self.image], check=True)
        subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True)
        self._mount()

    def _mount(self):
        subprocess.run(["mount", "-o", "loop", self.image, self.folder], check=True)
        self.folder.chmod(0o755)

    def cut(self):
        """What a power loss at this moment leaves; see restore."""
        self.left = self.image.with_suffix(".left")
        # without asking the file system inside for anything: its unwritten pages are not in the copy
        subprocess.run(["cp", "--sparse=always", self.image, self.left], check=True)

    def restore(self):
        """The power is back; nothing may use the folder any more."""
        subprocess.run(["umount", self.folder], check=True)
        self.left.replace(self.image)
        self._mount()

    def close(self):
        subprocess.run(["umount", "-l", self.folder], check=True)
        self.image.unlink()
