"""The ``semivox`` command: parses, calls one function of ``commands/``, and turns errors into exit codes.

Nothing heavy is imported until a command runs, so ``semivox --help`` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from semivox.errors import SemivoxError, Stopped

Run = Callable[[argparse.Namespace], int]

BUG = 70
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
DISK_REMEDY = "free disk space, or choose a folder that you may write to"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (0 done, 1 data or settings, 2 usage, 3 some cases failed,
    4 stopped and resumable, 5 training failed, 70 a bug)."""
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as done:  # --help, --version, or a usage error that argparse has told
        return done.code if isinstance(done.code, int) else 0
    run: Run = arguments.run
    try:
        code = run(arguments)
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
        path.write_text(f"semivox {shlex.join(argv)}\n{traceback.format_exc()}", encoding="utf-8")
    except OSError:
        return traceback.format_exc()
    return f"The details are in {path}; please report them."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="semivox",
        description="Medical image segmentation from few labels: scans, some of them labelled, become masks.",
        epilog="A first result in minutes, nothing to download: semivox demo",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add in (_demo, _check, _import, _plan, _train, _predict, _evaluate, _methods):
        add(commands)
    return parser


class _Version(argparse.Action):
    """Prints the version, which is looked up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *rest: object) -> None:
        from importlib.metadata import version

        print(f"semivox {version('semivox')}")
        parser.exit()


def _demo(commands: Any) -> None:
    p = commands.add_parser(
        "demo", help="made-up scans -> train -> predict -> evaluate, in minutes on 2 cores"
    )
    p.add_argument(
        "--out", default="semivox-demo", metavar="DIR", help="new folder for all of it (%(default)s)"
    )
    p.add_argument(
        "--budget", type=_seconds, default=75.0, metavar="T", help="training time of each method (75s)"
    )

    def run(a: argparse.Namespace) -> int:
        from semivox.commands.demo import demo, render
        from semivox.training.display import ConsoleDisplay

        with ConsoleDisplay() as display:
            result = demo(a.out, budget=a.budget, display=display)
        _print(render(result))
        return 0

    p.set_defaults(run=run)


def _check(commands: Any) -> None:
    p = commands.add_parser("check", help="read every scan and label; say what is wrong and how to mend it")
    p.add_argument("data", metavar="DATA")
    p.add_argument("--json", action="store_true", help="print JSON")
    p.add_argument(
        "--write-exclude", action="store_true", help="set use=no in cases.csv for broken unlabelled scans"
    )

    def run(a: argparse.Namespace) -> int:
        from semivox.commands.check import check, render

        with _bar("check", quiet=a.json) as bar:
            report = check(a.data, write_exclude=a.write_exclude, progress=bar)
        _print(report.to_json() if a.json else render(report))
        return 1 if any(f.severity == "error" for f in report.findings) else 0

    p.set_defaults(run=run)


def _import(commands: Any) -> None:
    p = commands.add_parser("import", help="other layouts -> a data folder")
    p.add_argument(
        "layout", metavar="LAYOUT", choices=["uamt-h5", "ssl4mis-h5", "pancreas-h5", "msd", "folders"],
        help="uamt-h5, ssl4mis-h5, pancreas-h5, msd or folders",
    )  # fmt: skip
    p.add_argument("src", metavar="SRC")
    p.add_argument("dst", metavar="DST", help="new data folder")
    p.add_argument("--list", metavar="FILE", help="names to import, one a line, in this order")

    def run(a: argparse.Namespace) -> int:
        from semivox.commands.import_data import import_data

        print(f"{import_data(a.layout, a.src, a.dst, a.list)}; next: semivox check {a.dst}")
        return 0

    p.set_defaults(run=run)


def _plan(commands: Any) -> None:
    p = commands.add_parser("plan", help="working resolution, patch, network and what they cost")
    p.add_argument("data", metavar="DATA")
    p.add_argument("--budget", type=_seconds, metavar="T", help="training time, such as 30m or 2h (1h)")
    p.add_argument("--labeled", metavar="SET", help="K, Kp (patients), K@SEED, or a file of names")
    p.add_argument("--out", metavar="FILE", help="write plan.json, for train --plan")
    p.add_argument("--cache", metavar="DIR", help="where prepared scans are kept (DATA/.semivox)")
    p.add_argument("--json", action="store_true", help="print JSON")

    def run(a: argparse.Namespace) -> int:
        from semivox.commands.plan import plan, render
        from semivox.prepare import plan_to_json

        with _bar("fingerprint", quiet=a.json) as bar:
            made = plan(a.data, a.budget, a.labeled, out=a.out, cache=a.cache, progress=bar)
        _print(plan_to_json(made) if a.json else render(made))
        return 0

    p.set_defaults(run=run)


def _train(commands: Any) -> None:
    p = commands.add_parser("train", help="a data folder -> a run folder with a model")
    p.add_argument("data", metavar="DATA")
    p.add_argument("--out", required=True, metavar="RUN", help="new run folder")
    p.add_argument("--method", metavar="NAME", help="see `semivox methods`; NAME{KEY=VALUE,...} (auto)")
    p.add_argument("--labeled", metavar="SET", help="K, Kp (patients), K@SEED, or a file of names (all)")
    length = p.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, metavar="N", help="optimizer steps")
    length.add_argument("--budget", type=_seconds, metavar="T", help="time, such as 30m or 2h (1h)")
    p.add_argument("--seed", type=int, metavar="S", help="seed of every random draw (0)")
    p.add_argument(
        "--recipe", choices=["common", "paper"], help="the house's settings, or the paper's (common)"
    )
    p.add_argument("--plan", metavar="FILE", help="a plan.json to follow")
    p.add_argument("--init", metavar="RUN0", help="begin with this run's weights")
    p.add_argument("--watch", metavar="DATA2", help="measure these cases while training; changes nothing")
    p.add_argument("--config", metavar="FILE", help="settings as YAML, such as a run's config.yaml")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any setting (repeatable)")
    p.add_argument("--resume", action="store_true", help="go on with the run in --out")
    p.add_argument("--device", metavar="D", help="auto, cpu, cuda")
    p.add_argument("--precision", choices=["auto", "fp32", "bf16"], help="auto measures both")
    p.add_argument("--threads", type=int, metavar="N", help="CPU threads (all)")
    p.add_argument("--cache", metavar="DIR", help="where prepared scans are kept (DATA/.semivox)")

    def run(a: argparse.Namespace) -> int:
        from semivox.commands.train import train
        from semivox.training.display import ConsoleDisplay

        with _stoppable(a), ConsoleDisplay() as display:
            train(
                a.data, a.out, method=a.method, labeled=a.labeled, steps=a.steps, budget=a.budget,
                seed=a.seed, recipe=a.recipe, plan=a.plan, init=a.init, watch=a.watch,
                config=a.config, settings=a.set, resume=a.resume, device=a.device,
                precision=a.precision, threads=a.threads, cache=a.cache, display=display,
            )  # fmt: skip
        return 0

    p.set_defaults(run=run)


@contextlib.contextmanager
def _stoppable(a: argparse.Namespace) -> Iterator[None]:
    """A signal before the first step or after the last ends in Stopped too; in between the loop listens."""

    def stop(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt(signal.Signals(number).name)

    names = [name for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), stop) for name in names}
    try:
        yield
    except KeyboardInterrupt as error:
        go_on = f"the same command with --resume goes on: semivox train {a.data} --out {a.out} --resume ..."
        raise Stopped(f"stopped by {error}", remedy=go_on) from None
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def _predict(commands: Any) -> None:
    p = commands.add_parser("predict", help="scans -> masks on each scan's own grid")
    p.add_argument("model", metavar="RUN")
    p.add_argument("paths", nargs="+", metavar="PATH", help="scans, folders of scans, data folders")
    p.add_argument("--out", required=True, metavar="DIR")
    p.add_argument("--format", default="same", choices=["same", "nii.gz", "nrrd", "mha"])
    p.add_argument("--probabilities", action="store_true", help="also write class probabilities")
    p.add_argument("--uncertainty", action="store_true", help="also write the entropy of each voxel")
    p.add_argument("--weights", metavar="NAME", help="one network of the model, or mean")
    p.add_argument(
        "--skip-existing", action="store_true", help="leave masks of the same model and scan alone"
    )
    p.add_argument("--fail-fast", action="store_true", help="stop at the first scan that fails")
    p.add_argument("--device", default="auto", metavar="D")
    p.add_argument("--threads", type=int, metavar="N")

    def run(a: argparse.Namespace) -> int:
        from semivox.commands.predict import predict

        def line(done: int, total: int, row: Any) -> None:
            note = "" if row.flag == "ok" else f"  {row.flag}: {row.reason}"
            print(f"{done}/{total} {row.case} {row.seconds or 0:.1f} s{note}", file=sys.stderr, flush=True)

        report = predict(
            a.model, a.paths, a.out, a.format, a.probabilities, a.uncertainty, a.weights, a.skip_existing,
            a.fail_fast, a.device, a.threads, line,
        )  # fmt: skip
        print(
            f"{len(report.rows) - len(report.failed)} masks in {report.out}, "
            f"{len(report.skipped)} up to date, {len(report.review)} to review, {len(report.failed)} failed"
        )
        return 3 if report.failed else 0

    p.set_defaults(run=run)


def _evaluate(commands: Any) -> None:
    p = commands.add_parser("evaluate", help="masks against reference labels, with intervals")
    p.add_argument("predictions", metavar="PREDICTIONS")
    p.add_argument("labels", metavar="LABELS", help="a data folder or a folder of label files")
    p.add_argument("--out", metavar="FILE.json", help="(PREDICTIONS/evaluation.json)")
    p.add_argument("--tolerance-mm", type=float, default=2.0, metavar="MM", help="of NSD (%(default)s)")
    p.add_argument("--missing-as-empty", action="store_true", help="a missing mask counts as empty")
    p.add_argument("--policy", default="default", choices=["default", "literature"], help="for empty masks")
    p.add_argument("--json", action="store_true", help="print JSON")

    def run(a: argparse.Namespace) -> int:
        from semivox.commands.evaluate import evaluate, render

        with _bar("evaluate", quiet=a.json) as bar:
            evaluation = evaluate(
                a.predictions, a.labels, a.out, a.tolerance_mm, a.missing_as_empty, a.policy, progress=bar
            )
        _print(evaluation if a.json else render(evaluation))
        return 0

    p.set_defaults(run=run)


def _methods(commands: Any) -> None:
    p = commands.add_parser("methods", help="the methods; with NAME its settings and what each means")
    p.add_argument("name", nargs="?", metavar="NAME")
    p.add_argument("--json", action="store_true", help="print JSON")

    def run(a: argparse.Namespace) -> int:
        from semivox.commands.methods import methods, render

        table = methods(a.name)
        _print(table if a.json else render(table))
        return 0

    p.set_defaults(run=run)


def _seconds(text: str) -> float:
    """``90``, ``90s``, ``30m``, ``2h``, ``1h30m`` -> seconds."""
    from semivox.duration import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _print(content: Any) -> None:
    if isinstance(content, dict):
        print(json.dumps(content, indent=1, ensure_ascii=False))
        return
    from rich.console import Console

    console = Console()
    if not console.is_terminal:  # a pipe has no width: do not break tables at 80 columns
        console = Console(width=160)
    console.print(content)


class _bar:  # noqa: N801 - reads as a function: with _bar("check") as progress
    """A progress callback (done, total): a bar on a terminal, nothing elsewhere."""

    def __init__(self, what: str, quiet: bool = False) -> None:
        self.what, self.quiet = what, quiet

    def __enter__(self) -> Callable[[int, int], None]:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        self.progress = Progress(
            console=console, transient=True, disable=self.quiet or not console.is_terminal
        )
        self.progress.start()
        task = self.progress.add_task(self.what)
        return lambda done, total: self.progress.update(task, completed=done, total=total)

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()


if __name__ == "__main__":
    sys.exit(main())
