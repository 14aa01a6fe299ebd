"""What a push may bring: any bytes, any refs, any kind of change; each is told to the server exactly once."""

import os
import subprocess

import pytest

from lib.fake_runner import Later
from lib.work import ENV, Work

MAKE = {"Makefile": "all:\n"}


def commit_bytes(work, message, author=b"Ada", email=b"ada@example.com"):
    """A commit whose text is the bytes, whatever git thinks of them."""
    tree = work.git("rev-parse", "HEAD^{tree}").strip().encode()
    parent = work.head().encode()
    who = author + b" <" + email + b"> 1700000000 +0000"
    text = (b"tree " + tree + b"\nparent " + parent + b"\nauthor " + who + b"\ncommitter " + who + b"\n\n" + message)
    done = subprocess.run(["git", "hash-object", "-t", "commit", "-w", "--stdin", "--literally"], cwd=work.path, input=text,
                          env=ENV, capture_output=True, check=True)
    commit = done.stdout.decode().strip()
    work.git("update-ref", "HEAD", commit)
    return commit


def builds(bench, work):
    return bench.client.get(f"/api/builds?repo={work.path.name}")["builds"]


# ---- bytes


@pytest.mark.parametrize("message", [
    b'quotes " \' ` $(touch /tmp/pelton-was-here) ; & | \\', b"\xff\xfe\x80 not utf-8", "ünïcödé 𝄞 \u2028".encode(),
    b"", b"\n\n\n", b"x" * 300_000, b'","repo":"other","x":"', b"</script><b>", b"\x1b[31m\x07\r\x01 control", b"%s%n%d %00"],
    ids=range(10))
def test_a_message_may_be_any_bytes(bench, message):
    work = bench.work(bench.name(), MAKE)
    commit = commit_bytes(work, message)
    push = work.push()
    build = bench.build(push.build)
    assert build["commit_hash"] == commit and build["repo"] == work.path.name
    assert len(build["commit_message"]) <= max(len(message), 1)
    assert not os.path.exists("/tmp/pelton-was-here")


def test_a_plain_subject_and_author_are_kept(bench):
    work = bench.work(bench.name(), MAKE)
    commit_bytes(work, b'Say "hello" to $HOME\n\nand more\n', "Ada Lövelace".encode(), b"ada@example.com")
    build = bench.build(work.push().build)
    assert build["commit_message"] == 'Say "hello" to $HOME'
    assert (build["commit_author"], build["commit_email"]) == ("Ada Lövelace", "ada@example.com")


@pytest.mark.parametrize("author, email", [
    (b"Bobby'); DROP TABLE builds;--", b"b@x"), (b"\xe9\xff", b"\xff@\xfe"), (b"$(id)`id`", b"a b"), (b"", b""),
    (b'"', b'"'), (b"a" * 50_000, b"b" * 50_000), (b"\x01\x02", b"\x7f")], ids=range(7))
def test_an_author_may_be_any_bytes(bench, author, email):
    work = bench.work(bench.name(), MAKE)
    commit = commit_bytes(work, b"subject\n", author, email)
    build = bench.build(work.push().build)
    assert build["commit_hash"] == commit and build["commit_message"] == "subject"


@pytest.mark.parametrize("branch", ["feature/with/slashes", "ünïcödé-𝄞", "a'b", 'a"b', "$(id)", "a`id`b", "a;b", "a&b|c",
                                    "%00%2e%2e", "-dash", "a<b>", "x" * 200, "{}", "!x", "#x", "a@b", "line\u2028sep"],
                         ids=range(17))
def test_a_branch_may_have_any_name_that_git_allows(bench, branch):
    work = bench.work(bench.name(), MAKE)
    push = work.push(f"HEAD:refs/heads/{branch}")
    build = bench.build(push.build)
    assert build["branch"] == branch and build["ref"] == f"refs/heads/{branch}"


def test_a_branch_of_bytes_that_are_no_text_harms_nothing(bench):
    work = bench.work(bench.name(), MAKE)
    done = subprocess.run([b"git", b"push", work.url.encode(), b"HEAD:refs/heads/\xff\xfe", b"HEAD:refs/heads/good"],
                          cwd=work.path, env=ENV, capture_output=True, timeout=120, check=False)
    found = builds(bench, work)
    assert "good" in [build["branch"] for build in found], done.stderr
    assert all(build["commit_hash"] == work.head() for build in found)


def test_a_path_in_the_repository_may_be_any_bytes(bench):
    work = bench.work(bench.name(), MAKE)
    for name in (b"\xff\xfe", b"a\nb", b'q"q', "ü".encode(), b"-rf", b"$(id)"):
        with open(os.fsencode(work.path) + b"/" + name, "w") as out:
            out.write("x")
    work.commit()
    assert bench.build(work.push().build)["commit_hash"] == work.head()


# ---- refs


def test_the_first_push_sets_head(bench):
    work = bench.work(bench.name(), MAKE)
    work.push("HEAD:refs/heads/trunk")
    answer = bench.client.post(f"/api/repos/{work.path.name}/builds", {}, expect=202)
    assert bench.build(answer["id"])["branch"] == "trunk"
    clone = Work(bench.folder / "clones" / work.path.name, work.url)
    assert "refs/heads/trunk" in clone.git("ls-remote", "--symref", work.url, "HEAD")


def test_each_ref_of_a_push_is_built(bench):
    work = bench.work(bench.name(), MAKE)
    first = work.head()
    work.commit({"x": "1"})
    work.git("tag", "light")
    work.git("tag", "-a", "heavy", "-m", "annotated", first)
    push = work.push("main", f"{first}:refs/heads/old", "light", "heavy")
    assert len(push.builds) == 4
    found = {build["branch"]: build["commit_hash"] for build in builds(bench, work)}
    assert found == {"main": work.head(), "old": first, "refs/tags/light": work.head(), "refs/tags/heavy": first}


