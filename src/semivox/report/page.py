"""The shell of every page: templates and assets become one self-contained HTML file.

Templates stand in ``templates/``, style and scripts in ``assets/``; both are written into the page, which
asks the network for nothing (its content security policy forbids it). Templates extend ``base.html.j2``,
whose head says what a context must hold; ``parts.html.j2`` has the macros that pages share.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from semivox.duration import show_duration
from semivox.evaluation import DICE
from semivox.files import write_text

ABSENT = "–"
"""Stands for a number that does not exist."""


def render_page(template: str, context: Mapping[str, Any], out: Path) -> Path:
    """Write the page of ``template`` (a name in ``templates/``) with ``context`` to ``out``; returns ``out``.

    Every value of the context is escaped unless it is :class:`markupsafe.Markup` (as the SVG of
    :func:`semivox.report.style.svg` is). The file appears whole or not at all. A name that the template asks
    for and the context lacks raises :class:`jinja2.UndefinedError`.
    """
    out = Path(out)
    write_text(out, environment().get_template(template).render(context))
    return out


@cache
def environment() -> Environment:
    """The one environment: escaping on, unknown names refused, the filters below."""
    made = Environment(
        loader=PackageLoader("semivox.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        number=number,
        whole=whole,
        percent=percent,
        interval=interval,
        duration=duration,
        json_data=json_data,
        breakable=breakable,
    )
    made.globals.update(dice=DICE, style=style, script=script, policy=policy())
    return made


def number(value: float | None, decimals: int = DICE.decimals) -> str:
    """``-0.1234`` -> ``−0.123``, with a true minus sign; None, NaN and infinity are a dash."""
    if value is None or not math.isfinite(value):
        return ABSENT
    text = f"{value:,.{decimals}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def whole(value: float | None) -> str:
    """A count, with commas between thousands."""
    return number(value, 0)


def percent(value: float | None, decimals: int = 0) -> str:
    """A share of 1 -> ``12 %`` (with a space that does not break)."""
    return ABSENT if value is None or not math.isfinite(value) else f"{number(100 * value, decimals)}\u00a0%"


def interval(value: Sequence[float] | None, decimals: int = DICE.decimals) -> str:
    """``[0.879, 0.913]``; nothing where there is no interval."""
    return "" if value is None else "[" + ", ".join(number(v, decimals) for v in value) + "]"


def duration(seconds: float | None) -> str:
    """As :func:`semivox.duration.show_duration`; None is a dash."""
    return ABSENT if seconds is None else show_duration(seconds).replace(" ", "\u00a0")


def breakable(name: str) -> Markup:
    """A name that may be broken after its underscores."""
    return Markup(str(escape(name)).replace("_", "_<wbr>"))


def json_data(value: Any) -> Markup:
    """JSON for the inside of ``<script type="application/json">``: no character in it can end the element.

    Raises ValueError for NaN and infinity, which are no JSON.
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "&<>\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def data_address(kind: str, text: str) -> str:
    """``text`` of a media type as the address of a download."""
    return f"data:{kind};charset=utf-8,{quote(text)}"


def style(name: str) -> Markup:
    """A style sheet of ``assets/`` as an element."""
    return Markup(f"<style>\n{_asset(name)}</style>")


def script(name: str) -> Markup:
    """A script of ``assets/`` as an element; the page's policy runs these and no other."""
    return Markup(f"<script>{_asset(name)}</script>")


@cache
def policy() -> str:
    """The page's content security policy: nothing is loaded, and only the scripts of ``assets/`` run."""
    folder = resources.files("semivox.report") / "assets"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".js"))
    hashes = [base64.b64encode(hashlib.sha256(_asset(name).encode()).digest()).decode() for name in names]
    scripts = " ".join(f"'sha256-{digest}'" for digest in hashes) or "'none'"
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {scripts}"


@cache
def _asset(name: str) -> str:
    text = (resources.files("semivox.report") / "assets" / name).read_text(encoding="utf-8")
    if "</script" in text.lower() or "</style" in text.lower():
        raise ValueError(f"{name} would end its own element")
    return text
