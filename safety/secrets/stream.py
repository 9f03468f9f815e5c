"""Redaction of streamed text: text is released only after its word is complete."""

import re

from ml_intern.safety.secrets.redaction import redact

_WORD_END = re.compile(r"\s(?=\S*\Z)")
_KEY_BLOCK = re.compile(r"-----BEGIN(?![\s\S]*-----END[A-Z0-9 ]{0,60}-----)")
MAX_LINE = 4_096
MAX_KEY_BLOCK = 32_768
_CONTEXT = 256
_WITHHELD = 512


class RedactingStream:
    """Applies redact() to chunks: `feed` returns the text that can be shown so far, `close` the rest.

    The returned text contains no part of a secret that redact() finds in the whole text. Only the current line (or
    private key block) is examined, up to 4,096 characters, which bounds the cost of a chunk.
    """

    def __init__(self) -> None:
        self._text = ""
        self._shown = 0

    def feed(self, chunk: str) -> str:
        """Add a chunk and return the redacted text that is now complete, possibly empty."""
        self._text += chunk
        word_end = _WORD_END.search(self._text)
        settled = word_end.end() if word_end else 0
        if len(self._text) - settled > MAX_LINE:
            return self._show(redact(self._text), _WITHHELD)
        fresh = self._show(redact(self._text[:settled]), 0)
        self._trim(settled)
        return fresh

    def close(self) -> str:
        """Return the remaining text and reset the stream."""
        rest = self._show(redact(self._text), 0)
        self._text, self._shown = "", 0
        return rest

    def _show(self, redacted: str, withheld: int) -> str:
        end = max(self._shown, len(redacted) - withheld)
        fresh = redacted[self._shown : end]
        self._shown = end
        return fresh

    def _trim(self, settled: int) -> None:
        """Drop the lines before the current one, and the beginning of a line that is too long."""
        in_block = "-----BEGIN" in self._text and _KEY_BLOCK.search(self._text)
        start = 0 if in_block else self._text.rfind("\n", 0, settled) + 1
        if settled - start > (MAX_KEY_BLOCK if in_block else MAX_LINE):
            start = settled - _CONTEXT
        if start:
            self._text = self._text[start:]
            self._shown = len(redact(self._text[: settled - start]))
