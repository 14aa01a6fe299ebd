"""Every shape of a pipeline that the platform's documents show is accepted, and what can run here does."""

import pytest
import yaml

from lib.pipelines import Pipelines
from lib.stage_examples import EXAMPLES, KEYS, run_and_check


def some(wanted):
    return [pytest.param(example, id=example.name) for example in EXAMPLES if wanted(example)]


def mappings(pipeline):
    """Each mapping of a pipeline, with its level."""
    yield "pipeline", pipeline
    told = [target for targets in pipeline.get("notifications", {}).values() for target in targets]
    steps = [step for stage in pipeline["stages"] for step in stage["steps"]]
    for level, items in (("trigger", pipeline.get("triggers", [])), ("notification", told), ("step", steps)):
        for item in items:
            yield level, item
            yield f"{level} config", item.get("config", {})
    for stage in pipeline["stages"]:
        yield "stage", stage


def test_the_examples_have_every_key_of_the_contract():
    seen = {level: set() for level in KEYS}
    for example in EXAMPLES:
        for level, mapping in mappings(yaml.safe_load(example.yaml)):
            seen[level] |= set(mapping)
    assert {level: set(keys.split()) - seen[level] for level, keys in KEYS.items()} == {level: set() for level in KEYS}


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
