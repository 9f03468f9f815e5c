"""Packages whose own code is run when one of their names is used, and not when one of their modules is imported.

LangChain and LangGraph import one module of each of these. The rest of the packages are clients of services that
ml-intern does not use, and take a sixth of the time of a start.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

PACKAGES = frozenset({"langsmith.types", "langgraph_sdk"})


class _Package(ModuleType):
    def __getattr__(self, name: str) -> Any:
        """Run the code of the package, and return one of its names."""
        loader = self.__spec__.loader if self.__spec__ else None
        self.__class__ = ModuleType  # type: ignore[assignment]
        if isinstance(loader, _OnDemand):
            loader.of_package.exec_module(self)
        return getattr(self, name)


class _OnDemand(Loader):
    def __init__(self, of_package: Loader) -> None:
        self.of_package = of_package

    def create_module(self, spec: ModuleSpec) -> None:
        """Use the default."""

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing yet."""
        module.__class__ = _Package


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in PACKAGES:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _OnDemand(spec.loader)
        return spec


def load_on_demand() -> None:
    """Load PACKAGES in this way from now on."""
    sys.meta_path.insert(0, _Finder())
