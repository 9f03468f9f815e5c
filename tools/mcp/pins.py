"""What servers said of their tools when it was first seen or last agreed to: a digest each, in a file of the data home.

A tool whose description changed since is asked about again, whatever was allowed before.
"""

import asyncio
import json
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from ml_intern.configs.errors import ConfigurationError
from ml_intern.configs.paths import private_folder
from ml_intern.tools.mcp.offer import Offer

FILE = "mcp_pins.json"


class Pins:
    """The digests, by server and tool. Written whole; of two processes that write at once the later one holds."""

    def __init__(self, home: Path) -> None:
        self.path = home / FILE
        self._known: dict[str, dict[str, str]] = {}
        self._writing = threading.Lock()

    def changed(self, offer: Offer) -> bool:
        """Whether it is another description than the one that is known."""
        return self._known.get(offer.server, {}).get(offer.tool, offer.digest) != offer.digest

    async def keep_new(self, offers: Iterable[Offer]) -> None:
        """Read the file, and remember what was never seen. Raises ConfigurationError."""
        await asyncio.to_thread(self._keep, offers, again=False)

    async def accept(self, *offers: Offer) -> None:
        """Remember these as they are now."""
        await asyncio.to_thread(self._keep, offers, again=True)

    def _keep(self, offers: Iterable[Offer], *, again: bool) -> None:
        with self._writing:
            known = _read(self.path)
            new = [one for one in offers if again or one.tool not in known.get(one.server, {})]
            for offer in new:
                known.setdefault(offer.server, {})[offer.tool] = offer.digest
            if new:
                self._write(known)
            self._known = known

    def forget(self, server: str) -> None:
        """Forget a server: its next description is a first one."""
        self._write({name: tools for name, tools in _read(self.path).items() if name != server})

    def _write(self, known: dict[str, dict[str, str]]) -> None:
        private_folder(self.path.parent)
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(known, file, indent=2)
        fresh.replace(self.path)


def _read(path: Path) -> dict[str, dict[str, str]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(server): dict(tools) for server, tools in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error}", "remove it; every server's tools then count as first seen"
        ) from error
