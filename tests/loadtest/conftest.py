"""Runs of the engine on a virtual host of their own."""

from __future__ import annotations

import pytest

from labs.broker import VirtualHost


@pytest.fixture
def url(vhost: VirtualHost) -> str:
    return vhost.amqp_url
