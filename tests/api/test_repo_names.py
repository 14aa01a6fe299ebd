"""A name is taken by exactly one repository."""

import subprocess
from concurrent.futures import ThreadPoolExecutor


def test_of_many_who_want_a_name_at_once_one_gets_it(bench):
    name = bench.name()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: bench.api("POST", "/api/repos", {"name": name}, expect=None).status, range(8)))
    assert sorted(answers) == [201] + [409] * 7
    assert bench.client.get(f"/api/repos/{name}")["builds_count"] == 0


def test_a_repository_that_is_there_already_is_taken_in(bench):
    name = bench.name()
    folder = bench.state / "repos" / f"{name}.git"
    subprocess.run(["git", "init", "-q", "--bare", folder], check=True)
    bench.create_repo(name)
    assert (folder / "hooks" / "post-receive").exists()
