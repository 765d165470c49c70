"""A balancer spreads connections over what answers, passes everything on, and closes what has lost its node."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from labs.broker.balancer import Balancer
from labs.processes import free_ports


class _Named(socketserver.ThreadingTCPServer):
    """Says its name to whoever speaks, until its connections are cut."""

    daemon_threads = True

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.open: list[socket.socket] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(socketserver.BaseRequestHandler):
    server: _Named

    def handle(self) -> None:
        self.server.open.append(self.request)
        with contextlib.suppress(OSError):
            while said := self.request.recv(100):
                self.request.sendall(self.server.name + said)


@contextmanager
def node(name: bytes) -> Iterator[_Named]:
    with _Named(name) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield server
        server.shutdown()


@contextmanager
def balanced(*ports: int) -> Iterator[Balancer]:
    balancer = Balancer(lambda: ports)
    balancer.start()
    try:
        yield balancer
    finally:
        balancer.stop()


def said(client: socket.socket, text: bytes) -> bytes:
    client.sendall(text)
    return client.recv(100)


def connected(balancer: Balancer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", balancer.port), timeout=10)


def test_connections_take_turns() -> None:
    with (
        node(b"a") as a,
        node(b"b") as b,
        balanced(a.server_address[1], b.server_address[1]) as balancer,
        connected(balancer) as one,
        connected(balancer) as two,
    ):
        assert {said(one, b"?"), said(two, b"?")} == {b"a?", b"b?"}
        # and stay where they are
        assert said(one, b"!") == said(one, b"!")


def test_a_node_that_is_away_is_passed_over() -> None:
    [nobody] = free_ports(1, seed="no node")
    with node(b"a") as a, balanced(nobody, a.server_address[1]) as balancer:
        for _ in range(3):
            with connected(balancer) as client:
                assert said(client, b"?") == b"a?"


def test_a_connection_ends_with_its_node_and_where_there_is_none() -> None:
    with node(b"a") as a, balanced(a.server_address[1]) as balancer, connected(balancer) as client:
        assert said(client, b"?") == b"a?"
        a.open[0].shutdown(socket.SHUT_RDWR)
        assert client.recv(100) == b""
    [nobody] = free_ports(1, seed="no node")
    with balanced(nobody) as balancer, connected(balancer) as client, contextlib.suppress(ConnectionResetError):
        assert client.recv(100) == b""
