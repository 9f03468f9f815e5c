"""The far side packed into one file, which is copied to a machine once per version and unpacked there."""

import base64
import hashlib
import io
import zipfile
from functools import cache
from pathlib import Path

from ml_intern.runs.remote.far_side.serve import MARK

_PACKAGE = "ml_intern/runs/remote/far_side"
_MOMENT = (1980, 1, 1, 0, 0, 0)
_LOAD = """import os,sys
p=os.path.join(os.path.expanduser({root!r}),"far",{name!r})
if {operation!r}=="install":
    import io,shutil,zipfile
    os.umask(0o077)
    t="%s.%d"%(p,os.getpid())
    zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read())).extractall(t)
    for d,_,names in os.walk(t):
        for n in names:
            with open(os.path.join(d,n),"rb") as f:
                os.fsync(f.fileno())
    try:
        os.rename(t,p)
    except OSError:
        shutil.rmtree(t)
    print("\\n{mark}"+'{{"installed":true}}')
elif os.path.exists(p):
    sys.path.insert(0,p)
    from ml_intern.runs.remote.far_side.serve import serve
    serve({root!r},{operation!r},p)
else:
    print("\\n{mark}"+'{{"absent":true}}')
"""
"""A folder, unlike an archive, lets Python save what it has compiled. Its files are on the disk before it has its name,
so that a power failure leaves no half of it."""


@cache
def far_side_file() -> bytes:
    """Return the program for the other machine, the same bytes for the same sources."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(_files().items()):
            archive.writestr(zipfile.ZipInfo(name, _MOMENT), content)
    return packed.getvalue()


def _files() -> dict[str, str]:
    """Return the sources by their path in the archive, with the packages above as empty files."""
    sources = {
        path.name: path.read_text(encoding="utf-8") for path in (Path(__file__).parent / "far_side").glob("*.py")
    }
    parents = ("ml_intern", "ml_intern/runs", "ml_intern/runs/remote")
    above = {f"{folder}/__init__.py": "" for folder in parents}
    return {
        **above,
        **{f"{_PACKAGE}/{name}": text for name, text in sources.items()},
        "__main__.py": sources["__main__.py"],
    }


def loader(root: str, operation: str) -> str:
    """Return a command line that performs an operation there, without a character that a shell would interpret.

    -S saves the search for installed packages, which takes longer than the operation.
    """
    name = f"{hashlib.sha256(far_side_file()).hexdigest()[:16]}"
    code = _LOAD.format(root=root, name=name, operation=operation, mark=MARK)
    packed = base64.b64encode(code.encode()).decode()
    return f"python3 -S -c \"import base64;exec(base64.b64decode('{packed}'))\""
