"""Turn program output into readable text: decode it, strip terminal sequences, resolve overwritten lines."""

import codecs
import re

from ml_intern.text.visible import visible

MAX_CHUNK = 1 << 20
MAX_WORD = 1 << 16
SHOWN_CHARACTERS = 2_000
_WORD_ENDS = " \t,;\"'"
_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movements
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)"  # OSC, DCS, SOS, PM, APC with terminator; without one, text stays
    r"|\x1b[ -/]*[0-~]"
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
_BACKSPACED = re.compile(r"[^\x08\n]\x08")


def clean(text: str) -> str:
    """Clean a whole text: resolve lines overwritten after CR, strip sequences, escape control characters."""
    if "\r" in text:
        text = "\n".join(_final_form(line) for line in text.split("\n"))
    return visible(strip_sequences(text))


def strip_sequences(text: str) -> str:
    """Remove ANSI, OSC and other terminal sequences, and characters deleted by backspaces."""
    if "\x1b" in text or "\x9b" in text:
        text = _SEQUENCE.sub("", text)
    return _BACKSPACED.sub("", text).replace("\x08", "") if "\x08" in text else text


def _final_form(line: str) -> str:
    """Return what a terminal shows in the end for a line overwritten after CR."""
    return line.rstrip("\r").rpartition("\r")[2]


class StreamCleaner:
    """Cleans output as it arrives. It buffers one unfinished line of at most MAX_CHUNK characters."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._open = ""

    def feed(self, data: bytes) -> str:
        """Feed bytes and return the lines they completed, cleaned."""
        text = self._open + self._decoder.decode(data)
        done, newline, self._open = text.rpartition("\n")
        self._drop_overwritten()
        finished = clean(done) + newline if newline else ""
        return finished + self._cut_long_line()

    def finish(self) -> str:
        """Return the unfinished line at the end of the output."""
        rest, self._open = self._open + self._decoder.decode(b"", final=True), ""
        return clean(rest)

    @property
    def unfinished(self) -> str:
        """The current line without its last word, which may be the start of a secret."""
        shown = self._open.rstrip("\r")[-SHOWN_CHARACTERS:]
        whole = shown.partition(" ")[2] if len(self._open) > SHOWN_CHARACTERS else shown
        return clean(whole if self._open.endswith("\r") else whole.rpartition(" ")[0])

    def _drop_overwritten(self) -> None:
        """Drop what has been overwritten after CR, so that a progress bar of any length stays one line."""
        body = self._open.rstrip("\r")
        if "\r" in self._open:
            # A CR at the end may be the first half of a CRLF; one CR represents any number of them.
            self._open = body.rpartition("\r")[2] + ("\r" if len(body) < len(self._open) else "")

    def _cut_long_line(self) -> str:
        if len(self._open) <= MAX_CHUNK:
            return ""
        # A secret cut in two is found in neither half, so cut between words if possible.
        cut = max(self._open.rfind(end, MAX_CHUNK - MAX_WORD) for end in _WORD_ENDS) + 1
        chunk, self._open = (self._open[:cut], self._open[cut:]) if cut else (self._open, "")
        return clean(chunk)
