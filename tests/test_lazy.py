"""Packages whose names are imported on first use hand out all that they list, and nothing else."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from semivox.lazy import homes_in, source_of

SOURCE = Path(__file__).resolve().parents[1] / "src"
LAZY = sorted(
    ".".join(path.parent.relative_to(SOURCE).parts)
    for path in (SOURCE / "semivox").rglob("__init__.py")
    if "attach(__name__)" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("package", LAZY)
def test_every_listed_name_is_there_and_no_other(package: str) -> None:
    module = importlib.import_module(package)
    for name in module.__all__:
        found = getattr(module, name)
        assert isinstance(found, ModuleType) or found is not None
    assert set(homes_in(source_of(package))) == set(module.__all__) == set(dir(module))
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nonsense'"):
        _ = module.nonsense


def test_these_are_lazy() -> None:
    rooms = ("annotating", "cohort", "dicomweb", "elsewhere", "methods", "remote", "report")
    assert ["semivox", *(f"semivox.{room}" for room in rooms)] == LAZY


@pytest.mark.parametrize("package", LAZY)
def test_importing_the_package_imports_none_of_its_names(package: str) -> None:
    code = f"import {package}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    homes = homes_in(source_of(importlib.import_module(package).__name__))
    assert not (set(homes.values()) - {package}) & set(done.stdout.split())
    assert not {"torch", "numpy", "rich", "matplotlib"} & set(done.stdout.split())
