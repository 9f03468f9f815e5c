"""The previews of a list, loaded while it is shown."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Shown = TypeVar("Shown", contravariant=True)


class Previewed(Protocol[Item, Shown]):
    """A list with a preview of the selected item."""

    def needs_preview(self) -> Item | None:
        """Return the selected item if it has no preview yet."""
        ...

    def show(self, item: Item, lines: Shown) -> None:
        """Set the preview of an item."""


class Previews(Generic[Item, Loaded]):
    """Loads one preview at a time. `changed` is called after each."""

    def __init__(
        self, view: Previewed[Item, Loaded], load: Callable[[Item], Awaitable[Loaded]], changed: Callable[[], None]
    ) -> None:
        self._view = view
        self._load = load
        self._changed = changed
        self._task: asyncio.Task[None] | None = None

    def moved(self) -> None:
        """Load the preview of the selected item, if it has none."""
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._fill())

    def stop(self) -> None:
        """Load no more."""
        if self._task is not None:
            self._task.cancel()

    async def _fill(self) -> None:
        while (item := self._view.needs_preview()) is not None:
            self._view.show(item, await self._load(item))
            self._changed()
