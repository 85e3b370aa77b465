"""Another process of a run on several devices, as :mod:`semivox.training.launch` starts it."""

from __future__ import annotations

import sys

from semivox.commands.train import train
from semivox.training.launch import obey

if __name__ == "__main__":
    sys.exit(obey(train))
