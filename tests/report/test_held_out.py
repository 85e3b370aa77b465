"""What a page says of held-out cases: first line, tables, warnings, and what it keeps to itself."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from semivox.evaluation.calibration import Reliability
from semivox.report.held_out import lead_of, section_of
from semivox.report.held_out_figures import volume_pairs
from semivox.report.run_page import command, lead, write_run_page
from semivox.report.run_record import HeldOut, RunRecord, read_run

MakeRun = Callable[..., Path]
CARD = {"training": {"classes": {"1": {"components": [1, 2]}}}, "may_be_empty": [2], "plan": {"dims": 3}}


@pytest.fixture(scope="module")
def record(finished_run: Path) -> RunRecord:
    return read_run(finished_run)


@pytest.fixture(scope="module")
def held(record: RunRecord) -> HeldOut:
    return record.evaluations[0]


def test_the_first_line_is_the_dice_of_the_evaluation_file(held: HeldOut) -> None:
    assert held.content is not None
    mean, (low, high) = (held.content[key]["foreground"]["dice"] for key in ("mean", "ci95"))
    said = lead_of(held)
    assert said.startswith(f"Dice {mean:.3f} [{low:.3f}, {high:.3f}] on 7 held-out cases (8 patients) of ")
    assert said.endswith("mean of 2 classes.")
    one = {**held.content, "cases": {"a": {}}, "patients": {"a": "a"}, "classes": {"1": "x"}}
    one["ci95"] = {"foreground": {"dice": None}}
    assert re.fullmatch(
        r"Dice 0\.\d{3} on 1 held-out case of [^ ]+\.",
        lead_of(replace(held, content=one, classes={"1": "x"})),
    )
    assert "None has a reference" in lead_of(replace(held, content=None))


def test_without_held_out_cases_no_dice_stands_anywhere(
    make_run: MakeRun, finished_run: Path, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", None)
    journal = [r for r in (run / "metrics.jsonl").read_text().splitlines() if "watch" not in r]
    (run / "metrics.jsonl").write_text("\n".join(journal))
    text = write_run_page(read_run(run), tmp_path / "page.html").read_text()
    assert "is not known: no held-out case has been measured" in text
    assert f"semivox report {run} --test DATA2" in text
    assert "Dice" not in re.sub(r"(?s)<style>.*?</style>|<script>.*?</script>", "", text)
    (run / "model.json").unlink()
    assert lead(read_run(run), ()) == "There is no model yet, and no held-out case has been measured."


def test_of_cases_that_were_trained_on_no_number_is_shown(
    held: HeldOut, record: RunRecord, tmp_path: Path
) -> None:
    trained = replace(held, trained_on=tuple(held.rows)[:2])
    section = section_of(trained, record.card)
    assert section.lead.startswith("2 of the 8 cases of ")
    assert section.classes is section.cases is None
    assert section.tiles == section.shown == section.figures == []
    page = write_run_page(replace(record, evaluations=(trained,)), tmp_path / "page.html").read_text()
    assert held.content is not None
    for row in held.content["cases"].values():
        assert f">{row['1']['dice']:.3f}<" not in page
    assert "data:image" not in page


def test_cases_seen_without_labels_are_told(held: HeldOut) -> None:
    section = section_of(replace(held, seen=tuple(held.rows)[:3]), None)
    assert "3 of these cases were among the unlabelled scans" in section.notes[0]
    assert section.classes is not None


def test_worst_median_and_best_cases_are_shown_each_once(held: HeldOut) -> None:
    assert held.content is not None
    cases = held.content["cases"]
    dice = {case: (row["1"]["dice"] + row["2"]["dice"]) / 2 for case, row in cases.items()}
    order = sorted(dice, key=dice.__getitem__)
    shown = {one.case: one for one in section_of(held, CARD).shown}
    assert [case for case in shown if "lowest Dice" in shown[case].why] == order[:3]
    assert [case for case in shown if "median Dice" in shown[case].why] == [order[3]]
    assert [case for case in shown if "highest Dice" in shown[case].why] == order[-2:]
    flagged = [case for case, row in held.rows.items() if row["flag"] == "review"]
    assert all("to review" in shown[case].why for case in flagged)
    (unknown,) = set(held.rows) - set(cases)
    assert shown[unknown].why == ["no reference"]
    assert "Dice" not in shown[unknown].facts
    assert f"Dice {dice[order[0]]:.3f} (" in shown[order[0]].facts
    assert len({one.key for one in shown.values()}) == len(shown)


def test_the_table_of_cases_has_every_case_lowest_dice_first(held: HeldOut) -> None:
    assert held.content is not None
    table = section_of(held, CARD).cases
    assert table is not None
    classes = list(held.classes.values())
    assert table["columns"] == ["Dice", *classes, "HD95, mm", "Volume, ml", "Volume error, %", "Entropy"]
    assert {row["case"] for row in table["rows"]} == set(held.rows)
    values = [row["cells"][0][0] for row in table["rows"]]
    assert values[-1] is None
    assert values[:-1] == sorted(values[:-1])
    row = table["rows"][0]
    found = held.content["cases"][row["case"]]
    assert row["cells"][1][0] == found["1"]["dice"]
    assert row["cells"][3][0] == pytest.approx((found["1"]["hd95_mm"] + found["2"]["hd95_mm"]) / 2)
    assert row["cells"][4][0] == pytest.approx(sum(held.rows[row["case"]]["volume_ml"].values()))


def test_what_is_odd_among_predictions_is_told(held: HeldOut) -> None:
    names = list(held.rows)
    rows = {name: dict(row) for name, row in held.rows.items()}
    rows[names[0]]["voxels"] = {"1": 0, "2": 0}
    rows[names[1]]["border_contact"] = {"1": 0, "2": 7}
    rows[names[2]] = {"case": names[2], "status": "failed", "flag": "refuse", "reason": "broken"}
    section = section_of(replace(held, rows=rows), CARD)
    one, two = held.classes.values()
    told = "\n".join(section.warnings)
    assert f"{one}: no voxel in 1 case ({names[0]})" in told
    assert f"{two}: no voxel" not in told  # it may be empty
    # components are 1, 2, 3, ...: more than 2 from the third case on, which failed
    assert f"{one}: more pieces than in any training label (at most 2) in 5 cases ({names[7]}: 8, " in told
    assert f"{two}: touches the scan's border in 1 case ({names[1]})" in told
    assert f"No prediction could be made of 1 case ({names[2]})" in told
    assert {"case": names[2], "flag": "refuse", "reason": "broken"} in section.review


def test_volumes_of_reference_and_prediction_are_the_masks_own(held: HeldOut) -> None:
    assert held.content is not None
    pairs, unit, lost = volume_pairs(held, held.content, "1")
    assert (unit, lost, len(pairs)) == ("ml", 0, 7)
    for (predicted, reference), row in zip(pairs, held.content["cases"].values(), strict=True):
        assert predicted - reference == pytest.approx(row["1"]["volume_error_ml"])
        assert row["1"]["volume_error_rel"] in (0, pytest.approx((predicted - reference) / reference))


def test_in_voxels_an_empty_prediction_needs_the_recorded_reference(held: HeldOut) -> None:
    nothing = {"volume_error_ml": None, "volume_error_rel": -1.0}
    half = {"volume_error_ml": None, "volume_error_rel": -0.5}
    content = {"cases": {"a": {"1": nothing}, "b": {"1": half}, "c": {"2": half}}}
    rows = {"a": {"voxels": {"1": 0}}, "b": {"voxels": {"1": 50}}}
    without = replace(held, rows=rows, reference_voxels={})
    assert volume_pairs(without, content, "1") == ([(50, 100)], "voxels", 1)
    recorded = replace(without, reference_voxels={"a": {"1": 80}})
    assert volume_pairs(recorded, content, "1") == ([(0, 80), (50, 100)], "voxels", 0)


def test_calibration_is_pooled_over_cases_and_put_in_words(held: HeldOut) -> None:
    count = [0.0] * 18 + [100.0, 0.0]
    case = Reliability.from_json(
        {"count": count, "confidence": [0.92 * c for c in count], "correct": [0.8 * c for c in count]}
    )
    section = section_of(replace(held, reliability={"a": case, "b": case}), CARD)
    captions = [caption for key, _, figures in section.figures if key == "belief" for *_, caption in figures]
    assert "Voxels of 2 cases" in captions[0]
    assert "Expected calibration error 0.120" in captions[0]
    assert "surer than it is right, by 12.0\u00a0%" in captions[0]
    assert "Rank correlation" in captions[1]


def test_in_two_dimensions_distances_are_in_pixels(held: HeldOut) -> None:
    assert held.content is not None
    nulls = {"hd95_mm": None, "assd_mm": None, "asd_mm": None, "nsd": None, "volume_error_ml": None}
    content = json.loads(json.dumps(held.content))
    for group in (content["mean"], *content["cases"].values()):
        for row in group.values():
            row.update(nulls)
    rows = {name: {**row, "volume_ml": {"1": None, "2": None}} for name, row in held.rows.items()}
    section = section_of(replace(held, content=content, rows=rows), {"plan": {"dims": 2}})
    assert section.classes is not None
    assert section.cases is not None
    assert "HD95, pixels" in section.classes["columns"]
    assert {"HD95, pixels", "Pixels"} <= set(section.cases["columns"])


def test_scans_that_are_gone_leave_a_word_and_no_picture(
    record: RunRecord, held: HeldOut, tmp_path: Path
) -> None:
    def page(**changes: object) -> str:
        return write_run_page(
            replace(record, evaluations=(replace(held, **changes),)), tmp_path / "page.html"
        ).read_text()

    assert "was not recorded, so there are no pictures" in page(data=None)
    assert "cannot be found again" in page(data=tmp_path / "nowhere")
    moved = tmp_path / "moved"
    assert held.data is not None
    shutil.copytree(held.data, moved)
    (next(iter(sorted((moved / "imagesTr").iterdir())))).write_bytes(b"broken")
    text = page(data=moved)
    assert "No picture of" in text
    assert "data:image" in text


def test_the_command_repeats_the_run(record: RunRecord) -> None:
    said = command(record)
    assert said.startswith("semivox train /scans/train --out NEW_RUN --config ")
    assert str(record.path / "config.yaml") in said


def test_the_same_record_gives_the_same_bytes(record: RunRecord, tmp_path: Path) -> None:
    one, two = (write_run_page(record, tmp_path / name).read_bytes() for name in ("one.html", "two.html"))
    assert one == two


@pytest.mark.parametrize(
    ("state", "said"),
    [("stopped", "The run was stopped"), ("failed", "The run failed"), ("training", "It is training")],
)
def test_a_run_that_is_not_done_says_how_far_it_came(
    state: str, said: str, make_run: MakeRun, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", None, state=state, heartbeat=9e9)
    (run / "model.json").unlink()
    text = write_run_page(read_run(run), tmp_path / "page.html").read_text()
    assert f"{said}: 40 of 40 steps are done." in text
    assert "no held-out case" in text


def test_several_evaluations_each_have_a_part_and_the_named_one_opens(
    finished_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    shutil.copytree(run / "evaluations" / "test", run / "evaluations" / "other one")
    changed = run / "evaluations" / "other one" / "evaluation.json"
    content = json.loads(changed.read_text())
    content["mean"]["foreground"]["dice"] = 0.1234
    changed.write_text(json.dumps(content))
    record = read_run(run)
    assert lead(record, record.evaluations).startswith("Dice 0.123")
    text = write_run_page(record, tmp_path / "page.html", first="test").read_text()
    assert text.index("held-of-test") < text.index("held-of-other-32-one")
    ids = re.findall(r' id="([^"]*)"', text)
    assert len(set(ids)) == len(ids)
    assert len(text) < 15_000_000
