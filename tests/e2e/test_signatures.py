"""Who has signed a pushed commit is found out by the hook, with the keys that the server has."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

PIPELINE = {".pelton.yml": "jobs:\n  t:\n    checkout: false\n    steps: ['true']\n"}

needs_gpg = pytest.mark.skipif(not shutil.which("gpg"), reason="gpg is not installed")
needs_ssh = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is not installed")


def gpg(home, *arguments, **options):
    return subprocess.run(["gpg", "--batch", "--quiet", "--homedir", home, *arguments], check=True, capture_output=True,
                          **options).stdout


@pytest.fixture
def signer():
    """A key ring with one key, which git signs by. Its agent's socket needs a short path."""
    home = Path(tempfile.mkdtemp(prefix="gpg"))
    gpg(home, "--passphrase", "", "--quick-gen-key", "Ada Example <ada@example.com>", "ed25519", "sign", "never")
    yield home
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
    shutil.rmtree(home, ignore_errors=True)


def trust(pelton, home):
    """The server knows the key, and takes it for what it says."""
    ring = pelton.state / "gnupg"
    ring.mkdir(mode=0o700)
    gpg(ring, "--no-autostart", "--import", input=gpg(home, "--export"))
    listed = gpg(home, "--list-keys", "--with-colons").decode().splitlines()
    key = next(line.split(":")[9] for line in listed if line.startswith("fpr:"))
    gpg(ring, "--no-autostart", "--import-ownertrust", input=f"{key}:6:\n".encode())
    return key


def push(pelton, work, *arguments, env=None):
    work.git("commit", "-q", "--allow-empty", "-m", "change", *arguments, env=env)
    return pelton.wait_build(work.push().build)


def forge(work):
    """The signed commit at HEAD with another subject, and the same signature."""
    text = subprocess.run(["git", "cat-file", "commit", "HEAD"], cwd=work.path, check=True, capture_output=True).stdout
    made = subprocess.run(["git", "hash-object", "-t", "commit", "-w", "--stdin"], cwd=work.path, check=True, capture_output=True,
                          input=text.replace(b"\nchange\n", b"\nforged\n")).stdout
    work.git("reset", "-q", "--hard", made.decode().strip())


@needs_gpg
def test_a_commits_signature_is_what_the_servers_keys_say(pelton, signer):
    work, first = pelton.push("hello", PIPELINE)
    assert pelton.wait_build(first.build)["gpg_status"] == "N"
    env = {"GNUPGHOME": str(signer)}
    unknown = push(pelton, work, "-S", env=env)
    assert (unknown["gpg_status"], unknown["gpg_signer"]) == ("E", None)
    key = trust(pelton, signer)
    good = push(pelton, work, "-S", env=env)
    assert (good["gpg_status"], good["gpg_signer"]) == ("G", "Ada Example <ada@example.com>")
    assert key.endswith(good["gpg_key"]) and good["gpg_key"] == unknown["gpg_key"]
    forge(work)
    bad = pelton.wait_build(work.push("+main").build)
    assert (bad["gpg_status"], bad["commit_message"]) == ("B", "forged")
    assert pelton.client.post(f"/api/builds/{good['id']}/rerun", {}, expect=202)["id"]
    again = pelton.wait_build(bad["id"] + 1)
    assert again["gpg_status"] == "G"


@needs_gpg
def test_a_pusher_by_path_brings_no_keys_of_its_own(pelton, signer):
    work, _ = pelton.push("hello", PIPELINE)
    work.url = str(pelton.state / "repos" / "hello.git")
    env = {"GNUPGHOME": str(signer), "HOME": os.fspath(signer)}
    work.git("commit", "-q", "--allow-empty", "-m", "change", "-S", env=env)
    built = pelton.wait_build(work.push(env=env).build)
    assert built["gpg_status"] == "E"


@needs_ssh
def test_a_commit_signed_by_ssh_is_checked_against_the_allowed_signers(pelton, tmp_path):
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    work, _ = pelton.push("hello", PIPELINE)
    work.git("config", "gpg.format", "ssh")
    work.git("config", "user.signingkey", str(key))
    assert push(pelton, work, "-S")["gpg_status"] == "U"
    public = key.with_suffix(".pub").read_text().split()
    (pelton.state / "allowed_signers").write_text(f"ada@example.com {public[0]} {public[1]}\n")
    good = push(pelton, work, "-S")
    assert (good["gpg_status"], good["gpg_signer"]) == ("G", "ada@example.com")
    assert good["gpg_key"].startswith("SHA256:")
