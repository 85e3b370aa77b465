"""The page of a ranking in a browser: two pictures a scan, large enough to read on any screen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from semivox.report.contact_sheet import Card, Snapshot
from semivox.report.ranking_page import ChosenScan, ranking_page

OpenPage = Callable[..., Any]


def test_both_pictures_can_be_read_on_a_telephone_and_stand_side_by_side_elsewhere(
    tmp_path: Path, open_page: OpenPage
) -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet((1, 1), (20, 24)).transpose(2, 0, 1)
    shot = Snapshot(
        random.integers(0, 255, (40, 48), np.uint8), probabilities.astype(np.float16),
        probabilities[0].astype(np.float16), np.array([40.0, 48.0]), "mm", "axial, slice 3 of 9",
        ("R", "L", "A", "P"),
    )  # fmt: skip
    chosen = [ChosenScan(Card(shot, "1 <b>a</b>", "uncertain"), [tmp_path / "a.nii.gz"], 3, "Rank 1")]
    page = ranking_page(
        chosen, tmp_path / "page.html", title="t", lead="l", classes={1: "atrium"}, expected=[], notes=[],
        next_steps=[("go on", "semivox annotate run data")],
    )  # fmt: skip
    for width, down in ((390, True), (1400, False)):
        opened = open_page(page, width=width)
        first, second = (image.bounding_box() for image in opened.page.locator(".shots img").all())
        assert first["width"] > 300, "the letters in it are small"
        assert (second["y"] > first["y"], second["x"] > first["x"]) == (down, not down)
        assert opened.overflow == 0
        assert opened.faults == []
