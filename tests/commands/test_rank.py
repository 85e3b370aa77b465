"""``rank`` on runs that took two steps, 3D and 2D: its files, its faults, its exit codes."""

from __future__ import annotations

import csv
import json
import shutil
from html import unescape
from pathlib import Path
from typing import Any, get_args

import pytest
from PIL import Image

from semivox.cli import main
from semivox.cohort import load_cohort, split_cohort
from semivox.commands.predict import predict
from semivox.commands.rank import Ranking, rank
from semivox.commands.train import train
from semivox.errors import DataError, SettingsError
from semivox.inference import export_model, load_networks
from semivox.prepare import plan_from_json
from semivox.ranking.rank import Score

from ..made_folds import two_folders

FILES = ["contact_sheet.png", "next_labeled.txt", "ranking.csv", "ranking.html", "ranking.json"]


@pytest.fixture(scope="module")
def run(phantoms: tuple[Path, Path], small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rank")
    out = folder / "run"
    train(phantoms[0], out, method="supervised", steps=2, settings=small, cache=folder / "cache")
    return out


@pytest.fixture(scope="module")
def flat_run(
    flat_phantoms: tuple[Path, Path], small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("rank2d")
    settings = {**small, "plan.patch": [32, 32], "plan.rung": 1}
    with_labels = [case.name for case in load_cohort(flat_phantoms[0]).cases if case.label is not None]
    (folder / "two.txt").write_text("\n".join(with_labels[-2:]))  # the last one has both classes
    train(
        flat_phantoms[0], folder / "run", method="supervised", labeled=str(folder / "two.txt"), steps=2,
        settings=settings, cache=folder / "cache",
    )  # fmt: skip
    return folder / "run"


@pytest.fixture
def data(phantoms: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the training scans, to be spoiled."""
    return Path(shutil.copytree(phantoms[0], tmp_path / "data", ignore=shutil.ignore_patterns(".semivox")))


def listed(out: Path) -> list[dict[str, str]]:
    with (out / "ranking.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def cases_of(run: Path, role: str) -> list[str]:
    return [r["case"] for r in json.loads((run / "cases.json").read_text())["cases"] if r["role"] == role]


def test_the_files_and_what_they_say(run: Path, phantoms: tuple[Path, Path], tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    ranking = rank(run, phantoms[0], 2, out=tmp_path / "out", progress=lambda *at: seen.append(at))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == FILES
    assert seen == [(i, 5) for i in range(1, 6)]
    labeled, unlabeled = cases_of(run, "labeled"), cases_of(run, "unlabeled")
    rows = listed(tmp_path / "out")
    assert list(rows[0])[:4] == ["case", "rank", "patient", "chosen"]
    assert sorted(row["case"] for row in rows) == sorted(unlabeled)
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert sorted(row["chosen"] for row in rows) == ["", "1", "2"]
    assert all(row["nearest"] in labeled for row in rows)
    content = json.loads((tmp_path / "out/ranking.json").read_text())
    card = json.loads((run / "model.json").read_text())
    assert (content["format"], content["model_id"]) == (1, card["model_id"])
    assert content["networks"] == ["student", "teacher"]
    assert [row["case"] for row in content["cases"]] == [row["case"] for row in rows]
    assert (content["failed"], content["labeled"], content["score"]) == ({}, labeled, "random")
    (note,) = content["notes"]
    assert "chosen by lot among scans in which something is found" in note
    chosen = [row.case for row in ranking.chosen]
    assert {row.reason[:8] for row in ranking.chosen} == {"by lot; "}
    assert not any(row.reason.startswith("by lot") for row in ranking.scans if row.chosen is None)
    names = [line for line in (tmp_path / "out/next_labeled.txt").read_text().splitlines() if line[0] != "#"]
    assert names == labeled + chosen
    page = (tmp_path / "out/ranking.html").read_text()
    assert page.count("data:image/png;base64,") == 2 * len(ranking.chosen)
    for row in ranking.chosen:
        assert f"{row.case}" in page
        assert row.reason in page
    assert "itksnap -g " in page
    assert "Slicer --python-code " in page
    assert "semivox annotate " in page
    with Image.open(tmp_path / "out/contact_sheet.png") as picture:
        assert picture.width > 800


@pytest.mark.parametrize("score", [score for score in get_args(Score) if score != "random"])
def test_whatever_chooses_it_is_said_that_lots_were_not_beaten(
    run: Path, phantoms: tuple[Path, Path], tmp_path: Path, score: Score
) -> None:
    ranking = rank(run, phantoms[0], 2, score=score, out=tmp_path / "out")
    assert ranking.notes == (
        f"no score was shown to choose better than lots (--score random), nor was {score}",
    )
    assert all(row.reason.startswith("by lot") == (score == "stratified") for row in ranking.chosen)


def test_entropy_is_the_one_that_predict_writes(
    run: Path, phantoms: tuple[Path, Path], tmp_path: Path
) -> None:
    ranking = rank(run, phantoms[0], out=tmp_path / "out")
    report = predict(run, phantoms[0], tmp_path / "masks")
    entropies = {row.case: row.mean_entropy for row in report.rows}
    assert {row.case: row.entropy for row in ranking.scans} == {
        row.case: entropies[row.case] for row in ranking.scans
    }


def test_processes_measure_what_one_measures(run: Path, data: Path, tmp_path: Path) -> None:
    (next((data / "imagesTr").glob("*.nii.gz"))).write_bytes(b"no scan")
    seen: list[tuple[int, int]] = []
    rank(run, data, 2, out=tmp_path / "here", slices=3, threads=1)
    there = {"out": tmp_path / "there", "on": "local:2", "progress": lambda *at: seen.append(at)}
    rank(run, data, 2, slices=3, threads=1, **there)  # type: ignore[arg-type]
    assert seen == [(i, seen[-1][1]) for i in range(1, seen[-1][1] + 1)]
    files = [path.relative_to(tmp_path / "here") for path in (tmp_path / "here").rglob("*") if path.is_file()]
    assert len(files) > 4
    for file in files:
        made = (tmp_path / "there" / file).read_bytes().replace(b"/there", b"/here")
        assert made == (tmp_path / "here" / file).read_bytes(), file


def test_it_is_deterministic(run: Path, phantoms: tuple[Path, Path], tmp_path: Path) -> None:
    for name in "ab":
        rank(run, phantoms[0], 2, out=tmp_path / name)
    for name in FILES:
        places = [tmp_path / at for at in "ab"]
        made = [(place / name).read_bytes().replace(str(place).encode(), b"OUT") for place in places]
        assert made[0] == made[1]


def test_no_label_file_is_opened(run: Path, data: Path, tmp_path: Path) -> None:
    before = rank(run, data, out=tmp_path / "before").scans
    for case in load_cohort(data).cases:
        (data / "labelsTr" / f"{case.name}{load_cohort(data).file_ending}").write_bytes(b"garbage")
    assert rank(run, data, out=tmp_path / "after").scans == before


def test_next_labeled_is_a_labelled_set_once_the_labels_are_there(
    flat_run: Path, flat_phantoms: tuple[Path, Path], tmp_path: Path
) -> None:
    """In the 2D cohort four cases have label files; the run used two. The others are unlabelled."""
    ranking = rank(flat_run, flat_phantoms[0], out=tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == FILES
    assert len(ranking.scans) == 5
    assert len(ranking.chosen) == 5, "fewer than eight: all"
    cohort = load_cohort(flat_phantoms[0])
    with pytest.raises(SettingsError, match="no label to use"):  # three are not annotated yet
        split_cohort(cohort, str(tmp_path / "out/next_labeled.txt"))
    with_files = [case.name for case in cohort.cases if case.label is not None]
    assert len({row.case for row in ranking.scans} & set(with_files)) == 2
    few = rank(flat_run, flat_phantoms[0], 1, labeled=4, out=tmp_path / "few")
    assert {row.case for row in few.scans} == {c.name for c in cohort.cases} - set(with_files)
    names = tmp_path / "names.txt"
    names.write_text((tmp_path / "few/next_labeled.txt").read_text().replace(few.chosen[0].case, ""))
    assert [c.name for c in split_cohort(cohort, str(names)).labeled] == with_files


def test_default_place_is_in_the_run(run: Path, phantoms: tuple[Path, Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    assert rank(copy, phantoms[0]).out == copy / "ranking"
    assert sorted(p.name for p in (copy / "ranking").iterdir()) == FILES


def test_a_broken_scan_is_listed_and_the_others_go_on(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = cases_of(run, "unlabeled")[0]
    path = load_cohort(data).cases[[c.name for c in load_cohort(data).cases].index(broken)].images[0]
    path.write_bytes(b"not a scan")
    ranking = rank(run, data, 2, out=tmp_path / "out")
    assert list(ranking.failed) == [broken]
    assert "unreadable" in ranking.failed[broken]
    assert len(ranking.scans) == 2
    assert main(["rank", str(run), str(data), "--out", str(tmp_path / "cli")]) == 3
    assert f"failed: {broken}" in " ".join(capsys.readouterr().out.split())
    for name in cases_of(run, "unlabeled"):
        (data / "imagesTr" / f"{name}_0000.nii.gz").write_bytes(b"not a scan")
    with pytest.raises(DataError, match=r"none of the unlabelled scans.*unreadable"):
        rank(run, data, out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_broken_labelled_scan_leaves_the_distance_to_the_others(
    run: Path, data: Path, tmp_path: Path
) -> None:
    first, second = cases_of(run, "labeled")
    (data / "imagesTr" / f"{first}_0000.nii.gz").write_bytes(b"not a scan")
    ranking = rank(run, data, out=tmp_path / "out")
    assert list(ranking.failed) == [first]
    assert {row.nearest for row in ranking.scans} == {second}


def test_scans_elsewhere_have_no_labelled_ones_among_them(
    run: Path, phantoms: tuple[Path, Path], tmp_path: Path
) -> None:
    ranking = rank(run, phantoms[1], out=tmp_path / "out")
    assert len(ranking.scans) == 2
    assert "the distance from them is left out" in ranking.notes[0]
    assert all(row.distance is None for row in ranking.scans)
    assert listed(tmp_path / "out")[0]["distance"] == ""
    with pytest.raises(SettingsError, match="cannot be ranked by distance"):
        rank(run, phantoms[1], score="distance", out=tmp_path / "out")


def test_a_model_of_one_network_has_no_disagreement(
    run: Path, phantoms: tuple[Path, Path], tmp_path: Path
) -> None:
    single = tmp_path / "single"
    teacher = load_networks(run, ["teacher"])
    card = json.loads((run / "model.json").read_text())
    cohort = load_cohort(phantoms[0])
    export_model(
        single, teacher, ["teacher"], plan_from_json(card["plan"]), cohort, method="m", steps=2, seed=0
    )
    shutil.copy(run / "cases.json", single)
    ranking = rank(single, phantoms[0])
    assert ranking.notes[:-1] == ("the model has one network only: disagreement is left out",)
    assert all(row.disagreement is None for row in ranking.scans)
    assert "disagreement" in (single / "ranking/ranking.csv").read_text().splitlines()[0]
    seen: list[int] = []
    with pytest.raises(SettingsError, match="cannot be ranked by disagreement; found the model has one"):
        rank(single, phantoms[0], score="disagreement", progress=lambda done, total: seen.append(done))
    assert seen == [], "told before the long work"


def test_faults_before_any_work(
    run: Path, phantoms: tuple[Path, Path], flat_phantoms: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(DataError, match="holds no model"):
        rank(tmp_path, phantoms[0], out=out)
    with pytest.raises(DataError, match="no such folder"):
        rank(run, tmp_path / "nowhere", out=out)
    with pytest.raises(SettingsError, match=r"score has no such choice; found loss.*combined"):
        rank(run, phantoms[0], score="loss", out=out)  # type: ignore[arg-type]
    for top in (0, 4):
        with pytest.raises(SettingsError, match=rf"{top} scans cannot be chosen.*found 3 unlabelled.*1 to 3"):
            rank(run, phantoms[0], top, out=out)
    with pytest.raises(DataError, match="other dimensions"):
        rank(run, flat_phantoms[1], out=out)
    assert not out.exists()


def test_other_channels_are_refused_and_other_names_said(run: Path, data: Path, tmp_path: Path) -> None:
    described = json.loads((data / "dataset.json").read_text())
    described["channel_names"] = {"0": "CT"}
    (data / "dataset.json").write_text(json.dumps(described))
    assert "the channels are called CT" in rank(run, data, out=tmp_path / "out").notes[0]
    for case in load_cohort(data).cases:
        first = case.images[0]
        shutil.copy(first, first.with_name(first.name.replace("_0000", "_0001")))
    described["channel_names"] = {"0": "CT", "1": "PET"}
    (data / "dataset.json").write_text(json.dumps(described))
    with pytest.raises(
        DataError, match=r"other channels or classes than the model; found 2 channels \(CT, PET\)"
    ):
        rank(run, data, out=tmp_path / "out")


def test_nothing_left_to_label(run: Path, data: Path, tmp_path: Path) -> None:
    for name in cases_of(run, "unlabeled"):
        (data / "imagesTr" / f"{name}_0000.nii.gz").unlink()
    (data / "cases.csv").unlink(missing_ok=True)
    with pytest.raises(DataError, match=r"no unlabelled scan to rank; found 2 labelled cases"):
        rank(run, data, out=tmp_path / "out")


def test_cases_kept_for_testing_are_not_offered(run: Path, data: Path, tmp_path: Path) -> None:
    kept = cases_of(run, "unlabeled")[1]
    names = [case.name for case in load_cohort(data).cases]
    (data / "cases.csv").write_text(
        "case,role\n" + "".join(f"{n},{'test' if n == kept else ''}\n" for n in names)
    )
    ranking = rank(run, data, out=tmp_path / "out")
    assert kept not in [row.case for row in ranking.scans]
    assert len(ranking.scans) == 2


def test_the_command_line(
    run: Path, phantoms: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert (
        main(["rank", str(run), str(phantoms[0]), "--top", "1", "--score", "entropy", "--out", str(out)]) == 0
    )
    shown = capsys.readouterr().out
    assert "3 scans ranked; pictures and tables in" in shown
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert "next_labeled.txt" in shown
    assert main(["rank", str(run), str(phantoms[0]), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((out / "ranking.json").read_text())
    assert main(["rank", str(run), str(phantoms[0]), "--top", "9", "--out", str(out)]) == 1
    assert main(["rank", str(run), str(phantoms[0]), "--score", "loss"]) == 2


def test_real_scans_one_patients_frames_are_kept_apart(
    shared_data: Path, tmp_path: Path, small: dict
) -> None:
    """ACDC has two frames a patient: of four scans chosen no two are of one patient, or of a labelled one."""
    cohort = load_cohort(shared_data / "acdc/train")
    cases = cohort.cases[:14]
    from semivox.cohort.subset_folder import write_subset_folder

    view = write_subset_folder(cohort, cases, tmp_path / "data")
    settings = {**small, "plan.rung": 3, "plan.patch": [32, 32, 8]}
    train(
        view.root, tmp_path / "run", method="supervised", labeled="2p", steps=1, settings=settings,
        cache=tmp_path / "cache",
    )  # fmt: skip
    ranking: Ranking = rank(tmp_path / "run", view.root, 4)
    labeled = {case.patient for case in cases if case.name in ranking.labeled}
    patients = [row.patient for row in ranking.chosen]
    assert len(set(patients)) == 4
    assert not labeled & set(patients)
    assert len(ranking.scans) == 14 - len(ranking.labeled)


def test_what_the_next_labels_bring_stands_in_terminal_file_and_page(
    run: Path, phantoms: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folds = two_folders(tmp_path)
    words = ["rank", str(run), str(phantoms[0]), "--top", "2", "--out", str(tmp_path / "out")]
    assert main([*words, "--curve", str(folds[0]), "--curve", str(folds[1])]) == 0
    said = " ".join(capsys.readouterr().out.split())
    found = json.loads((tmp_path / "out/ranking.json").read_text())["forecast"]
    assert (found["labeled"], found["more"]) == (len(cases_of(run, "labeled")), 2)
    assert [point["patients"] for point in found["points"]] == [2, 3]
    for words_of_it in (found["sentence"], found["caveat"]):
        assert words_of_it in said
        assert words_of_it in unescape((tmp_path / "out/ranking.html").read_text())
    assert rank(run, phantoms[0], 2, out=tmp_path / "other").content["forecast"] is None
    copy = tmp_path / "one_patient"
    shutil.copytree(phantoms[0], copy)
    names = sorted({path.name.partition("_0000")[0] for path in (copy / "imagesTr").iterdir()})
    (copy / "cases.csv").write_text("case,patient\n" + "".join(f"{name},anne\n" for name in names))
    further = rank(run, copy, 2, out=tmp_path / "fifth", curve=folds)
    assert further.content["forecast"] is None  # patients are what the curve counts, and none is new
    assert any("is labelled already" in note for note in further.notes)
    with pytest.raises(SettingsError, match="a curve needs runs"):
        rank(phantoms[0], out=tmp_path / "third", curve=[folds[0]])
    with pytest.raises(DataError, match="no measured folds"):
        rank(run, phantoms[0], 2, out=tmp_path / "fourth", curve=[tmp_path])
