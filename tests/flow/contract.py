"""producer/openapi.yaml as the judge of what the producer answers.

Knows as much of JSON Schema as that document uses, and refuses what it does not know, so that a
word is never taken for checked when it was passed over.
"""

import re

import yaml

from parts import ROOT

METHODS = ("get", "post", "patch", "put", "delete")
# Words that say something to people, or that the checks below read together with another one.
SILENT = {"description", "title", "default", "examples", "format"}
FORMATS = {"uuid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "date": r"\d{4}-\d\d-\d\d",
           "date-time": r"\d{4}-\d\d-\d\dT.+"}
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None),
         "integer": int, "number": (int, float)}


class Contract:
    def __init__(self):
        text = (ROOT / "producer" / "openapi.yaml").read_text(encoding="utf-8")
        self.document = yaml.safe_load(text)

    def operations(self):
        """(path template, method, operation) of all."""
        for path, item in self.document["paths"].items():
            for method in METHODS:
                if method in item:
                    yield path, method, item[method]

    def references(self):
        """Every $ref of the document."""
        def walk(node):
            if isinstance(node, dict):
                if isinstance(node.get("$ref"), str):
                    yield node["$ref"]
                node = list(node.values())
            if isinstance(node, list):
                for part in node:
                    yield from walk(part)
        return set(walk(self.document))

    def resolve(self, node):
        while isinstance(node, dict) and "$ref" in node:
            reference, node = node["$ref"], self.document
            for word in reference.removeprefix("#/").split("/"):
                node = node[word]
        return node

    def check(self, method, path, answer):
        """What is wrong with this answer to that request; empty: nothing. A path the document does
        not know must be a 404 (or the 401 that comes before it)."""
        path = path.split("?")[0]
        operation = self._operation(method.lower(), path)
        if operation is None:
            return [] if answer.status in (401, 404, 405) else [f"{answer.status} for no resource"]
        response = self.resolve(operation["responses"].get(str(answer.status)))
        if response is None:
            return [f"status {answer.status} is not in the document"]
        wrong = self._wrong_headers(response, answer)
        content = response.get("content")
        if content is None or (not answer.bytes and answer.status in (400, 413)):
            return wrong
        if answer.type not in content:
            return [*wrong, f"content type {answer.type}, not one of {list(content)}"]
        if "json" in answer.type:
            wrong += self.wrong(content[answer.type]["schema"], answer.json, "body")
        return wrong

    def _operation(self, method, path):
        for template, found, operation in self.operations():
            pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))
            if method == found and re.fullmatch(pattern, path):
                return operation
        return None

    def _wrong_headers(self, response, answer):
        wrong = []
        for name, header in response.get("headers", {}).items():
            if name in answer.headers:
                schema = self.resolve(header)["schema"]
                value = answer.headers[name]
                if self.resolve(schema).get("type") == "integer":
                    value = int(value)
                wrong += self.wrong(schema, value, f"header {name}")
        return wrong

    def wrong(self, schema, value, where):
        """The differences between a value and a schema, as sentences."""
        schema = self.resolve(schema)
        found = []
        for word, said in schema.items():
            if word in SILENT:
                continue
            rule = getattr(self, "_" + word.lower(), None)
            assert rule is not None, f"this checker does not know the word {word} ({where})"
            found += rule(said, value, where, schema)
        pattern = FORMATS.get(schema.get("format"))
        if pattern and isinstance(value, str) and not re.fullmatch(pattern, value):
            found.append(f"{where}: {value!r} is no {schema['format']}")
        return found

    # --- one method a word of JSON Schema, called by its name

    def _type(self, said, value, where, _schema):
        kinds = said if isinstance(said, list) else [said]
        if isinstance(value, bool):
            fits = "boolean" in kinds
        else:
            fits = any(isinstance(value, TYPES[kind]) for kind in kinds)
        return [] if fits else [f"{where}: {value!r} is not {said}"]

    def _const(self, said, value, where, _schema):
        return [] if value == said else [f"{where}: {value!r} is not {said!r}"]

    def _enum(self, said, value, where, _schema):
        return [] if value in said else [f"{where}: {value!r} is none of {said}"]

    def _anyof(self, said, value, where, _schema):
        attempts = [self.wrong(one, value, where) for one in said]
        return [] if any(not one for one in attempts) else min(attempts, key=len)

    def _required(self, said, value, where, _schema):
        return [f"{where}: {name} is missing" for name in said
                if isinstance(value, dict) and name not in value]

    def _properties(self, said, value, where, _schema):
        return [line for name in said if isinstance(value, dict) and name in value
                for line in self.wrong(said[name], value[name], f"{where}.{name}")]

    def _additionalproperties(self, said, value, where, schema):
        more = set(value) - set(schema.get("properties", {})) if isinstance(value, dict) else set()
        if isinstance(said, dict):
            return [line for name in sorted(more)
                    for line in self.wrong(said, value[name], f"{where}.{name}")]
        return [] if said else [f"{where}: {name} does not belong there" for name in sorted(more)]

    def _items(self, said, value, where, _schema):
        return [line for at, one in enumerate(value if isinstance(value, list) else [])
                for line in self.wrong(said, one, f"{where}[{at}]")]

    def _maxitems(self, said, value, where, _schema):
        return [f"{where}: more than {said}"] if len(value) > said else []

    def _pattern(self, said, value, where, _schema):
        good = not isinstance(value, str) or re.search(said, value)
        return [] if good else [f"{where}: {value!r} does not match {said}"]

    def _minimum(self, said, value, where, _schema):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return [f"{where}: {value} is under {said}"] if number and value < said else []

    def _maximum(self, said, value, where, _schema):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return [f"{where}: {value} is over {said}"] if number and value > said else []
