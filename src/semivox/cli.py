"""The ``semivox`` command: parses, calls one function of ``commands/``, and turns errors into exit codes.

Nothing heavy is imported until a command runs, so ``semivox --help`` answers at once.
"""

from __future__ import annotations

import argparse
import errno
import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from semivox.arguments import CommandParser, completion, run
from semivox.commands import COMMANDS
from semivox.errors import BUG, SemivoxError
from semivox.files import write_text

SHELLS = ("bash", "zsh", "tcsh")
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
DISK_REMEDY = "free disk space, or choose a folder that you may write to"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (0 done, 1 data or settings, 2 usage, 3 some cases failed,
    4 stopped and resumable, 5 training failed, 70 a bug)."""
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as done:  # --help, --version, or a usage error that argparse has told
        return done.code if isinstance(done.code, int) else 0
    try:
        code = run(COMMANDS[arguments.command][0], arguments)
        sys.stdout.flush()
        return code
    except SemivoxError as error:
        print(f"semivox {arguments.command}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"semivox {arguments.command}: interrupted", file=sys.stderr)
        return 4
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the last flush would complain
        return 1
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK:
            fault = f"{error.filename or 'a file'}: {error.strerror}. Remedy: {DISK_REMEDY}"
            print(f"semivox {arguments.command}: {fault}", file=sys.stderr)
            return 1
        said = f"{type(error).__name__}: {error}"
        print(f"semivox {arguments.command}: a bug in semivox, sorry: {said}", file=sys.stderr)
        print(_write_bug(arguments, sys.argv[1:] if argv is None else argv), file=sys.stderr)
        return BUG


def _write_bug(arguments: argparse.Namespace, argv: Sequence[str]) -> str:
    """The traceback into OUT/error.log where the command has such a folder, else ./semivox-error.log."""
    out = getattr(arguments, "out", None)
    folder = Path(out) if out and Path(out).is_dir() else Path()
    path = folder / ("error.log" if out and Path(out).is_dir() else "semivox-error.log")
    try:
        write_text(path, f"semivox {shlex.join(argv)}\n{traceback.format_exc()}")
    except SemivoxError:
        return traceback.format_exc()
    return f"The details are in {path}; please report them."


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


if __name__ == "__main__":
    sys.exit(main())
