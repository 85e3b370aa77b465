"""Any MONAI (or plain torch) network that gives logits, behind the forward contract of this package."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from semivox.errors import SettingsError
from semivox.networks.contract import NormMode, Output
from semivox.networks.segmenter import Features, Precision
from semivox.randomness import BatchKey


class MonaiNetwork(nn.Module):
    """``MonaiNetwork(monai.networks.nets.UNet(...), {"bottleneck": "model.1.submodule..."})``.

    network: (B, C, X, Y[, Z]) -> logits (B, K, X, Y[, Z]), or a sequence whose first item they are. It runs
        in ``eval()`` but for what the call asks for.
    features: name -> dotted path of the submodule whose output it is (see ``network.named_modules()``).
    sdm_classes: K where the network gives 2K - 1 channels, of which the last K - 1 are the distance map
        before tanh; None without one.

    Dropout modules draw from ``drop``: element by element, or whole channels for Dropout2d and 3d; their
    first axis is taken to be the batch. Normalisations with running statistics follow ``norm``; those without
    (instance, group, layer) do the same in every mode. Weights are the network's own. Integer counters of
    the normalisations are removed, so that the state is float.
    """

    def __init__(
        self,
        network: nn.Module,
        features: Mapping[str, str] | None = None,
        *,
        sdm_classes: int | None = None,
        precision: Precision = "fp32",
    ) -> None:
        super().__init__()
        self.network, self.sdm_classes, self.precision = network, sdm_classes, precision
        self._drop: BatchKey | None = None
        self._found: dict[str, Tensor] = {}
        modules = dict(network.named_modules())
        for name, path in (features or {}).items():
            if path not in modules:
                raise SettingsError(
                    f"the network has no submodule for the feature {name!r}",
                    found=path,
                    expected="a name in network.named_modules()",
                )
            modules[path].register_forward_hook(partial(self._keep, name))
        for path, module in modules.items():
            if isinstance(module, _DropoutNd):
                module.register_forward_hook(partial(self._dropout, path))
            if isinstance(module, _NormBase) and module.momentum is not None:
                module.num_batches_tracked = None

    def forward(self, x: Tensor, drop: BatchKey | None = None, norm: NormMode = "update") -> Output:
        self.network.eval()
        for module in self.network.modules():
            if isinstance(module, _NormBase) and module.running_mean is not None:
                module.training = norm != "running"
                module.track_running_stats = norm != "batch"
        self._drop, self._found = drop, {}
        try:
            with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                y: Any = self.network(x)
        finally:
            found, self._drop, self._found = self._found, None, {}
        y = (y if isinstance(y, Tensor) else y[0]).float()
        if self.sdm_classes is None:
            return Output(y, None, (), Features(found))
        if y.shape[1] != 2 * self.sdm_classes - 1:
            raise SettingsError(
                "the network does not give logits and a distance map",
                found=f"{y.shape[1]} channels",
                expected=f"{2 * self.sdm_classes - 1} (2K - 1 for K = {self.sdm_classes})",
            )
        return Output(y[:, : self.sdm_classes], y[:, self.sdm_classes :].tanh(), (), Features(found))

    # Hooks are bound methods, not closures, so that a deep copy's hooks belong to the copy.
    def _keep(self, name: str, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self._found[name] = output

    def _dropout(self, path: str, module: _DropoutNd, inputs: Any, output: Tensor) -> Tensor | None:
        if self._drop is None or module.p == 0:
            return None
        whole = not isinstance(module, nn.Dropout)
        shape = (*output.shape[:2], *(1,) * (output.dim() - 2)) if whole else tuple(output.shape)
        keep = (self._drop / path).uniform(shape) >= module.p
        return output * (keep / (1 - module.p)).to(output.device, output.dtype)


__all__ = ["MonaiNetwork"]
