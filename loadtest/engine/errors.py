"""What may go wrong on a connection to a broker, in the words of the broker or of the network."""

from __future__ import annotations


class LinkError(Exception):
    """The connection could not be opened, or is lost; the text says why."""


class Refused(LinkError):
    """The broker closed channel or connection, and said why."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"the broker refuses: {code} {text}")
        #: AMQP's reply code.
        self.code = code