def test_a_deleted_branch_is_no_build(bench):
    work = bench.work(bench.name(), MAKE)
    work.push("main", "HEAD:refs/heads/gone")
    before = len(builds(bench, work))
    push = work.push(":refs/heads/gone")
    assert push.builds == [] and len(builds(bench, work)) == before
    again = work.push("HEAD:refs/heads/gone")
    assert len(again.builds) == 1


def test_a_deleted_tag_is_no_build(bench):
    work = bench.work(bench.name(), MAKE)
    work.git("tag", "v1")
    work.push("main", "v1")
    assert work.push(":refs/tags/v1").builds == []


def test_a_forced_push_is_built(bench):
    work = bench.work(bench.name(), MAKE)
    work.push()
    work.commit({"x": "1"})
    work.push()
    work.git("reset", "-q", "--hard", "HEAD~1")
    commit = work.commit({"y": "2"})
    assert work.push(check=False).status != 0
    assert bench.build(work.push("--force", "main").build)["commit_hash"] == commit


def test_a_branch_put_back_is_built_again(bench):
    work = bench.work(bench.name(), MAKE)
    first, number = work.head(), work.push().build
    work.commit({"x": "1"})
    work.push()
    back = bench.build(work.push("--force", f"{first}:refs/heads/main").build)
    assert back["commit_hash"] == first and back["id"] != number


def test_a_push_that_changes_nothing_is_no_build(bench):
    work = bench.work(bench.name(), MAKE)
    work.push()
    push = work.push()
    assert push.builds == [] and len(builds(bench, work)) == 1


@pytest.mark.parametrize("words", ["[skip ci]", "[CI SKIP]", "[no ci]", "[Skip Actions]", "[actions skip]"])
def test_a_commit_that_asks_to_be_skipped_is_no_build(bench, words):
    work, _ = bench.push(bench.name(), MAKE)
    work.commit({}, f"a subject\n\nand {words} below it")
    push = work.push()
    assert not push.builds and "the commit message asks to skip the build" in push.text
    work.commit({}, f"not {words[1:-1]}")
    assert work.push().builds


def test_a_push_of_hundreds_of_refs_is_told_whole(bench):
    work = bench.work(bench.name(), MAKE)
    for i in range(200):
        work.git("update-ref", f"refs/heads/b{i}", "HEAD")
    work.push("--all")
    assert bench.client.get(f"/api/builds?repo={work.path.name}")["total"] == 201


def test_other_refs_are_kept_and_not_built(bench):
    work = bench.work(bench.name(), MAKE)
    work.push()
    push = work.push("HEAD:refs/notes/x", check=False)
    if push.status == 0:
        assert push.builds == []
    assert len(builds(bench, work)) == 1


# ---- what is pushed


def test_a_damaged_pack_is_refused_and_nothing_changes(bench):
    work = bench.work(bench.name(), MAKE)
    head = work.head().encode()
    line = b"0" * 40 + b" " + head + b" refs/heads/main\0 report-status\n"
    body = b"%04x" % (len(line) + 4) + line + b"0000" + b"PACK\0\0\0\2\0\0\0\3" + os.urandom(500)
    for data in (body, body[:-400], body[:60], b"zzzz" + body, b"", b"0000"):
        bench.client.call("POST", f"/git/{work.path.name}.git/git-receive-pack", data,
                          headers={"Content-Type": "application/x-git-receive-pack-request"}, expect=None)
    assert work.git("ls-remote", work.url) == ""
    assert builds(bench, work) == []
    assert work.push().build


def test_a_commit_with_forbidden_paths_is_refused_or_harmless(bench):
    """A tree entry ".git" or "..": git's own check refuses it."""
    work = bench.work(bench.name(), MAKE)
    blob = subprocess.run(["git", "hash-object", "-w", "--stdin"], cwd=work.path, input=b"evil", env=ENV,
                          capture_output=True, check=True).stdout.decode().strip()
    for name in (b"..", b".git", b"a/b"):
        tree = b"100644 " + name + b"\0" + bytes.fromhex(blob)
        made = subprocess.run(["git", "hash-object", "-t", "tree", "-w", "--stdin", "--literally"], cwd=work.path, input=tree,
                              env=ENV, capture_output=True, check=True).stdout.decode().strip()
        commit = work.git("commit-tree", "-m", "x", made).strip()
        assert work.push(f"{commit}:refs/heads/evil", check=False).status != 0
    assert builds(bench, work) == []


def test_a_fetch_while_another_pushes_is_whole(bench):
    work = bench.work(bench.name(), MAKE)
    work.push()

    def push_all():
        for i in range(8):
            work.commit({"x": str(i)})
            work.push()

    pushing = Later(push_all)
    count = 0
    while not pushing.done:
        clone = Work(bench.folder / "readers" / f"{work.path.name}-{count}", work.url)
        clone.git("fetch", "-q", work.url, "main")
        clone.git("fsck", "--strict", "FETCH_HEAD")
        count += 1
    pushing.result(60)
    assert len(builds(bench, work)) == 9


def test_a_push_to_the_repositorys_path_is_built_too(own_bench):
    bench = own_bench()
    path = bench.client.post("/api/repos", {"name": "local"}, expect=201)["path"]
    work = Work(bench.folder / "local", path)
    commit = work.commit({".pelton.yml": "jobs:\n  a:\n    steps: ['true']\n"})
    build = work.push().build
    assert bench.client.get(f"/api/builds/{build}")["commit_hash"] == commit
