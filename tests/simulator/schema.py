"""JSON Schema of the two calls, from Twilio's published reference, for tests that check such JSON."""

from typing import Any, Final

import jsonschema

from exporter.operation import STATS

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

PAGE: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["operations", "pagination"],
    "properties": {
        "operations": {"type": "array", "items": OPERATION},
        "pagination": {
            "type": "object",
            "required": ["next", "self"],
            "properties": {"next": {"type": ["string", "null"]}, "self": {"type": "string"}},
        },
    },
    "additionalProperties": False,
}

ERROR: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["errors"],
    "properties": {
        "errors": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["code", "message", "infoUrl", "context"],
                "properties": {
                    "code": {"type": "integer"},
                    "message": {"type": "string"},
                    "infoUrl": {"type": "string"},
                    "context": {"type": ["string", "null"]},
                },
            },
        },
    },
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
    checker = jsonschema.FormatChecker(["date-time"])
    return jsonschema.Draft202012Validator(schema, format_checker=checker)


_VALIDATORS: Final = {
    "operation": _validator(OPERATION),
    "page": _validator(PAGE),
    "error": _validator(ERROR),
    "flat error": _validator(FLAT_ERROR),
}


def validate_operation(value: object) -> None:
    """Raises jsonschema.ValidationError, as do the others."""
    _VALIDATORS["operation"].validate(value)


def validate_page(value: object) -> None:
    _VALIDATORS["page"].validate(value)


def validate_error(value: object) -> None:
    _VALIDATORS["error"].validate(value)


def validate_flat_error(value: object) -> None:
    _VALIDATORS["flat error"].validate(value)
