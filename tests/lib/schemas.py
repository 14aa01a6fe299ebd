"""Answers of the API against what its description (OpenAPI) says of them. Fields that it does not name are faults."""

import json
import re

from jsonschema import Draft202012Validator, FormatChecker

REST = "the rest of the path"
OF_HTTP = (206, 304, 416)  # they say nothing of the API
EVENTS = "text/event-stream"
LARGEST = 128 * 1024  # bytes of an answer; a check takes about 100 ms for so many

formats = FormatChecker(formats=())
known = {}


@formats.checks("date-time")
def is_time(value):
    return not isinstance(value, str) or bool(re.fullmatch(r"\d{4}(-\d\d){2}T\d\d(:\d\d){2}(\.\d+)?Z", value))


def closed(schema, components):
    """The schema with its references put in, and no other fields than it names."""
    if isinstance(schema, list):
        return [closed(item, components) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return closed(components[schema["$ref"].rsplit("/", 1)[1]], components)
    result = {key: closed(value, components) for key, value in schema.items()}
    if isinstance(result.get("properties"), dict):
        result.setdefault("additionalProperties", False)
    return result


def pattern(template, parameters):
    rest = {p["name"] for p in parameters if p.get("description") == REST}
    parts = (f"{{{name}}}" for name in re.findall(r"{(\w+)}", template))
    text = re.escape(template).replace(r"\{", "{").replace(r"\}", "}")
    for part in parts:
        text = text.replace(part, ".+" if part[1:-1] in rest else "[^/]+")
    return re.compile(text)


class Operation:
    def __init__(self, method, template, described, components):
        self.method, self.template = method.upper(), template
        self.pattern = pattern(template, described.get("parameters", []))
        self.responses = {
            status: {kind: Draft202012Validator(closed(media["schema"], components), format_checker=formats)
                     for kind, media in response.get("content", {}).items()}
            for status, response in described["responses"].items()}

    def validator(self, status, kind):
        """Of an answer; its absence is a fault of the description."""
        name = str(status)
        if name not in self.responses:
            assert status >= 400, f"{self.method} {self.template}: {status} is not described"
            name = "default"
        content = self.responses[name]
        assert kind in content or "*/*" in content, f"{self.method} {self.template}: {kind} of {status} is not described"
        return content.get(kind) or content["*/*"]

    def check(self, status, kind, value):
        faults = [f"{'.'.join(map(str, e.absolute_path))}: {e.message}" for e in self.validator(status, kind).iter_errors(value)]
        assert not faults, f"{self.method} {self.template} {status} is not as /api/openapi.json says: {faults[:5]} in {value!r:.2000}"


class Schemas:
    def __init__(self, document):
        components = document["components"]["schemas"]
        operations = [Operation(method, template, described, components)
                      for template, methods in document["paths"].items() for method, described in methods.items()]
        # a plain segment wins over a named one
        self.operations = sorted(operations, key=lambda o: [part.startswith("{") for part in o.template.split("/")])

    def find(self, method, path):
        path = path.partition("?")[0]
        return next((o for o in self.operations if o.method == method and o.pattern.fullmatch(path)), None)

    def check(self, method, path, reply):
        """A whole answer."""
        operation = self.find(method, path)
        if operation is None or reply.status in (204, *OF_HTTP) or len(reply.body) > LARGEST:
            return
        kind = (reply.headers["Content-Type"] or "").partition(";")[0]
        if kind == EVENTS:
            for data in re.findall(r"^data: (.*)$", reply.text, re.M):
                self.check_event(path, data)
        else:
            operation.check(reply.status, kind, reply.json if kind == "application/json" else reply.text)

    def check_event(self, path, data):
        """One of a stream of events."""
        self.find("GET", path).check(200, EVENTS, json.loads(data))

    def check_frame(self, path, frame):
        """A message of a WebSocket."""
        self.find("GET", path).check(101, "application/json", json.loads(frame))


def of(client, binary):
    """Those of the binary, whose server the client is at; None: it does not tell them now."""
    if binary not in known:
        reply = client.call("GET", "/api/openapi.json", expect=None)
        if reply.status != 200:
            return None
        known[binary] = Schemas(reply.json)
    return known[binary]
