from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from semivox.commands.demo import demo, render
from semivox.errors import SettingsError, Stopped
from semivox.testing.displays import StopAfter


def test_the_demo_goes_all_the_way(tmp_path: Path, small: dict[str, Any]) -> None:
    """With next to no training time: what counts here is that every part hands over to the next, and that it
    goes on where it was stopped."""
    given = {"budget": 1.5, "labeled": 2, "unlabeled": 2, "test": 2, "settings": small}
    with pytest.raises(Stopped):
        demo(tmp_path / "demo", **given, display=StopAfter(1))
    result = demo(tmp_path / "demo", **given)
    for method in ("supervised", "simcvd"):
        masks = sorted(p.name for p in (result.out / "masks" / method).glob("*.nii.gz"))
        assert len(masks) == 2
        written = json.loads((result.out / "masks" / method / "evaluation.json").read_text())
        assert written["mean"] == result.evaluations[method]["mean"]
        assert result.steps[method] >= 1
    assert result.figure.stat().st_size > 10_000
    text = io.StringIO()
    Console(width=160, file=text).print(render(result))
    assert "supervised" in text.getvalue()
    assert "simcvd minus supervised" in text.getvalue()
    said = " ".join(text.getvalue().split())
    for method, warning in result.undertrained.items():  # so short a demo must not be taken for the method
        assert "not to be used" in (warning or "")
        assert f"Warning, {method}: {warning}." in said
    with pytest.raises(SettingsError, match="not empty"):
        demo(tmp_path / "demo")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/precious.txt").write_text("a user's own")
    with pytest.raises(SettingsError, match="not empty"):
        demo(tmp_path / "other")
