"""The Python of the tutorial, of the Python page and of the method page runs as it is printed."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

import semivox

DOCS = Path(__file__).resolve().parents[2] / "docs"
TINY = {"plan.rung": 2, "plan.patch": [16, 16, 16], "plan.batch": [1, 1], "plan.network.kind": "unet"}


def python_blocks(page: str) -> list[tuple[int, str]]:
    """(line in the page, code) of each ```python fence."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [(text.count("\n", 0, match.start(1)), match[1]) for match in found]


def test_tutorial_and_python_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "docs"}
    for page in ("tutorial.md", "python.md"):
        blocks = python_blocks(page)
        assert len(blocks) > 5, page
        for line, code in blocks:
            exec(compile("\n" * line + code, str(DOCS / page), "exec"), namespace)

    # what the pages say they leave behind
    assert (tmp_path / "masks" / "phantom_005.nii.gz").is_file()
    assert (tmp_path / "masks" / "evaluation.json").is_file()
    assert namespace["segmentation"].mask.any()
    assert namespace["difference"]["n"] == 1
    assert not (tmp_path / "never").exists()
    # the printed error is the one that is raised
    with pytest.raises(semivox.errors.SettingsError) as caught:
        semivox.train(namespace["train_data"], "never", steps=3, settings={"optimizer.rl": 0.01})
    assert str(caught.value) in (DOCS / "python.md").read_text(encoding="utf-8")


def test_the_method_page(tmp_path: Path) -> None:
    ((_, code),) = python_blocks("how-to/add-a-method.md")
    mine = tmp_path / "mine.py"
    mine.write_text(code, encoding="utf-8")
    data, _ = semivox.write_phantom_cohort(tmp_path / "phantoms", labeled=1, unlabeled=1, test=1)
    semivox.train(
        data, tmp_path / "run", method=f"{mine}:EntropyMinimisation", steps=2, precision="fp32", threads=1,
        settings={**TINY, "run.warm_up": 0}, workers=1,
    )  # fmt: skip
    first = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert set(first["terms"]) == {"segmentation", "entropy"}
    assert 0.5 < first["terms"]["entropy"] <= 1  # an untrained network hardly knows anything
    assert (tmp_path / "run" / "source" / "mine.py").read_text(encoding="utf-8") == code


def test_the_figures_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "docs"}
    for line, code in python_blocks("how-to/figures.md"):
        exec(compile("\n" * line + code, "figures.md", "exec"), namespace)
    for name in ("segmentation.png", "learning_rate.png", "dice.png", "volumes.png"):
        assert (tmp_path / name).read_bytes()[:4] == b"\x89PNG", name
    # by hand as in the evaluation file
    content = json.loads((namespace["held_out"].folder / "evaluation.json").read_text())
    assert namespace["held_out"].content["mean"] == content["mean"]
    assert (tmp_path / "run" / "report.html").is_file()


def test_every_name_of_the_report_package_is_there() -> None:
    from semivox import report

    for name in report.__all__:
        assert callable(getattr(report, name)), name


def test_the_step_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    def said() -> list[str]:
        runpy.run_path(str(DOCS / "examples" / "step_once.py"))
        return capsys.readouterr().out.splitlines()

    lines = said()
    named = re.compile(r"term (\w+): ([\d.]+) x ([\d.]+) into segmenter")
    terms = {m[1]: (float(m[2]), float(m[3])) for m in map(named.fullmatch, lines) if m}
    assert list(terms) == ["segmentation", "consistency"]
    assert all(value > 0 and weight > 0 for value, weight in terms.values())
    assert lines[0] == "stream labeled: (2, 1, 16, 16), target: True"
    assert lines[1] == "stream unlabeled: (2, 1, 16, 16), target: False"
    gradients = dict(line.split(": ") for line in lines if line.startswith("gradient of "))
    assert float(gradients["gradient of student"]) > 0
    assert float(gradients["gradient of teacher"]) == 0
    assert said() == lines  # as the file says
