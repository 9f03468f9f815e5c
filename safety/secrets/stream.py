"""Redaction of text that arrives in pieces: nothing is handed on before the word it is part of has ended."""

import re

from ml_intern.safety.secrets.redaction import redact

_WORD_END = re.compile(r"\s(?=\S*\Z)")
_KEY_BLOCK = re.compile(r"-----BEGIN(?![\s\S]*-----END[A-Z0-9 ]{0,60}-----)")
MAX_LINE = 4_096
MAX_KEY_BLOCK = 32_768
_CONTEXT = 256
_HELD_BACK = 512


class RedactingStream:
    """redact() over chunks: `feed` returns what may be shown so far, `close` the rest.

    What was returned holds no part of a secret that redact() finds in the whole. It looks at the current line only (a
    private key block counts as one line), at most 4,096 characters of it, so that a chunk costs no more than its line.
    """

    def __init__(self) -> None:
        self._text = ""
        self._shown = 0

    def feed(self, chunk: str) -> str:
        """Take the next chunk and return the redacted text that it settles, possibly empty."""
        self._text += chunk
        word_end = _WORD_END.search(self._text)
        settled = word_end.end() if word_end else 0
        if len(self._text) - settled > MAX_LINE:
            return self._show(redact(self._text), _HELD_BACK)
        fresh = self._show(redact(self._text[:settled]), 0)
        self._forget(settled)
        return fresh

    def close(self) -> str:
        """Return what was kept back, and begin anew."""
        rest = self._show(redact(self._text), 0)
        self._text, self._shown = "", 0
        return rest

    def _show(self, redacted: str, held_back: int) -> str:
        end = max(self._shown, len(redacted) - held_back)
        fresh = redacted[self._shown : end]
        self._shown = end
        return fresh

    def _forget(self, settled: int) -> None:
        """Drop the lines before the current one, and the start of one that is too long."""
        in_block = "-----BEGIN" in self._text and _KEY_BLOCK.search(self._text)
        start = 0 if in_block else self._text.rfind("\n", 0, settled) + 1
        if settled - start > (MAX_KEY_BLOCK if in_block else MAX_LINE):
            start = settled - _CONTEXT
        if start:
            self._text = self._text[start:]
            self._shown = len(redact(self._text[: settled - start]))
