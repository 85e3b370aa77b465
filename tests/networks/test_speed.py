"""The machine's speed: its row of the table, measured beside others, kept, and believed within bounds."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from semivox.networks import speed as speed_module
from semivox.networks.speed import Speed, capability, costs_here, measured
from semivox.prepare.costs import REST, TABLE, costs_of, pass_seconds

CPU = torch.device("cpu")


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache without anything in it."""
    monkeypatch.setattr(speed_module, "user_cache", lambda: tmp_path)
    return tmp_path / "semivox"


@pytest.mark.parametrize(
    ("told", "supported", "expected"),
    [
        ("", {"_is_avx512_supported", "_is_avx2_supported"}, "avx512"),
        ("AVX512_CORE_VNNI", {"_is_avx512_supported", "_is_avx2_supported"}, "avx512"),
        ("avx2", {"_is_avx512_supported", "_is_avx2_supported"}, "avx2"),  # no variable makes it slower
        ("", {"_is_avx2_supported"}, "avx2"),
        ("", set(), "plain"),
    ],
)
def test_the_row_is_what_the_library_of_convolutions_may_use(
    told: str, supported: set[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", told)
    monkeypatch.setattr(speed_module, "computes_bf16", lambda device: False)
    monkeypatch.setattr(speed_module, "says", lambda place, name: name in supported)
    monkeypatch.setattr(speed_module.platform, "machine", lambda: "x86_64")
    assert capability(CPU) == expected
    monkeypatch.setattr(speed_module.platform, "machine", lambda: "arm64")
    monkeypatch.setattr(speed_module.platform, "system", lambda: "Darwin")
    assert capability(CPU) == "apple"


def test_asking_for_float32_is_another_row() -> None:
    assert not TABLE[capability(CPU, "fp32")].bf16


class Passes:
    """The fastest pass takes ``clock`` seconds, of which several threads worked ``share`` each; for its own
    part one thread alone works ``alone`` seconds."""

    def __init__(self, clock: float, share: float, alone: float) -> None:
        self.clock, self.share, self.alone = clock, share, alone

    def __call__(self, device: torch.device, row: str, crops: int) -> tuple[float, float]:
        threads = torch.get_num_threads()
        clock = self.clock if threads > 1 else self.alone
        return clock, clock * self.share * threads if threads > 1 else self.alone


def test_others_on_the_cores_change_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr(speed_module, "_fastest_pass", Passes(0.4, 0.97, 0.3))
    quiet = measured(CPU, "avx2", 2)
    assert quiet.quiet
    monkeypatch.setattr(speed_module, "_fastest_pass", Passes(5.0, 0.4, 0.3))
    busy = measured(CPU, "avx2", 2)
    assert not busy.quiet
    assert busy.times == pytest.approx(quiet.times, rel=0.1)
    assert torch.get_num_threads() == before


def test_a_measurement_is_that_of_a_pass_and_short(kept: Path) -> None:
    began = time.process_time()
    found = costs_here(threads=1)
    assert time.process_time() - began < 2.5
    assert found.words.endswith("measured here")
    table = costs_of(capability(CPU), 1)
    assert 1 / 6.1 < found.seconds_per_mac[3] / table.seconds_per_mac[3] < 6.1
    (file,) = kept.iterdir()
    once = file.read_bytes()
    assert costs_here(threads=1) == found
    assert file.read_bytes() == once  # it was not measured again


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"format": 2, "times": 1.0, "quiet": true, "measured": 0.0}',
        '{"format": 1, "times": "fast", "quiet": true, "measured": 0.0}',
        '{"format": 1, "times": NaN, "quiet": true, "measured": 0.0}',
        {"times": 0.0},
        {"times": -1.0},
        {"times": 1e9},
        {"times": 1e-9},
        {"measured": 0.0},
        {"measured": 1e18},
        {"quiet": False, "measured": time.time() - 7200},
    ],
)
def test_what_is_kept_is_believed_only_where_it_can_be_true(
    content: str | dict[str, Any], kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed_module, "measured", lambda *_: Speed(2.0, True))
    expected = costs_here(threads=1)
    (file,) = kept.iterdir()
    good = json.loads(file.read_text())
    file.write_text(content if isinstance(content, str) else json.dumps(good | content))
    assert costs_here(threads=1) == expected
    assert costs_here(threads=1, measure=False) == expected  # it was kept anew


def test_without_anything_kept_or_measured_the_table_counts(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = capability(CPU)
    for found in (None, Speed(50.0, True), Speed(0.001, True), Speed(float("nan"), True)):
        monkeypatch.setattr(speed_module, "measured", lambda *_, found=found: found)
        costs = costs_here(threads=1, measure=found is not None)
        assert costs.seconds_per_mac == costs_of(row, 1).seconds_per_mac
        assert costs.words.endswith("not measured here")

    def no_room(*_: object) -> Speed:
        raise torch.OutOfMemoryError("a pass of eight crops")

    monkeypatch.setattr(speed_module, "measured", no_room)
    assert costs_here(threads=1).words.endswith("not measured here")


def test_a_cache_that_cannot_be_written_to_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "semivox").write_text("a file in the place of the folder")
    monkeypatch.setattr(speed_module, "user_cache", lambda: tmp_path)
    monkeypatch.setattr(speed_module, "measured", lambda *_: Speed(1.21, True))
    costs = costs_here(threads=1)
    assert costs.seconds_per_mac[3] == pytest.approx(1.21 * REST * pass_seconds(TABLE[capability(CPU)], 3))
