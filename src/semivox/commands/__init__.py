"""One file a sub-command: its options, the public Python function of the same name, and what is shown.

A row below is all that the command line needs to know of a command before it runs. To add one, see
``docs/how-to/add-a-command.md``.
"""

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("semivox.commands.demo", "made-up scans -> train -> predict -> evaluate, in minutes on 2 cores"),
    "check": ("semivox.commands.check", "read every scan and label; say what is wrong and how to mend it"),
    "import": ("semivox.commands.import_data", "other layouts -> a data folder"),
    "plan": ("semivox.commands.plan", "working resolution, patch, network and what they cost"),
    "train": ("semivox.commands.train", "a data folder -> a run folder with a model"),
    "predict": ("semivox.commands.predict", "scans -> masks on each scan's own grid"),
    "evaluate": ("semivox.commands.evaluate", "masks against reference labels, with intervals"),
    "compare": ("semivox.commands.compare", "methods x labelled sets x seeds at equal compute -> one table"),
    "report": ("semivox.commands.report", "a run or a comparison as one page, to read and hand on"),
    "rank": ("semivox.commands.rank", "which unlabelled scans to annotate next, and why"),
    "loop": ("semivox.commands.loop", "how far drawing and training are, and the commands that come next"),
    "annotate": ("semivox.commands.annotate", "a page to look at masks, correct them and train again"),
    "export": ("semivox.commands.export", "a run's model as ONNX, TorchScript or a MONAI bundle"),
    "methods": ("semivox.commands.methods", "the methods; with NAME its settings and what each means"),
}
"""Name -> the module of its ``COMMAND``, and its line in ``semivox --help``; in the order of the help."""
