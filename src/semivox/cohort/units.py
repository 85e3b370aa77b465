"""Units of length as headers spell them."""

from __future__ import annotations

_NAMES = {
    1e-7: ("å", "angstrom", "ångström"),
    1e-6: ("nm", "nanometer", "nanometre"),
    1e-3: ("um", "µm", "micron", "micrometer", "micrometre"),  # the sign is the micro sign, as folded below
    1.0: ("mm", "millimeter", "millimetre"),
    10.0: ("cm", "centimeter", "centimetre"),
    25.4: ("inch", "in", '"'),
    100.0: ("dm", "decimeter", "decimetre"),
    1000.0: ("m", "meter", "metre"),
}
_MM = {name: mm for mm, names in _NAMES.items() for name in names}


def mm_per_unit(unit: str) -> float | None:
    """Millimetres in a unit such as "um", "micron" or "mm"; None for what is no unit of length ("pixel")."""
    name = unit.strip().lower().replace("\\u00b5", "µ").replace("\u03bc", "µ")  # ImageJ escapes the sign
    found = _MM.get(name)
    return found if found is not None or len(name) < 4 else _MM.get(name.removesuffix("s"))
