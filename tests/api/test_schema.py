"""The language as a JSON Schema: what the checker takes the schema takes, and it refuses what a schema can tell."""

import json
import os
import re
import subprocess

import pytest
import yaml
from jsonschema import Draft202012Validator

from lib import cookbook, core_yaml
from lib.server import BINARY, ROOT, base_env

UNIT_TESTS = BINARY.parent / "tests" / "unit"
# What only the checker knows: names that the file or the world has, expressions, how long a time is in all.
BEYOND = re.compile(
    r"which is not there|there is no |needs \"[^\"]*\" twice|needs itself|makes an artifact|unknown name|time zone|"
    r"condition of |at most 30d, got \"|no combination is left|excludes by|\"default\" of input|schedule \"a\": ")


@pytest.fixture
def schema(bench):
    reply = bench.client.call("GET", "/api/schema/pipeline.json", headers={"Authorization": ""})
    Draft202012Validator.check_schema(reply.json)
    return Draft202012Validator(reply.json)


@pytest.fixture
def problems(bench, tmp_path):
    """problems(files): what the checker says of each."""
    def ask(files):
        paths = [tmp_path / f"{number}.yml" for number in range(len(files))]
        for path, file in zip(paths, files):
            path.write_text(json.dumps(file))
        told = [json.loads(line) for line in bench.run("lint", "--json", *paths, expect=None).stdout.splitlines()]
        assert len(told) == len(files) and all(one["ok"] == (not one["problems"]) for one in told)
        return [[problem["message"] for problem in one["problems"]] for one in told]

    return ask


# ---- what is accepted ----


def texts_of_the_docs():
    for heading, files in cookbook.read(cookbook.PAGE.read_text()).items():
        yield heading, files[cookbook.PIPELINE]
    for number, block in enumerate((ROOT / "docs" / "pipeline.md").read_text().split("\n```yaml\n")[1:]):
        yield f"pipeline.md {number}", block.split("\n```\n")[0]
    for path in [*ROOT.glob("examples/*/.pelton.yml"), ROOT / "demo" / ".pelton.yml"]:
        if path.exists():
            yield path.name, path.read_text()


def test_what_the_docs_show_the_schema_takes(schema):
    count = 0
    for name, text in texts_of_the_docs():
        assert not list(schema.iter_errors(core_yaml.load(text))), name
        count += 1
    assert count > 40


def test_what_the_unit_tests_have_taken_the_schema_takes(schema, tmp_path):
    for program in UNIT_TESTS.glob("test_pipeline_*"):
        if os.access(program, os.X_OK) and program.is_file():
            subprocess.run([program], env={**base_env(tmp_path), "PELTON_CASES": str(tmp_path)}, capture_output=True, check=True)
    count = 0
    for path in tmp_path.glob("*.accepted"):
        if path.stat().st_size > 100_000:  # made to be large, and slow for this validator
            continue
        text = path.read_text()
        try:
            file = core_yaml.load(text)
        except yaml.YAMLError:  # it reads less than ours
            continue
        assert not list(schema.iter_errors(file)), text
        count += 1
    assert count > 200


# ---- every key with every kind of value ----

JOB = {"steps": ["x"]}
ANYTHING = [None, "", "x", "x y", "5", "../x", "~/x", "$HOME/x", "${X}/y", "a//b", "./a/./b", "!x", "{a,b}", "[a", "[0-9]", "v1..2",
            "1h30m", "30m1h", "0s", "512M", "1K", "${{ 'x' }}", "localhost", "PELTON_JOB", 0, 5, -1, 1.5, 10**9, True, [], {}, [None],
            ["x", "!y"], ["!y"], ["x", "!../y"], [["x"]], [{}], ["x", 5, True], {"x": "y"}, {"x": None}, {"x": ["y"]}, {"": "y"},
            {"a-b": "c"}, {"PELTON_JOB": "c"}, {"a.b": {}}, {"x": "y" * 300}]

