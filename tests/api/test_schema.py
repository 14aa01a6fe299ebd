"""The language as a JSON Schema: what editors are told is what the checker takes."""

import re

import pytest


def allows(schema, value, root):
    """The keywords that our schema uses, no others."""
    known = {"$schema", "$id", "$ref", "$defs", "title", "description", "default", "type", "enum", "anyOf", "pattern",
             "properties", "additionalProperties", "required", "items", "minimum", "maximum"}
    assert set(schema) <= known
    if "$ref" in schema and not allows(root["$defs"][schema["$ref"].rsplit("/", 1)[1]], value, root):
        return False
    if "anyOf" in schema and not any(allows(one, value, root) for one in schema["anyOf"]):
        return False
    kinds = {"string": str, "boolean": bool, "object": dict, "array": list, "null": type(None)}
    if "type" in schema:
        wanted = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not any(number if kind in ("number", "integer") else isinstance(value, kinds[kind]) for kind in wanted):
            return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return False
    if isinstance(value, (int, float)) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return False
    if isinstance(value, list):
        return all(allows(schema.get("items", {}), item, root) for item in value)
    if not isinstance(value, dict):
        return True
    rest = schema.get("additionalProperties", {})
    return all(key in value for key in schema.get("required", [])) and all(
        allows(schema["properties"][key], item, root) if key in schema.get("properties", {})
        else rest is not False and allows(rest, item, root) for key, item in value.items())


@pytest.fixture
def schema(bench):
    reply = bench.client.call("GET", "/api/schema/pipeline.json", headers={"Authorization": ""})
    return reply.json


GOOD = [
    {"jobs": {"a": {"steps": ["make"]}}},
    {"on": ["push", "tag"], "jobs": {"a": {"steps": [{"run": "x", "timeout": "10m", "shell": "bash"}]}}},
    {"on": {"push": {"branches": ["main"], "paths": "src/**"}, "tag": ["v*"]}, "deploy": {"start": "./x"}},
    {"jobs": {"a": {"extends": "base"}}, "templates": {"base": {"steps": ["x"], "retry": 2}}},
    {"jobs": {"a": {"steps": ["x"], "needs": ["b", {"job": "c", "optional": True}], "matrix": {"n": [1, 2]}}}},
    {"jobs": {"a": {"steps": ["x"], "image": "node:20", "services": {"db": {"image": "x"}, "web": "nginx"}}}},
    {"jobs": {"a": {"steps": [{"uses": "docker", "with": {"build": ".", "tag": ["a"]}}], "allow-failure": "${{ matrix.x }}"}}},
    {"concurrency": "deploy", "inputs": {"level": {"options": ["a"]}, "text": None}, "jobs": {"a": {"steps": ["x"]}}},
    {"on": {"schedule": {"nightly": "0 3 * * *"}}, "timezone": "Europe/Berlin", "jobs": {"a": {"steps": ["x"]}}},
    {"jobs": {"a": {"steps": ["x"], "retry": {"times": 1, "on": "exit"}, "timeout": 90, "queue-timeout": "1h30m"}}},
    {"jobs": {"a": {"steps": ["x"], "retry": {"times": 1, "on": ["oom", "lost"], "backoff": "500ms"}, "timeout": "90"}}},
    {"jobs": {"a": {"steps": ["x"], "timeout": "2w1d"}}},
    {"jobs": {"a": {"steps": ["x"], "resources": {"memory": 2097152, "disk": "10G"}, "timeout": "${{ matrix.x }}"}}},
    {"jobs": {"a": {"steps": ["x"], "resources": {"cpu": 1.5, "memory": "2G"}, "priority": -5, "env": {"A": 1}}}},
]
BAD = [
    {"jobs": {"a": {"stesp": ["make"]}}},
    {"jobs": {"a": {"steps": [{"run": "x", "shell": "python"}]}}},
    {"jobs": {"a": {"steps": ["x"], "priority": 101}}},
    {"jobs": {"a": {"steps": ["x"], "allow-failure": "maybe"}}},
    {"jobs": {"a": {"steps": "x"}}},
    {"jobs": ["a"]},
    {"deploy": {"branch": "main"}},
    {"concurrency": {"limit": 2}, "jobs": {"a": {"steps": ["x"]}}},
    {"on": {"schedule": {"nightly": ["0 3 * * *"]}}, "jobs": {"a": {"steps": ["x"]}}},
    {"on": {"schedule": [{"cron": "0 3 * * *"}]}, "timezone": ["UTC"], "jobs": {"a": {"steps": ["x"]}}},
    {"jobs": {"a": {"steps": ["x"], "retry": {"times": 1, "on": "exitt"}}}},
    {"jobs": {"a": {"steps": ["x"], "retry": {"times": 1, "on": ["oom", "sometimes"]}}}},
    {"jobs": {"a": {"steps": ["x"], "timeout": "soon"}}},
    {"jobs": {"a": {"steps": ["x"], "timeout": "30m1h"}}},
    {"jobs": {"a": {"steps": ["x"], "timeout": "1d1w"}}},
    {"jobs": {"a": {"steps": ["x"], "timeout": ""}}},
    {"jobs": {"a": {"steps": ["x"], "timeout": 0}}},
    {"jobs": {"a": {"steps": ["x"], "resources": {"memory": "2 GB"}}}},
    {"jobs": {"a": {"steps": ["x"], "resources": {"memory": 512}}}},
    {"on": {"psuh": {}}, "jobs": {"a": {"steps": ["x"]}}},
]


@pytest.mark.parametrize("file", GOOD)
def test_what_the_checker_takes_the_schema_allows(schema, file):
    assert allows(schema, file, schema)


@pytest.mark.parametrize("file", BAD)
def test_what_the_checker_refuses_the_schema_does_not_allow(schema, file):
    assert not allows(schema, file, schema)


@pytest.mark.parametrize("file", GOOD + BAD)
def test_the_checker_says_the_same(bench, tmp_path, file):
    import json
    path = tmp_path / ".pelton.yml"
    path.write_text(json.dumps(file))
    done = bench.run("lint", path, expect=None)
    excused = {"needs", "extends"} & set(file.get("jobs", {}).get("a", {})) if isinstance(file.get("jobs"), dict) else set()
    if "matrix.x" in json.dumps(file):
        excused.add("matrix")
    if not excused:
        assert done.returncode == (0 if file in GOOD else 1), done.stdout + done.stderr
