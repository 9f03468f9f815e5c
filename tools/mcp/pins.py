"""Pinned tool descriptions of MCP servers: a file with the digest of each description first seen or last accepted.

A tool whose description has changed since needs approval again, whatever was allowed before.
"""

import asyncio
import json
import threading
from collections.abc import Iterable
from pathlib import Path

from ml_intern.configs.errors import ConfigurationError
from ml_intern.configs.paths import private_folder, replace_file
from ml_intern.tools.mcp.offer import Offer

FILE = "mcp_pins.json"


class Pins:
    """The digests by server and tool. The file is replaced as a whole; the last of concurrent writers wins."""

    def __init__(self, home: Path) -> None:
        self.path = home / FILE
        self._message_for: dict[str, dict[str, str]] = {}
        self._writing = threading.Lock()

    def changed(self, offer: Offer) -> bool:
        """Return whether the description differs from the pinned one."""
        return self._message_for.get(offer.server, {}).get(offer.tool, offer.digest) != offer.digest

    async def add_new(self, offers: Iterable[Offer]) -> None:
        """Read the file and pin descriptions not seen before. Raises ConfigurationError."""
        await asyncio.to_thread(self._save, offers, replace=False)

    async def accept(self, *offers: Offer) -> None:
        """Pin these descriptions as they are now."""
        await asyncio.to_thread(self._save, offers, replace=True)

    def _save(self, offers: Iterable[Offer], *, replace: bool) -> None:
        with self._writing:
            known = _read(self.path)
            new = [one for one in offers if replace or one.tool not in known.get(one.server, {})]
            for offer in new:
                known.setdefault(offer.server, {})[offer.tool] = offer.digest
            if new:
                self._write(known)
            self._message_for = known

    def forget(self, server: str) -> None:
        """Remove a server's pins, so that its next descriptions count as first seen."""
        self._write({name: tools for name, tools in _read(self.path).items() if name != server})

    def _write(self, known: dict[str, dict[str, str]]) -> None:
        private_folder(self.path.parent)
        replace_file(self.path, json.dumps(known, indent=2))


def _read(path: Path) -> dict[str, dict[str, str]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(server): dict(tools) for server, tools in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error}", "remove it; the tools of all servers then count as first seen"
        ) from error
