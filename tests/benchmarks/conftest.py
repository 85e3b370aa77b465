"""Benchmarks import each other as they do when run: from their own folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the scenes of kill_scenes.py share."""
    from kill_scenes import template

    folder = tmp_path_factory.mktemp("scenes")
    template(folder)
    return folder
