from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from semivox.report.comparison_figures import (
    FOLLOWED,
    VERDICTS,
    case_figure,
    cost_figure,
    forest_figure,
    label_figure,
    signed,
)
from semivox.report.comparison_record import Estimate, read_comparison
from semivox.report.method_rows import wrapped

HandMade = Callable[..., Path]
ON_A_SCREEN = (forest_figure, label_figure, cost_figure, case_figure)
DRAW = (*ON_A_SCREEN, *(partial(draw, narrow=True) for draw in ON_A_SCREEN))
PHONE_PIXELS = 358
LEVEL = {0: 0.0, 1: 0.05, 2: -0.05, 3: 0.0}  # of method 0 (reference), 1 gains, 2 trails, 3 neither


def four(method: int, labeled: str, seed: int, case: int) -> float:
    return 0.7 + LEVEL[method] + 0.01 * case + (0.02 * (-1) ** case if method == 3 else 0.0)


def names_of(axis: Axes) -> list[str]:
    return [text.get_text().replace("\n", "") for text in axis.get_yticklabels()]


def test_the_forest_is_sorted_and_tells_verdicts_by_colour_and_marker(hand_made: HandMade) -> None:
    record = read_comparison(hand_made(["supervised", "up", "down", "level"], dice=four, cases=8))
    figure = forest_figure(record)
    (axis,) = figure.axes
    assert names_of(axis) == ["up", "supervised", "level", "down"]
    points = {line.get_ydata()[0]: line for line in axis.lines if line.get_marker() not in ("None", None)}
    kinds = ["gains", "reference", "open", "trails"]
    for y, kind in enumerate(kinds):
        assert (points[y].get_color(), points[y].get_marker()) == VERDICTS[kind]
    gains = [record.rows("8")[i].gain("dice").mean for i in (0, 1, 2, 3)]
    assert points[0].get_xdata()[0] == gains[0] == pytest.approx(0.05)
    assert points[1].get_xdata()[0] == 0
    colours, markers = zip(*VERDICTS.values(), strict=True)
    assert len(set(colours)) == len(set(markers)) == 4
    (key,) = figure.legends
    said = {text.get_text() for text in key.get_texts()}
    assert said == {"gains", "no difference shown", "trails", "reference"}
    spans = sorted(tuple(line.get_xdata()) for line in axis.lines if len(line.get_xdata()) == 2)
    low, high = record.results[3].gain("dice").low, record.results[3].gain("dice").high
    assert low < 0 < high
    assert (low, high) in spans
    assert (0, 0) in spans, "the zero line"
    texts = [text.get_text() for text in axis.texts]
    assert "−0.050 [−0.050, −0.050]" in texts
    assert "Dice minus supervised" in axis.get_xlabel()


def test_a_panel_for_each_labelled_set_fewest_cases_first(hand_made: HandMade) -> None:
    sets, counts = ["16", "3p", "8"], {"16": 16, "3p": 6, "8": 8}
    record = read_comparison(hand_made(["supervised", "cps"], labeled=sets, counts=counts))
    titles = [axis.get_title(loc="left") for axis in forest_figure(record).axes]
    assert titles == ["3p: 6 labelled cases", "8 labelled cases", "16 labelled cases"]
    panels = [axis for axis in case_figure(record).axes if axis.get_title(loc="left")]
    assert [axis.get_title(loc="left") for axis in panels] == titles
    assert len([a for a in case_figure(record, "8").axes if a.get_title(loc="left")]) == 1


