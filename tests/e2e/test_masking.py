"""No secret is in a log, an error, a URL, an argument list or a file, whatever a step does with it."""

import base64
import json
import os
import subprocess
from urllib.parse import quote

from lib import processes
from lib.wait import wait_for

TOKEN = "s3cr3t/with+odd 'characters' & 100%"
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj\nAgEAAoIBAQC7VJTUt9Us8cKjMzEfYyjiWA4R4\n-----END KEY-----\n"
PIECES = [TOKEN, quote(TOKEN, safe=""), json.dumps(TOKEN)[1:-1], base64.b64encode(TOKEN.encode()).decode()[:20], "MIIEvQIBADANBgk",
          "AgEAAoIBAQC7VJ", base64.b64encode(KEY.encode()).decode()[30:60]]

PIPELINE = """jobs:
  t:
    checkout: false
    secrets: [TOKEN, KEY]
    runs-on: {executor: EXECUTOR}
    steps:
      - |
        set -x
        : "$TOKEN" "$KEY"
      - |
        printf '%s\\n' "plain $TOKEN" "$KEY"
        echo "$KEY" | base64; printf %s "$TOKEN" | base64 -w0; echo; env | sort
      - |
        first=${TOKEN%%odd*} second=${TOKEN#*odd}
        printf %s "$first"; printf odd; printf '%s\\n' "$second"
        printf 'prompt: s3cr'
      - |
        STEP
"""


def secret_build(pelton, executor, step):
    """The number of a build whose job has both secrets."""
    work = pelton.work("hello", {".pelton.yml": PIPELINE.replace("EXECUTOR", executor).replace("STEP", step)})
    pelton.run("secret", "set", "TOKEN", "--repo", "hello", input=TOKEN + "\n")
    pelton.run("secret", "set", "KEY", "--org", input=KEY)
    return work.push().build


def files_with(folder, pieces):
    """Files that hold one of the texts: there may be sockets and files that end meanwhile."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            found += [f"{path}: {piece}" for piece in pieces if piece.encode() in data]
    return found


def commands_with(folder, pieces):
    return [line for pid in processes.processes_of(folder) for line in [processes.command_of(pid)]
            for piece in pieces if piece in line]


def check_everywhere(pelton, number):
    assert files_with(pelton.state, PIECES) == []
    assert commands_with(pelton.folder, PIECES) == []
    texts = [json.dumps(pelton.build(number)), pelton.log(number), pelton.log_path.read_text(errors="replace")]
    assert [piece for piece in PIECES for text in texts if piece in text] == []


def test_secrets_are_nowhere_to_be_seen_while_a_job_has_them_and_afterwards(start_pelton):
    pelton = start_pelton("--allow-executor", "shell")
    fifo = pelton.folder / "go"
    os.mkfifo(fifo)
    number = secret_build(pelton, "shell", f"echo waiting; read x <{fifo}; exit 3")
    wait_for(lambda: pelton.log(number), lambda: "\nwaiting\n" in pelton.log(number))
    check_everywhere(pelton, number)
    fifo.write_text("go\n")
    pelton.wait_build(number, "failed")
    check_everywhere(pelton, number)
    log = pelton.log(number)
    assert "plain ***\n***" in log and "TOKEN=***" in log and "KEY=***" in log
    assert "prompt: s3cr\n" in log


def test_a_sandboxed_jobs_secrets_are_hidden_and_reach_its_steps(pelton):
    number = secret_build(pelton, "sandbox", f'test $(printf %s "$TOKEN" | wc -c) = {len(TOKEN)}')
    pelton.wait_build(number, "success")
    check_everywhere(pelton, number)


def test_an_artifact_that_is_called_like_a_secret_is_left_out(pelton):
    work = pelton.work("named", {".pelton.yml": """jobs:
  t:
    checkout: false
    secrets: [TOKEN]
    steps: ['mkdir d; echo x > "d/$TOKEN"; echo x > d/plain']
    artifacts: ["d/**"]
"""})
    pelton.run("secret", "set", "TOKEN", "--repo", "named", input="super%secret-9x\n")
    number = work.push().build
    pelton.wait_build(number, "success")
    assert "d/plain" in (listed := pelton.run("artifacts", number).stdout) and "secret-9x" not in listed
    assert "d/*** is named after a secret of the job: left out" in pelton.log(number)


def test_what_echo_makes_of_a_secret_with_backslashes_is_hidden(pelton):
    work = pelton.work("slashes", {".pelton.yml": """jobs:
  t:
    checkout: false
    secrets: [PASSWORD, ACCOUNT]
    steps: ['echo "$PASSWORD"; echo "$ACCOUNT"', {run: 'echo -e "$PASSWORD"', shell: bash}]
"""})
    pelton.run("secret", "set", "PASSWORD", "--repo", "slashes", input=r"dr0w\tssap\new\\01")
    pelton.run("secret", "set", "ACCOUNT", "--repo", "slashes", input=json.dumps({"id": "me", "key": KEY}))
    number = work.push().build
    pelton.wait_build(number, "success")
    log = pelton.log(number)
    assert "dr0w" not in log and "ssap" not in log and "MIIEvQIBADANBgk" not in log and log.count("***") == 3


def test_who_sets_a_secret_with_short_lines_is_told(pelton):
    pelton.create_repo("lines")
    said = pelton.run("secret", "set", "LINES", "--repo", "lines", input="user: me\nhunter\n")
    assert "lines of it are short words" in said.stderr


def test_a_run_without_a_server_has_the_secrets_of_a_file(pelton):
    work = pelton.folder / "tree"
    work.mkdir()
    (work / ".pelton.yml").write_text("jobs:\n  t:\n    secrets: [ONE, TWO]\n    steps: ['printf \"%s\" \"$TWO\" | wc -l; echo \"is $ONE\"']\n")
    for command in ("init -q -b main", "add -A", "-c user.name=a -c user.email=a@b commit -q -m x"):
        subprocess.run(["git", *command.split()], cwd=work, check=True)
    secrets = pelton.folder / "secrets"
    secrets.write_text('# ours\n\nONE=of-a-single-line\nTWO="first line\\nsecond \\"line\\"\\n"\n')
    said = pelton.run("run", "--folder", work, "--secret-file", secrets).stdout
    assert "is ***" in said and "2\n" in said
    secrets.write_text("ONE\n")
    assert ":1: expected NAME=VALUE" in pelton.run("run", "--folder", work, "--secret-file", secrets, expect=2).stderr
