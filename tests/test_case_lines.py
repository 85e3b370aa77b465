"""The line of a predicted case tells how long the rest will take."""

from __future__ import annotations

import pytest

from semivox import terminal
from semivox.inference.record import Row


def test_the_time_left_is_by_the_pace_since_the_first_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    tell = terminal.case_lines()
    for done, at in ((1, 160.0), (2, 162.0), (21, 200.0), (98, 354.0)):  # two seconds each, after a minute
        now[0] = at
        tell(done, 100, Row(f"c{done}", "ok", "ok", "", "m", "teacher", seconds=1.5))
    said = ["1/100 c1 1.5 s", "2/100 c2 1.5 s, 3 m 16 s left", "21/100 c21 1.5 s, 2 m 38 s left"]
    assert capsys.readouterr().err.splitlines() == [*said, "98/100 c98 1.5 s"]
