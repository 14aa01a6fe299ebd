"""Deploys wait for those before them of their own project, and for no other's."""

from lib.wait import wait_for

STUCK = "deploy:\n  start: sleep 600\n  files: ['site/**']\n  health: {path: /, timeout: 10m}\n"
SERVE = ("deploy:\n  start: 'exec python3 -u -m http.server \"$PORT\" --bind 127.0.0.1 --directory site'\n"
         "  files: ['site/**']\n  health: {path: /, timeout: 1m}\n")


def deploy_of(pelton, build):
    return next(d for d in pelton.deployments() if d["build_id"] == build)


def stuck(pelton, count):
    """A project with so many deploys that do not become healthy, all handed to the deployer: their builds."""
    _, push = pelton.push("stuck", {"site/index.html": "x", ".pelton.yml": STUCK})
    wait_for("the first deploy to have its turn", lambda: deploy_of(pelton, push.build)["status"] == "deploying")
    builds = [push.build] + [pelton.client.post("/api/repos/stuck/builds", {}, expect=202)["id"]
                             for _ in range(count - 1)]
    for build in builds:
        wait_for(f"deploy of build {build} to be taken", lambda build=build: any(
            job["name"] == "deploy" and job["status"] == "running" for job in pelton.build(build)["jobs"]))
    return builds


def test_one_projects_deploys_do_not_keep_anothers_from_its_turn(pelton):
    builds = stuck(pelton, 6)
    _, push = pelton.push("other", {"site/index.html": "there", ".pelton.yml": SERVE})
    pelton.wait_build(push.build, "success")
    assert deploy_of(pelton, push.build)["status"] == "live"
    assert deploy_of(pelton, builds[0])["status"] == "deploying"


def test_a_deploy_that_waits_for_its_turn_is_cancelled_at_once(pelton):
    first, second = stuck(pelton, 2)
    pelton.api("POST", f"/api/builds/{second}/cancel")
    pelton.wait_build(second, "cancelled")
    assert deploy_of(pelton, second)["status"] == "cancelled"
    assert deploy_of(pelton, first)["status"] == "deploying"


def test_a_server_that_stops_in_order_hands_its_deploys_to_the_next_and_none_counts_as_lost(start_pelton):
    pelton = start_pelton("--max-attempts", "1")
    builds = stuck(pelton, 2)
    for _ in range(2):
        pelton.restart()
        wait_for("the first deploy to have its turn again",
                 lambda: deploy_of(pelton, builds[0])["status"] == "deploying"
                 and pelton.build(builds[0])["jobs"][-1]["status"] == "running")
    assert [pelton.build(build)["status"] for build in builds] == ["running", "running"]
