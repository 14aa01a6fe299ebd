"""The tests of control groups on a machine that has nothing but control groups v2, as most have: Debian's kernel in
qemu, without KVM where there is none. The program, Python and all else are this machine's.
"""

import json
import os
import re
import shutil
import subprocess
import tarfile
import threading
from pathlib import Path

from . import c_tests, py_tests
from .tally import RELEASE, ROOT, Broken, build, output_of, say

QEMU = "qemu-system-x86_64"
FOLDER = ROOT / "build-vm"
KERNEL = FOLDER / "kernel"
RESULTS = FOLDER / "results"
# a package that depends on the newest kernel; that for clouds has no 9p
KERNEL_PACKAGE = "linux-image-amd64"
# each behind those that it needs
MODULES = ["virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "netfs", "fscache",
           "9pnet", "9pnet_virtio", "9p"]
KERNEL_FILES = ["vmlinuz", *(f"{name}.ko" for name in MODULES)]
# seconds: until the tests begin, until all is over
UP, OVER = 120, 900


def download_kernel(into):
    """The package of the newest kernel that apt knows of; or what is wrong."""
    depends = output_of("apt-cache", "depends", "--important", KERNEL_PACKAGE)[1]
    package = re.search(r"Depends: (linux-image-\d\S+)", depends)
    if not package:
        return None, f"apt knows no {KERNEL_PACKAGE}: {depends}"
    done = subprocess.run(["apt-get", "download", "-q", package[1]], cwd=into, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return next(into.glob("*.deb"), None), done.stdout


def unpack_kernel(package, into):
    """What is needed of its 400 MB."""
    wanted = set(KERNEL_FILES)
    with (subprocess.Popen(["dpkg", "--fsys-tarfile", package], stdout=subprocess.PIPE) as packed,
          tarfile.open(fileobj=packed.stdout, mode="r|") as archive):
        for member in archive:
            name = "vmlinuz" if member.name.startswith("./boot/vmlinuz-") else Path(member.name).name
            if name in wanted:
                (into / name).write_bytes(archive.extractfile(member).read())
                wanted.remove(name)
    if wanted:
        raise Broken(f"{package.name} has no {', '.join(sorted(wanted))}")


def fetch_kernel():
    """Debian's kernel and its modules; not installed, for this machine needs no other kernel."""
    new = FOLDER / "kernel.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    say(f"fetching Debian's kernel ({KERNEL_PACKAGE})")
    package, problem = download_kernel(new)
    if not package:  # the lists may be old
        output_of(*([] if os.geteuid() == 0 else ["sudo", "-n"]), "apt-get", "update", "-qq")
        package, problem = download_kernel(new)
    if not package:
        raise Broken(f"Debian's kernel cannot be fetched: {problem}")
    unpack_kernel(package, new)
    package.unlink()
    shutil.rmtree(KERNEL, ignore_errors=True)
    new.rename(KERNEL)


def make_initramfs():
    """What the kernel begins with: tests/vm/init, the modules that it needs to see our files, and a copy of /etc, where
    there is most to read in small pieces; less the certificates, whose links are the most of it."""
    folder = FOLDER / "initramfs"
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("bin", "modules"):
        (folder / name).mkdir(parents=True)
    FOLDER.chmod(0o700)  # there are secrets in /etc
    shutil.copy("/usr/bin/busybox", folder / "bin")
    shutil.copy(ROOT / "tests" / "vm" / "init", folder)
    (folder / "repository").write_text(str(ROOT))
    for number, name in enumerate(MODULES):
        shutil.copy(KERNEL / f"{name}.ko", folder / "modules" / f"{number}-{name}.ko")
    subprocess.run(["tar", "-C", "/", "-cf", folder / "etc.tar", "--exclude=etc/ssl/certs", "--ignore-failed-read",
                    "etc"], check=True, stderr=subprocess.DEVNULL)
    listed = "\n".join(str(path.relative_to(folder)) for path in folder.rglob("*"))
    with open(FOLDER / "initramfs.cpio", "wb") as out:
        subprocess.run(["busybox", "cpio", "-o", "-H", "newc"], cwd=folder, input=listed.encode(), stdout=out,
                       check=True, stderr=subprocess.DEVNULL)


def share(path, tag, more):
    return ["-virtfs", f"local,path={path},mount_tag={tag},security_model=none,multidevs=remap{more}"]


def accelerator():
    """KVM where the processor is for it; where it is only imitated Debian's kernel may not come up."""
    flags = re.search(r"^flags\s*:.*\b(vmx|svm)\b", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return ["-accel", "kvm"] if flags and os.access("/dev/kvm", os.R_OK | os.W_OK) else []


def command():
    # what guards against guests is of no use here, and costs half the time
    options = "console=ttyS0 quiet panic=-1 mitigations=off init_on_alloc=0"
    return [QEMU, *accelerator(), "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "1024", "-nic", "none",
            "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot",
            "-kernel", KERNEL / "vmlinuz", "-initrd", FOLDER / "initramfs.cpio", "-append", options,
            *share("/", "root", ",readonly=on"), *share(RESULTS, "results", "")]


def boot():
    """Runs the machine to its end; shows its console. What is wrong, or ""."""
    process = subprocess.Popen(command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, errors="replace")
    up, over = (threading.Timer(seconds, process.kill) for seconds in (UP, OVER))
    up.start()
    over.start()
    is_up = False
    try:
        for line in process.stdout:
            say(line.rstrip())
            if "vm: is up" in line:
                is_up = True
                up.cancel()
        process.wait()
    finally:
        up.cancel()
        over.cancel()
        process.kill()
    if not is_up:
        return f"the machine does not come up in {UP} s"
    if not (RESULTS / "done").exists():
        return f"the machine ended before its tests did, or they take more than {OVER} s"
    return ""


def count(tally):
    programs, report = RESULTS / "programs.json", RESULTS / "pytest.xml"
    for line in programs.read_text().splitlines() if programs.exists() else []:
        c_tests.count(tally, "vm", json.loads(line))
    if report.exists():
        py_tests.count(tally, "vm", report)
    else:
        tally.fail("vm: pytest", "it has left no report")


def vm(tally, match):
    if not shutil.which(QEMU):
        raise Broken(f"there is no {QEMU}: apt-get install qemu-system-x86, or ./setup --test")
    if not all((KERNEL / name).exists() for name in KERNEL_FILES):
        fetch_kernel()
    build("build", RELEASE, targets=c_tests.EVERYTHING)
    shutil.rmtree(RESULTS, ignore_errors=True)
    RESULTS.mkdir(parents=True)
    (RESULTS / "match").write_text(match or "")
    make_initramfs()
    tally.check("vm: runs to its end", boot())
    count(tally)