# What is right for keys that take nothing of these.
RIGHT = {
    "cache": [{"key": "k", "paths": "p"}], "cancel": ["running"], "deploy": [{"start": "x"}], "disk": ["1G"],
    "download": [{"name": "z", "optional": True}], "executor": ["sandbox"], "job": ["b", "release"], "jobs": [{"a": JOB}],
    "memory": ["1G"], "name": ["d"], "needs": [{"job": "z", "optional": True}], "on": ["push", "exit"], "path": ["/health"],
    "pull": ["always"], "schedule": [{"a": "0 3 * * *"}], "shell": ["bash"], "timezone": ["UTC"], "type": ["number"],
    "uses": ["docker"], "with": [{"build": ".", "tag": "a"}],
}

FEW = [None, "", "x", 5, True, [], ["x"], {}, {"x": "y"}]


def job(**keys):
    return {"jobs": {"a": {**JOB, **keys}}}


def step(**keys):
    return job(steps=[keys])


def with_(key, value):
    base = {"check": "."} if key == "check" else {"packages": "a"} if key == "packages" else {"build": ".", "tag": "a"}
    return step(uses="nix" if key in ("check", "packages") else "docker", **{"with": {**base, key: value}})


def a_step(key, value):
    uses = {"uses": "docker", "with": {"build": ".", "tag": "a"}} if key in ("uses", "with") else {"run": "x"}
    return step(**{**uses, key: value})


# By the heading of a level: a good file in which a key of it has the value.
PLACES = {
    "The file": lambda key, value: {"jobs": {"a": JOB}, key: value},
    "`on`": lambda key, value: {"jobs": {"a": JOB}, "on": {key: value}},
    "`on.push`, `on.pull_request`": lambda key, value: {"jobs": {"a": JOB}, "on": {"push": {key: value}}},
    "`on.tag`": lambda key, value: {"jobs": {"a": JOB}, "on": {"tag": {key: value}}},
    "`inputs.NAME`": lambda key, value: {"jobs": {"a": JOB}, "inputs": {"i": {key: value}}},
    "`concurrency`": lambda key, value: {"jobs": {"a": JOB}, "concurrency": {"group": "g", key: value}},
    "`jobs.NAME`": lambda key, value: job(**{**({"image": "x"} if key == "services" else {}), key: value}),
    "`jobs.NAME.needs`": lambda key, value: {"jobs": {"b": JOB, "a": {**JOB, "needs": [{"job": "b", key: value}]}}},
    "`jobs.NAME.steps`": a_step,
    "`jobs.NAME.steps`: `with`": with_,
    "`jobs.NAME.image`": lambda key, value: job(image={"name": "x", key: value}),
    "`jobs.NAME.services.NAME`": lambda key, value: job(image="x", services={"s": {"image": "y", key: value}}),
    "`jobs.NAME.cache`": lambda key, value: job(cache={"key": "k", "paths": "p", key: value}),
    "`jobs.NAME.artifacts`": lambda key, value: job(artifacts=[{"paths": "p", key: value}]),
    "`jobs.NAME.download`": lambda key, value: {"jobs": {
        "b": {**JOB, "artifacts": {"name": "d", "paths": "p"}}, "a": {**JOB, "needs": "b", "download": {"name": "d", key: value}}}},
    "`jobs.NAME.runs-on`": lambda key, value: job(**{"runs-on": {key: value}}),
    "`jobs.NAME.resources`": lambda key, value: job(resources={key: value}),
    "`jobs.NAME.retry`": lambda key, value: job(retry={"times": 1, key: value}),
    "`deploy`": lambda key, value: {"deploy": {"start": "x", key: value}},
    "`deploy.health`": lambda key, value: {"deploy": {"start": "x", "health": {key: value}}},
    "`deploy.resources`": lambda key, value: {"deploy": {"start": "x", "resources": {key: value}}},
}
FORMS = [
    ("a whole file", lambda value: value),
    ("on as a list", lambda value: {"jobs": {"a": JOB}, "on": [value]}),
    ("a job", lambda value: {"jobs": {"a": value}}),
    ("a job's name", lambda value: {"jobs": {str(value): JOB}}),
    ("a step", lambda value: job(steps=["x", value])),
    ("a need", lambda value: {"jobs": {"x": JOB, "5": JOB, "a": {**JOB, "needs": [value]}}}),
    ("an artifact", lambda value: job(artifacts=["x", value])),
    ("a service", lambda value: job(image="x", services={"s": value})),
    ("a service's name", lambda value: job(image="x", services={str(value): "y"})),
    ("an input", lambda value: {"jobs": {"a": JOB}, "inputs": {"i": value}}),
    ("an axis", lambda value: job(matrix={"n": value})),
    ("an axis' name", lambda value: job(matrix={str(value): [1]})),
    ("an axis' value", lambda value: job(matrix={"n": [1, value]})),
    ("what a matrix includes", lambda value: job(matrix={"n": [1], "include": value})),
    ("a template", lambda value: {"jobs": {"a": JOB}, "templates": {"t": value}}),
    ("a template that is extended", lambda value: {"jobs": {"a": {"extends": "t", **JOB}}, "templates": {"t": value}}),
    ("a time", lambda value: {"jobs": {"a": JOB}, "on": {"schedule": {"a": value}}}),
]