def test_dice_over_labels_stands_at_the_numbers_of_cases(hand_made: HandMade) -> None:
    counts = {"16": 16, "8@1": 8, "8": 8}
    record = read_comparison(
        hand_made(
            ["supervised", "cps"], labeled=list(counts), counts=counts,
            dice=lambda m, s, seed, c: 0.5 + counts[s] / 100 - 0.01 * m + 0.001 * c + 0.01 * (s == "8@1"),
        )
    )  # fmt: skip
    (axis,) = label_figure(record).axes
    assert axis.get_title(loc="left") == "cps"
    assert [t.get_text() for t in axis.get_xticklabels()] == ["8\n8@1", "16"]
    lines = [line for line in axis.lines if line.get_marker() == "None" and len(line.get_xdata()) == 2]
    through = [line for line in lines if list(line.get_xdata()) == [0, 1]]
    found = [line.get_ydata() for line in through]
    mean = {(r.variant, r.labeled): r.of("dice").mean for r in record.results}
    for ys, variant in zip(found, ("supervised", "cps"), strict=True):  # the reference lies behind
        expected = [(mean[variant, "8"] + mean[variant, "8@1"]) / 2, mean[variant, "16"]]
        assert ys == pytest.approx(expected)
    points = {(line.get_xdata()[0], line.get_ydata()[0]) for line in axis.lines if line.get_marker() == "s"}
    at = {y: x for x, y in points}
    assert at[mean["cps", "8"]] != at[mean["cps", "8@1"]], "side by side"
    assert abs(at[mean["cps", "8"]] - at[mean["cps", "8@1"]]) < 0.3


def test_costs_are_the_means_of_the_cells(hand_made: HandMade) -> None:
    folder = hand_made(["supervised", "cps"], seeds=(0, 2))
    figure = cost_figure(read_comparison(folder))
    assert [axis.get_title(loc="left") for axis in figure.axes] == [
        "training time",
        "steps",
        "seconds a step",
    ]
    time = figure.axes[0]
    assert names_of(time) == ["supervised", "cps"]
    assert [patch.get_width() for patch in time.patches] == [51.0, 52.0]
    assert [list(line.get_xdata()) for line in time.lines] == [[50, 52], [51, 53]]
    assert [text.get_text() for text in time.texts] == ["51 s", "52 s"]
    with_memory = cost_figure(read_comparison(hand_made(["supervised"], memory=2.25)))
    assert with_memory.axes[-1].get_title(loc="left") == "memory, GiB"
    assert [text.get_text() for text in with_memory.axes[-1].texts] == ["2.25"]


def test_every_case_is_a_line_coloured_by_the_reference(hand_made: HandMade) -> None:
    record = read_comparison(hand_made(["supervised", "up", "down"], dice=four, cases=8))
    axis = case_figure(record).axes[0]
    assert names_of(axis) == ["up", "supervised", "down"]
    (lines,) = (c for c in axis.collections if isinstance(c, LineCollection))
    paths = [segment[:, 0] for segment in lines.get_segments()]
    assert len(paths) == 8
    by_reference = np.array([path[1] for path in paths])
    for case, dice in record.case_dice("8", "supervised").items():
        (i,) = np.flatnonzero(np.isclose(by_reference, dice))
        expected = [record.case_dice("8", variant)[case] for variant in ("up", "supervised", "down")]
        assert paths[i] == pytest.approx(expected)
    green = lines.get_edgecolors()[:, 1]  # viridis: greener, the higher
    assert np.corrcoef(green, by_reference)[0, 1] > 0.95
    bars = next(line for line in axis.lines if line.get_marker() == "|")
    assert list(bars.get_xdata()) == pytest.approx([np.mean([p[k] for p in paths]) for k in range(3)])
    assert axis.get_xlim()[0] < min(map(min, paths)) < max(map(max, paths)) < axis.get_xlim()[1]


def test_of_many_cases_each_is_a_dot_and_no_line(hand_made: HandMade) -> None:
    record = read_comparison(hand_made(["supervised", "up"], dice=four, cases=FOLLOWED + 4))
    axis = case_figure(record).axes[0]
    assert not any(isinstance(found, LineCollection) for found in axis.collections)
    for dots, variant in zip(axis.collections, ("up", "supervised"), strict=True):
        across, up = np.asarray(dots.get_offsets()).T
        dice = sorted(record.case_dice("8", variant).values())
        assert across == pytest.approx(dice)
        assert np.abs(up - np.round(up)).max() <= 0.3, "in its own row"
    box = axis.patches[0]
    quartiles = np.percentile(list(record.case_dice("8", "up").values()), [25, 75])
    assert [box.get_x(), box.get_x() + box.get_width()] == pytest.approx(quartiles)


