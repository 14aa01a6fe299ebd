"""YAML as editors read it: the core schema of YAML 1.2, where `on` is a text and 010 is ten, and the merge keys of 1.1."""

import re

import yaml


class Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {}


def resolve(tag, pattern, first, make=None):
    Loader.add_implicit_resolver(tag, re.compile(f"^(?:{pattern})$"), first)
    if make:
        Loader.add_constructor(tag, lambda loader, node: make(loader.construct_scalar(node)))


TAG = "tag:yaml.org,2002:"
resolve(TAG + "null", "~|null|Null|NULL|", ["~", "n", "N", ""])
resolve(TAG + "bool", "true|True|TRUE|false|False|FALSE", list("tTfF"), lambda text: text.lower() == "true")
resolve(TAG + "int", "[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789"),
        lambda text: int(text, 10 if text[:2] not in ("0o", "0x") else 0))
resolve(TAG + "float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+0123456789."), float)
resolve(TAG + "merge", "<<", ["<"])


def load(text):
    return yaml.load(text, Loader)
