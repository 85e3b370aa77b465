"""Reading a run's model files back: the card, checked, and the networks with their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import nn

from semivox.cohort import ENDINGS, sha256_file
from semivox.errors import DataError, SettingsError
from semivox.files import read_json
from semivox.inference.export import CARD, ENSEMBLE, FORMAT, WEIGHTS
from semivox.networks import build_from_description


def read_card(run: str | Path) -> dict[str, Any]:
    """``model.json`` of a run, after checking that the weights beside it are the ones it names.

    Raises DataError: no model, one of a newer format, or weights of another card.
    """
    run = Path(run)
    if not (run / CARD).is_file() and (run / ENSEMBLE).is_file():
        raise DataError(
            "is a folder of several runs, and one is asked for",
            path=run,
            found=ENSEMBLE,
            expected=f"a run, with {CARD}",
            remedy=f"give one of the runs that {ENSEMBLE} lists",
        )
    if not (run / CARD).is_file() or not (run / WEIGHTS).is_file():
        raise DataError(
            "holds no model",
            path=run,
            found=f"no {CARD} with {WEIGHTS}" if run.is_dir() else "no such folder",
            expected="the folder that `semivox train --out` wrote, training finished",
            remedy="check the path, or finish the training with --resume",
        )
    card = read_json(run / CARD, newest=FORMAT)
    digest = sha256_file(run / WEIGHTS)
    if digest != card.get("model_id"):
        raise DataError(
            "the weights are not those that the model's card names",
            path=run / WEIGHTS,
            found=f"sha256 {digest[:12]}...",
            expected=f"sha256 {str(card.get('model_id'))[:12]}...",
            remedy="copy the run folder again, or resume the training to write both files anew",
        )
    from semivox.inference.card import check_card  # pydantic takes its time

    check_card(card, run / CARD, run / WEIGHTS)
    return _without_made_up_spacing({"codes": {}, "colours": {}, "may_be_empty": [], **card})


def _without_made_up_spacing(card: dict[str, Any]) -> dict[str, Any]:
    """A card from the time when every PNG and TIFF was taken to have pixels of 1 mm: they are pixels."""
    ending = ENDINGS.get(str(card.get("file_ending")).lower())
    if "spacing_read" in card or ending is None or not ending.colours:
        return card
    plan = {**card["plan"], "spacing_known": False}
    return {**card, "spacing_known": False, "plan": plan}


def load_networks(
    run: str | Path,
    roles: Sequence[str] | None = None,
    precision: Literal["fp32", "bf16"] = "fp32",
    card: Mapping[str, Any] | None = None,
) -> dict[str, nn.Module]:
    """The networks of a run by role, on the CPU (``roles`` None: all).

    ``card`` saves reading and checking it again.

    Raises DataError as :func:`read_card`, and SettingsError for a role the model does not have.
    """
    run, card = Path(run), read_card(run) if card is None else card
    known = list(card["networks"])
    unknown = [role for role in roles or () if role not in known]
    if unknown:
        raise SettingsError(
            "the model has no such network", path=run, found=unknown[0], expected=" or ".join(known)
        )
    return {role: _network(run, card, role, precision) for role in (known if roles is None else roles)}


def _network(run: Path, card: Mapping[str, Any], role: str, precision: Literal["fp32", "bf16"]) -> nn.Module:
    from safetensors import SafetensorError, safe_open

    network = build_from_description(card["networks"][role], precision=precision)
    prefix = f"{role}."
    try:
        with safe_open(run / WEIGHTS, framework="pt") as file:
            keys = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118 (not a dict)
            tensors = {key[len(prefix) :]: file.get_tensor(key) for key in keys}
        own = network.state_dict()
        for name, tensor in tensors.items():
            whole = name in own and not own[name].is_floating_point()
            if tensor.is_floating_point() == whole or not tensor.isfinite().all():
                raise DataError(
                    f"the weights of {role!r} are no weights",
                    path=run / WEIGHTS,
                    found=f"{name}: {tensor.dtype}" + ("" if tensor.isfinite().all() else ", not finite"),
                    expected=str(own[name].dtype) if name in own else "finite numbers",
                    remedy="copy the run folder again, or resume the training to write the model anew",
                )
        network.load_state_dict(tensors)
    except (SafetensorError, RuntimeError) as error:
        raise DataError(
            f"the weights of {role!r} cannot be read", path=run / WEIGHTS, found=str(error).splitlines()[0]
        ) from error
    return network