def verdicts(schema, problems, files):
    """Of each value: what the checker says, and whether the schema takes it."""
    told = problems([file for _, file in files])
    return [(value, says, schema.is_valid(file)) for (value, file), says in zip(files, told)]


def disagreements(told):
    for value, says, taken in told:
        beyond = "${{" in json.dumps(value) or all(BEYOND.search(text) for text in says)
        if taken != (not says) and not (taken and beyond):
            yield value, "schema takes it" if taken else "schema refuses it", says


def keys_of(schema):
    """Each with what is tried of it: what another one takes as well, with less."""
    seen = set()
    for level in schema.schema["$defs"].values():
        for key, value in level.get("properties", {}).items() if "title" in level else ():
            forms = json.dumps(value["anyOf"])
            yield level["title"], key, FEW if forms in seen else ANYTHING
            seen.add(forms)


def test_every_level_of_the_schema_is_tried(schema):
    assert {title for title, _, _ in keys_of(schema)} == set(PLACES)


@pytest.mark.parametrize("place", PLACES)
def test_schema_and_checker_agree_on_every_key(schema, problems, place):
    files = [((key, value), PLACES[place](key, value)) for title, key, values in keys_of(schema) if title == place
             for value in [*values, *RIGHT.get(key, [])]]
    told = verdicts(schema, problems, files)
    assert list(disagreements(told)) == []
    keys = {key for (key, _), _, _ in told}
    assert keys - {key for (key, _), says, taken in told if taken and not says} == set(), "nothing is right for these"
    assert keys - {key for (key, _), says, taken in told if says and not taken} == set(), "nothing is wrong for these"


@pytest.mark.parametrize("form", [form for form, _ in FORMS])
def test_schema_and_checker_agree_on_every_form(schema, problems, form):
    files = [(value, dict(FORMS)[form](value)) for value in ANYTHING]
    assert list(disagreements(verdicts(schema, problems, files))) == []


# ---- what goes together ----

