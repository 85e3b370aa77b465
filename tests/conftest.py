"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER_ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip

_states: dict[ModuleType, dict] = {}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test draws the same numbers whatever ran before it: its module's generator starts anew."""
    module = getattr(item, "module", None)
    generator = getattr(module, "RNG", None)
    if isinstance(module, ModuleType) and isinstance(generator, np.random.Generator):
        state = _states.setdefault(module, deepcopy(generator.bit_generator.state))
        generator.bit_generator.state = deepcopy(state)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have told of their work (``record_property("told", ...)``), whichever process ran them."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, text in getattr(report, "user_properties", ()):
                if name == "told" and report.when == "call":
                    terminalreporter.write_line(f"{report.nodeid}: {text}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real scans beside the checkout; tests that need it skip where it is missing."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real scans are not here ({folder})")
    return folder


@pytest.fixture(scope="session")
def launch() -> Iterator[Callable[..., Browser]]:
    """``launch(*arguments)``: Chromium, driven by playwright; tests skip where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser here ({', '.join(BROWSERS)}): pages are not looked at")
    with playwright.sync_playwright() as running:
        yield lambda *more: running.chromium.launch(executable_path=found, args=[*BROWSER_ARGUMENTS, *more])


@pytest.fixture(scope="session", autouse=True)
def _own_user_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is kept for the user is kept for the tests alone; commands that they start inherit it."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("user_cache"))
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("user_config"))


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A 3D phantom cohort, 2 labelled and 3 unlabelled for training, 2 for testing. Do not write into it."""
    from semivox.cohort.phantom import write_phantom_cohort

    return write_phantom_cohort(tmp_path_factory.mktemp("phantoms"), labeled=2, unlabeled=3, test=2)


@pytest.fixture(scope="session")
def flat_phantoms(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same in 2D with two classes, 4 labelled."""
    from semivox.cohort.phantom import write_phantom_cohort

    folder = tmp_path_factory.mktemp("flat_phantoms")
    return write_phantom_cohort(folder, labeled=4, unlabeled=3, test=2, dims=2, classes=2)


@pytest.fixture(scope="session")
def small() -> dict[str, object]:
    """Settings that make a training run on the phantoms take seconds."""
    return {
        "plan.rung": 2,
        "plan.patch": [16, 16, 16],
        "plan.batch": [1, 1],
        "plan.network.kind": "unet",
        "run.log_every": 1,
        "run.precision": "fp32",
        "run.threads": 1,
    }
