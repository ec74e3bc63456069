"""YAML documents that RevOps writes: read strictly, with every problem told at once.

A problem is a sentence that begins with the path of the key (`score.fit.rules[2].points`) and says what to do.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from crm_sync.errors import ConfigError

try:  # every wheel has it, ten times as fast; PyYAML built without libyaml has not
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

Document = TypeVar("Document", bound="Part")


class Part(BaseModel):
    """A part of a document: immutable, and without room for keys that we don't know."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class _Loader(SafeLoader):
    """Safe YAML that notes a key given twice instead of taking the last one, and keeps `on` and `off` as words."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.repeated: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = True) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                self.repeated.append(f"line {key.start_mark.line + 1}: {name} is given twice; keep one of them.")
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in SafeLoader.yaml_implicit_resolvers.items()
}
# YAML 1.1 reads `no`, the country code and the answer, as false; only the plain words true and false are truths here.
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false|True|False)$"), list("tfTF"))


def parse(kind: type[Document], text: str, *, what: str) -> Document:
    """`text` as a `kind`, or a ConfigError whose sentence lists every problem. `what` names it: "mapping"."""
    loader = _Loader(text)
    try:
        raw = loader.get_single_data()
    except yaml.YAMLError as error:
        raise ConfigError(refusal(what, [_not_yaml(error)])) from error
    finally:
        loader.dispose()
    if not isinstance(raw, dict):
        raise ConfigError(
            refusal(what, [f"The {what} is empty or not a list of keys; start from the shipped example."])
        )
    problems = list(dict.fromkeys(loader.repeated))
    try:
        document = kind.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(refusal(what, [*problems, *_sentences(kind, raw, error)])) from error
    if problems:
        raise ConfigError(refusal(what, problems))
    return document


def refusal(what: str, problems: Sequence[str]) -> str:
    """One message for all problems of a document, one a line."""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return "\n".join([f"The {what} has {count}:", *(f"- {problem}" for problem in problems)])


def content_hash(document: BaseModel) -> str:
    """The same for two documents that say the same, whatever their comments and order of keys (64 hex digits)."""
    plain = document.model_dump(mode="json", exclude_defaults=False)
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def replaced(text: str, key: str, value: str) -> str:
    """YAML text whose top-level `key` holds `value`; the rest stays as it was written, comments too."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(node, yaml.MappingNode)
    for name, held in node.value:
        if name.value == key:
            start, end = held.start_mark.index, held.end_mark.index
            if isinstance(held, yaml.CollectionNode) and not held.flow_style:
                # A block reaches to the next key; the blank lines and comments before that belong to it.
                end = start + len(re.sub(r"(?:\n[ \t]*(?:#.*)?)+$", "", text[start:end]))
                return f"{text[: name.end_mark.index]}: {value}{text[end:]}"
            return f"{text[:start]}{value}{text[end:]}"
    return f"{text.rstrip()}\n{key}: {value}\n"


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """A hint to append to a sentence: the nearest known word, or all of them where there are few."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    return f"known are {', '.join(known)}."


def _not_yaml(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f"line {mark.line + 1}: " if mark else ""
    return (
        f"{line}this is not valid YAML ({getattr(error, 'problem', None) or 'unreadable'}); check indents and colons."
    )


def _sentences(kind: type[BaseModel], raw: Any, error: ValidationError) -> list[str]:
    """One sentence a problem. Where a value may have several forms, only what the nearest form lacks is told."""
    told: dict[tuple[int | str, ...], list[tuple[bool, str]]] = {}
    for detail in error.errors(include_url=False):
        place = _place(detail["loc"], raw)
        other_form = detail["type"] in ("model_type", "tuple_type", "model_attributes_type", "dict_type")
        told.setdefault(place, []).append((other_form, _sentence(kind, place, detail)))
    sentences: dict[str, None] = {}
    for found in told.values():
        nearest = [sentence for other_form, sentence in found if not other_form]
        sentences |= dict.fromkeys(nearest or [found[0][1]])
    return list(sentences)


def _place(location: tuple[int | str, ...], raw: Any) -> tuple[int | str, ...]:
    """Where in the document: `location` without the names that pydantic gives to the forms of a union."""
    place: list[int | str] = []
    node = raw
    for position, step in enumerate(location):
        steps = node if isinstance(node, dict) else dict(enumerate(node)) if isinstance(node, list) else {}
        if step in steps:
            node = steps[step]
        elif position < len(location) - 1 or not isinstance(node, dict) or not str(step).isidentifier():
            continue
        place.append(step)
    return tuple(place)


def _path(place: tuple[int | str, ...]) -> str:
    path = ""
    for step in place:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path


def _sentence(kind: type[BaseModel], place: tuple[int | str, ...], detail: ErrorDetails) -> str:
    path, found = _path(place), detail["input"]
    match detail["type"]:
        case "missing":
            return f"{path} is missing; add it."
        case "extra_forbidden":
            return f"{path} is not a key that is known here; {did_you_mean(str(place[-1]), _keys(kind, place[:-1]))}"
        case "value_error":
            message = detail["msg"].removeprefix("Value error, ")
            return f"{path}: {message}" if path else message
        case "enum" | "literal_error":
            return f"{path}: {found!r} is not one of {detail['ctx']['expected']}."
        case _:
            return f"{path} {detail['msg'].removeprefix('Input ')}, got {_short(found)}."


def _short(found: Any) -> str:
    if isinstance(found, dict):
        return "keys"
    if isinstance(found, list):
        return "a list"
    return repr(found)


def _keys(kind: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys known at a place in the document, found by walking down the JSON schema."""
    schema = kind.model_json_schema()
    node = schema
    for step in location:
        node = _resolve(schema, node)
        if isinstance(step, int):
            node = node.get("items", {})
        elif step in node.get("properties", {}):
            node = node["properties"][step]
        else:
            extra = node.get("additionalProperties")
            node = extra if isinstance(extra, dict) else {}
    return list(_resolve(schema, node).get("properties", {}))


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    for variant in (node, *node.get("anyOf", ())):
        if "$ref" in variant:
            found: dict[str, Any] = schema["$defs"][variant["$ref"].rsplit("/", 1)[1]]
            return found
    return node
