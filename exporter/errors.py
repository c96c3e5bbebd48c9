"""All errors, classified by what the caller must do.

    TwilioError              the poll fails; the last values are kept
    ├── Unauthorized         401, 403: wait for another credential
    ├── Throttled            429: send fewer requests
    ├── Unavailable          5xx: an error at Twilio
    ├── Unreachable          no complete reply: timeout, reset, TLS, DNS
    ├── Malformed            a reply that the API does not document
    │   ├── Unreadable       200 with a body that cannot be read
    │   └── Refused          another 4xx: the request is wrong
    └── Truncated            a listing that does not end

    StateError               the state file cannot be written: polling continues, counters are frozen
    DamagedError             the state file cannot be read: rename it and create a new one
    RefusedError             the state file must not be used: do not start
    ListenError              an address cannot be listened on: do not start
    CredentialError          a secret cannot be read: the old one stays in use

Rule: messages are safe to log and to show. They never contain a reply's body, a page token or a secret.
"""

from typing import ClassVar


class TwilioError(Exception):
    """Base of all errors that end a poll. `outcome` is a label value of `polls_total`."""

    outcome: ClassVar[str]

    def __init__(self, message: str, *, request_id: str | None = None, outlasts_poll: bool = False) -> None:
        super().__init__(message)
        self.request_id = request_id
        """Twilio's id of the failed request, for a support ticket."""
        self.outlasts_poll = outlasts_poll
        """Whether no request of the account can be sent before the poll ends, such as during a long pause."""


class Unauthorized(TwilioError):
    outcome = "unauthorized"


class Throttled(TwilioError):
    outcome = "throttled"


class Unavailable(TwilioError):
    outcome = "unavailable"


class Unreachable(TwilioError):
    outcome = "unreachable"

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
        """`timeout` or `connection`."""


class Malformed(TwilioError):
    outcome = "malformed"


class Refused(Malformed):
    """A 4xx other than 401, 403 and 429: the request is wrong, or its target no longer exists."""

    def __init__(self, message: str, *, status: int | None = None, request_id: str | None = None) -> None:
        super().__init__(message, request_id=request_id)
        self.status = status


class Unreadable(Malformed):
    """A 200 whose body is not the documented JSON, or is too long."""


class Truncated(TwilioError):
    outcome = "truncated"


class StateError(Exception):
    """The state cannot be saved; the message gives the reason. Polling continues."""


class CredentialError(Exception):
    """A secret cannot be read; the message names its source and the reason, never its content."""


OUTCOMES = ("success", *sorted(error.outcome for error in TwilioError.__subclasses__()))
"""All outcomes of a poll."""

RETRY_REASONS = ("throttled", "unavailable", "timeout", "connection", "unauthorized")
"""Reasons for a retry: an outcome, or `timeout` or `connection` when there was no complete reply.

`unauthorized`: the credential was refused, and its file now contains another one.
"""


class RefusedError(Exception):
    """The state file must not be used or changed; the message gives the reason and what to do."""


class DamagedError(Exception):
    """The state file is damaged; none of its content may be used."""


class ListenError(Exception):
    """An address cannot be listened on; the message names the address and the reason."""
