"""A processor with AVX2 only, which most laptops have: what is chosen there, and that all of it works.

Two variables hold any x86 to it: ``ONEDNN_MAX_CPU_ISA`` the convolutions, ``ATEN_CPU_CAPABILITY`` all else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from semivox.training.journal import read_journal

BOTH = """
import sys, torch
from semivox.cli import main
data, scans, run, masks = sys.argv[1:]
quick = ["--steps", "3", "--method", "supervised", "--threads", "1", "--cache", run + "-cache", "--verbose"]
small = ["--set", "plan.rung=2", "--set", "plan.patch=[16,16,16]", "--set", "plan.network.kind=unet"]
print(torch.backends.cpu.get_cpu_capability())
assert main(["train", data, "--out", run, *quick, *small, "--set", "run.log_every=1"]) == 0
assert main(["predict", run, scans, "--out", masks]) == 0
"""


def test_a_processor_with_avx2_trains_and_predicts_in_float32(
    phantoms: tuple[Path, Path], tmp_path: Path
) -> None:
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    places = [str(phantoms[0]), str(phantoms[1] / "imagesTr"), str(tmp_path / "run"), str(tmp_path / "masks")]
    done = subprocess.run(
        [sys.executable, "-c", BOTH, *places], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] in ("AVX2", "DEFAULT")  # the latter where it is no x86
    assert "precision: fp32; this machine has no arithmetic for bf16" in " ".join(done.stderr.split())
    assert "core with AVX2, float32" in " ".join(done.stderr.split())  # what the plan counts on
    steps = [record for record in read_journal(tmp_path / "run/metrics.jsonl") if record["kind"] == "step"]
    assert [step["step"] for step in steps] == [0, 1, 2]
    rows = json.loads((tmp_path / "masks" / "predictions.json").read_text())["cases"]
    assert [row["status"] for row in rows] == ["ok", "ok"]
    assert len(list((tmp_path / "masks").glob("*.nii.gz"))) == 2
