"""The loop reads its state from files: whoever does what it says comes to the end, and wherever he is it
knows the next step."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

import semivox
from semivox.cli import _parser, main
from semivox.cohort import label_sha256, load_cohort
from semivox.comparison.options import CompareOptions
from semivox.comparison.request import keep, read_request
from semivox.errors import SettingsError
from semivox.rounds import Step

from ..made_folds import folder_of_folds

NAMES = [f"case_{i:02}" for i in range(12)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve scans by their names, of which none has a label."""
    folder = tmp_path / "scans"
    described = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "heart": 1},
        "file_ending": ".nii.gz",
    }
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    (folder / "dataset.json").write_text(json.dumps(described))
    for name in NAMES:
        (folder / f"imagesTr/{name}_0000.nii.gz").touch()
    return folder


def draw(data: Path, names: Sequence[str]) -> None:
    for name in names:
        (data / f"labelsTr/{name}.nii.gz").touch()


def labeled(data: Path) -> list[str]:
    return sorted(path.name.removesuffix(".nii.gz") for path in (data / "labelsTr").iterdir())


def rank_into(folder: Path, names: Sequence[str], chosen: int, enough: bool = False) -> None:
    folder.mkdir(parents=True)
    rows = [
        {"case": name, "rank": i + 1, "chosen": i + 1 if i < chosen else None, "reason": ""}
        for i, name in enumerate(names)
    ]
    forecast = {"enough": enough, "sentence": "8 more bring +0.001 Dice"}
    (folder / "ranking.json").write_text(
        json.dumps({"format": 1, "model_id": "", "cases": rows, "forecast": forecast})
    )


def obey(data: Path, rounds: Path, step: Step, enough: bool = False) -> None:
    """Leave what the commands of a step would leave."""
    draw(data, step.scans)
    for command in step.commands:
        words = shlex.split(command)[1:]
        place = Path(words[words.index("--out") + 1]) if "--out" in words else None
        if words[0] == "train" and place is not None:
            learned, folds = (
                labeled(data),
                int(words[words.index("--folds") + 1]) if "--folds" in words else 0,
            )
            runs = {str(i): [n for k, n in enumerate(learned) if k % folds != i] for i in range(folds)}
            folder_of_folds(place, runs or {".": learned}, dict.fromkeys(learned, 0.5))
            if not folds:
                (place / "model.json").write_text("{}")
        if words[0] == "rank":
            rest = [name for name in NAMES if name not in labeled(data)]
            top = int(words[words.index("--top") + 1])
            rank_into(place or Path(words[1]) / "ranking", rest, top, enough)


def test_who_does_what_it_says_comes_to_the_end(data: Path, tmp_path: Path) -> None:
    rounds, kinds = tmp_path / "rounds", []
    while (step := semivox.loop(data, rounds, top=4).steps[0]).kind != "stop":
        for command in step.commands:
            _parser().parse_args(shlex.split(command)[1:])  # each is a command that there is
        kinds.append(step.kind)
        obey(data, rounds, step)
        assert len(kinds) < 20
    assert kinds == ["choose", "draw", "train", "choose", "draw", "train", "choose", "draw", "train"]
    assert labeled(data) == NAMES


def test_wherever_one_is_it_knows_the_next_step(data: Path, tmp_path: Path) -> None:
    rounds = tmp_path / "rounds"

    def next_steps() -> tuple[Step, ...]:
        return semivox.loop(data, rounds, top=4).steps

    obey(data, rounds, next_steps()[0])
    draw(data, NAMES[:3])  # three of four
    first, other = next_steps()
    assert (first.kind, first.scans, other.kind) == ("draw", (NAMES[3],), "train")
    obey(data, rounds, other)
    assert [step.kind for step in next_steps()] == ["choose", "trust"]
    shutil.rmtree(rounds / "1/folds2")  # not finished: that alone is to be done
    (rounds / "1/folds2").mkdir()
    (again,) = [step for step in next_steps() if step.kind == "train"]
    assert len(again.commands) == 1
    assert again.commands[0].endswith("--resume")
    shutil.rmtree(rounds / "1/folds2")
    obey(data, rounds, Step("train", "", (again.commands[0].removesuffix(" --resume"),)))
    obey(data, rounds, next_steps()[0], enough=True)
    assert [step.kind for step in next_steps()] == ["stop", "draw", "trust"]
    assert "+0.001" in next_steps()[0].why
    draw(data, [NAMES[11]])  # one that nobody chose
    assert [step.kind for step in next_steps()] == ["draw", "train", "trust"]
    assert "rounds/2" in next_steps()[1].commands[0]


