"""The harmless settings of a repository: git runs no program and reads no further file because of them."""

from ml_intern.safety.files.git_settings import HARMLESS_KEYS

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\b": "\\b"})


def harmless_settings(listed: str) -> tuple[str, list[str]]:
    """Return a configuration file of the harmless settings, and the names of all others.

    `listed` is the output of `git config --list -z`: the name, a newline, the value, NUL.
    """
    lines, others = list[str](), list[str]()
    for entry in filter(None, listed.split("\0")):
        name, newline, value = entry.partition("\n")
        if newline and HARMLESS_KEYS.fullmatch(name):
            lines += _lines(name, value)
        else:
            others.append(name)
    return "".join(lines), list(dict.fromkeys(others))


def _lines(name: str, value: str) -> list[str]:
    section, _, rest = name.partition(".")
    part, _, key = rest.rpartition(".")
    quoted = part.replace("\\", "\\\\").replace('"', '\\"')
    header = f'[{section} "{quoted}"]' if part else f"[{section}]"
    return [f"{header}\n", f'\t{key} = "{value.translate(_ESCAPES)}"\n']
