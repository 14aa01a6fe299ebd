"""What the harness asks of the machine: name spaces, small disks, processes; and what of it there is here."""

import ctypes
import os
import shutil
import socket
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from lib.wait import wait_for

CLONE_NEWNET, CLONE_NEWNS = 0x40000000, 0x00020000
MS_REC, MS_PRIVATE = 16384, 1 << 18
NETWORK = "10.77.0"

_libc = ctypes.CDLL(None, use_errno=True)


def command(*words):
    """Runs it; its failure is an error that tells what it said."""
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(map(str, words))}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def _call(name, *arguments):
    if getattr(_libc, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


def own_mounts():
    """From here on this process and its children mount for themselves alone, and the mounts end with them."""
    _call("unshare", CLONE_NEWNS)
    _call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)


def unmount(folder):
    """Somebody may be looking into it for a moment."""
    def try_once():
        try:
            command("umount", folder)
            return True
        except OSError as error:
            if "busy" not in str(error):
                raise
            return False

    wait_for(f"end of the use of {folder}", try_once)


@dataclass
class Link:
    """A runner's network name space: the process that holds it, its end of the cable."""
    holder: subprocess.Popen
    cable: str

    @property
    def path(self):
        return f"/proc/{self.holder.pid}/ns/net"

    def cut(self):
        command("ip", "link", "set", self.cable, "down")

    def mend(self):
        command("ip", "link", "set", self.cable, "up")

    def inside(self, words):
        """The command line that runs it in there; the process stays the same one."""
        return ["nsenter", f"--net={self.path}", *words]

    def socket(self, name):
        """A datagram socket with an abstract name that processes in there can send to."""
        made = []

        def make():
            with open(self.path, "rb") as file:
                _call("setns", file.fileno(), CLONE_NEWNET)
            made.append(datagrams(name))

        thread = threading.Thread(target=make)  # a thread's name space is its own
        thread.start()
        thread.join()
        return made[0]


def datagrams(name):
    """Datagrams to the abstract name in this thread's network name space."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    end.bind("\0" + name)
    return end


class Network:
    """This process in a network name space of its own, with a bridge to one for each runner."""

    def __init__(self, count):
        if not shutil.which("ip"):
            raise OSError("the command ip is missing (iproute2)")
        _call("unshare", CLONE_NEWNET)
        command("ip", "link", "set", "lo", "up")
        command("ip", "link", "add", "hub", "type", "bridge")
        command("ip", "addr", "add", f"{NETWORK}.1/24", "dev", "hub")
        command("ip", "link", "set", "hub", "up")
        self.links = [self._link(number) for number in range(count)]

    def _link(self, number):
        cable = f"cable{number}"
        # it says when it is in there
        holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo in; exec sleep infinity"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert holder.stdout.readline() == b"in\n"
        link = Link(holder, cable)
        command("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", holder.pid)
        command("ip", "link", "set", cable, "master", "hub", "up")
        command(*link.inside(["ip", "link", "set", "lo", "up"]))
        command(*link.inside(["ip", "addr", "add", f"{NETWORK}.{number + 2}/24", "dev", "eth0"]))
        command(*link.inside(["ip", "link", "set", "eth0", "up"]))
        return link

    def close(self):
        for link in self.links:
            link.holder.kill()
            link.holder.wait()


class Disk:
    """A small ext4 in a file, mounted at a folder."""

    def __init__(self, image, folder, megabytes):
        self.image, self.folder = Path(image), Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.image, "wb") as file:
            file.truncate(megabytes << 20)
        command("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", self.image)
        self.mount()

    def mount(self):
        """What was not synced is not in the image for long: the file system's own timer is put off."""
        command("mount", "-o", "loop,commit=300", self.image, self.folder)

    def copy(self):
        """The image as it is now, without what the kernel has not written to it: as a power cut leaves it. Copied anew when
        something was written meanwhile, for that would be torn as no disk is."""
        fresh, written = self.image.with_suffix(".cut"), -1
        while written != self._written():
            written = self._written()
            command("cp", "--sparse=always", self.image, fresh)
        return fresh

    def _written(self):
        """How often the device was written to, and what is on its way there."""
        device = command("findmnt", "-no", "SOURCE", self.folder).strip().rpartition("/")[2]
        words = Path(f"/sys/block/{device}/stat").read_text().split()
        return words[4], words[8]

    def replace(self, image):
        """Mounts another image in its place."""
        self.close()
        os.replace(image, self.image)
        self.mount()

    def close(self):
        unmount(self.folder)


class Memory:
    """A small tmpfs."""

    def __init__(self, folder, megabytes):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        command("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "pelton-crash", self.folder)

    def close(self):
        unmount(self.folder)


class Filler:
    """Takes all room of a file system, and gives it back."""

    def __init__(self, folder):
        self.path = Path(folder) / ".filler"

    def fill(self):
        size = 64 << 20
        with open(self.path, "ab") as file:
            end = 0
            while size >= 4096:
                try:
                    os.posix_fallocate(file.fileno(), end, size)
                    end += size
                except OSError:
                    size //= 2

    def free(self):
        """For good, whatever comes next."""
        self.path.unlink(missing_ok=True)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)
        os.close(folder)


def has_loops(folder):
    """Whether file systems in files can be mounted."""
    try:
        disk = Disk(Path(folder) / "try.img", Path(folder) / "try", 8)
        disk.close()
        return True
    except OSError:
        return False
    finally:
        (Path(folder) / "try.img").unlink(missing_ok=True)
