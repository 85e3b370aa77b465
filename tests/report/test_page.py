"""The shell: formats, escaping, the policy, and figures that can stand beside each other."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from pathlib import Path
from xml.etree import ElementTree

import jinja2
import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure

from semivox.report import page
from semivox.report.page import breakable, duration, environment, interval, json_data, number, percent, whole
from semivox.report.style import STYLE, svg

NASTY = "</script><script>alert('x')</script> \"q\" & \u2028 心臓"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (number(0.12345), "0.123"),
        (number(-0.12345, 2), "−0.12"),
        (number(-0.0001, 2), "0.00"),
        (number(12345.678, 1), "12,345.7"),
        (number(None), "–"),
        (number(math.nan), "–"),
        (number(math.inf), "–"),
        (whole(12345), "12,345"),
        (percent(0.0312, 1), "3.1\u00a0%"),
        (percent(None), "–"),
        (interval([0.1, -0.2], 1), "[0.1, −0.2]"),
        (interval(None), ""),
        (duration(200), "3\u00a0m\u00a020\u00a0s"),
        (duration(None), "–"),
        (breakable("a_<b"), "a_<wbr>&lt;b"),
    ],
)
def test_numbers_are_written_for_people(said: str, expected: str) -> None:
    assert said == expected


def test_data_for_scripts_cannot_end_their_element_and_come_back_whole() -> None:
    written = json_data({"name": NASTY})
    assert not set("<>&\u2028") & set(written)
    assert json.loads(written) == {"name": NASTY}
    with pytest.raises(ValueError, match="JSON"):
        json_data([math.nan])


def test_what_a_context_holds_is_escaped_and_a_missing_name_is_an_error(tmp_path: Path) -> None:
    template = environment().from_string('{% extends "base.html.j2" %}')
    context = {"title": NASTY, "kind": "k", "lead": NASTY, "contents": [("a", NASTY), ("b", "t", True)]}
    text = template.render(**context, made="m")
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert") == 4  # tab, heading, lead, contents
    with pytest.raises(jinja2.UndefinedError, match="made"):
        template.render(**context)


def test_the_policy_allows_the_scripts_of_the_page_and_nothing_else() -> None:
    text = environment().from_string('{% extends "base.html.j2" %}').render(
        title="t", kind="k", lead="l", contents=[], made="m"
    )  # fmt: skip
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    allowed = dict(part.split(" ", 1) for part in policy[1].replace("&#39;", "'").split("; "))
    assert allowed["default-src"] == "'none'"
    scripts = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert len(scripts) == 3
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in allowed["script-src"].split()
    assert "unsafe" not in allowed["script-src"]
    assert not re.search(r"(src|href)=\"(?!#|data:)", text)


def test_an_asset_that_would_end_its_element_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "x.js").write_text("'</SCRIPT>'")
    monkeypatch.setattr(page.resources, "files", lambda name: tmp_path)
    with pytest.raises(ValueError, match=r"x\.js"):
        page._asset.__wrapped__("x.js")


def make_figure() -> Figure:
    with rc_context(STYLE):
        figure = Figure(figsize=(3, 2))
        axis = figure.subplots()
        axis.plot([0, 1, 2], [1, 0, 2], "o-")
        axis.set_title('<b> id="x" $a_b$ url(#y)')
    return figure


def test_figures_beside_each_other_share_no_id_and_every_reference_is_met() -> None:
    one, two = (ElementTree.fromstring(svg(make_figure(), name, "d")) for name in ("one", "two"))
    seen: set[str] = set()
    for root, name in ((one, "one"), (two, "two")):
        ids = [e.get("id") for e in root.iter() if e.get("id") is not None]
        assert ids
        assert all(i is not None and i.startswith(f"{name}-") for i in ids)
        assert len(set(ids)) == len(ids)
        assert not seen & set(map(str, ids))
        seen |= set(map(str, ids))
        asked = [e.get("href", "")[1:] for e in root.iter() if e.get("href")]
        asked += [
            ref
            for e in root.iter()
            for value in e.attrib.values()
            for ref in re.findall(r"url\(#(.*?)\)", value)
        ]
        assert asked
        assert set(asked) <= set(map(str, ids))


def test_a_figure_is_text_that_reads_and_the_same_bytes_each_time() -> None:
    drawn = svg(make_figure(), "f", 'a "figure"')
    assert drawn == svg(make_figure(), "f", 'a "figure"')
    root = ElementTree.fromstring(drawn)
    texts = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert '<b> id="x" $a_b$ url(#y)' in texts
    assert root.get("aria-label") == 'a "figure"'
    assert "<style" not in drawn  # it would hold for the whole page
    assert "<metadata" not in drawn
