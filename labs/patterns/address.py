"""Where the broker is: all that a pattern takes from the rest of the lab."""

from __future__ import annotations


def broker_url() -> str:
    """The AMQP URL of LAB_AMQP_URL, or of the lab's own broker, which is started if need be.

    Raises:
        BrokerError: there is none; see `labs.broker.resolve`.
    """
    # Imported here because workers are told the address, and start four times as fast without.
    from labs.broker import resolve  # noqa: PLC0415
    from labs.settings import load_settings  # noqa: PLC0415

    return resolve(load_settings(), progress=print).amqp_url
