"""SimCVD, written the obvious way: every similarity matrix in full, exp over sum of exp."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from literal.mean_teacher import noise, ramp_up, supervised_loss
from literal.vnet import VNet, make_teacher


class Projection(nn.Module):
    """Slices (N, K-1, X, Y) -> (N, 128)."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(28),
            nn.Conv2d(planes, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 7 * 7, 256),
            nn.ReLU(),
            nn.Linear(256, 128),
        )

    def forward(self, slices: Tensor) -> Tensor:
        return self.layers(slices)


def slices_of(x: Tensor) -> Tensor:
    """(B, F, X, Y, Z) -> (B Z, F, X, Y)."""
    return torch.cat([volume.permute(3, 0, 1, 2) for volume in x])


def contrast(anchors: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """-log exp(s_ii / t) / sum_j exp(s_ij / t) with s the cosine; anchors, keys (N, D)."""
    similarity = functional.normalize(anchors, dim=1) @ functional.normalize(keys, dim=1).T
    weight = torch.exp(similarity / temperature)
    return torch.mean(-torch.log(torch.diagonal(weight) / torch.sum(weight, dim=1)))


class SimCVD(nn.Module):
    """Boundary-aware slice contrast and pairwise distillation between student and teacher."""

    decay = 0.999

    def __init__(self, channels: int = 1, classes: int = 2, width: int = 16, dropout: float = 0.5) -> None:
        super().__init__()
        self.student = VNet(channels, classes, width, sdm=True, dropout=dropout)
        self.teacher = VNet(channels, classes, width, sdm=True, dropout=dropout)
        self.projection, self.teacher_projection = Projection(classes - 1), Projection(classes - 1)
        make_teacher(self.student, self.teacher)
        make_teacher(self.projection, self.teacher_projection)
        self.noise = noise

    def pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        return [(self.student, self.teacher), (self.projection, self.teacher_projection)]

    def losses(self, batch: dict[str, Tensor], progress: float) -> dict[str, tuple[float, Tensor]]:
        """``image`` (B_l + B_u, C, X, Y, Z), ``label`` (B_l, X, Y, Z), ``sdm`` (B_l, K-1, X, Y, Z)."""
        image, label, sdm = batch["image"], batch["label"], batch["sdm"]
        labeled_bs = len(label)
        unlabeled = image[labeled_bs:]
        outputs, outputs_sdm, features_s = self.student(image)
        with torch.no_grad():
            _, ema_sdm, features_t = self.teacher(unlabeled)

        loss_seg = supervised_loss(outputs[:labeled_bs], label)
        loss_sdm = functional.mse_loss(outputs_sdm[:labeled_bs], sdm)

        grey = unlabeled.mean(dim=1, keepdim=True)
        h_s = self.projection(slices_of(grey + outputs_sdm[labeled_bs:]))
        with torch.no_grad():
            h_t = self.teacher_projection(slices_of(grey + ema_sdm))
        loss_contrast = contrast(h_t, h_s, 0.5)

        pairwise = [
            contrast(f_s.flatten(1).T, f_t.flatten(1).T, 1.0)
            for f_s, f_t in zip(features_s[labeled_bs:], features_t, strict=True)
        ]
        loss_pd = torch.mean(torch.stack(pairwise))

        noisy_s, noisy_t = unlabeled + self.noise(unlabeled), unlabeled + self.noise(unlabeled)
        output_s, _, _ = self._without_statistics(noisy_s)
        with torch.no_grad():
            output_t, _, _ = self.teacher(noisy_t)
        loss_con = functional.mse_loss(torch.softmax(output_s, dim=1), torch.softmax(output_t, dim=1))

        ramp = ramp_up(progress)
        return {
            "segmentation": (1.0, loss_seg),
            "distance": (0.1, loss_sdm),
            "contrast": (0.5 * ramp, loss_contrast),
            "distillation": (0.1 * ramp, loss_pd),
            "consistency": (0.1 * ramp, loss_con),
        }

    def _without_statistics(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """The student normalises this further view with its batch, and keeps no statistics of it."""
        norms = [module for module in self.student.modules() if isinstance(module, nn.BatchNorm3d)]
        for norm in norms:
            norm.momentum = 0.0
        outputs = self.student(x)
        for norm in norms:
            norm.momentum = 0.1
        return outputs