@pytest.mark.parametrize("draw", ON_A_SCREEN)
def test_a_telephones_figure_keeps_its_letters(draw: Callable[..., Figure], hand_made: HandMade) -> None:
    record = read_comparison(hand_made(["supervised", "mean_teacher"], labeled=["8", "3p"], memory=1.0))
    figure = draw(record, narrow=True)
    FigureCanvasAgg(figure).draw()
    shrink = PHONE_PIXELS / (96 * figure.get_size_inches()[0])
    sizes = [t.get_fontsize() for t in figure.findobj(Text) if t.get_text() and t.get_visible()]
    assert min(sizes) * 96 / 72 * shrink >= 9.5, "CSS pixels"


@pytest.mark.parametrize("draw", DRAW)
def test_fifteen_long_names_are_whole_and_do_not_overlap(
    draw: Callable[..., Figure], hand_made: HandMade
) -> None:
    methods = ["supervised"] + [
        f"my_own_method_{i}.py:ContrastiveSegmenterNumber{i}{{temperature=0.07,weight={i}}}"
        for i in range(14)
    ]
    record = read_comparison(hand_made(methods, labeled=["8", "3p"], counts={"3p": 6}, cases=3, memory=1.0))
    figure = draw(record)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    whole = figure.bbox.padded(1)
    shown = set()
    for axis in figure.axes:
        texts = [*axis.get_yticklabels(), *axis.get_xticklabels(), *axis.texts, axis.title, axis._left_title]
        texts = [t for t in texts if t.get_text() and t.get_visible()]
        shown |= {text.get_text().replace("\n", "") for text in texts}
        extents = [(text, text.get_window_extent()) for text in texts if drawn(text, axis)]
        for text, box in extents:
            assert whole.x0 <= box.x0 <= box.x1 <= whole.x1, text
            assert whole.y0 <= box.y0 <= box.y1 <= whole.y1, text
        for (one, a), (two, b) in combinations(extents, 2):
            assert not a.padded(-0.5).overlaps(b.padded(-0.5)), (one, two)
    assert {m for m in methods[1:] if m not in shown} == set()


def drawn(text: Text, axis: Axes) -> bool:
    """Tick labels of shared axes, and of ticks beyond the axis' ends, are there, but not drawn."""
    if text in axis.get_xticklabels():
        low, high = axis.get_xlim()
        return axis.xaxis.get_tick_params()["labelbottom"] and low <= text.get_position()[0] <= high
    if text in axis.get_yticklabels():
        return axis.yaxis.get_tick_params()["labelleft"]
    return True


def test_dollars_in_names_are_letters(hand_made: HandMade) -> None:
    record = read_comparison(hand_made(["supervised", "$x_1$ and $\\bad{$"]))
    for draw in DRAW:
        FigureCanvasAgg(draw(record)).draw()


@pytest.mark.parametrize("draw", DRAW)
def test_little_is_drawn_of_little(draw: Callable[..., Figure], hand_made: HandMade) -> None:
    nothing = hand_made(["supervised", "cps"], states={(m, "8", "test", 0): "free" for m in range(2)})
    one = hand_made(["supervised"], cases=1)
    alone = hand_made(["supervised", "cps"], seeds=(0, 1), states={
        (0, "8", "test", 1): "free", (1, "8", "test", 0): "failed",
    })  # fmt: skip
    for folder in (nothing, one, alone):
        FigureCanvasAgg(draw(read_comparison(folder))).draw()
    words = [text.get_text() for axis in forest_figure(read_comparison(alone)).axes for text in axis.texts]
    assert sorted(words) == ["no seed in common", "reference"]


@given(st.text(alphabet="ab,:/_+{ ü", max_size=120))
def test_wrapping_loses_no_letter(name: str) -> None:
    lines = wrapped(name).split("\n")
    assert "".join(lines) == name
    assert max(map(len, lines)) <= 28


def test_signed_numbers() -> None:
    assert signed(Estimate(-0.03, -0.04, 0.02)) == "−0.030 [−0.040, +0.020]"
    assert signed(Estimate(0.5), 1) == "+0.5"
    assert signed(Estimate()) == "–"
