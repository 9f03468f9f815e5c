"""The wheel: what is in it, and that it works beside other packages and leaves nothing behind."""

import tarfile
import tomllib
from pathlib import Path
from zipfile import ZipFile

from tests.packaging.checks import Project, check_program, check_python, is_of_the_checkout
from tests.packaging.distributions import (
    ROOT,
    UV,
    build,
    environment,
    install,
    installed_files,
    neighbour,
    run,
    use_packages_of_the_tests,
    wheel_in,
)

VERSION = str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])
SYMBOLIC_LINK = 0o120000
FILE_TYPE = 0o170000


def contents(path: Path) -> dict[str, bytes]:
    with ZipFile(path) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist()}


def names(wheel: ZipFile) -> set[str]:
    return {name for name in wheel.namelist() if ".dist-info/" not in name}


def test_the_wheel_has_one_import_name_and_real_files(tmp_path: Path) -> None:
    build(tmp_path)
    with ZipFile(wheel_in(tmp_path)) as wheel:
        tops = {name.partition("/")[0] for name in wheel.namelist()}
        links = [info.filename for info in wheel.infolist() if info.external_attr >> 16 & FILE_TYPE == SYMBOLIC_LINK]
        assert tops == {"ml_intern", f"ml_intern_graph-{VERSION}.dist-info"}
        assert links == []
        assert {"ml_intern/py.typed", "ml_intern/cli.py", "ml_intern/graph/build.py"} <= names(wheel)
        assert not [name for name in names(wheel) if name.endswith(".pyc")]


def test_the_wheel_is_the_same_from_the_checkout_and_from_the_source_distribution(tmp_path: Path) -> None:
    build(tmp_path / "sdist")
    build(tmp_path / "checkout", "--wheel")
    assert contents(wheel_in(tmp_path / "sdist")) == contents(wheel_in(tmp_path / "checkout"))
    [sdist] = (tmp_path / "sdist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        tops = {name.split("/")[1] for name in archive.getnames()}
    assert not tops & {"tests", "bench", "graph", "tools", "uv.lock"}


def test_the_installed_wheel_works_beside_other_packages_and_leaves_nothing(tmp_path: Path) -> None:
    build(tmp_path / "dist", "--wheel")
    python = environment(tmp_path / "env")
    use_packages_of_the_tests(python)
    install(python, neighbour(tmp_path))
    before = installed_files(python)
    install(python, wheel_in(tmp_path / "dist"))
    project = Project.create(tmp_path)
    assert not is_of_the_checkout(python, project)
    check_program(project, [python.with_name("ml-intern")], VERSION)
    check_python(project, python, VERSION)
    run(*UV, "pip", "uninstall", "--quiet", "--python", python, "ml-intern-graph")
    assert installed_files(python) == before