@pytest.mark.parametrize("begun", ["folds2", "run"])
@pytest.mark.parametrize("change", ["more", "fewer", "another"])
def test_labels_that_change_while_a_round_is_trained_begin_another(
    data: Path, tmp_path: Path, begun: str, change: str
) -> None:
    """What was begun on other labels is refused by ``--resume``, so nobody is told to resume it."""
    rounds, place = tmp_path / "rounds", tmp_path / "rounds/1" / begun
    draw(data, NAMES[:3])
    place.mkdir(parents=True)
    if begun == "run":
        cohort = load_cohort(data)
        roles = {True: "labeled", False: "unlabeled"}
        rows: list[dict[str, str | None]] = [
            {"case": case.name, "role": roles[case.label is not None]} for case in cohort.cases
        ]
        for row, case in zip(rows, cohort.cases, strict=True):
            row["label_sha256"] = label_sha256(case) if case.label else None
        (place / "cases.json").write_text(json.dumps({"format": 1, "cases": rows}))
    else:
        keep(read_request(CompareOptions(data, place, methods="supervised", folds=2)))
    (step,) = semivox.loop(data, rounds).steps
    assert any(command.endswith("--resume") and begun in command for command in step.commands)
    if change == "more":
        draw(data, [NAMES[3]])
    else:
        (data / f"labelsTr/{NAMES[0]}.nii.gz").unlink()
    if change == "another":
        draw(data, [NAMES[3]])
    (step,) = semivox.loop(data, rounds).steps
    assert not [command for command in step.commands if "--resume" in command]
    assert all("rounds/2" in command for command in step.commands)


@pytest.mark.parametrize("gone", [1, 4])
def test_first_scans_that_are_taken_out_of_use_are_replaced(data: Path, tmp_path: Path, gone: int) -> None:
    rounds = tmp_path / "rounds"
    obey(data, rounds, semivox.loop(data, rounds, top=4).steps[0])
    (data / "cases.csv").write_text("case,use\n" + "".join(f"{name},no\n" for name in NAMES[:gone]))
    (step,) = semivox.loop(data, rounds, top=4).steps
    if gone < 4:
        assert (step.kind, step.scans) == ("draw", tuple(NAMES[gone:4]))
        return
    assert (step.kind, len(step.commands)) == ("choose", 1)
    shutil.rmtree(rounds / "first")
    rank_into(rounds / "first", NAMES[gone:], 4)
    (step,) = semivox.loop(data, rounds, top=4).steps
    assert (step.kind, step.scans) == ("draw", tuple(NAMES[4:8]))


def test_few_patients_make_few_folds(data: Path, tmp_path: Path) -> None:
    for count, folds in ((1, []), (2, ["folds2"]), (3, ["folds3", "folds2"]), (5, ["folds4", "folds2"])):
        draw(data, NAMES[:count])
        (step,) = semivox.loop(data, tmp_path / "rounds").steps
        places = [shlex.split(command)[shlex.split(command).index("--out") + 1] for command in step.commands]
        assert [Path(place).name for place in places] == [*folds, "run"]


def test_in_a_terminal_and_for_programs(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds = tmp_path / "rounds [bold]" / ("long" * 50)  # no markup, and no line is broken
    words = ["loop", str(data), "--runs", str(rounds), "--budget", "20m"]
    draw(data, NAMES[:4])
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "12 scans, 4 with a label" in said
    commands = [line.strip() for line in said.splitlines() if line.startswith("    semivox")]
    assert [shlex.split(command)[-2:] for command in commands] == [["--budget", "20m"]] * 3
    assert all(str(rounds) in command for command in commands)
    assert main([*words, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [step["kind"] for step in content["steps"]] == ["train"]
    assert not rounds.parent.exists()  # nothing is written


@pytest.mark.parametrize(("more", "fault"), [({"top": 0}, "no scan"), ({"budget": "soon"}, "budget")])
def test_what_cannot_be_meant_is_refused(
    data: Path, tmp_path: Path, more: dict[str, object], fault: str
) -> None:
    with pytest.raises(SettingsError, match=fault):
        semivox.loop(data, tmp_path / "rounds", **more)  # type: ignore[arg-type]


def test_a_run_is_no_folder_of_rounds(data: Path, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(SettingsError, match="is a run"):
        semivox.loop(data, tmp_path)
