"""The table of features: what it says of this broker is what this broker does."""

from __future__ import annotations

import re

import pika
import pytest

from labs.broker import VirtualHost
from labs.broker.features import Feature


def version_of(vhost: VirtualHost) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", vhost.broker.version or ""))[:3]


@pytest.mark.parametrize(
    ("feature", "in_310", "in_405", "in_436"),
    [
        (Feature("always", ""), True, True, True),
        (Feature("new", "", since=(4, 2)), False, False, True),
        (Feature("old", "", until=(4, 0)), True, False, False),
    ],
    ids=["always", "new", "old"],
)
def test_a_feature_is_there_from_its_first_version_to_its_last(
    feature: Feature, in_310: bool, in_405: bool, in_436: bool
) -> None:
    found = [feature.is_in(version) for version in ((3, 10, 8), (4, 0, 5), (4, 3, 6))]
    assert found == [in_310, in_405, in_436]


@pytest.mark.parametrize("kind", ["quorum", "stream"])
def test_this_broker_has_the_queue_types_that_the_table_gives_every_version(vhost: VirtualHost, kind: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(vhost.amqp_url)) as connection:
        connection.channel().queue_declare(kind, durable=True, arguments={"x-queue-type": kind})
