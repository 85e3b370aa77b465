"""BCP's second stage, written the obvious way: masked losses, largest components by scipy."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from literal.vnet import VNet, make_teacher


def largest_component(pseudo_label: Tensor, classes: int) -> Tensor:
    """(B, X, Y, Z) labels of which each class keeps its largest component."""
    kept = []
    for sample in pseudo_label.detach().cpu().numpy():
        result = np.zeros_like(sample)
        for k in range(1, classes):
            components, count = ndimage.label(sample == k, structure=np.ones((3, 3, 3)))
            if count > 0:
                result[components == np.argmax(np.bincount(components.flat)[1:]) + 1] = k
        kept.append(result)
    return torch.from_numpy(np.stack(kept)).to(pseudo_label.device)


def masked_loss(logits: Tensor, label: Tensor, mask: Tensor) -> Tensor:
    """Dice and cross-entropy where ``mask`` (B, X, Y, Z) is 1; label (B, X, Y, Z) int64."""
    loss_ce = torch.sum(functional.cross_entropy(logits, label, reduction="none") * mask) / torch.sum(mask)
    soft, smooth, loss_dice = torch.softmax(logits, dim=1), 1e-5, torch.zeros(()).to(logits)
    for k in range(1, logits.shape[1]):
        score, target = soft[:, k], (label == k).to(logits)
        intersect = torch.sum(score * target * mask)
        z_sum, y_sum = torch.sum(score * score * mask), torch.sum(target * target * mask)
        loss_dice = loss_dice + 1 - (2 * intersect + smooth) / (z_sum + y_sum + smooth)
    return (loss_dice / (logits.shape[1] - 1) + loss_ce) / 2


def random_box_mask(image: Tensor) -> Tensor:
    """(B, X, Y, Z): 0 in a random box of 2/3 of each side of every crop, else 1."""
    mask = torch.ones_like(image[:, 0])
    for sample in mask:
        start = [np.random.randint(0, n - round(n * 2 / 3) + 1) for n in sample.shape]
        w, h, z = (slice(s, s + round(n * 2 / 3)) for s, n in zip(start, sample.shape, strict=True))
        sample[w, h, z] = 0
    return mask


class BCP(nn.Module):
    """Boxes change places between labelled and unlabelled crops."""

    decay = 0.99

    def __init__(self, channels: int = 1, classes: int = 2, width: int = 16, dropout: float = 0.5) -> None:
        super().__init__()
        self.student = VNet(channels, classes, width, dropout=dropout)
        self.teacher = VNet(channels, classes, width, dropout=dropout)
        make_teacher(self.student, self.teacher)
        self.teacher.eval()
        self.classes = classes
        self.mask = random_box_mask

    def pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        return [(self.student, self.teacher)]

    def losses(self, batch: dict[str, Tensor], progress: float) -> dict[str, tuple[float, Tensor]]:
        """As many labelled as unlabelled crops: ``image`` (2 B, C, X, Y, Z), ``label`` (B, X, Y, Z)."""
        label = batch["label"]
        image_l, image_u = batch["image"][: len(label)], batch["image"][len(label) :]
        with torch.no_grad():
            output, _, _ = self.teacher(image_u)
            pseudo_label = largest_component(torch.argmax(output, dim=1), self.classes)
        mask = self.mask(image_l)
        half = len(label) // 2
        mask = torch.cat([mask[:half], 1 - mask[half:]])  # half of them give the box, half take it
        mixed = image_l * mask[:, None] + image_u * (1 - mask[:, None])
        outputs, _, _ = self.student(mixed)
        return {
            "segmentation": (1.0, masked_loss(outputs, label, mask)),
            "pseudo": (0.5, masked_loss(outputs, pseudo_label, 1 - mask)),
        }
