"""The tree of errors; each message says what to do next.

LabError
├── ConfigurationError      a setting is wrong or missing
├── BrokerError
│   ├── BrokerNotFound      no broker could be found, started or installed
│   ├── BrokerUnavailable   the broker is known but doesn't answer (also a DependencyDown)
│   ├── BrokerRefused       it answers and says no: credentials, permission, virtual host
│   ├── TopologyMismatch    something of that name exists with other arguments (406)
│   ├── ManagementError     the management API refused a call
│   ├── PublishError
│   │   ├── Unroutable      returned: no queue is bound for it
│   │   ├── Nacked          the broker refused responsibility
│   │   └── Unconfirmed     no confirm arrived: it may or may not have been taken
│   └── RpcUnanswered       a call got no reply: it may have been handled or not (also a TransientError)
│       ├── RpcTimeout      none came in time
│       └── RpcInterrupted  the connection that it would have come on was lost
├── RpcError                the other side answered a call with an error: a code and a message
├── StoreError
│   ├── DatabaseUnavailable the database doesn't answer (also a DependencyDown)
│   ├── JobNotFound         no such job (also a PermanentError)
│   ├── LeaseLost           another worker has taken the job over
│   ├── JobEnded            the job has ended, and can't change any more
│   ├── DocumentNotFound    no such document
│   ├── NotOwner            another user's document, which may be read and no more
│   ├── VersionConflict     the document has another version than the change was made for
│   ├── TooManyJobs         the user has made as many jobs as allowed for now
│   └── IdempotencyConflict an Idempotency-Key was used again for another request
├── ModelError
│   ├── ModelFailed         this call failed, another may work (also a TransientError)
│   ├── ModelUnavailable    nothing answers at the model's address (also a DependencyDown)
│   └── ModelRefused        the model will never answer this request (also a PermanentError)
├── MessageError            a message that can never be handled (also a PermanentError)
└── what a consumer does with a failed delivery
    ├── TransientError      try again later: counts an attempt
    ├── PermanentError      never try again: to the dead-letter queue
    ├── DependencyDown      hold the delivery until the dependency is back: counts nothing
    └── Deferred            come back after a delay: counts nothing
"""

from __future__ import annotations


class LabError(Exception):
    """Everything the lab raises on purpose."""


class TransientError(LabError):
    """The delivery failed and another attempt may succeed."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        #: Seconds the other side asked us to wait, if it did.
        self.retry_after_s = retry_after_s


class PermanentError(LabError):
    """The delivery can never succeed."""


class DependencyDown(LabError):
    """Something every delivery needs is away altogether; attempts would be burned for nothing."""


class Deferred(LabError):
    """The delivery can't be handled yet, through no fault of its own."""

    def __init__(self, message: str, *, delay_s: float) -> None:
        super().__init__(message)
        #: Seconds until it is worth looking again.
        self.delay_s = delay_s


class ConfigurationError(LabError):
    """A setting is wrong or missing."""


class BrokerError(LabError):
    """Anything between us and RabbitMQ."""


class BrokerNotFound(BrokerError):
    """No broker could be found, started or installed."""


class BrokerUnavailable(BrokerError, DependencyDown):
    """The broker doesn't answer, or the connection to it was lost."""


class BrokerRefused(BrokerError):
    """The broker answers and says no: credentials, permission or virtual host."""


class TopologyMismatch(BrokerError):
    """An exchange or queue of that name exists with other arguments."""


class ManagementError(BrokerError):
    """The management API refused a call."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        #: The HTTP status, or None if nothing answered.
        self.status = status


class PublishError(BrokerError):
    """A message was not safely taken by the broker."""


class Unroutable(PublishError):
    """The broker returned the message: no queue is bound for its exchange and key."""


class Nacked(PublishError):
    """The broker refused responsibility for the message."""


class Unconfirmed(PublishError):
    """No confirm arrived; the broker may or may not have the message."""


class RpcUnanswered(BrokerError, TransientError):
    """A call got no reply; it may have been handled, or not, or may be yet: only an idempotent one may be repeated."""


class RpcTimeout(RpcUnanswered):
    """No reply came in time."""


class RpcInterrupted(RpcUnanswered):
    """The connection was lost on which the reply would have come."""


class RpcError(LabError):
    """The other side answered a call with an error.

    Raised by a server's handler it is what its caller gets, so it must hold nothing that the caller may not see.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        #: For programs: a short word that doesn't change.
        self.code = code
        #: For people.
        self.message = message


class StoreError(LabError):
    """Anything between us and PostgreSQL."""


class DatabaseUnavailable(StoreError, DependencyDown):
    """The database doesn't answer."""


class JobNotFound(StoreError, PermanentError):
    """No job has that id."""


class LeaseLost(StoreError):
    """The job was taken over by another worker: its result counts, ours doesn't."""


class JobEnded(StoreError):
    """The job has ended: it can't be cancelled or failed any more."""


class DocumentNotFound(StoreError):
    """No document has that id."""


class NotOwner(StoreError):
    """It is another user's: to be read, not to be changed."""


class VersionConflict(StoreError):
    """The document has another version than the change was made for: read it again."""


class TooManyJobs(StoreError):
    """The user has made as many jobs as the quota allows."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        #: Seconds until one more is allowed.
        self.retry_after_s = retry_after_s


class IdempotencyConflict(StoreError):
    """The Idempotency-Key belongs to another request."""


class ModelError(LabError):
    """Anything between us and the language model."""


class ModelFailed(ModelError, TransientError):
    """This call failed: overloaded, timed out, cut off, or an answer without sense."""


class ModelUnavailable(ModelError, DependencyDown):
    """Nothing answers at the model's address."""


class ModelRefused(ModelError, PermanentError):
    """The model's server will never accept this request."""


class MessageError(PermanentError):
    """A message that can never be handled: malformed, too large, of unknown type or version."""
