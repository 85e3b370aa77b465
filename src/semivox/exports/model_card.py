"""The card of a model for people: what it takes and gives, what it learned from, its figures, its limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from semivox.evaluation import metrics_for_people, patient_count, spacing_was_known
from semivox.exports.form import form
from semivox.inference import Model
from semivox.numerals import show_number
from semivox.report.held_out import HeldOut
from semivox.report.run_record import RunRecord


def model_card(model: Model, record: RunRecord) -> str:
    """The card as Markdown."""
    parts = (_head(model, record), form(model), _data(model, record), _figures(record), _limits(model))
    return "\n".join(line for part in parts for line in (*part, "")).rstrip("\n") + "\n"


def _head(model: Model, record: RunRecord) -> Iterator[str]:
    classes = ", ".join(model.structures.values())
    yield f"# {record.path.resolve().name}: a model that segments {classes}"
    yield ""
    yield f"Trained with semivox by the method `{record.method}` ({model.card['steps']} steps, seed"
    yield f"{model.card.get('seed', 'unknown')}). It is a research tool and no medical device."
    if (warning := model.card.get("undertrained")) is not None:
        yield ""
        yield f"**Warning: {warning}.**"


def _data(model: Model, record: RunRecord) -> Iterator[str]:
    labeled, others = record.of_role("labeled"), record.of_role("unlabeled")
    yield "## Data"
    yield ""
    if record.cases:
        patients = len({case.patient for case in labeled})
        yield f"{len(labeled)} labelled scans of {patients} patients, and {len(others)} scans whose labels,"
        yield "if any, no training opened."
    else:
        yield "The run does not say which scans it learned from."
    if (parent := model.card.get("parent")) is not None:
        yield f"It began with the weights of another run ({parent['method']}, {parent['steps']} steps)."
    training = model.card.get("training")
    if training is None:
        return
    yield ""
    yield "| in training | lowest | highest |"
    yield "|---|---|---|"
    for number, (low, high) in enumerate(training["spacing_mm"]):
        yield f"| spacing, {('finest', 'middle', 'coarsest')[number]} axis, mm | {low:.3g} | {high:.3g} |"
    for channel, ranges in zip(model.channels, training["intensity"], strict=False):
        low, high = ranges["low"][0], ranges["high"][1]
        name = f"intensity of {channel} (percentiles 0.5 and 99.5)"
        yield f"| {name} | {show_number(low)} | {show_number(high)} |"
    in_ml = bool(training["spacing_mm"]) and model.plan.dims == 3
    for value, row in sorted(training["classes"].items(), key=lambda item: int(item[0])):
        if row["size"] is not None:
            low, high = (show_number(size) for size in row["size"])
            yield f"| {model.structures[int(value)]}, {'ml' if in_ml else 'voxels'} | {low} | {high} |"


def _figures(record: RunRecord) -> Iterator[str]:
    yield "## Figures"
    yield ""
    measured = [held for held in record.evaluations if held.content is not None]
    if not measured:
        yield "None: nobody has measured it on held-out cases. `semivox report RUN --test DATA2` does."
    for held in measured:
        yield from _table(held, held.content or {})


def _table(held: HeldOut, content: Mapping[str, Any]) -> Iterator[str]:
    mean, ci95, classes = content["mean"], content["ci95"], content["classes"]
    keys = [*classes, *(["foreground"] if len(classes) > 1 else [])]
    yield f"`{held.name}`: {len(content['cases'])} cases of {patient_count(content)} patients, mean"
    yield "[95 % interval over patients]:"
    yield ""
    yield f"| | {' | '.join(classes.get(key, key) for key in keys)} |"
    yield "|---" * (len(keys) + 1) + "|"
    for metric in metrics_for_people(spacing_was_known(mean.values())):
        if any(mean[key].get(metric.name) is not None for key in keys):
            cells = (metric.text(mean[key].get(metric.name), ci95[key].get(metric.name)) for key in keys)
            tolerance = content.get("policy", {}).get("tolerance_mm")
            yield f"| {metric.title(tolerance_mm=tolerance)} | {' | '.join(cells)} |"
    if held.trained_on:
        yield ""
        count = len(held.trained_on)
        yield f"**{count} of these cases are labelled training scans: the numbers are too good.**"
    elif held.seen:
        yield ""
        yield f"{len(held.seen)} of these cases were unlabelled scans of the training."


def _limits(model: Model) -> Iterator[str]:
    yield "## Limits"
    yield ""
    yield "* What lies outside the ranges above was not tried. `semivox predict` flags such scans and masks"
    yield "  for a person to look at; the network alone does not."
    ceilings = ", ".join(f"{shown.name} {shown.dice_ceiling:.3f}" for shown in model.plan.judged)
    yield "* No mask can be finer than the working grid: a label that goes there and back keeps a Dice of"
    yield f"  {ceilings}."
    yield "* Probabilities are those of a softmax; how often they are right, a report with `--test` shows."
    if not model.plan.spacing_known:
        yield "* It knows no millimetres: scans of another resolution look to it like other anatomy."
