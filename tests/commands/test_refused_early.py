"""What no training can make of its scans is told before they are prepared, which may take hours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from semivox.commands.train import train
from semivox.errors import SettingsError
from semivox.methods.catalog import CATALOG

Folders = tuple[Path, Path]

ODD_PAIRS = """
from semivox.batches import Stream
from semivox.methods.declare import Player, Stage
from semivox.methods.supervised import Supervised

class OddPairs(Supervised):
    def stages(self, facts):
        last = Stream("labeled", 3, target="label", where="shared_classes")
        first = Stream("labeled", 2, target="label")
        players = (Player("segmenter", ("student",)),)
        return [Stage("first", {"labeled": first}, players), Stage("last", {"labeled": last}, players)]
"""


class PreparedError(Exception):
    """The scans would have been prepared."""


@pytest.fixture
def go(phantoms: Folders, small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def prepared(*args: object, **kwargs: object) -> None:
        raise PreparedError

    monkeypatch.setattr("semivox.runs.prepare.build_store", prepared)

    def train_on(method: str, labeled: str | None = None) -> None:
        train(phantoms[0], tmp_path / "run", method=method, labeled=labeled, steps=10, settings=small)

    return train_on


@pytest.mark.parametrize(
    ("method", "labeled", "told"),
    [
        ("duo_segnet", "1", r"1 cases into 2 parts.*1 patients.*semivox methods"),
        ("atso{parts=4}", None, r"4 parts|many parts"),
        ("atso{labeled_too=false,pseudo=0}", None, "nothing to learn from"),
    ],
)
def test_scans_that_a_method_cannot_share_out(go: Any, method: str, labeled: str | None, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        go(method, labeled)


def test_a_stream_of_any_stage_of_ones_own_method(go: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(ODD_PAIRS)
    with pytest.raises(SettingsError, match="'labeled' of stage 'last'.*odd"):
        go(f"{tmp_path / 'mine.py'}:OddPairs")


@pytest.mark.parametrize("method", CATALOG)
def test_no_method_is_refused_that_can_be_trained(go: Any, method: str) -> None:
    with pytest.raises(PreparedError):
        go(method)
