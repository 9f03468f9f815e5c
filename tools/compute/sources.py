"""Where the output of a run may come from besides the user's own code: then it is outside text."""

from pathlib import Path

from safety.shell import examine
from safety.shell_inward import inward_sources
from safety.shell_paths import Place
from store.runs import RunRow


def sources_of(row: RunRow) -> tuple[str, ...]:
    """A machine elsewhere has every network, so its log has any source; of a run here its words tell."""
    if row.backend != "local":
        return (f"the {row.backend} run {row.id}",)
    scene = examine(row.command, Place(row.folder or "/", home=str(Path.home()))).scene
    return inward_sources(scene) if scene else ()
