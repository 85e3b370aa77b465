"""The ``semivox`` command: parses, calls one function of ``commands/``, and turns errors into exit codes.

Nothing heavy is imported until a command runs, so ``semivox --help`` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from semivox.arguments import CommandParser, command_of, completion, run
from semivox.commands import COMMANDS
from semivox.errors import (
    BUG,
    METHOD_FILES,
    DataError,
    DiskFault,
    MethodFailed,
    SemivoxError,
    Stopped,
    fault_of_method,
    printable,
    shortened,
)
from semivox.stopping import StopSignals

SHELLS = ("bash", "zsh", "tcsh")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
CLOSED = (errno.EROFS, errno.EACCES)
NO_PATH = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR)
"""What only a path can be wrong with; merely asking whether there is something raises them too."""
LONGEST_PATH = 200
"""Letters of one that are shown."""
DISK_REMEDY = "free disk space, or choose a folder that you may write to"


def main(argv: Sequence[str] | None = None, stop: StopSignals | None = None) -> int:
    """Run one command; returns its exit code (0 done, 1 data or settings, 2 usage, 3 some cases failed,
    4 stopped and resumable, 5 training failed, 70 a bug). ``stop``: hears signals already."""
    words = sys.argv[1:] if argv is None else list(argv)
    with StopSignals(at_once=True) if stop is None else contextlib.nullcontext(stop) as heard:
        try:
            return _run(words, heard)
        except KeyboardInterrupt:  # while the answer to the first one was made
            return Stopped.exit_code


def _run(words: Sequence[str], stop: StopSignals) -> int:
    arguments = argparse.Namespace(command="")
    try:
        arguments = _parser().parse_args(words)
        _refuse_no_place()
        code = run(COMMANDS[arguments.command][0], arguments)
        sys.stdout.flush()
        return code
    except SystemExit as done:  # --help, --version, or a usage error that argparse has told
        return done.code if isinstance(done.code, int) else 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the last flush would complain
        return 1
    except (Exception, KeyboardInterrupt) as error:
        # a library in which the signal came may have made another exception of it
        if isinstance(error, KeyboardInterrupt) or (stop() and not isinstance(error, Stopped)):
            _tell(arguments, f"stopped by {stop.name or 'SIGINT'}{_going_on(arguments, words)}")
            return Stopped.exit_code
        fault = error if isinstance(error, SemivoxError) else _of_a_path(error) or fault_of_method(error)
        if fault is not None:
            told = fault.exit_code != Stopped.exit_code or "go on with: " in str(fault)
            log = _logged(arguments, words) if isinstance(fault, MethodFailed) else ""
            more = f"; the full traceback is in {log}" if log else ""
            _tell(arguments, f"{fault}{more}{'' if told else _going_on(arguments, words)}")
            return fault.exit_code
        _tell_bug(arguments, words, error)
        return BUG


def _of_a_path(error: BaseException) -> SemivoxError | None:
    """What to tell of a disk's or a path's fault that nobody met before; None for other errors."""
    if not isinstance(error, OSError) or error.errno not in (*FULL, *CLOSED, *NO_PATH):
        return None
    kind = DiskFault if error.errno in FULL else DataError
    remedy = "give another path" if error.errno in NO_PATH else DISK_REMEDY
    named = str(error.filename or "a file")
    named = named if len(named) <= LONGEST_PATH else f"{named[:LONGEST_PATH]} ..."
    return kind(str(error.strerror), path=named, remedy=remedy)


def _refuse_no_place() -> None:
    """Raise DataError where the folder that relative paths begin at is gone."""
    try:
        os.getcwd()
    except OSError:
        raise DataError(
            "the current folder is gone",
            found="another one in its place",
            remedy="go to a folder that is there",
        ) from None


def _tell(arguments: argparse.Namespace, text: str) -> None:
    print(f"semivox {arguments.command}".rstrip() + f": {text}", file=sys.stderr)


def _going_on(arguments: argparse.Namespace, words: Sequence[str]) -> str:
    """The command that goes on where this one was stopped."""
    if not arguments.command:
        return "; nothing was begun"
    again = command_of(COMMANDS[arguments.command][0]).again
    flags = [again] if again and again not in words else []
    return f"; go on with: {_shown(['semivox', *words, *flags])}"


def _shown(words: Sequence[str]) -> str:
    """A command line as it may be shown and kept: no login in a URL."""
    import shlex

    from semivox.dicomweb import without_login

    return without_login(shlex.join(words))


def _tell_bug(arguments: argparse.Namespace, words: Sequence[str], error: BaseException) -> None:
    """Of an error that nobody foresaw. A user's method may have handed out what broke semivox later."""
    theirs = next((file for file in sorted(METHOD_FILES) if any(file in word for word in words)), None)
    whose = "a bug in semivox, sorry" if theirs is None else f"a bug in the method in {theirs}, or in semivox"
    _tell(arguments, f"{whose}: {type(error).__name__}: {shortened(str(error))}")
    if log := _logged(arguments, words):
        first = "" if theirs is None else "look at what the method hands out, and if it is right "
        print(f"The details are in {log}; {first}please report them.", file=sys.stderr)


def _logged(arguments: argparse.Namespace, argv: Sequence[str]) -> Path | None:
    """Where the traceback was written: OUT/error.log where the command has such a folder, else
    ./semivox-error.log. None where it cannot be: it was told on stderr then."""
    import traceback

    from semivox.files import write_text

    out = getattr(arguments, "out", None)
    folder = Path(out) if out and Path(out).is_dir() else Path()
    path = folder / ("error.log" if out and Path(out).is_dir() else "semivox-error.log")
    try:
        write_text(path, printable(f"{_shown(['semivox', *argv])}\n{traceback.format_exc()}"))
    except SemivoxError:
        print(printable(traceback.format_exc()), file=sys.stderr)
        return None
    return path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="semivox",
        description="Medical image segmentation from few labels: scans, some of them labelled, become masks.",
        epilog="A first result in minutes, nothing to download: semivox demo",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    parser.add_argument(
        "--print-completion",
        action=_Completion,
        choices=SHELLS,
        help="print what makes a shell complete semivox, and exit",
    )
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=CommandParser
    )
    for name, (module, line) in COMMANDS.items():
        commands.add_parser(name, help=line, description=f"{line[0].upper()}{line[1:]}.").module = module
    return parser


class _Completion(argparse.Action):
    """Prints the script for a shell, which takes every command's options."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: object, shell: Any, *rest: object) -> None:
        print(completion(parser, shell))
        parser.exit()


class _Version(argparse.Action):
    """Prints the version, which is looked up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *rest: object) -> None:
        from importlib.metadata import version

        print(f"semivox {version('semivox')}")
        parser.exit()
