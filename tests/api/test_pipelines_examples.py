"""Every shape of a pipeline that the platform's documents show is accepted, and what can run here does."""

import pytest

from lib.pipelines import Pipelines
from lib.stage_examples import EXAMPLES, run_and_check


def some(wanted):
    return [pytest.param(example, id=example.name) for example in EXAMPLES if wanted(example)]


@pytest.mark.parametrize("example", some(lambda e: not e.later))
def test_an_example_is_accepted(shared_server, example):
    assert Pipelines(shared_server).create(example.yaml)["version"] == 1


@pytest.mark.parametrize("example", some(lambda e: e.later))
def test_nothing_is_wrong_with_an_example_but_that_it_is_not_run_yet(shared_server, example):
    error = Pipelines(shared_server).refuse(example.yaml, 501)
    assert all("are run by a later version" in line for line in error["details"].splitlines()), error["details"]


@pytest.mark.parametrize("example", some(lambda e: e.stages and not e.needs))
def test_an_example_runs(pelton, example):
    pelton.push("app", {"README": "read me\n"})
    run_and_check(Pipelines(pelton), example, pelton.git_url("app", pelton.token))
