"""nnU-Net's names for data folders: every command that takes a folder takes them, and none is guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from semivox.arguments import command_of
from semivox.cli import main
from semivox.cohort import write_phantom_cohort
from semivox.commands import COMMANDS
from semivox.commands.check import check
from semivox.errors import DataError
from semivox.nnunet_raw import VARIABLE, folder_taken
from semivox.options import Command, arguments, with_data_folders

DATA = ("DATA", "DATA2", "LABELS", "PATH")
"""What the help calls a data folder."""


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of datasets 1, 4, 40, 1234 and, twice, 7; the current folder is empty."""
    names = ("Dataset001_A", "Dataset004_B", "Dataset040_C", "Dataset1234_D", "Dataset007_E", "Dataset007_F")
    for name in (*names, "004", "Dataset4_short", "Dataset009_"):
        (tmp_path / "raw" / name).mkdir(parents=True)
    (tmp_path / "raw/Dataset008_file").touch()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "raw"))
    return tmp_path / "raw"


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("4", "Dataset004_B"),
        ("004", "Dataset004_B"),
        ("Dataset004_B", "Dataset004_B"),
        ("1", "Dataset001_A"),
        ("40", "Dataset040_C"),
        ("1234", "Dataset1234_D"),
        ("Dataset007_F", "Dataset007_F"),
    ],
)
def test_a_name_or_a_number_is_a_folder(raw: Path, word: str, name: str) -> None:
    folder, line = folder_taken(word)
    assert folder == raw / name
    assert line == f"{word}: {raw / name} is taken, by {VARIABLE}"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("7", "several data folders have the number 7; found Dataset007_E, Dataset007_F; expected one"),
        ("8", "none of this number"),
        ("0", "none of this number"),
        ("Dataset004_", None),
        ("Dataset004_b", "none of this name"),
        ("Dataset007_" + "x" * 5000, "none of this name"),
    ],
)
def test_what_fits_none_or_several_is_told(raw: Path, word: str, said: str | None) -> None:
    if said is None:  # no name of nnU-Net's: the command says that there is no such folder
        assert folder_taken(word) == (word, "")
        return
    with pytest.raises(DataError, match=said):
        folder_taken(word)


def test_what_lies_in_the_current_folder_wins_and_that_is_told(raw: Path) -> None:
    Path("4").mkdir()
    Path("Dataset001_A").symlink_to("nowhere")
    for word in ("4", "Dataset001_A"):
        assert folder_taken(word) == (
            word,
            f"{word}: the one in the current folder is taken, not a folder below {VARIABLE}",
        )


def test_without_the_variable_names_mean_nothing(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", None):
        monkeypatch.setenv(VARIABLE, value) if value is not None else monkeypatch.delenv(VARIABLE)
        assert folder_taken("4") == ("4", "")
    monkeypatch.setenv(VARIABLE, str(raw / "missing"))
    with pytest.raises(DataError, match="is no folder that can be read"):
        folder_taken("4")
    assert folder_taken("scans/4") == ("scans/4", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_data_folder_of_every_command_may_be_a_name(raw: Path, name: str) -> None:
    command: Command[object] = command_of(COMMANDS[name][0])
    fields = arguments(command.options)
    marked = {a.name for a in fields if a.mark.data}
    assert marked == {a.name for a in fields if a.mark.metavar in DATA}
    given = {a.name: ["4", "1"] if getattr(a.mark, "many", False) else "4" for a in fields if a.required}
    given |= {a.name: "4" for a in fields if a.name in marked and a.name not in given}
    options, lines = with_data_folders(command.options(**given))
    for field, words in given.items():
        many = ([raw / "Dataset004_B", raw / "Dataset001_A"], raw / "Dataset004_B")[
            not isinstance(words, list)
        ]
        assert getattr(options, field) == (many if field in marked else words), field
    assert len(lines) == sum(len(w) if isinstance(w, list) else 1 for f, w in given.items() if f in marked)


def test_a_command_reads_it_and_says_so(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_phantom_cohort(raw / "made", labeled=1, unlabeled=1, test=0)
    (raw / "made/train").rename(raw / "Dataset011_Phantom")
    assert check("11").cases == check(raw / "Dataset011_Phantom").cases == 2
    assert capsys.readouterr() == ("", "")  # Python is told nothing
    assert main(["check", "11"]) == 0
    out, told = capsys.readouterr()
    assert f"11: {raw / 'Dataset011_Phantom'} is taken" in told
    assert f"{raw / 'Dataset011_Phantom'}: 2 cases" in out
    assert main(["check", "12"]) == 1
    assert "none of this number" in capsys.readouterr().err


def test_predict_looks_up_its_scans_once_and_no_run(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs and scans are told apart before; a run may be called what a data folder could be."""
    for run in ("1", "4"):
        Path(run).mkdir()
        (Path(run) / "model.json").write_text("{}")
    Path("40").mkdir()
    assert main(["predict", "1", "4", "40", "--out", "out"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert [line for line in told if "is taken" in line] == [
        f"40: the one in the current folder is taken, not a folder below {VARIABLE}"
    ]
