"""Which sinks a run asks for, and whether their packages are installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import Protocol

from semivox.errors import SettingsError

KINDS = {
    "tensorboard": ("TensorBoard", "tensorboard", "false"),
    "mlflow": ("MLflow", "mlflow", "null"),
    "wandb": ("Weights & Biases", "wandb", "null"),
}
"""Setting, which is also the extra and the module here -> name, package, and the value that means off."""


class Asked(Protocol):
    """The settings of a run that name sinks; false or None is off."""

    @property
    def tensorboard(self) -> bool: ...
    @property
    def mlflow(self) -> str | None: ...
    @property
    def wandb(self) -> str | None: ...


def refuse_missing(settings: Asked) -> None:
    """Raise SettingsError if a package that the settings ask for is not installed."""
    for kind in asked(settings):
        name, package, off = KINDS[kind]
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:  # without origin: just a folder of that name
            raise SettingsError(
                f"{name} is not installed",
                found=f"run.{kind}={getattr(settings, kind)}",
                remedy=f"pip install 'semivox[{kind}]', or --set run.{kind}={off}",
            )


def asked(settings: Asked) -> Iterable[str]:
    """The names of the sinks that are on."""
    return (kind for kind in KINDS if getattr(settings, kind))
