"""Remote calls over the broker: a client that never waits for ever, and servers that answer every request they can.

Delivery of a request is at least once: a server that is killed in mid-call leaves its request to another one, so
a handler may run twice for one call. Delivery of a reply is at most once. No reply therefore never means *not done*.
"""

from labs.messaging.rpc.client import RpcClient
from labs.messaging.rpc.server import Handler, RpcServer
from labs.messaging.rpc.statistics import RpcClientStatistics, RpcServerStatistics
from labs.messaging.rpc.wire import MALFORMED

__all__ = ["MALFORMED", "Handler", "RpcClient", "RpcClientStatistics", "RpcServer", "RpcServerStatistics"]
