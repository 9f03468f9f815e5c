"""`web`: serve the web page with all threads of this machine."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from ml_intern.commands.output import print_lines
from ml_intern.configs.errors import ConfigurationError
from ml_intern.configs.layers import load
from ml_intern.configs.version import install_hint

Port = Annotated[int | None, typer.Option("--port", metavar="N", min=1, max=65535, help="port (default 7860)")]
Host = Annotated[
    str, typer.Option("--host", metavar="ADDRESS", help="address; others than loopback need web_page.origin")
]
Qr = Annotated[bool, typer.Option("--qr", help="print the address as a QR code, too (extra [web])")]


def web(port: Port = None, host: Host = "127.0.0.1", qr: Qr = False) -> int:
    """Serve a web page with your threads until Ctrl-C: watch them, write to them, answer their questions."""
    from ml_intern.server.web.serve import bound_socket, checked_origin, serve

    origin = checked_origin(load(Path.cwd()).settings.web_page.origin)
    if qr:
        _check_qr()
    asyncio.run(serve(bound_socket(host, port, origin), origin, lambda address: greet("your threads", address, qr=qr)))
    return 0


def greet(what: str, address: str, *, qr: bool = False) -> None:
    """Print the address of a server and what it shows."""
    print_lines(
        [f"{what}: {address}", "keep this address private: it contains the token of this start; stop with Ctrl-C"]
    )
    if qr:
        import segno

        segno.make(address).terminal(out=sys.stdout, compact=True)
    sys.stdout.flush()


def _check_qr() -> None:
    try:
        import segno  # noqa: F401
    except ImportError as missing:
        raise ConfigurationError("a QR code needs the package segno", install_hint("web")) from missing
