"""What a fresh ``semivox predict`` loads: torch, and nothing slow besides."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from startup import lap, write_run_and_scan

SLOW = (
    "sympy", "torch._dynamo", "torch._inductor", "torch.utils.tensorboard", "monai",
    "matplotlib", "scipy.stats", "scipy.optimize", "scipy.spatial", "h5py", "pandas", "jinja2",
    "lightning", "tensorboard", "skimage", "medpy",
)  # fmt: skip
"""Not pydantic: it checks a model's card as a whole before anything is built from it, in 0.06 s."""


def test_predict_loads_nothing_slow(tmp_path: Path) -> None:
    run, scan = write_run_and_scan(tmp_path)
    code = (
        "import sys\nfrom semivox.cli import main\n"
        f"code = main(['predict', {str(run)!r}, {str(scan)!r}, '--out', {str(tmp_path / 'masks')!r}])\n"
        "print(*sys.modules, sep='\\n')\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "torch" in loaded
    assert (tmp_path / "masks/scan.nii.gz").is_file()
    assert loaded & set(SLOW) == set()


def test_a_lap_counts_the_clock_and_the_cpu_of_the_process() -> None:
    wall, cpu = lap([sys.executable, "-c", "import time; time.sleep(0.3)"])
    assert wall > 0.3
    assert 0 < cpu < wall
