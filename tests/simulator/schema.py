"""JSON Schema of the calls, from Twilio's published reference, for tests that check such JSON.

That of `…/Errors` is a guess: Twilio publishes none.
"""

from collections.abc import Mapping
from typing import Any, Final

import jsonschema

from exporter.operation import EMAIL_STATUSES, STATS

_COUNT: Final = {"type": "integer", "minimum": 0}
_DATE_TIME: Final = {"type": "string", "format": "date-time"}

OPERATION: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["id", "status", "stats", "createdAt", "updatedAt"],
    "properties": {
        "id": {"type": "string", "pattern": "^comms_operation_[0-7][a-hjkmnpqrstv-z0-9]{25,34}$"},
        "status": {"enum": ["SCHEDULED", "PROCESSING", "COMPLETED", "CANCELED"]},
        "stats": {"type": "object", "required": list(STATS), "properties": dict.fromkeys(STATS, _COUNT)},
        "createdAt": _DATE_TIME,
        "updatedAt": _DATE_TIME,
    },
    "additionalProperties": False,
}

_ADDRESS: Final = {
    "type": "object",
    "required": ["address"],
    "properties": {"address": {"type": "string", "format": "email"}, "name": {"type": "string"}},
    "additionalProperties": False,
}
_TAG: Final = {"type": "string", "maxLength": 256}
_RELATED: Final = {
    "type": "object",
    "required": ["name", "id", "uri"],
    "properties": {"name": {"const": "OPERATION"}, "id": OPERATION["properties"]["id"]},
}

EMAIL: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["id", "from", "to", "status", "related", "createdAt", "updatedAt"],
    "properties": {
        "id": {"type": "string", "pattern": "^comms_email_[0-7][a-hjkmnpqrstv-z0-9]{25,34}$"},
        "from": _ADDRESS,
        "to": {"type": "array", "minItems": 1, "items": _ADDRESS},
        "status": {"enum": [status.upper() for status in EMAIL_STATUSES]},
        "related": {"type": "array", "minItems": 1, "items": _RELATED},
        "tags": {"type": "object", "maxProperties": 10, "additionalProperties": _TAG},
        "scheduledFor": {"anyOf": [_DATE_TIME, {"type": "null"}]},
        "createdAt": _DATE_TIME,
        "updatedAt": _DATE_TIME,
        "deletedAt": {"anyOf": [_DATE_TIME, {"type": "null"}]},
    },
    "additionalProperties": False,
}

_ERROR_ITEM: Final = {
    "type": "object",
    "required": ["code", "message", "infoUrl", "context"],
    "properties": {
        "code": {"type": "integer"},
        "message": {"type": "string"},
        "infoUrl": {"type": "string"},
        "context": {"type": ["string", "null"]},
    },
}


def _page_of(name: str, item: Mapping[str, object]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [name, "pagination"],
        "properties": {
            name: {"type": "array", "items": item},
            "pagination": {
                "type": "object",
                "required": ["next", "self"],
                "properties": {"next": {"type": ["string", "null"]}, "self": {"type": "string"}},
            },
        },
        "additionalProperties": False,
    }


PAGE: Final = _page_of("operations", OPERATION)
EMAIL_PAGE: Final = _page_of("emails", EMAIL)
ERROR_PAGE: Final = _page_of("errors", _ERROR_ITEM)

ERROR: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["errors"],
    "properties": {"errors": {"type": "array", "minItems": 1, "items": _ERROR_ITEM}},
}

FLAT_ERROR: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["code", "message", "status"],
    "properties": {
        "code": {"type": "integer"},
        "message": {"type": "string"},
        "status": {"type": "integer"},
    },
}


def _validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    checker = jsonschema.FormatChecker(["date-time", "email"])
    return jsonschema.Draft202012Validator(schema, format_checker=checker)


_VALIDATORS: Final = {
    "operation": _validator(OPERATION),
    "page": _validator(PAGE),
    "email": _validator(EMAIL),
    "email page": _validator(EMAIL_PAGE),
    "error page": _validator(ERROR_PAGE),
    "error": _validator(ERROR),
    "flat error": _validator(FLAT_ERROR),
}


def validate_operation(value: object) -> None:
    """Raises jsonschema.ValidationError, as do the others."""
    _VALIDATORS["operation"].validate(value)


def validate_page(value: object) -> None:
    _VALIDATORS["page"].validate(value)


def validate_email(value: object) -> None:
    _VALIDATORS["email"].validate(value)


def validate_email_page(value: object) -> None:
    _VALIDATORS["email page"].validate(value)


def validate_error_page(value: object) -> None:
    _VALIDATORS["error page"].validate(value)


def validate_error(value: object) -> None:
    _VALIDATORS["error"].validate(value)


def validate_flat_error(value: object) -> None:
    _VALIDATORS["flat error"].validate(value)
