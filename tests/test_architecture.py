"""The house's rules, read from its source: imports run one way, files stay small, nothing is unpickled."""

from __future__ import annotations

import ast
import copy
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from semivox.methods.catalog import CATALOG

SOURCE = Path(__file__).resolve().parents[1] / "src" / "semivox"
FILES = sorted(SOURCE.rglob("*.py"))
SCRIPTS = sorted(path for path in SOURCE.rglob("*.js") if path.name != "niivue.js")  # others made it

# What stands later may import what stands earlier; a line is one level, whose files may import each other.
ORDER = (
    (
        "errors",
        "failure",
        "contents",
        "comparison_contents",
        "shown_contents",
        "content_checks",
        "settings",
        "randomness",
        "duration",
        "disk",
        "leftovers",
        "files",
        "machine",
        "prediction_rows",
        "components",
        "numerals",
        "ranges",
        "trees",
        "lazy",
        "heavy_imports",
        "extras",
        "devices",
        "nnunet_raw",
        "output_places",
        "remote",
        "option_kinds",
        "options",
        "terminal",
        "stopping",
    ),
    ("cohort",),
    ("dicomweb",),
    ("prepare",),
    ("pretrained",),
    ("losses",),
    ("batches",),
    ("pretraining",),
    ("networks",),
    ("tiles",),
    ("methods",),
    ("training",),
    ("inference",),
    ("ranking",),
    ("evaluation",),
    ("forecast",),
    ("report",),
    ("exports",),
    ("testing",),
    ("runs",),
    ("engines",),
    ("elsewhere",),
    ("comparison",),
    ("rounds",),
    ("annotating",),
    ("commands",),
    ("arguments",),
    ("cli",),
    ("__init__", "__main__"),
)
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def package_of(path: Path) -> list[str]:
    return ["semivox", *path.relative_to(SOURCE).parent.parts]


def imported(tree: ast.AST, package: list[str]) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import, in functions and TYPE_CHECKING blocks too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def against_the_order(tree: ast.AST, room: str, package: list[str]) -> list[str]:
    wrong = []
    for line, name in imported(tree, package):
        parts = name.split(".")
        if parts[0] != "semivox" or len(parts) < 2:
            continue
        if LEVEL[parts[1]] > LEVEL[room]:
            wrong.append(f"{line}: {room} imports {name}")
    return wrong


def test_every_room_has_its_place() -> None:
    assert {room_of(path) for path in FILES} <= set(LEVEL)


def test_contributors_are_told_this_order() -> None:
    text = (SOURCE.parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    told = re.search(r"^`cohort`(?: →\s`\w+`)+$", text, re.MULTILINE)
    assert told is not None
    assert re.findall(r"\w+", told[0]) == [room for rooms in ORDER[1:-1] for room in rooms]


def test_imports_run_one_way() -> None:
    wrong = [
        f"{path.relative_to(SOURCE)}:{fault}"
        for path in FILES
        for fault in against_the_order(tree_of(path), room_of(path), package_of(path))
    ]
    assert wrong == []


def test_the_rule_sees_every_kind_of_import() -> None:
    source = (
        "from typing import TYPE_CHECKING\n"
        "from semivox.batches import Batches\n"
        "import semivox.training.loop\n"
        "from semivox import commands\n"
        "from ..training import ema\n"
        "if TYPE_CHECKING:\n    from semivox.inference import Model\n"
        "def f():\n    from semivox.report.masks import mask_figure\n"
    )
    found = against_the_order(ast.parse(source), "methods", ["semivox", "methods"])
    assert [int(line.split(":")[0]) for line in found] == [3, 4, 5, 7, 9]


def test_files_stay_small() -> None:
    assert len(SCRIPTS) > 10
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (*FILES, *SCRIPTS)}
    assert {str(p): n for p, n in lengths.items() if n > 400} == {}


def script_imports(path: Path) -> set[Path]:
    """The scripts that a browser module imports, by their places."""
    text = path.read_text(encoding="utf-8")
    return {path.parent / name for name in re.findall(r'^import .* from "\./(.+)";$', text, re.MULTILINE)}


