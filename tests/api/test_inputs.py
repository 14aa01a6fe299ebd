"""What a build that somebody starts may be given, of a ref's pipeline file."""

JOBS = "jobs: {t: {checkout: false, timeout: '${{ inputs.minutes }}m', steps: ['true']}}\n"
INPUTS = """
inputs:
  level: {options: [quick, full], default: quick, description: how much to test}
  minutes: {type: number, required: true}
  dry: {type: boolean, default: true}
  note:
""" + JOBS
KEYS = ("name", "type", "options", "default", "required", "description")


def inputs(pelton, repo, ref=None, expect=200):
    query = f"?ref={ref}" if ref else ""
    return pelton.api("GET", f"/api/repos/{repo}/inputs{query}", expect=[expect]).json


def test_the_inputs_of_a_ref_are_those_that_its_build_takes(pelton):
    work, _ = pelton.push("asks", {".pelton.yml": INPUTS})
    answer = inputs(pelton, "asks")
    assert (answer["ref"], answer["commit"]) == ("refs/heads/main", work.head())
    assert [tuple(one[key] for key in KEYS) for one in answer["inputs"]] == [
        ("level", "choice", ["quick", "full"], "quick", False, "how much to test"),
        ("minutes", "number", [], None, True, None),
        ("dry", "boolean", [], "true", False, None),
        ("note", "string", [], None, False, None)]
    work.git("switch", "-c", "more")
    work.commit({"inputs.yml": "inputs: {who: {required: true}}\n", ".pelton.yml": "include: inputs.yml\n" + INPUTS})
    work.push("HEAD:refs/heads/more")
    assert [one["name"] for one in inputs(pelton, "asks", "more")["inputs"]] == ["who", "level", "minutes", "dry", "note"]
    assert len(inputs(pelton, "asks", "main")["inputs"]) == 4
    assert len(inputs(pelton, "asks", answer["commit"])["inputs"]) == 4


def test_all_wrong_inputs_of_a_start_are_told_at_once(pelton):
    pelton.push("asks", {".pelton.yml": INPUTS})
    before = pelton.client.get("/api/builds?repo=asks")["builds"]
    body = {"inputs": {"level": "most", "dry": "perhaps", "who": "ada", "note": [1]}}
    reply = pelton.api("POST", "/api/repos/asks/builds", body, expect=[400]).json
    assert reply["message"] == (
        'input "dry": expected true or false, got "perhaps"; '
        'input "level": expected one of quick, full, got "most"; '
        'input "minutes" is required; '
        'input "note": expected a text, a number, true or false; '
        'there is no input "who" (the first is level)')
    assert reply["details"]["code"] == "invalid"
    assert pelton.client.get("/api/builds?repo=asks")["builds"] == before


def test_what_takes_none_has_none(pelton):
    pelton.push("plain", {"Makefile": "all:\n\techo hi\n"})
    assert inputs(pelton, "plain")["inputs"] == []


def test_inputs_that_cannot_be_known_say_why(pelton):
    work, _ = pelton.push("wrong", {".pelton.yml": "inputs: {a: {type: choice}}\n" + JOBS})
    assert inputs(pelton, "wrong", expect=400)["message"].startswith('.pelton.yml:1:10: input "a" is a choice of nothing')
    assert "nowhere" in inputs(pelton, "wrong", "nowhere", expect=404)["message"]
    assert "nobody" in inputs(pelton, "nobody", expect=404)["message"]
    work.commit({".pelton.yaml": INPUTS})
    work.push()
    assert "there is also a .pelton.yaml" in inputs(pelton, "wrong", expect=400)["message"]
