"""One step of a method by hand, as in a notebook: no data, no run, no loop.

A method is a torch module: `step` takes a batch and returns the named terms of its loss. Run this file, or
paste it into a notebook cell by cell; put a method of your own, FILE.py:Class, in the place of this one.
"""

from semivox.methods import load_method
from semivox.testing.synthetic import random_batch, tiny, tiny_at

# The method, with its first weights and default settings, on a small plan: 2D, 3 classes, crops of 16 x 16.
method, facts = tiny(load_method("mean_teacher"), dims=2)

# A batch in the form that its streams ask for: noise, with random labels.
batch = random_batch(method, facts)
for name, crops in batch.items():
    print(f"stream {name}: {tuple(crops.views['weak'].shape)}, target: {crops.target is not None}")

# Where in the run the step stands; late, so that the warm-up of weights has let every term in.
at = tiny_at(method, facts)
print(f"stage {at.stage}, step {at.step}, progress {at.progress}")

# The terms. The same call gives the same numbers: every draw has a key and none a state.
terms = method.step(batch, at)
for name, term in terms.items():
    print(f"term {name}: {term.value.item():.4f} x {term.weight:.4f} into {term.player}")

# What the loop does with them: the weighted sum goes backward, then an optimizer and the averages move.
sum(term.weight * term.value for term in terms.values()).backward()
for name, module in method.named_children():
    gradient = sum(float(p.grad.square().sum()) for p in module.parameters() if p.grad is not None) ** 0.5
    print(f"gradient of {name}: {gradient:.4f}")
