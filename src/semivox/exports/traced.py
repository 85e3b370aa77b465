"""The networks of a model as one file that needs no semivox, held against them at several sizes."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from semivox.errors import SemivoxError
from semivox.exports.extra import packages_for
from semivox.exports.form import axes, normalisation, windows
from semivox.inference import Model
from semivox.networks import MeanSoftmax
from semivox.prepare import plan_to_json
from semivox.randomness import Key

ONNX, TORCHSCRIPT = "model.onnx", "model.ts"
INPUT, OUTPUT = "image", "probabilities"
TOLERANCE = 1e-3
"""Probabilities of an exported network may be as far from torch's: other orders of summing give 1e-4."""
LARGEST = 4096
"""Of an axis of the input, in steps of the network's stride; of the batch."""


def write_onnx(model: Model, path: Path) -> float:
    """Write the networks as ONNX, batch and sizes free, with what must be known to use them under the key
    ``semivox`` of its metadata. Returns how far onnxruntime's probabilities were from torch's, at most.

    Raises SettingsError without the packages for it, SemivoxError where the file computes something else.
    """
    runtime, *_ = packages_for("onnx", "onnxruntime", "onnx", "onnxscript")
    example = torch.zeros(2, len(model.channels), *model.plan.patch)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of torch's own ways
        program = torch.onnx.export(
            MeanSoftmax(model.networks).eval(),
            (example,),
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=(_free_sizes(model),),
        )
    assert program is not None
    program.model.metadata_props["semivox"] = json.dumps(facts(model))
    program.save(path)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()  # else a thread a core, whatever was asked for
    session = runtime.InferenceSession(str(path), options)
    return _checked(model, lambda x: torch.from_numpy(session.run(None, {INPUT: x.numpy()})[0]), path)


def write_torchscript(model: Model, path: Path) -> float:
    """The same as TorchScript, with the key among its extra files.

    Traced, and no torch.export archive: TorchScript loads in C++, in MONAI and in versions of torch that
    differ from this one.
    """
    example = torch.zeros(2, len(model.channels), *model.plan.patch)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(MeanSoftmax(model.networks).eval(), example, check_trace=False)
    torch.jit.save(traced, str(path), _extra_files={"semivox": json.dumps(facts(model))})
    return _checked(model, traced, path)


def facts(model: Model) -> dict[str, object]:
    """What one must know to give the networks a scan, and to read what they say."""
    return {
        "model_id": model.model_id,
        "weights": model.weights,
        "channels": list(model.channels),
        "classes": ["background", *(model.classes[value] for value in model.values)],
        "label_values": [0, *model.values],
        **({"regions": model.regions.to_json()} if model.regions else {}),
        "multiple": list(multiple_of(model)),
        "axes": axes(model),
        "normalisation": [normalisation(channel) for channel in model.plan.channels],
        "windows": windows(model),
        "plan": plan_to_json(model.plan),
    }


def multiple_of(model: Model) -> tuple[int, ...]:
    """Of what each axis of the input must be a multiple."""
    return model.plan.network.multiple


def _free_sizes(model: Model) -> dict[int, object]:
    from torch.export import Dim

    sizes: dict[int, object] = {0: Dim("batch", min=1, max=LARGEST)}
    for axis, (name, step) in enumerate(zip("xyz", multiple_of(model), strict=False)):
        size = Dim(name, min=1, max=LARGEST)
        sizes[2 + axis] = step * size if step > 1 else size
    return sizes


def _checked(model: Model, exported: Callable[[Tensor], Tensor], path: Path) -> float:
    """The largest distance of a probability to that of the model's own networks, over inputs of noise."""
    far = 0.0
    for x in _noise(model):
        with torch.no_grad():
            own = sum(net(x, norm="running").logits.softmax(1) for net in model.networks)
            assert isinstance(own, Tensor)
            far = max(far, float((exported(x) - own / len(model.networks)).abs().max()))
    if not far <= TOLERANCE:  # also where it is not a number
        raise SemivoxError(
            "the exported network computes something else than torch",
            path=path,
            found=f"probabilities that differ by {far:.3g}",
            expected=f"at most {TOLERANCE:g}",
            remedy="nothing was written; try other versions of torch, onnx and onnxruntime",
        )
    return far


def _noise(model: Model) -> Iterator[Tensor]:
    """Of the patch's size, of another one and of another batch."""
    step, patch = multiple_of(model), model.plan.patch
    twice, longer = [2 * s for s in step], [p + s for p, s in zip(patch, step, strict=True)]
    for number, (batch, size) in enumerate(((1, patch), (3, twice), (1, longer))):
        yield torch.randn(batch, len(model.channels), *size, generator=(Key(0) / number).torch())
