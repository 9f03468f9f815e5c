"""Shift-Tab: walks the approval modes, also when it is pressed faster than the session answers."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from ml_intern.graph import operations as ops

if TYPE_CHECKING:
    from ml_intern.graph.limits import ApprovalMode
    from ml_intern.terminal.slash.host import Host

MODES: "tuple[ApprovalMode, ...]" = ("ask", "accept-edits", "auto", "plan")
"""The approval modes that Shift-Tab walks."""
MODE_S = 2.0
"""Seconds that the next Shift-Tab waits for a session that does not report its mode."""


class ModeSwitch:
    """Switches to the next mode, one switch after the other."""

    def __init__(self) -> None:
        self._switching, self._known = asyncio.Lock(), asyncio.Event()

    async def switch(self, host: "Host", *, working: bool) -> None:
        """Switch to the next mode. It applies from the next call on."""
        async with self._switching:
            mode = host.options.approval_mode
            following = MODES[(MODES.index(mode) + 1) % len(MODES)] if mode in MODES else MODES[0]
            self._known.clear()
            await host.send(ops.SetMode(following))
            if working:
                host.console.hint(f"mode {following} from the next call on")
            with suppress(TimeoutError):  # the next key starts from this mode
                await asyncio.wait_for(self._known.wait(), MODE_S)

    def reported(self) -> None:
        """Take note that the session has reported its options."""
        self._known.set()
