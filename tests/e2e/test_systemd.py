"""contrib/systemd: systemd itself reads the units, without being started."""

import re
import shutil
import subprocess

import pytest

from lib.server import BINARY, ROOT

UNITS = ROOT / "contrib" / "systemd"
VERIFY = shutil.which("systemd-analyze")
# what an older systemd says of a line for a newer one, and of a manual page that is not installed
KNOWN = re.compile(r"Unknown key 'DelegateSubgroup'|Command 'man .*' failed")


def problems(folder, unit):
    done = subprocess.run([VERIFY, "verify", folder / unit], capture_output=True, text=True, timeout=60, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if folder.name in line or unit in line
            if not KNOWN.search(line)]


@pytest.fixture
def units(tmp_path):
    assert VERIFY, "systemd-analyze is not here; ./setup --test installs it"
    for path in UNITS.iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace("/usr/bin/pelton", str(BINARY)))
    return tmp_path


@pytest.mark.parametrize("name", ["pelton.service", "pelton-runner.service", "pelton-groups.service"])
def test_systemd_finds_nothing_wrong_with_a_unit(units, name):
    assert problems(units, name) == []


def test_systemd_finds_nothing_wrong_with_the_drop_in_for_older_ones(units):
    folder = units / "pelton.service.d"
    folder.mkdir()
    (units / "before-254.conf").rename(folder / "before-254.conf")
    assert problems(units, "pelton.service") == []


def test_a_unit_that_is_wrong_is_found(units):
    with open(units / "pelton.service", "a", encoding="utf-8") as file:
        file.write("[Service]\nKillMod=process\n")
    assert "KillMod" in problems(units, "pelton.service")[0]


def test_the_drop_in_starts_the_server_as_the_unit_does():
    command = re.search(r"^ExecStart=(/.+)$", (UNITS / "pelton.service").read_text(), re.MULTILINE)[1]
    assert f"exec {command}'" in (UNITS / "before-254.conf").read_text()
