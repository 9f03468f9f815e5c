"""Cuts a streamed markdown text into blocks that can be printed for good, and the rest that may still change."""

FENCES = ("```", "~~~")


class MarkdownStream:
    """Takes pieces of text as they come; a block ends at an empty line outside of fenced code."""

    def __init__(self) -> None:
        self._block: list[str] = []
        self._line = ""
        self._fence = ""

    def rest(self, lines: int) -> str:
        """The last lines of what came since the last finished block, with their open fence."""
        shown = [*self._block[-lines:], self._line]
        opened = f"{self._fence}\n" if self._fence and len(self._block) > lines else ""
        return opened + "".join(shown)

    def feed(self, text: str) -> list[str]:
        """Take a piece and return the blocks it finished."""
        *complete, self._line = (self._line + text).split("\n")
        return [block for line in complete if (block := self._take(line))]

    def flush(self) -> str:
        """The rest, which is now a block of its own; the stream can be used again."""
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
    """The fence that is open after this line."""
    start = line.lstrip()[:3]
    if fence:
        return "" if start == fence and not line.strip().strip(fence[0]) else fence
    return start if start in FENCES else ""
