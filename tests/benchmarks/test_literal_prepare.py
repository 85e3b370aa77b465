"""The twin that preparation is measured against writes the arrays that the store holds, and the cohort of the
benchmark is one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from literal.prepare import prepare_all, resample
from prepare import SHAPE, SPACING_MM, write_cohort
from semivox.cohort import load_cohort, split_cohort
from semivox.prepare import build_store, fingerprint, make_plan
from semivox.prepare import resample as ours


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("cohort") / "data", 4)


def test_the_twin_writes_what_the_store_holds(cohort: Path, tmp_path: Path) -> None:
    loaded = load_cohort(cohort)
    split = split_cohort(loaded, None)
    assert [case.name for case in split.labeled] == ["case00000", "case00002"]
    plan = make_plan(fingerprint(loaded, split, cache=tmp_path), 600, override={"rung": 2.0})
    assert plan.spacing == tuple(2.0 * s for s in SPACING_MM)
    store = build_store(loaded, split, plan, tmp_path)
    prepare_all(sorted((cohort / "imagesTr").iterdir()), plan.spacing, tmp_path)
    for index, name in enumerate(store.cases):
        stored = np.asarray(store.case(index).image[0], np.float64)
        twin = np.load(tmp_path / f"{name}_0000.npy").astype(np.float64)
        assert stored.shape == twin.shape == tuple(n // 2 for n in SHAPE)
        np.testing.assert_allclose(twin, stored, rtol=2e-3, atol=2e-3)  # float16, rounded either way


@pytest.mark.parametrize("shape", [(9, 7, 5), (12, 8, 6)])
def test_the_twin_averages_as_we_do(shape: tuple[int, ...]) -> None:
    volume = np.random.default_rng(0).normal(size=shape)
    found = resample(volume, (1.0, 1.0, 1.0), (1.5, 2.0, 1.0))
    np.testing.assert_allclose(found, ours(volume[None], found.shape)[0], rtol=0, atol=1e-6)


def test_the_benchmark_runs(tmp_path: Path) -> None:
    script = Path(__file__).resolve().parents[2] / "benchmarks" / "prepare.py"
    command = [sys.executable, str(script), "--few", "2", "--many", "4", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["semivox_many_peak_mib"] > 50
    assert 0.9 < result["peak_ratio"] < 1.1
    assert result["semivox_many_store_per_s"] > 0
