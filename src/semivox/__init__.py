"""semivox: medical image segmentation from few labels.

    import semivox

    semivox.train("my_scans", "run", labeled=8, budget="2h")
    semivox.predict("run", "new_scans", "masks")
    mask = semivox.load_model("run").predict("scan.nii.gz").mask

The functions are those of the command line; they raise :mod:`semivox.errors` and never print or exit. Names
are imported when they are first used. Packages keep their names: ``semivox.report`` is the room of figures
and pages, so the command of that name is ``write_report``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semivox.lazy import attach

if TYPE_CHECKING:
    from semivox import errors
    from semivox.cohort import Volume, load_cohort, read_volume, write_phantom_cohort
    from semivox.commands.annotate import annotate
    from semivox.commands.check import check
    from semivox.commands.compare import compare
    from semivox.commands.demo import demo
    from semivox.commands.evaluate import evaluate
    from semivox.commands.export import export
    from semivox.commands.import_data import import_data
    from semivox.commands.loop import loop
    from semivox.commands.plan import plan
    from semivox.commands.predict import predict
    from semivox.commands.rank import rank
    from semivox.commands.report import write_report
    from semivox.commands.train import train
    from semivox.evaluation import paired_difference
    from semivox.inference import Segmentation, load_ensemble, load_model
    from semivox.pretraining import write_generated_scans
    from semivox.ranking.scan_features import scan_features

__all__ = [
    "Segmentation",
    "Volume",
    "annotate",
    "check",
    "compare",
    "demo",
    "errors",
    "evaluate",
    "export",
    "import_data",
    "load_cohort",
    "load_ensemble",
    "load_model",
    "loop",
    "paired_difference",
    "plan",
    "predict",
    "rank",
    "read_volume",
    "scan_features",
    "train",
    "write_generated_scans",
    "write_phantom_cohort",
    "write_report",
]

__getattr__, __dir__ = attach(__name__)
