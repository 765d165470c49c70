"""The client that services share: publish an event, consume events, call another service, serve calls."""

from labs.messaging.client.client import RabbitMQClient
from labs.messaging.client.events import Callback, Received, event_queue
from labs.messaging.client.pool import SHARED, Pool

__all__ = ["SHARED", "Callback", "Pool", "RabbitMQClient", "Received", "event_queue"]
