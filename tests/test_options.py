"""What a command's options promise: one source for the command line, the Python function and the page."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import shlex
import subprocess
import sys
import time
import typing
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest

import semivox
from semivox.arguments import CommandParser, add_arguments, command_of, commands_of
from semivox.cli import _parser, main
from semivox.commands import COMMANDS
from semivox.options import Command, Flag, Json, Positional, arguments, from_options, hints_of, meanings_of
from semivox.output_places import refuse_among_scans
from semivox.training.config import RunSettings
from semivox.training.options import RUN

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]

EACH = pytest.mark.parametrize("name", COMMANDS)
PYTHON = {name: getattr(semivox, name, None) for name in COMMANDS} | {
    "import": semivox.import_data,
    "report": semivox.write_report,
}
PYTHON = {name: function for name, function in PYTHON.items() if callable(function)}


def of(name: str) -> Command[Any]:
    return command_of(COMMANDS[name][0])


def parser_of(command: Command[Any]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_arguments(parser, command)
    return parser


# ---- of the piece itself


@dataclass(frozen=True)
class Small:
    """Options of a made-up command."""

    data: Annotated[str | Path, Positional("DATA")]
    """Where."""
    out: Annotated[str | Path, Flag("DIR")]
    """Whereto, 100 % sure."""
    _: KW_ONLY
    most: Annotated[int | None, Flag("N", default="all")] = None
    """How many."""
    kind: Annotated[Literal["fine", "coarse"] | None, Flag()] = "fine"
    """How."""
    share: Annotated[float, Flag("S", one_of="amount")] = 0.5
    """How much."""
    add: Annotated[Sequence[str], Flag("X", flag="--with", repeat=True)] = ()
    """What else."""
    quiet_please: Annotated[bool, Flag()] = False
    """Say nothing."""
    told: Unknown | None = None
    """For Python alone."""


@dataclass(frozen=True)
class SmallArguments(Small, Json):
    """With what the command line alone has."""

    seed: Annotated[int | None, Flag("S", one_of="amount", same_as=RUN)] = None


@from_options(Small)
def small(options: Small) -> Small:
    """Hand back the options.

    Raises
    ------
    Nothing
        Ever.
    """
    return options


def parsed(text: str) -> SmallArguments:
    return SmallArguments(**vars(parser_of(Command(SmallArguments, id, ())).parse_args(shlex.split(text))))  # type: ignore[arg-type]


def test_fields_become_arguments() -> None:
    assert parsed("here --out there") == SmallArguments("here", "there", add=[])
    given = parsed("d --out o --most 3 --kind coarse --share 0.25 --with a --with b --quiet-please --json")
    assert given == SmallArguments(
        "d", "o", most=3, kind="coarse", share=0.25, add=["a", "b"], quiet_please=True, json=True
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "d",
        "d --out o --most many",
        "d --out o --kind round",
        "d --out o --told x",
        "d --out o --seed 1 --share 1",
    ],
)
def test_what_does_not_fit_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((SystemExit, argparse.ArgumentError)):
        parsed(text)


def test_help_says_meaning_and_default() -> None:
    said = {a.name: a for a in arguments(SmallArguments)}
    assert (said["most"].meaning, said["most"].default) == ("How many.", "all")
    assert said["share"].default == "0.5"
    assert (said["seed"].meaning, said["seed"].default) == ("Seed of every random draw of the run.", "0")
    command = Command(SmallArguments, lambda _: 0, ("semivox small d",))
    text = " ".join(parser_of(command).format_help().split())
    assert "--most N How many (all)" in text
    assert "100 % sure" in text
    assert text.endswith("examples: semivox small d")


def test_options_become_a_function() -> None:
    names = {n: (p.kind.name, p.default) for n, p in inspect.signature(small).parameters.items()}
    assert list(names) == ["data", "out", "most", "kind", "share", "add", "quiet_please", "told"]
    assert names["out"] == ("POSITIONAL_OR_KEYWORD", inspect.Parameter.empty)
    assert names["most"] == ("KEYWORD_ONLY", None)
    assert small("a", out="b", most=2) == Small("a", "b", most=2) == small.of(Small("a", "b", most=2))
    with pytest.raises(TypeError, match="mots"):
        small("a", "b", mots=2)  # type: ignore[call-arg]
    about = inspect.getdoc(small) or ""
    assert about.index("most\n    How many.") < about.index("Raises\n------")


# ---- of every command


@EACH
def test_the_function_has_the_fields_of_the_options(name: str) -> None:
    if name not in PYTHON:
        assert name == "methods"  # a room has this name
        return
    shown = inspect.signature(PYTHON[name]).parameters
    fields = {f.name: f for f in dataclasses.fields(of(name).options)}
    only_typed = set(fields) - set(shown)
    assert only_typed <= {"json", "list", "devices", "verbose"}
    assert set(shown) <= set(fields)
    for key, parameter in shown.items():
        default = fields[key].default
        assert parameter.default == (parameter.empty if default is dataclasses.MISSING else default), key


@EACH
def test_every_field_says_what_it_means(name: str) -> None:
    assert [field for field, (text, _) in meanings_of(of(name).options).items() if not text] == []


@EACH
def test_examples_are_shown_and_parse(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    examples = of(name).examples
    assert examples
    for line in examples:
        assert f"\n  {line}" in text
        program, command, *rest = shlex.split(line)
        assert (program, command) == ("semivox", name)
        parser_of(of(name)).parse_args(rest)


@EACH
def test_help_shows_every_option_and_its_meaning(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([name, "--help"])
    text = " ".join(capsys.readouterr().out.replace("-\n", "-").split())
    for argument in arguments(of(name).options):
        assert argument.flag in text
        assert " ".join(argument.meaning.rstrip(".").replace("``", "").split()[:3]) in text


FLAGS = {
    "demo": "--budget --out",
    "check": "--json --write-exclude",
    "import": "--list",
    "plan": "--budget --cache --json --labeled --out --set",
    "train": "--budget --cache --config --device --devices --init --labeled --method --nodes --out --plan "
    "--precision --recipe --resume --seed --set --steps --threads --watch",
    "predict": "--device --fail-fast --format --out --probabilities --skip-existing --threads --uncertainty "
    "--weights",
    "evaluate": "--json --missing-as-empty --out --policy --tolerance-mm",
    "compare": "--budget --cache --cell --config --device --devices --folds --labeled --list --methods --out "
    "--plan --precision --recipe --reference --seeds --set --steps --test --threads",
    "report": "--device --out --test --threads",
    "rank": "--device --json --labeled --out --score --threads --top",
    "methods": "--json",
}


@pytest.mark.parametrize("name", FLAGS)
def test_flags_that_scripts_rely_on_are_there(name: str) -> None:
    assert set(FLAGS[name].split()) <= {a.flag for a in arguments(of(name).options)}


def test_settings_are_explained_once() -> None:
    """Options that a setting of the run explains take what the setting takes, or nothing."""
    hints = typing.get_type_hints(RunSettings)
    seen = 0
    for name in COMMANDS:
        command = of(name)
        for key, hint in hints_of(command.options).items():
            marks = [m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Flag) and m.same_as]
            if not marks:
                continue
            seen += 1
            ours, theirs = _kinds(hint.__origin__), _kinds(hints[key])
            assert theirs <= ours, (name, key)
            assert meanings_of(command.options)[key][0].startswith(_documented(key).split("; empty")[0])
    assert seen > 10


def _kinds(hint: Any) -> set[Any]:
    args = typing.get_args(hint)
    return {hint} if typing.get_origin(hint) is Literal or not args else set(args) - {type(None)}


def _documented(key: str) -> str:
    from semivox.settings import field_docs

    return field_docs(RunSettings)[key]


@EACH
def test_who_prints_overrides_takes_settings(name: str) -> None:
    sources = {"plan", "train", "compare"}  # those that plan, and so print assumptions with their override
    flags = {a.flag for a in arguments(of(name).options)}
    assert ("--set" in flags) == (name in sources)


@EACH
def test_a_command_with_its_help_loads_nothing_heavy(name: str) -> None:
    code = f"import sys, semivox.cli as c; c.main([{name!r}, '--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "rich", "pydantic", "matplotlib", "shtab"} & set(done.stderr.split())


def test_help_takes_less_than_a_tenth_of_a_second() -> None:
    def cpu() -> float:
        before = time.process_time()
        del sys.argv[1:]
        assert main(["--help"]) == 0
        return time.process_time() - before

    assert min(cpu() for _ in range(5)) < 0.1


# ---- completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_a_shell_completes_every_flag(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print-completion", shell]) == 0
    script = capsys.readouterr().out
    for name in COMMANDS:
        assert name in script
        assert [a.flag for a in arguments(of(name).options) if a.flag.lstrip("-") not in script] == []


def test_bash_reads_the_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--print-completion", "bash"])
    script = tmp_path / "semivox.bash"
    script.write_text(capsys.readouterr().out)
    ask = "COMP_WORDS=(semivox train --me); COMP_CWORD=2; _shtab_semivox; echo ${COMPREPLY[@]}"
    done = subprocess.run(["bash", "-c", f"source {script}; {ask}"], capture_output=True, text=True)
    assert done.stdout.split() == ["--method"]


def test_each_row_has_a_parser_of_its_own() -> None:
    parsers = commands_of(_parser())
    assert all(isinstance(p, CommandParser) and not p.filled for p in parsers)
    assert [p.module for p in parsers] == [module for module, _ in COMMANDS.values()]


# ---- of the places of outputs


def test_every_place_of_outputs_says_so() -> None:
    written = {
        (name, argument.name): argument.mark.writes
        for name in COMMANDS
        for argument in arguments(of(name).options)
        if argument.name in ("out", "cache", "dst") or argument.mark.writes
    }
    assert len(written) > 10
    assert all(written.values())


def words_with(name: str, place: str, path: Path, data: Path) -> list[str]:
    """A command line of ``name`` with ``path`` in its option ``place``."""
    words = [name]
    for argument in arguments(of(name).options):
        if argument.name == place or argument.required:
            other = argument.choices[0] if argument.choices else data
            text = str(path if argument.name == place else other)
            words += [argument.flag, text] if argument.flag else [text]
    if place == "cache" and "--out" not in words and "out" in {a.name for a in arguments(of(name).options)}:
        words += ["--out", str(data.parent / "elsewhere")]
    return words + ["--test", str(data)] * (name == "compare")


@EACH
def test_nothing_is_written_among_scans(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, plain, link = tmp_path / "data", tmp_path / "plain", tmp_path / "link"
    for file in (
        "data/imagesTr/a_0000.png",
        "data/labelsTr/a.png",
        "plain/images/a.png",
        "plain/labels/a.png",
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    (data / "dataset.json").write_text("{}")
    link.symlink_to(data)
    here = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    folders = [
        data,
        data / "imagesTr",
        data / "labelsTr/below/it",
        plain,
        plain / "images",
        link / "imagesUn",
    ]
    files = [data / "dataset.json", data / "cases.csv", data / "labelsTr/a.png", plain / "images/a.html"]
    for argument in arguments(of(name).options):
        if writes := argument.mark.writes:
            for path in folders if writes == "folder" else files:
                assert main(words_with(name, argument.name, path, data)) == 1, path
                assert "would lie among scans and labels" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == here


def test_outputs_may_lie_beside_scans_and_where_prepared_scans_lie(tmp_path: Path) -> None:
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "cache/images/0123").mkdir(parents=True)
    (tmp_path / "images").mkdir()
    for place in ("run", "masks/imagesTr", ".semivox", "cache", "cache/images"):
        refuse_among_scans(tmp_path / place, "")
    for place in ("plan.json", "report.html"):
        refuse_among_scans(tmp_path / place, "", file=True)
