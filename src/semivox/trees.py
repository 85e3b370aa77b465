"""What JSON and YAML texts hold: trees of plain values, read the same way whoever wrote them.

More strictly than the formats ask: a name that stands twice in one object is refused (the last would win),
and so is what no reader could go on with: numbers beyond 64 bits, text that is not Unicode, trees without
end.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

DEEPEST = 64
MOST = 100_000
"""Values in a YAML text: its aliases can multiply a line to billions."""
LONGEST = 2**16
"""Letters of a YAML text: PyYAML reads some ten thousand a second."""
LARGEST = 2**63


def json_tree(text: str) -> Any:
    """What a JSON text holds; every number is finite. Raises ValueError, which says what is wrong."""

    def no_constant(name: str) -> None:
        raise ValueError(f"{name} is no number")

    try:
        tree = json.loads(
            text, parse_constant=no_constant, parse_float=_finite, object_pairs_hook=_names_once
        )
    except RecursionError:
        raise ValueError("nested too deep") from None
    check_tree(tree)
    return tree


def yaml_tree(text: str) -> Any:
    """What a YAML text holds, without its octal (``010``), base-60 (``1:30``) and date forms, which are text
    here. Raises ValueError, which says what is wrong."""
    import yaml

    if len(text) > LONGEST:
        raise ValueError(f"{len(text):,} letters, more than {LONGEST:,}")
    try:
        tree = _loader()(text).get_single_data()
    except RecursionError:
        raise ValueError("nested too deep") from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except (LookupError, AttributeError, TypeError):  # what PyYAML makes of `!!bool maybe`
        raise ValueError("a value that is not what its tag says") from None
    check_tree(tree, MOST)
    return tree


def check_tree(tree: Any, most: float = math.inf) -> None:
    """Raise ValueError for what is no tree of plain values of reasonable depth and size."""
    level, count = [tree], 0
    for _ in range(DEEPEST):
        below: list[Any] = []
        for value in level:
            if isinstance(value, Mapping):
                below += value.keys()
                below += value.values()
            elif isinstance(value, list):
                below += value
            else:
                _check_leaf(value)
            if count + len(below) > most:
                raise ValueError(f"more than {most:,} values")
        count += len(below)
        if not below:
            return
        level = below
    raise ValueError(f"nested more than {DEEPEST} deep")


def _check_leaf(value: Any) -> None:
    if isinstance(value, str):
        if "\0" in value or not _is_unicode(value):
            raise ValueError(f"text with a zero byte or half a character: {value[:40]!a}")
    elif isinstance(value, int):
        if not -LARGEST <= value < LARGEST:
            raise ValueError("a whole number beyond 64 bits")
    elif not isinstance(value, float | None):
        raise ValueError(f"a {type(value).__name__}, which is no plain value")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ValueError(f"{text[:20]} is too large")
    return number


def _names_once(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{str(name)[:80]!r} stands there twice")
        found[name] = value
    return found


@cache
def _loader() -> Any:
    """PyYAML's safe loader with fewer forms of numbers, each name once, and no merging of mappings."""
    import yaml

    less = (":int", ":timestamp", ":merge")

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {  # noqa: RUF012 - a plain dict, as PyYAML's own
            first: [(tag, form) for tag, form in forms if not tag.endswith(less)]
            for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        _names_once((key.value, None) for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        return yaml.constructor.BaseConstructor.construct_mapping(loader, node, deep=True)

    whole = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:int", whole, list("-+0123456789"))
    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    return Loader
