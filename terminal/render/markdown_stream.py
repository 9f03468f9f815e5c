"""Splits streamed Markdown into finished blocks, which can be printed, and a rest that may still change."""

FENCES = ("```", "~~~")


class MarkdownStream:
    """Collects chunks of text. A block ends at an empty line outside fenced code."""

    def __init__(self) -> None:
        self._block: list[str] = []
        self._line = ""
        self._fence = ""

    def rest(self, lines: int) -> str:
        """Return the last lines after the last finished block, with the fence they are in."""
        shown = [*self._block[-lines:], self._line]
        opened = f"{self._fence}\n" if self._fence and len(self._block) > lines else ""
        return opened + "".join(shown)

    def feed(self, text: str) -> list[str]:
        """Add a chunk and return the blocks that it finished."""
        *complete, self._line = (self._line + text).split("\n")
        return [block for line in complete if (block := self._take(line))]

    def flush(self) -> str:
        """Return the rest as a block and reset the stream."""
        rest = "".join([*self._block, self._line])
        self._block, self._line, self._fence = [], "", ""
        return rest

    def _take(self, line: str) -> str:
        self._fence = _fence_after(line, self._fence)
        self._block.append(f"{line}\n")
        if line.strip() or self._fence:
            return ""
        block, self._block = "".join(self._block), []
        return block if block.strip() else ""


def _fence_after(line: str, fence: str) -> str:
    """Return the fence that is open after this line, or ""."""
    start = line.lstrip()[:3]
    if fence:
        return "" if start == fence and not line.strip().strip(fence[0]) else fence
    return start if start in FENCES else ""
