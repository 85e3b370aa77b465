"""``python -m semivox`` and the ``semivox`` command: signals are heard before anything else is loaded."""

import gc
import sys

from semivox.stopping import StopSignals


def program() -> int:
    """Run the command line that the process was given; returns its exit code."""
    code = 4
    with StopSignals(at_once=True) as stop:
        try:
            from semivox.cli import main

            code = main(stop=stop)
            stop.stay_deaf()  # it ends, with this code, whatever comes now
            gc.freeze()  # or Python would look through every module for garbage before it ends
        except KeyboardInterrupt:
            if "semivox.cli" not in sys.modules:
                print(f"semivox: stopped by {stop.name}; nothing was begun", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(program())
