"""Stored pipelines, as a test wants them."""

from .wait import wait_for

ENDED = ("success", "failed", "cancelled", "timeout")


def simple(command, name="simple", more=""):
    """A pipeline of one stage with one step."""
    return f"name: {name}\n{more}stages:\n- name: Only\n  steps:\n  - name: step\n    step_type: shell\n" \
           f"    config:\n      command: |\n        " + command.replace("\n", "\n        ") + "\n"


class Pipelines:
    """/api/ci of a server."""

    def __init__(self, pelton):
        self.client = pelton.client

    def create(self, yaml, **options):
        return self.client.call("POST", "/api/ci/pipelines", {"yaml_content": yaml}, **options).json

    def refuse(self, yaml, status):
        return self.create(yaml, expect=status)

    def trigger(self, pipeline, **fields):
        """The execution's id."""
        body = {"trigger_type": "manual", **fields}
        return self.client.post(f"/api/ci/pipelines/{pipeline['id']}/trigger", body)["execution_id"]

    def execution(self, execution):
        return self.client.get(f"/api/ci/executions/{execution}")

    def wait(self, execution, status=ENDED, timeout=30):
        wanted = (status,) if isinstance(status, str) else status

        def look():
            view = self.execution(execution)
            if view["status"] in ENDED and view["status"] not in wanted:
                raise AssertionError(f"{view['status']}, not {wanted}: {view}")
            return view if view["status"] in wanted else None
        return wait_for(lambda: str(self.execution(execution)), look, timeout)

    def run(self, yaml, status="success", **fields):
        """Stores, triggers, waits."""
        return self.wait(self.trigger(self.create(yaml), **fields), status)
