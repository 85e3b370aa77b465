"""The sub-commands of ``semivox``: the arguments of each, and the call of its function in ``commands/``.

Nothing heavy is imported until a command runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from semivox.cohort.format_table import WRITABLE
from semivox.terminal import ProgressBar, show, stoppable

Add = Callable[[Any], None]
"""Adds one sub-command to those of a parser; its ``run`` takes the arguments and returns the exit code."""


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
        show(render(result))
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

        with ProgressBar("check", quiet=a.json) as bar:
            report = check(a.data, write_exclude=a.write_exclude, progress=bar)
        show(report.to_json() if a.json else render(report))
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

        with ProgressBar("fingerprint", quiet=a.json) as bar:
            made = plan(a.data, a.budget, a.labeled, out=a.out, cache=a.cache, progress=bar)
        show(plan_to_json(made) if a.json else render(made))
        return 0

    p.set_defaults(run=run)


def _train(commands: Any) -> None:
    p = commands.add_parser("train", help="a data folder -> a run folder with a model")
    p.add_argument("data", metavar="DATA")
    p.add_argument("--out", required=True, metavar="RUN", help="new run folder")
    p.add_argument("--method", metavar="NAME", help="see `semivox methods`; NAME{KEY=VALUE,...} (auto)")
    p.add_argument("--labeled", metavar="SET", help="K, Kp (patients), K@SEED, or a file of names (all)")
    _add_length(p)
    p.add_argument("--seed", type=int, metavar="S", help="seed of every random draw (0)")
    p.add_argument("--init", metavar="RUN0", help="begin with this run's weights")
    p.add_argument("--watch", metavar="DATA2", help="measure these cases while training; changes nothing")
    p.add_argument("--resume", action="store_true", help="go on with the run in --out")
    _add_devices(p)
    p.add_argument("--nodes", type=int, metavar="N", help="machines; torchrun starts it on each")
    _add_settings(p)

    def run(a: argparse.Namespace) -> int:
        from semivox.commands.train import train
        from semivox.training.display import ConsoleDisplay

        go_on = f"the same command with --resume goes on: semivox train {a.data} --out {a.out} --resume ..."
        with stoppable(go_on), ConsoleDisplay() as display:
            train(
                a.data, a.out, method=a.method, labeled=a.labeled, steps=a.steps, budget=a.budget,
                seed=a.seed, recipe=a.recipe, plan=a.plan, init=a.init, watch=a.watch,
                config=a.config, settings=a.set, resume=a.resume, device=a.device,
                precision=a.precision, threads=a.threads, devices=a.devices, nodes=a.nodes, cache=a.cache,
                display=display,
            )  # fmt: skip
        return 0

    p.set_defaults(run=run)


def _predict(commands: Any) -> None:
    p = commands.add_parser("predict", help="scans -> masks on each scan's own grid")
    p.add_argument("model", metavar="RUN")
    p.add_argument("paths", nargs="+", metavar="PATH", help="scans, folders of scans, data folders")
    p.add_argument("--out", required=True, metavar="DIR")
    p.add_argument("--format", default="same", choices=WRITABLE)
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

        report = predict(
            a.model, a.paths, a.out, a.format, a.probabilities, a.uncertainty, a.weights, a.skip_existing,
            a.fail_fast, a.device, a.threads, _line,
        )  # fmt: skip
        if report.undertrained:
            print(f"warning: {report.undertrained}", file=sys.stderr)
        print(
            f"{len(report.rows) - len(report.failed)} masks in {report.out}, "
            f"{len(report.skipped)} up to date, {len(report.review)} to review, {len(report.failed)} failed"
        )
        if report.left_out:
            named = ", ".join(path.name for path in report.left_out[:5])
            print(f"{len(report.left_out)} left out, not read as scans: {named}", file=sys.stderr)
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

        with ProgressBar("evaluate", quiet=a.json) as bar:
            evaluation = evaluate(
                a.predictions, a.labels, a.out, a.tolerance_mm, a.missing_as_empty, a.policy, progress=bar
            )
        show(evaluation if a.json else render(evaluation))
        return 0

    p.set_defaults(run=run)


def _report(commands: Any) -> None:
    p = commands.add_parser("report", help="a run or a comparison as one page, to read and hand on")
    p.add_argument("path", metavar="RUN_OR_COMPARISON")
    p.add_argument("--test", metavar="DATA2", help="first predict and measure these cases, never trained on")
    p.add_argument("--out", metavar="FILE.html", help="(report.html in the folder)")
    p.add_argument("--device", default="auto", metavar="D")
    p.add_argument("--threads", type=int, metavar="N")

    def run(a: argparse.Namespace) -> int:
        from semivox.commands.report import report

        page = report(a.path, a.test, a.out, device=a.device, threads=a.threads, progress=_line)
        print(f"{page} ({page.stat().st_size / 1e6:.1f} MB)")
        return 0

    p.set_defaults(run=run)


def _rank(commands: Any) -> None:
    p = commands.add_parser("rank", help="which unlabelled scans to annotate next, and why")
    p.add_argument("model", metavar="RUN")
    p.add_argument("data", metavar="DATA", help="a data folder, such as the run's own")
    p.add_argument("--top", type=int, metavar="N", help="scans to choose (8)")
    p.add_argument(
        "--score", default="combined", choices=["combined", "entropy", "disagreement", "distance"],
        help="what counts (%(default)s: the mean place under all)",
    )  # fmt: skip
    p.add_argument("--labeled", metavar="SET", help="what is labelled in DATA, see train (the run's cases)")
    p.add_argument("--out", metavar="DIR", help="for tables and pictures (RUN/ranking)")
    p.add_argument("--device", default="auto", metavar="D")
    p.add_argument("--threads", type=int, metavar="N")
    p.add_argument("--json", action="store_true", help="print JSON")

    def run(a: argparse.Namespace) -> int:
        from semivox.commands.rank import rank, render

        with ProgressBar("rank", quiet=a.json) as bar:
            ranking = rank(
                a.model, a.data, a.top, a.score, a.labeled, a.out, a.device, a.threads, progress=bar
            )
        show(dict(ranking.content) if a.json else render(ranking))
        return 3 if ranking.failed else 0

    p.set_defaults(run=run)


def _methods(commands: Any) -> None:
    p = commands.add_parser("methods", help="the methods; with NAME its settings and what each means")
    p.add_argument("name", nargs="?", metavar="NAME")
    p.add_argument("--json", action="store_true", help="print JSON")

    def run(a: argparse.Namespace) -> int:
        from semivox.commands.methods import methods, render

        table = methods(a.name)
        show(table if a.json else render(table))
        return 0

    p.set_defaults(run=run)


def _compare(commands: Any) -> None:
    p = commands.add_parser("compare", help="methods x labelled sets x seeds at equal compute -> one table")
    p.add_argument("data", metavar="DATA")
    p.add_argument("--out", required=True, metavar="DIR", help="goes on with what is there")
    p.add_argument("--methods", required=True, metavar="LIST", help="NAME,NAME{KEY=VALUE,...},... or all")
    p.add_argument("--labeled", default="all", metavar="LIST", help="SET,SET,..., see train (all)")
    p.add_argument("--seeds", default="0", metavar="LIST", help="S,S,... (%(default)s)")
    held_out = p.add_mutually_exclusive_group(required=True)
    held_out.add_argument("--test", metavar="DATA2", help="held-out cases with labels")
    held_out.add_argument("--folds", type=int, metavar="F", help="hold out parts of the labels in turn")
    _add_length(p)
    p.add_argument("--reference", default="supervised", metavar="NAME", help="compare with it (%(default)s)")
    p.add_argument("--list", action="store_true", help="number the cells, tell their state, and end")
    p.add_argument("--cell", type=int, metavar="I", help="work on this cell only, for job arrays")
    _add_devices(p)
    _add_settings(p)

    def run(a: argparse.Namespace) -> int:
        from semivox.commands.compare import compare, list_cells, render, render_cells

        options: dict[str, Any] = {
            "methods": a.methods, "labeled": a.labeled, "seeds": a.seeds, "test": a.test, "folds": a.folds,
            "steps": a.steps, "budget": a.budget, "reference": a.reference, "recipe": a.recipe,
            "plan": a.plan, "config": a.config, "device": a.device,
            "settings": [*a.set, *([f"run.devices={a.devices}"] if a.devices else [])],
            "precision": a.precision, "threads": a.threads, "cache": a.cache,
        }  # fmt: skip
        if a.list:
            show(render_cells(list_cells(a.data, a.out, **options)))
            return 0
        from semivox.training.display import ConsoleDisplay

        with stoppable("the same command goes on"), ConsoleDisplay() as display:
            result = compare(a.data, a.out, cell=a.cell, display=display, **options)
        show(render(result))
        return 3 if result.failed else 0

    p.set_defaults(run=run)


def _add_devices(p: argparse.ArgumentParser) -> None:
    p.add_argument("--devices", type=int, metavar="N", help="processes that share every batch: GPUs, or CPU")


def _add_length(p: argparse.ArgumentParser) -> None:
    length = p.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, metavar="N", help="optimizer steps")
    length.add_argument("--budget", type=_seconds, metavar="T", help="time, such as 30m or 2h (1h)")


def _add_settings(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--recipe", choices=["common", "paper"], help="the house's settings, or the paper's (common)"
    )
    p.add_argument("--plan", metavar="FILE", help="a plan.json to follow")
    p.add_argument("--config", metavar="FILE", help="settings as YAML, such as a run's config.yaml")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any setting (repeatable)")
    p.add_argument("--device", metavar="D", help="auto, cpu, cuda")
    p.add_argument("--precision", choices=["auto", "fp32", "bf16"], help="auto: what is faster here")
    p.add_argument("--threads", type=int, metavar="N", help="CPU threads (all)")
    p.add_argument("--cache", metavar="DIR", help="where prepared scans are kept (DATA/.semivox)")


def _line(done: int, total: int, row: Any) -> None:
    """One predicted case, told on stderr."""
    note = "" if row.flag == "ok" else f"  {row.flag}: {row.reason}"
    print(f"{done}/{total} {row.case} {row.seconds or 0:.1f} s{note}", file=sys.stderr, flush=True)


def _seconds(text: str) -> float:
    """``90``, ``90s``, ``30m``, ``2h``, ``1h30m`` -> seconds."""
    from semivox.duration import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


COMMANDS: tuple[Add, ...] = (
    _demo,
    _check,
    _import,
    _plan,
    _train,
    _predict,
    _evaluate,
    _compare,
    _report,
    _rank,
    _methods,
)
"""In the order of the help."""
