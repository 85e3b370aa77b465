"""From a command's options to ``argparse`` and back.

A command's file is imported when the command is run or asked for help, not before.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semivox.options import Argument, Command


class CommandParser(argparse.ArgumentParser):
    """The parser of one command; what ``module`` says of its options is added when it is first needed."""

    module: str = ""
    filled: bool = False
    mixing: bool = False

    def fill(self) -> None:
        """Add the arguments and examples of the command."""
        if not self.filled:
            self.filled = True
            add_arguments(self, command_of(self.module))

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Options may stand between the words of a list: ``predict RUN1 RUN2 --tta SCANS``."""
        self.fill()
        found, rest = super().parse_known_args(args, namespace)
        lists = any(action.nargs == "+" for action in self._get_positional_actions())
        if not rest or not lists or self.mixing:
            return found, rest
        self.mixing = True  # what follows comes back here, for the options and for the rest
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self.mixing = False


def command_of(module: str) -> Command[Any]:
    """``COMMAND`` of a command's file."""
    command: Command[Any] = import_module(module).COMMAND
    return command


def run(module: str, given: argparse.Namespace) -> int:
    """Run a command with what was parsed; returns its exit code."""
    from semivox.options import arguments
    from semivox.terminal import with_folders_told

    command = command_of(module)
    values = {a.name: getattr(given, a.name) for a in arguments(command.options)}
    options = command.options(**values)
    if command.arranged is not None:
        options = command.arranged(options)
    return command.run(with_folders_told(options))


def add_arguments(parser: argparse.ArgumentParser, command: Command[Any]) -> None:
    """One argument for each field that is on the command line, under its group's heading."""
    from semivox.options import Positional, arguments

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n  ".join(["examples:", *command.examples])
    groups: dict[str, Any] = {"": parser}
    used = {getattr(argument.mark, "group", "") for argument in arguments(command.options)}
    for name in command.groups:
        if name in used and name not in groups:
            groups[name] = parser.add_argument_group(name)
    exclusive: dict[str, Any] = {}
    for argument in arguments(command.options):
        mark = argument.mark
        if isinstance(mark, Positional):
            _positional(parser, argument, mark.metavar, mark.many)
            continue
        if mark.group not in groups:
            groups[mark.group] = parser.add_argument_group(mark.group)
        place = groups[mark.group]
        if mark.one_of:
            if mark.one_of not in exclusive:
                required = mark.one_of in command.one_of_required
                exclusive[mark.one_of] = place.add_mutually_exclusive_group(required=required)
            place = exclusive[mark.one_of]
        _flag(place, argument, mark.metavar, mark.repeat)


def _positional(parser: argparse.ArgumentParser, argument: Argument, metavar: str, many: bool) -> None:
    parser.add_argument(
        argument.name,
        metavar=metavar,
        nargs="+" if many else None if argument.required else "?",
        choices=argument.choices or None,
        help=help_of(argument),
    )


def _flag(place: Any, argument: Argument, metavar: str, repeat: bool) -> None:
    if argument.switch:
        place.add_argument(argument.flag, dest=argument.name, action="store_true", help=help_of(argument))
        return
    place.add_argument(
        argument.flag,
        dest=argument.name,
        action="append" if repeat else "store",
        metavar=metavar or None,
        type=_parser_of(argument.kind),
        choices=argument.choices or None,
        required=argument.required,
        default=[] if repeat else argument.value,
        help=help_of(argument),
    )


def help_of(argument: Argument) -> str:
    """Its meaning, and what holds where it is not given."""
    text = argument.meaning.replace("``", "").rstrip(".")
    if argument.default:
        text += f" ({argument.default})"
    return text.replace("%", "%%")


def _parser_of(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """``kind`` whose ValueError's words reach the user."""
    if kind in (int, float, str):
        return kind

    def parse(text: str) -> Any:
        try:
            return kind(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script that makes ``shell`` complete the commands of ``parser`` and their options."""
    import shtab

    from semivox.options import arguments

    for command in commands_of(parser):
        command.fill()
        paths = {a.name for a in arguments(command_of(command.module).options) if a.path}
        for action in command._actions:
            if action.dest in paths:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return str(shtab.complete(parser, shell=shell))


def commands_of(parser: argparse.ArgumentParser) -> list[CommandParser]:
    """The parsers of the commands of ``parser``."""
    choices = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return [command for of in choices for command in of.values()]
