"""Writes docs/reference/commands.md from the options of the commands.

python docs/make_commands.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from semivox.arguments import command_of
from semivox.commands import COMMANDS
from semivox.options import Argument, Command, Flag, Positional, arguments

PAGE = Path(__file__).parent / "reference" / "commands.md"

HEAD = """\
# Commands

Every command with its arguments and their defaults. This page is made from the source by
`python docs/make_commands.py`; `semivox COMMAND --help` shows the same. The functions of the same names are
told in [Use semivox from Python](../python.md).

`semivox --print-completion bash` (or `zsh`, `tcsh`) prints what makes a shell complete commands, options and
files:

    semivox --print-completion bash > ~/.local/share/bash-completion/completions/semivox

| exit code | meaning |
|---:|---|
| 0 | done |
| 1 | data or settings are at fault, and the message says what to do; of `check`: errors were found |
| 2 | the command line cannot be understood |
| 3 | done, but for some cases or cells |
| 4 | stopped by a signal; the same command goes on (`train` with `--resume`) |
| 5 | training failed |
| 70 | a bug in semivox |
"""


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    for name, (module, line) in COMMANDS.items():
        lines += [f"## {name}\n", f"{line[0].upper()}{line[1:]}.\n", *_command(command_of(module))]
    return "\n".join(lines).rstrip("\n") + "\n"


def _command(command: Command[Any]) -> Iterator[str]:
    yield from (f"    {line}" for line in command.examples)
    yield ""
    found = arguments(command.options)
    headings = [getattr(a.mark, "group", "") for a in found]
    order = [name for name in dict.fromkeys(["", *command.groups, *headings]) if name in headings]
    yield "| argument | meaning | default |"
    yield "|---|---|---|"
    for group in order:
        if group:
            yield f"| *{group}* | | |"
        own = [a for a, heading in zip(found, headings, strict=True) if heading == group]
        for argument in sorted(own, key=lambda a: not isinstance(a.mark, Positional)):
            yield _row(argument, command.one_of_required)
    yield ""


def _row(argument: Argument, one_of_required: tuple[str, ...]) -> str:
    default = "required" if argument.required else argument.default
    if isinstance(argument.mark, Flag) and argument.mark.one_of in one_of_required:
        default = "one of these is required"
    return f"| `{_written(argument)}` | {_cell(argument.meaning)} | {_cell(default)} |"


def _written(argument: Argument) -> str:
    mark = argument.mark
    if isinstance(mark, Positional):
        return mark.metavar + " ..." * mark.many
    return argument.flag if argument.switch else f"{argument.flag} {mark.metavar or _choices(argument)}"


def _choices(argument: Argument) -> str:
    return "{" + ",".join(argument.choices) + "}"


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