def test_scripts_import_one_way() -> None:
    left = {path: script_imports(path) for path in SCRIPTS}
    assert sum(map(len, left.values())) > 20
    while free := {path for path, needs in left.items() if not needs & set(left)}:
        left = {path: needs for path, needs in left.items() if path not in free}
    assert {path.name: sorted(need.name for need in needs) for path, needs in left.items()} == {}


# Longer than a method may be, still: none may grow, and no other joins them.
TOO_LONG = {"cvrl": 189, "self_ensembling": 175}


def test_a_method_fits_on_a_page() -> None:
    lengths = {
        name: len((SOURCE / "methods" / f"{name}.py").read_text(encoding="utf-8").splitlines())
        for name in CATALOG
    }
    assert {name: n for name, n in lengths.items() if n > TOO_LONG.get(name, 150)} == {}


def test_a_function_of_a_run_fits_a_page() -> None:
    files = [path for path in FILES if room_of(path) in ("training", "runs")]
    files.append(SOURCE / "commands" / "train.py")
    functions = [
        (f"{path.relative_to(SOURCE)}:{node.name}", node.end_lineno - node.lineno + 1)
        for path in files
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None
    ]
    assert len(functions) > 150
    assert [f"{name}: {lines} lines" for name, lines in functions if lines > 60] == []


def test_no_file_is_named_for_leftovers() -> None:
    stems = {"utils", "util", "helpers", "helper", "misc", "common", "tools", "manager"}
    assert [str(path) for path in (*FILES, *SOURCE.rglob("*/")) if path.stem in stems] == []


def unsafe(tree: ast.AST, package: list[str]) -> list[str]:
    """Ways to run code hidden in a file: pickles, yaml.load, eval."""
    modules = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    found = [f"{line}: {name}" for line, name in imported(tree, package) if name.split(".")[0] in modules]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called, keywords = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
        wrong = (
            (called == "torch.load" and keywords.get("weights_only") != "True")
            or keywords.get("allow_pickle", "False") != "False"
            or (called in ("np.load", "numpy.load") and len(node.args) > 2)
            or (called.startswith("yaml.") and called.removeprefix("yaml.").startswith(("load", "unsafe")))
            or called in ("eval", "exec", "torch.jit.load", "torch.hub.load")
        )
        if wrong:
            found.append(f"{node.lineno}: {ast.unparse(node)[:60]}")
    return found


def test_nothing_is_unpickled() -> None:
    assert [f"{p.relative_to(SOURCE)}:{u}" for p in FILES for u in unsafe(tree_of(p), package_of(p))] == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=trusted)",
        "np.load(path, None, True)",
        "yaml.load(text, Loader)",
        "eval(text)",
    ],
)
def test_the_rule_sees_unpickling(line: str) -> None:
    assert len(unsafe(ast.parse(line), ["semivox"])) == 1


