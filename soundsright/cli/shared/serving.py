"""Serve a web application. A port that is in use is an error of one line."""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

import click

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from soundsright.cli.shared.options import Connections
    from soundsright.services.http import Limits


_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


def limits_of(connections: Connections) -> Limits:
    """The limits of a server with these numbers of connections.

    Raises:
        UsageError: they leave no room for a client.
    """
    from soundsright.services.http import Limits

    return Limits.of(connections.connections, connections.connections_per_client)


def serve_app(
    app: FastAPI,
    host: str,
    port: int,
    title: str,
    *,
    limits: Limits,
    on_open: Callable[[str], None] = lambda _address: None,
    on_stop: Callable[[], None] = lambda: None,
) -> None:
    """Serve until Ctrl-C. Prints the address when the port is open.

    `limits` say which connections the server holds. `on_open` gets the address when the port is
    open, before the first request.
    `on_stop` runs on Ctrl-C, while clients are still connected.

    Raises:
        UsageError: the port cannot be opened, or uvicorn is not installed.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise UsageError(
            "The server needs uvicorn, which is not installed", "Run `pip install soundsright`."
        ) from error

    from soundsright.services.http import server_config

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            on_stop()
            super().handle_exit(sig, frame)

    listener = _listener(host, port)
    with listener:
        address = _address_on_this_machine(host, listener.getsockname()[1])
        on_open(address)
        others = "; other machines reach it by this machine's name" if host in _EVERY_ADDRESS else ""
        click.echo(f"{title}: {address}  (Ctrl-C stops it{others})")
        try:
            Server(server_config(app, limits)).run(sockets=[listener])
        except KeyboardInterrupt:
            # The server has already shut down and raises the signal again. Ctrl-C is the normal end.
            return


def _address_on_this_machine(host: str, port: int) -> str:
    """A link to the page. A host that means every address of the machine is no link."""
    host = _EVERY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _listener(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(
            f"--host {host} cannot be used ({error.strerror})", "Give an address of this machine."
        ) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"Port {port} of {host} cannot be opened ({error.strerror})",
            "Give another --port, or 0 for any free one.",
        ) from error
    return listener
