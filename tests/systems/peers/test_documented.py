"""What the integration guide names is there under that name: exchanges, queue, key, and the queue of calls."""

from __future__ import annotations

from labs.broker import VirtualHost
from labs.systems.peers import topology as names
from tests.systems.peers.bench import Peers


async def test_the_broker_has_the_documented_exchanges_queues_and_keys(
    peers: Peers, systems_vhost: VirtualHost
) -> None:
    management, vhost = systems_vhost.management, systems_vhost.name
    async with peers.serving("user", "matching", "collaboration"), peers.client() as client:
        await client.declare(names.topology(peers.settings))  # as the relay does
        exchanges = {each.name: (each.type, each.durable) for each in management.exchanges(vhost)}
        queues = {each.name: each.durable for each in management.queues(vhost)}
        bindings = {(each.source, each.routing_key, each.destination) for each in management.bindings(vhost)}
    assert exchanges["user.events"] == exchanges["collaboration.events"] == ("topic", True)
    assert queues["matching.user_events"] is True
    assert "user.profile.get" in queues
    assert ("user.events", "user.created", "matching.user_events") in bindings
    assert names.update_key("42") == "session.42.code_updated"
