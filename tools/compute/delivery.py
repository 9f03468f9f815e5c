"""How files of the workspace reach a job: packed into its command, so that neither a bucket nor xet is needed."""

import base64
import gzip
import io
import tarfile
from collections.abc import Mapping, Sequence

from tools.base import ToolFault

MOST_CHARACTERS = 120_000
"""Of one argument: the kernel of the job's machine takes 131,072 bytes."""
SHELL = "/bin/sh"
_UNPACK = (
    'd=$(mktemp -d) && printf %s "$1" | base64 -d | tar -xzf - -C "$d" && cd "$d" && shift && '
    '{ [ "$1" != uv ] || command -v uv >/dev/null || pip install -q uv; } && exec "$@"'
)
"""Unpacks into a new folder and runs the command there; an image that lacks uv gets it first."""


def delivered(files: Mapping[str, bytes], command: Sequence[str]) -> tuple[str, ...]:
    """The command that runs `command` in a folder holding `files` (relative path -> content), wherever it runs.

    Raises:
        ToolFault: the files are too large to be packed into a command.
    """
    if not files:
        return tuple(command)
    packed = base64.b64encode(_packed(files)).decode()
    if len(packed) > MOST_CHARACTERS:
        size = sum(map(len, files.values()))
        raise ToolFault(
            f"{', '.join(files)} ({size:,} bytes, {len(packed):,} characters when packed) is too large to be sent in a "
            f"job's command, which holds {MOST_CHARACTERS:,}; upload data to a private dataset repository (hub_repos, "
            "operation upload) and let the script load it from there"
        )
    return (SHELL, "-c", _UNPACK, "ml-intern", packed, *command)


def _packed(files: Mapping[str, bytes]) -> bytes:
    """A tar.gz; the same files give the same bytes."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), mtime=0)
