"""--ephemeral: what a run would leave beside the workspace goes to a folder that is removed, or is removed itself."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HOME_VARIABLE = "ML_INTERN_HOME"


@contextmanager
def everything_in(home: Path | None) -> Iterator[None]:
    """Within this block caches and logs go to `home` too, and the empty folders it made are gone after it.

    None changes nothing.
    """
    if home is None:
        yield
        return
    before, missing = os.environ.get(HOME_VARIABLE), _missing_caches()
    os.environ[HOME_VARIABLE] = str(home)
    try:
        yield
    finally:
        os.environ.pop(HOME_VARIABLE)
        os.environ |= {HOME_VARIABLE: before} if before is not None else {}
        for folder in missing:
            with suppress(OSError):  # it holds something by now, or was never made
                folder.rmdir()


def _missing_caches() -> list[Path]:
    """The cache folders that a sandboxed command would make, the inner ones first."""
    from ml_intern.sandbox.profile import cache_folders

    wanted = (Path(folder) for folder in cache_folders(os.environ, str(Path.home())))
    missing = {path for folder in wanted for path in (folder, *folder.parents) if not path.exists()}
    return sorted(missing, key=lambda path: len(path.parts), reverse=True)