GOOD = [
    {"on": ["push", "tag"], **job(steps=[{"run": "x", "timeout": "10m", "shell": "bash"}])},
    {"jobs": {"a": {"extends": "base"}}, "templates": {"base": {"steps": ["x"], "retry": 2}}},
    {"jobs": {"a": {"extends": "base", "image": {"name": "x"}, **JOB}}, "templates": {"base": {"image": {"pull": "always"}}}},
    {"jobs": {"a": {"extends": "base", "cache": {"key": "k"}, **JOB}}, "templates": {"base": {"cache": {"paths": "p"}}}},
    {"jobs": {"a": JOB}, "templates": {"base": {"timeout": "${{ matrix.t }}", "services": {"db": "x"}}}},
    {"jobs": {"a": {**JOB, "needs": ["b (1)", {"job": "b (2)", "optional": True}]}, "b": {**JOB, "matrix": {"n": [1, 2]}}}},
    job(steps=[True, 5, 1.5]),
    job(image="registry.example.com:5000/team/app:1.0@sha256:" + "0" * 64, secrets=["A", "B_1"]),
    job(steps=[{"uses": "docker", "with": {"push": True, "tag": ["a", "b:${{ outputs.v }}"]}}]),
    job(steps=[{"uses": "nix", "with": {"packages": [".#a", "nixpkgs#b^out,dev"]}}, "x"]),
    job(image="x", steps=[{"uses": "docker", "with": {"build": ".", "tag": "a"}}], **{"runs-on": {"executor": "docker"}}),
    job(matrix={"include": [{"n": 1}]}, artifacts=[["a", "!b"], "c"]),
    {"inputs": {"n": {"type": "number", "default": "-1.5"}, "b": {"type": "boolean", "default": "true"}}, "jobs": {"a": JOB}},
    {"deploy": {"start": "x"}},
]
BAD = [
    {},
    {"env": {"A": "b"}},
    {"jobs": {}},
    {"jobs": {"deploy": JOB}, "deploy": {"start": "x"}},
    {"jobs": {"a": {}}},
    {"jobs": {"a": {"stesp": ["x"], **JOB}}},
    {"on": [], "jobs": {"a": JOB}},
    {"on": {}, "jobs": {"a": JOB}},
    {"on": "psuh", "jobs": {"a": JOB}},
    {"on": {"psuh": {}}, "jobs": {"a": JOB}},
    {"on": "schedule", "jobs": {"a": JOB}},
    {"deploy": {"branch": "main"}},
    {"concurrency": {"limit": 2}, "jobs": {"a": JOB}},
    {"inputs": {"c": {"type": "choice"}}, "jobs": {"a": JOB}},
    {"inputs": {"c": {"type": "number", "options": ["a"]}}, "jobs": {"a": JOB}},
    {"inputs": {"c": {"type": "boolean", "default": "maybe"}}, "jobs": {"a": JOB}},
    {"inputs": {"c": {"type": "number", "default": "much"}}, "jobs": {"a": JOB}},
    {"templates": {"t": {"timeout": "soon"}}, "jobs": {"a": JOB}},
    step(run="x", uses="docker", **{"with": {"build": ".", "tag": "a"}}),
    step(uses="docker"),
    step(run="x", **{"with": {"build": ".", "tag": "a"}}),
    step(name="x"),
    step(uses="docker", **{"with": {"build": "."}}),
    step(uses="docker", **{"with": {"tag": "a"}}),
    step(uses="docker", **{"with": {"tag": "a", "push": False}}),
    step(uses="docker", **{"with": {"build": ".", "tag": "A"}}),
    step(uses="docker", **{"with": {"build": ".", "tag": "a", "check": "."}}),
    step(uses="nix", **{"with": {}}),
    step(uses="nix", **{"with": {"check": ".", "packages": "a"}}),
    step(uses="nix", **{"with": {"check": ".", "file": "x"}}),
    step(uses="nix", **{"with": {"packages": "--version"}}),
    job(image="x", steps=[{"uses": "nix", "with": {"check": "."}}]),
    job(steps=[{"uses": "nix", "with": {"check": "."}}, {"uses": "docker", "with": {"build": ".", "tag": "a"}}]),
    job(image="x", **{"runs-on": {"executor": "sandbox"}}),
    job(steps=[{"uses": "docker", "with": {"build": ".", "tag": "a"}}], **{"runs-on": {"executor": "shell"}}),
    job(services={"db": "x"}),
    job(image="x", services={"a.b": "x"}),
    job(image="Upper"),
    job(image="x:y:z"),
    job(secrets=["a-b"]),
    job(secrets="PELTON_COMMIT"),
    job(download={"path": "x"}),
    job(cache={"key": "k"}),
    job(image={"pull": "always"}),
    job(retry={"on": "exit"}),
]


@pytest.mark.parametrize("file", GOOD, ids=json.dumps)
def test_what_goes_together_both_take(schema, problems, file):
    assert problems([file]) == [[]] and schema.is_valid(file)


@pytest.mark.parametrize("file", BAD, ids=json.dumps)
def test_what_does_not_go_together_both_refuse(schema, problems, file):
    assert problems([file]) != [[]] and not schema.is_valid(file)
