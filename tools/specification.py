"""Compares Twilio's published specification of its Email API with the stored one and with the exporter.

`make specification` downloads it; `ARGS=FILE` reads a file instead. Exit code 1 if it differs.

Two comparisons: `changes` lists the facts about the exporter's calls that differ from the stored ones, and
`problems` asks the exporter's own code. Its requests must name published parameters only, and it must read
sample replies that are made from the published schemas.

The stored one is our own text: what the exporter was written for, from the published reference. After a
change, first make the exporter and the simulator agree with it, then edit the stored one.
"""

import json
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from exporter.email import BAD_STATUSES
from exporter.errors import Unreadable
from exporter.operation import STATS, STATUSES
from exporter.twilio.emails import emails_request, errors_request, read_emails
from exporter.twilio.protocol import (
    PAGE_SIZE,
    fetch_request,
    list_request,
    read_error_code,
    read_operation,
    read_page,
)

PUBLISHED: Final = "https://raw.githubusercontent.com/twilio/comms-oai/main/spec/json/twilio_comms_v1.json"
STORED: Final = Path(__file__).parent.parent / "tests" / "twilio" / "specification.json"

ID: Final = "comms_operation_01h9krwprkeee8fzqspvwy6nq8"
LIST: Final = list_request(0, 1, "token", "completed")
FETCH: Final = fetch_request(ID)
EMAILS: Final = emails_request("failed", 0, 1, "token", ID)
ERRORS: Final = errors_request(ID, "token")
PATHS: Final = tuple(each.path.replace(ID, "{operationId}") for each in (LIST, FETCH, EMAILS, ERRORS))
"""The last one is not published: the exporter's reading of it is a guess."""

Schema = Mapping[str, Any]


def main(argv: Sequence[str] = sys.argv[1:]) -> int:
    published = json.loads(Path(argv[0]).read_bytes() if argv else downloaded())
    found = [*changes(json.loads(STORED.read_bytes()), published), *problems(published)]
    print("\n".join(found) or "Twilio's specification is as stored, and the exporter agrees with it.")
    return 1 if found else 0


def downloaded() -> bytes:
    with urllib.request.urlopen(PUBLISHED, timeout=60) as reply:
        return bytes(reply.read())


# -- what has changed ---------------------------------------------------------------------------------------


def changes(stored: Schema, published: Schema) -> list[str]:
    """A line for each fact that has gone, and for each new one."""
    old, new = set(facts(stored)), set(facts(published))
    return [*(f"- {each}" for each in sorted(old - new)), *(f"+ {each}" for each in sorted(new - old))]


def facts(specification: Schema) -> Iterator[str]:
    """Addresses, parameters, statuses and fields of the exporter's calls, one per line."""
    root = Resolved(specification)
    for server in specification["servers"]:
        yield f"server {server['url']}"
    for path in PATHS:
        call = root.call(path)
        yield f"GET {path} {'is' if call else 'is not'} published"
        for name, schema in parameters(call).items():
            yield f"GET {path} ?{name}: {described(schema)}"
        for status, reply in call.get("responses", {}).items():
            yield from (f"GET {path} {status} header {name}" for name in reply.get("headers", ()))
            yield from fields(f"GET {path} {status} $", reply["content"]["application/json"]["schema"])


def fields(at: str, schema: Schema, *, required: bool = True) -> Iterator[str]:
    """The schema and everything below it, each with its JSON path."""
    yield f"{at}: {described(schema)}{'' if required else ', optional'}"
    for name, each in schema.get("properties", {}).items():
        yield from fields(f"{at}.{name}", each, required=name in schema.get("required", ()))
    for each in (*schema.get("oneOf", ()), *([schema["items"]] if "items" in schema else ())):
        yield from fields(f"{at}[]" if "items" in schema else at, each)


def described(schema: Schema) -> str:
    """Type, format, limits and allowed values."""
    words = ("type", "format", "pattern", "minimum", "maximum", "default", "enum")
    return ", ".join(f"{word} {json.dumps(schema[word])}" for word in words if word in schema)


# -- what the exporter cannot use ---------------------------------------------------------------------------


def problems(specification: Schema) -> Iterator[str]:
    """A line for everything that the exporter sends or reads and Twilio does not publish."""
    root = Resolved(specification)
    for request, path in zip((LIST, FETCH, EMAILS), PATHS, strict=False):
        published = parameters(root.call(path))
        for name in sorted({name for name, _ in request.query} - published.keys()):
            yield f"GET {path}: the exporter sends {name}, which is no parameter"
        if published.get("pageSize", {}).get("maximum", PAGE_SIZE) < PAGE_SIZE:
            yield f"GET {path}: the exporter asks for {PAGE_SIZE} rows, which is above the maximum"
    try:
        yield from unread_operations(root.reply(PATHS[0]), root.reply(PATHS[1]))
        yield from unread_emails(root.reply(PATHS[2]))
        if read_error_code(encoded(sample(root.reply(PATHS[0], "400")))) is None:
            yield "the exporter finds no code in an error"
    except (Unreadable, KeyError) as error:
        yield f"the exporter cannot read a reply: {error}"


