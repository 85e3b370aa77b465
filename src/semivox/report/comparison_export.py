"""The table of a comparison for papers and spreadsheets: LaTeX with booktabs, and CSV with every number."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from semivox.duration import show_duration
from semivox.evaluation import COMPARED, DICE, FOREGROUND, METRICS, Metric
from semivox.report.comparison_record import Estimate, MethodResult, distance_of

BOLD = (
    "Bold, column by column within a labelled set: the best of the methods that gain on the reference (the "
    "paired 95 % interval lies wholly on the better side); where none gains, the reference and every method "
    "whose interval holds 0. So bold never marks a lead that the intervals do not show."
)
ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%",
    "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
}  # fmt: skip


def comparison_latex(results: Sequence[MethodResult]) -> str:
    """A ``tabular`` of booktabs, intervals in brackets. What is bold says ``BOLD``, in a comment too."""
    reference = next((r.name for r in results if r.verdict == "reference"), "the reference")
    distance = distance_of(results)
    sets = list(dict.fromkeys(r.labeled for r in results))
    lines = [
        "% \\usepackage{booktabs}, \\usepackage[T1]{fontenc}; mean [95 % interval over patients and seeds]",
        f"% {BOLD}",
        r"\begin{tabular}{llrrrr}",
        r"\toprule",
        f"labelled & method & Dice & Dice minus {latex_text(reference)} & {distance.title()} & time \\\\",
    ]
    for labeled in sets:
        rows = [r for r in results if r.labeled == labeled and r.of("dice").mean is not None]
        bold = {metric: bold_rows(rows, metric) for metric in (DICE.name, distance.name)}
        lines.append(r"\midrule")
        for r in rows:
            cells = [
                latex_text(r.labeled),
                latex_text(r.name),
                _estimate(r.of(DICE.name), DICE, r.variant in bold[DICE.name]),
                "reference" if r.verdict == "reference" else _estimate(r.gain(DICE.name), DICE, sign=True),
                _estimate(r.of(distance.name), distance, r.variant in bold[distance.name]),
                "--" if r.cost.seconds is None else show_duration(r.cost.seconds).replace(" ", r"\,"),
            ]
            lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def comparison_csv(results: Sequence[MethodResult]) -> str:
    """A row a labelled set and method, unrounded: ``METRIC`` of the foreground with ``_low`` and ``_high`` of
    its interval, ``METRIC_difference`` likewise, then Dice of each class by its label value."""
    values = list(dict.fromkeys(value for r in results for value in r.classes))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    header = ["labeled", "variant", "method", "verdict", "seeds", "cases", "patients", "steps", "seconds"]
    header += ["step_seconds", "peak_memory_gib", "patients_better", "patients_worse", "patients_equal"]
    header += ["worst_case", "worst_dice"]
    pairs = [(FOREGROUND, metric) for metric in COMPARED] + [(value, "dice") for value in values]
    for class_, metric in pairs:
        name = metric if class_ == FOREGROUND else f"{metric}_class_{class_}"
        for kind in (name, f"{name}_difference"):
            header += [kind, f"{kind}_low", f"{kind}_high"]
    writer.writerow(header)
    for r in results:
        row: list[object] = [r.labeled, r.variant, r.name, r.verdict, " ".join(map(str, r.seeds))]
        row += [r.cases, r.patients, r.cost.steps, r.cost.seconds, r.cost.step_seconds]
        row += [r.cost.peak_memory_gib, r.better, r.worse, r.equal, r.worst_case, r.worst_dice]
        for class_, metric in pairs:
            for e in (r.of(metric, class_), r.gain(metric, class_)):
                row += [e.mean, e.low, e.high]
        writer.writerow(["" if value is None else value for value in row])
    return text.getvalue()


def bold_rows(rows: Sequence[MethodResult], metric: str) -> set[str]:
    """The variants of one labelled set whose ``metric`` stands in bold: the rule is ``BOLD``."""
    sign = 1 if METRICS[metric].higher_is_better else -1

    def side(gain: Estimate) -> int:
        """1 better, -1 worse than the reference, 0 not known."""
        if gain.low is None or gain.high is None:
            return 0
        return sign if gain.low > 0 else -sign if gain.high < 0 else 0

    against = [r for r in rows if r.gain(metric).low is not None]
    gaining = [r for r in against if side(r.gain(metric)) > 0]
    if gaining:
        return {max(gaining, key=lambda r: sign * (r.of(metric).mean or 0.0)).variant}
    if not against:
        return set()  # nothing was compared
    equal = {r.variant for r in against if side(r.gain(metric)) == 0}
    return equal | {r.variant for r in rows if r.verdict == "reference"}


def latex_text(text: str) -> str:
    """Text as LaTeX shows it literally."""
    return "".join(ESCAPES.get(letter, letter) for letter in text)


def _estimate(estimate: Estimate, metric: Metric, bold: bool = False, sign: bool = False) -> str:
    if estimate.mean is None:
        return "--"
    plus = "+" if sign else ""
    text = metric.text(estimate.mean, sign=plus)
    text = f"$\\mathbf{{{text}}}$" if bold else f"${text}$"
    if estimate.low is not None and estimate.high is not None:
        low, high = (metric.text(end, sign=plus) for end in (estimate.low, estimate.high))
        text += f" $[{low}, {high}]$"
    return text
