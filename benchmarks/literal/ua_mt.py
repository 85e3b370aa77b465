"""UA-MT, written the obvious way: eight passes of the teacher, all their predictions kept."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from literal.mean_teacher import MeanTeacher, ramp_up, supervised_loss

PASSES = 8


class UAMT(MeanTeacher):
    """A mean teacher that is heard where the entropy of its passes' mean is low."""

    def losses(self, batch: dict[str, Tensor], progress: float) -> dict[str, tuple[float, Tensor]]:
        """As there."""
        image, label = batch["image"], batch["label"]
        labeled_bs = len(label)
        unlabeled = image[labeled_bs:]
        outputs, _, _ = self.student(image)
        with torch.no_grad():
            ema_output, _, _ = self.teacher(unlabeled + self.noise(unlabeled))
            bs, (classes, *size) = len(unlabeled), outputs.shape[1:]
            preds = torch.zeros(PASSES * bs, classes, *size).to(image)
            for i in range(PASSES):
                preds[i * bs : (i + 1) * bs], _, _ = self.teacher(unlabeled + self.noise(unlabeled))
            preds = torch.softmax(preds, dim=1).reshape(PASSES, bs, classes, *size)
            mean = torch.mean(preds, dim=0)
            uncertainty = -torch.sum(mean * torch.log(mean), dim=1, keepdim=True)
            threshold = (0.75 + 0.25 * ramp_up(progress)) * math.log(classes)
            mask = (uncertainty < threshold).to(image)
        loss_seg = supervised_loss(outputs[:labeled_bs], label)
        distance = (torch.softmax(outputs[labeled_bs:], dim=1) - torch.softmax(ema_output, dim=1)) ** 2
        consistency = torch.sum(mask * distance) / (classes * torch.sum(mask))
        return {
            "segmentation": (1.0, loss_seg),
            "consistency": (0.1 * ramp_up(progress), consistency),
        }