def unread_operations(page: Schema, operation: Schema) -> Iterator[str]:
    """What a listing and a fetch lose when the exporter reads them."""
    reply = sample(page)
    listed = read_page(encoded(reply))
    if listed.next_token != reply["pagination"]["next"]:
        yield "the exporter does not find the next page"
    row = sample(operation)
    if (fetched := read_operation(encoded(row), row["id"])).stats != listed.operations[0].stats:
        yield "a listing and a fetch have different stats"
    for stat in (name for name, value in zip(STATS, fetched.stats, strict=True) if value is None):
        yield f"an operation may lack the stat {stat}"
    for stat in fetched.unknown_stats:
        yield f"the exporter does not know the stat {stat}"
    published = operation["properties"]["status"]["enum"]
    read = {word: read_operation(encoded({**row, "status": word}), row["id"]).status for word in published}
    for word in (word for word, status in read.items() if status == "unknown"):
        yield f"the exporter does not know the operation status {word}"
    for status in {*STATUSES} - {"unknown", *read.values()}:
        yield f"the operation status {status} is not published"


def unread_emails(page: Schema) -> Iterator[str]:
    """What a listing of emails loses when the exporter reads it."""
    reply = sample(page)
    (row,) = reply["emails"]
    schema = page["properties"]["emails"]["items"]["properties"]
    row["tags"] = {"campaign": "spring"}
    row["related"] = [
        {"name": name, "id": ID} for name in schema["related"]["items"]["properties"]["name"]["enum"]
    ]
    (email,) = read_emails(encoded(reply), None).emails
    if (email.sender_domain, email.recipient_domains) != (DOMAIN, (DOMAIN,)):
        yield "the exporter does not find the domains of an email"
    if (email.operation_id, email.tags) != (ID, row["tags"]):
        yield "the exporter does not find the operation or the tags of an email"
    for status in {each.upper() for each in BAD_STATUSES} - {*schema["status"]["enum"]}:
        yield f"the exporter asks for the email status {status}, which is not published"


# -- schemas ------------------------------------------------------------------------------------------------


class Resolved:
    """A specification whose parts are returned without references and `allOf`."""

    def __init__(self, specification: Schema) -> None:
        self._specification = specification

    def call(self, path: str) -> dict[str, Any]:
        """The GET of a path; empty if there is none."""
        found = self._resolved(self._specification["paths"].get(path, {}).get("get", {}))
        return dict(found)

    def reply(self, path: str, status: str = "200") -> Schema:
        """The schema of a reply. Raises `KeyError`."""
        schema: Schema = self.call(path)["responses"][status]["content"]["application/json"]["schema"]
        return schema

    def _resolved(self, node: Any) -> Any:
        match node:
            case {"$ref": str(reference)}:
                found: Any = self._specification
                for key in reference.removeprefix("#/").split("/"):
                    found = found[key]
                return self._resolved(found)
            case {"allOf": parts, **rest}:
                return merged([self._resolved(rest), *map(self._resolved, parts)])
            case dict():
                return {key: self._resolved(value) for key, value in node.items()}
            case list():
                return [self._resolved(each) for each in node]
        return node


def merged(schemas: Sequence[Schema]) -> Schema:
    """One object with the properties of all."""
    return {
        **{key: value for schema in schemas for key, value in schema.items()},
        "properties": {
            name: each for schema in schemas for name, each in schema.get("properties", {}).items()
        },
        "required": [name for schema in schemas for name in schema.get("required", ())],
    }


def parameters(call: Schema) -> dict[str, Schema]:
    """The parameters of a query by name."""
    return {each["name"]: each["schema"] for each in call.get("parameters", ()) if each["in"] == "query"}


DOMAIN: Final = "example.com"
_TEXTS: Final = {"date-time": "2026-01-02T03:04:05Z", "email": f"someone@{DOMAIN}"}


def sample(schema: Schema) -> Any:
    """The smallest value that the schema allows; objects without a list of required fields are complete."""
    match schema:
        case {"properties": dict(properties)}:
            return {name: sample(properties[name]) for name in schema.get("required") or properties}
        case {"items": items}:
            return [sample(items)]
        case {"oneOf": [first, *_]}:
            return sample(first)
    return scalar(schema)


def scalar(schema: Schema) -> Any:
    """A word, a number or a text; an object without known properties is empty."""
    match schema:
        case {"enum": [value, *_]} | {"example": value}:
            return value
        case {"type": "integer"}:
            return schema.get("minimum", 1)
        case {"type": "object"}:
            return {}
    return _TEXTS.get(schema.get("format", ""), "text")


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


if __name__ == "__main__":
    sys.exit(main())
