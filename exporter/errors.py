"""What can go wrong between us and Twilio, sorted by what the caller must do.

    TwilioError              this poll ends; the last good numbers stay
    ├── Unauthorized         401, 403: wait for another credential
    ├── Throttled            429, or a hold that outlasts the poll: slow down
    ├── Unavailable          5xx: Twilio is there, and ill
    ├── Unreachable          no complete reply: time-out, reset, TLS, DNS
    ├── Malformed            a reply, or an answer to our request, that the API does not document
    │   ├── Unreadable       a 200 whose content cannot be read
    │   └── Refused          another 4xx: this request will not be answered
    └── Truncated            a listing that could not be read to its end

    StateError               the state file cannot be written; polling goes on, counters wait
    DamagedError             the state file cannot be read: set it aside, begin a new one
    RefusedError             the state file must not be touched: do not start
    ListenError              an address cannot be listened on: do not start
    CredentialError          a secret cannot be read: the old one stays in use

Messages are safe to log and to show: they never hold a reply's body, a page token or a secret.
"""

from typing import ClassVar


class TwilioError(Exception):
    """Root of the tree; `outcome` is the label value of `polls_total`."""

    outcome: ClassVar[str]

    def __init__(self, message: str, *, request_id: str | None = None) -> None:
        super().__init__(message)
        self.request_id = request_id
        """Twilio's name of the failed request, for a support ticket."""


class Unauthorized(TwilioError):
    outcome = "unauthorized"


class Throttled(TwilioError):
    outcome = "throttled"

    def __init__(self, message: str, *, retryable: bool = False, request_id: str | None = None) -> None:
        super().__init__(message, request_id=request_id)
        self.retryable = retryable
        """Whether other requests may still leave within this poll: not while a pause outlasts it."""


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
    """A 4xx of no other meaning: what was asked for is wrong, or no longer to be had."""


class Unreadable(Malformed):
    """A 200 whose body is not the JSON that the API documents, or is too long to be read."""


class Truncated(TwilioError):
    outcome = "truncated"


class StateError(Exception):
    """The state could not be saved; the message says why. Polling goes on."""


class CredentialError(Exception):
    """A secret cannot be read; the message says which, and why, and nothing of its content."""


OUTCOMES = ("success", *sorted(error.outcome for error in TwilioError.__subclasses__()))
"""Every way in which a poll may end."""

RETRY_REASONS = ("throttled", "unavailable", "timeout", "connection", "unauthorized")
"""Why a request may be sent again: an outcome, or how Twilio could not be reached.

`unauthorized`: the credential was refused, and its file holds another one by now.
"""


class RefusedError(Exception):
    """The state file cannot be used, and must not be touched; the message says why and what to do."""


class DamagedError(Exception):
    """The state file cannot be read; nothing of it may be believed."""


class ListenError(Exception):
    """An address cannot be listened on; the message names it and why."""