def at_top(tree: ast.Module) -> ast.Module:
    """The statements that run when a module is imported: not those in functions or under TYPE_CHECKING."""

    class Prune(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None: ...
        def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None: ...
        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if "TYPE_CHECKING" in ast.unparse(node.test) else self.generic_visit(node)

    return ast.fix_missing_locations(Prune().visit(copy.deepcopy(tree)))


def test_slow_or_foreign_packages_are_not_imported_at_the_top() -> None:
    slow = {
        "pydicom",
        "highdicom",
        "monai",
        "medpy",
        "lightning",
        "lightning_fabric",
        "pytorch_lightning",
        "mlflow",
        "wandb",
    }
    wrong = [
        f"{path.relative_to(SOURCE)}:{line} {name}"
        for path in FILES
        for line, name in imported(at_top(tree_of(path)), package_of(path))
        if name.split(".")[0] in slow
    ]
    assert wrong == []
    anywhere = {n.split(".")[0] for p in FILES for _, n in imported(tree_of(p), package_of(p))}
    assert "medpy" not in anywhere


def loaded_by(statement: str) -> set[str]:
    """Top-level packages in memory after ``statement``, in a fresh interpreter."""
    code = f"{statement}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_what_needs_no_torch_imports_none() -> None:
    modules = (
        "semivox.cli", "semivox.cohort.check", "semivox.cohort.importers", "semivox.prepare.planner",
        "semivox.prepare.store", "semivox.evaluation.folders", "semivox.evaluation.paired",
        "semivox.methods.catalog", "semivox.commands.check", "semivox.commands.plan",
        "semivox.commands.evaluate", "semivox.commands.predict", "semivox.commands.methods",
        "semivox.commands.import_data", "semivox.commands.compare", "semivox.comparison.request",
        "semivox.commands.rank", "semivox.commands.loop", "semivox.rounds",
        "semivox.commands.report",
    )  # fmt: skip
    loaded = loaded_by("import " + ", ".join(modules))
    assert "numpy" in loaded  # the list is that of the modules above
    assert not {"torch", "monai", "matplotlib", "pydantic"} & loaded


def test_a_page_is_made_without_torch() -> None:
    loaded = loaded_by("import semivox.report.run_page")
    assert "matplotlib" in loaded
    assert not {"torch", "monai", "pydantic"} & loaded


def test_predict_loads_neither_monai_nor_lightning_nor_matplotlib() -> None:
    loaded = loaded_by(
        "import semivox.commands.predict, semivox.inference.folder, semivox.inference.model, "
        "semivox.cohort.scans, safetensors, cc3d"
    )
    assert "torch" in loaded
    heavy = {"monai", "lightning", "lightning_fabric", "matplotlib", "medpy"}
    assert not heavy & loaded
    assert not {"tensorboard", "mlflow", "wandb"} & loaded


CHECKED_BY = {"check_content", "check_card", "from_plain", "plan_from_json", "_parse_card"}
UNCHECKED = {
    "cohort/dataset_json.py:_content": "what users write, which is read key by key",
    "comparison/cells.py:holder": "says who, as they wrote it",
    "inference/folder.py:_check_folder": "only asks whether it is equal",
    "prepare/store_entry.py:read_meta": "meta_if_whole has checked it",
    "report/comparison_words.py:budget": "one number, which it takes or leaves",
}
"""Functions that read JSON without saying what it must hold, and why they may."""


def test_what_is_read_as_json_says_what_it_must_hold() -> None:
    found = set()
    for path in FILES:
        for function in ast.walk(tree_of(path)):
            if not isinstance(function, ast.FunctionDef):
                continue
            calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
            names = {node.func.id for node in calls if isinstance(node.func, ast.Name)}
            bare = [
                node
                for node in calls
                if isinstance(node.func, ast.Name)
                and node.func.id in ("read_json", "load_json")
                and not any(keyword.arg == "kind" for keyword in node.keywords)
            ]
            if bare and not names & CHECKED_BY:
                found.add(f"{path.relative_to(SOURCE).as_posix()}:{function.name}")
    assert found == set(UNCHECKED)


# Where files are deleted, moved or opened for writing, and why the place is the program's own or the user's.
# Everything else calls semivox.files, whose names are bare and whose folders are no links. A row read from a
# file must never become a place here.
TOUCHES = {
    "disk.py": {
        "mkdir",
        "mkstemp",
        "mkdtemp",
        "TemporaryFile",
        "os.open",
        "fsync",
        "chmod",
        "os.utime",
        "os.link",
        "replace",
        "unlink",
        "rmtree",
        "rmdir",
        "open:a",
        "open:w",
    },  # the one door
    "files.py": {"write_text", "write_bytes", "copyfile"},  # a temporary of `replacing`
    "annotating/book.py": {"sqlite3.connect"},  # a file of its own, which SQLite keeps whole
    "leftovers.py": {"os.open"},  # to lock it
    "cli.py": {"os.open"},  # /dev/null in the place of a closed pipe
    "training/memory.py": {"write_text"},  # /proc/self/clear_refs
    "cohort/decoding_apart.py": {"os.open", "open:w"},  # /dev/null, for what decoders print, and a pipe
    "cohort/cases_csv.py": {"open:w"},  # a temporary of `replacing`
    "cohort/new_folder.py": {"write_text", "open:w"},  # a folder of `building`
    "cohort/phantom.py": {"mkdir"},  # in a new folder
    "cohort/nifti.py": {"nib.save"},  # formats write a temporary of `replacing`
    "cohort/importers/dicom.py": {"mkdir"},  # in a new folder
    "cohort/importers/folders.py": {"copyfile", "mkdir"},  # into a new folder
    "cohort/importers/masks.py": {"copyfile", "mkdir"},  # into a new folder
    "cohort/importers/msd.py": {"copyfile", "mkdir"},  # into a new folder
    "dicomweb/storing.py": {"open:w"},  # in a folder of `scratch`
    "dicomweb/study.py": {"open:w"},  # the same
    "prepare/store_entry.py": {"write_text", "np.save"},  # a folder of `building`
    "pretraining/scans.py": {"mkdir"},  # into a new folder
    "training/checkpoints.py": {"torch.save"},  # a temporary of `replacing`
    "training/pseudo_label_bank.py": {"np.save"},  # a temporary of `replacing`
    "report/contact_sheet.py": {"np.savez"},  # in a folder of `scratch`
    "engines/worker.py": {"open:w"},  # a pipe
    "inference/export.py": {"save_file"},  # a temporary of `replacing`
    "inference/record.py": {"open:w"},  # temporaries of `replacing`
    "testing/runs.py": {"TemporaryDirectory", "copytree", "mkdir"},  # a developer's checks
    "testing/learning.py": {"TemporaryDirectory"},
}


def touched(tree: ast.AST) -> set[str]:
    """Calls that delete, move, or open for writing, by a short name."""
    short = {
        "unlink", "rmtree", "rmdir", "rename", "renames", "removedirs", "write_bytes", "write_text", "touch",
        "symlink_to", "hardlink_to", "copyfile", "copytree", "copy2", "copymode", "mkstemp", "mkdtemp",
        "NamedTemporaryFile", "TemporaryDirectory", "TemporaryFile", "tofile", "savetxt", "to_filename",
        "save_file", "mkdir", "chmod", "fsync",
    }  # fmt: skip
    whole = {"os.remove", "os.open", "os.link", "os.symlink", "os.truncate", "os.utime", "shutil.copy",
             "shutil.move", "nib.save", "np.save", "np.savez", "np.savez_compressed", "torch.save",
             "sqlite3.connect"}  # fmt: skip
    ours = {"write_text", "write_bytes"}  # semivox.files has them too, as plain functions
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        last = called.rpartition(".")[2]
        if called.startswith("disk."):
            continue
        if called in whole:
            found.add(called)
        elif last in short and not (last in ours and called == last):
            found.add(last)
        elif last == "replace" and (
            called == "os.replace" or (len(node.args) == 1 and "." in called and not node.keywords)
        ):
            found.add("replace")
        elif last in ("open", "fdopen") and called != "os.open":
            modes = [a.value for a in [*node.args, *(k.value for k in node.keywords if k.arg == "mode")]
                     if isinstance(a, ast.Constant) and isinstance(a.value, str)]  # fmt: skip
            if modes and set(modes[-1]) & set("wax+") and len(modes[-1]) <= 3:
                found.add(f"open:{modes[-1][0]}")
    return found


def test_files_are_touched_in_the_listed_places_only() -> None:
    found = {str(path.relative_to(SOURCE)): touched(tree_of(path)) for path in FILES}
    assert {name: calls for name, calls in found.items() if calls} == TOUCHES


def test_few_know_the_disk_itself() -> None:
    """All others write by the functions of `files`, which tell the user what went wrong."""
    knows = {
        path.relative_to(SOURCE).as_posix()
        for path in FILES
        for _, name in imported(tree_of(path), package_of(path))
        if name == "semivox.disk"
    }
    assert knows == {"files.py", "leftovers.py", "prepare/cache.py", "training/run_folder.py"}


@pytest.mark.parametrize(
    "line",
    [
        "(folder / row['mask']).unlink(missing_ok=True)",
        "os.remove(name)",
        "os.replace(a, b)",
        "path.rename(other)",
        "path.replace(other)",
        "shutil.rmtree(folder)",
        "folder.rmdir()",
        "open(name, 'w')",
        "path.open('ab')",
        "open(name, mode='x')",
        "path.write_text('')",
        "np.save(path, array)",
        "shutil.move(a, b)",
        "sqlite3.connect(path)",
    ],
)
def test_the_rule_sees_what_touches_files(line: str) -> None:
    assert len(touched(ast.parse(line))) == 1
