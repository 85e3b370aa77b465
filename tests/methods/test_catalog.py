"""How a method is written on the command line, and where it is found."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from semivox.errors import SettingsError
from semivox.methods import catalog
from semivox.methods.catalog import CATALOG, load_method, parse_method, preset_settings
from semivox.methods.declare import Method
from semivox.methods.origins import ORIGINS, split_origin
from semivox.methods.words import KEYS, Words, split_words, words_in
from semivox.settings import field_docs
from semivox.training.config import resolve

MINE = "mine.py:Mine"


@dataclass(frozen=True)
class MySettings:
    paper_steps: int = 10
    weight: float = 1.0
    form: str = "plain"


class Mine(Method):
    Settings = MySettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"bold": {"weight": 3.0, "form": "round"}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("simcvd", ("simcvd", None, {})),
        ("simcvd{contrast=0, view=none}", ("simcvd", None, {"contrast": 0, "view": "none"})),
        ("simcvd:v1{contrast=0}", ("simcvd", "v1", {"contrast": 0})),
        ("mine.py:Mine", ("mine.py:Mine", None, {})),
        ("a/b mine.py:Mine:bold{x=[1,2],y=3}", ("a/b mine.py:Mine", "bold", {"x": [1, 2], "y": 3})),
        ("package.module:Class", ("package.module:Class", None, {})),
        ("package.module:Class:bold", ("package.module:Class", "bold", {})),
        ("C:\\work\\mine.py:Mine", ("C:\\work\\mine.py:Mine", None, {})),
    ],
)
def test_a_methods_name_preset_and_settings(text: str, expected: tuple[Any, ...]) -> None:
    assert parse_method(text) == expected


def test_a_preset_ranks_below_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semivox.training.config.load_method", lambda name: Mine)

    def settings(method: str, **assignments: Any) -> MySettings:
        given = {f"method.{k}": v for k, v in assignments.items()}
        config, _ = resolve(Path("data"), {"method": method}, assignments=given)
        assert config.run.method == MINE
        assert isinstance(config.method, MySettings)
        return config.method

    assert settings(MINE) == MySettings()
    assert settings(f"{MINE}:bold") == MySettings(weight=3.0, form="round")
    assert settings(f"{MINE}:bold{{weight=2}}") == MySettings(weight=2.0, form="round")
    assert settings(f"{MINE}:bold", form="flat") == MySettings(weight=3.0, form="flat")


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    assert preset_settings("mine", Mine, None) == {}
    with pytest.raises(SettingsError, match="no preset 'shy'") as caught:
        preset_settings("mine", Mine, "shy")
    assert "bold" in str(caught.value)


@pytest.mark.parametrize("name", ["simcdv", "simcvd:v1:v2", "nowhere.py", "no_package.module:Class", ":x"])
def test_an_unknown_method_is_refused(name: str) -> None:
    with pytest.raises(SettingsError):
        load_method(name)


def test_every_entry_of_the_catalogue_is_a_method() -> None:
    for name in CATALOG:
        method = load_method(name)
        assert ("unlabelled" in catalog.entry(name).needs) == method.needs_unlabeled
        for preset in method.presets:
            method.Settings(**preset_settings(name, method, preset))


# ---- words


@pytest.mark.parametrize("name", CATALOG)
def test_every_method_has_its_words_in_its_file_alone(name: str) -> None:
    method, row = load_method(name), catalog.entry(name)
    words, about = split_words(sys.modules[method.__module__].__doc__)
    assert words == words_in(method.__module__)  # read from the source, and as it was imported
    assert words is not None
    assert row.idea == words.idea
    assert row.basis
    assert row.idea[-1] != "."
    assert (row.paper == "") == (name in ("supervised", "self_training"))
    assert not any(f"{key}: " in about for key in KEYS)
    assert row.idea not in about
    if "__doc__" in vars(method) and method.__doc__:
        assert row.idea.lower() not in method.__doc__.lower()


def test_words_are_read_from_the_head_of_a_docstring() -> None:
    words, about = split_words(
        """A method,
        named so.

        Idea: to be
          sure
        Paper: One, Two; Journal 2019; arXiv 1.2
        Paper: One, Two, Three; Some Place 2021 (part of it)
        Basis: code

            L = 1

        Paper: no, this is text
        """
    )
    assert words is not None
    assert (words.idea, words.basis, words.needs) == ("to be sure", "code", "labelled + unlabelled")
    assert words.cited == "One & Two, Journal 2019; One et al., Some Place 2021"
    assert words.papers[0].link == "arXiv 1.2"
    assert about == "A method,\nnamed so.\n\n    L = 1\n\nPaper: no, this is text"
    assert split_words("Only this.\n\nAnd that.") == (None, "Only this.\n\nAnd that.")
    assert split_words(None) == (None, "")
    with pytest.raises(ValueError, match="Names; Venue 2019"):
        split_words("M.\n\nIdea: x\nPaper: somebody")


def test_a_module_without_its_source_has_no_words() -> None:
    assert words_in("semivox.methods.nowhere") == Words()


# ---- where defaults come from

NOT_SEEN = {
    "simcvd": ("public reading notes only, no code was published", {"paper", "code"}),
    "cvrl": ("only the abstracts were read, no code was published", {"paper", "notes", "code"}),
    "self_ensembling": ("only the abstract was read, no code is known", {"paper", "notes", "code"}),
    "local_contrast": ("public reading notes and the code, not the paper", {"paper"}),
    "atso": ("only the abstract was read, no code is known", {"paper", "notes", "code"}),
    "duo_segnet": ("only the abstract and the code were read", {"paper", "notes"}),
    "pseudo_contrast": ("only the abstract and the code were read", {"paper", "notes"}),
}
"""Why a method's settings cannot claim to come from these sources."""


@pytest.mark.parametrize("name", CATALOG)
def test_every_setting_says_what_it_means_and_where_its_default_comes_from(name: str) -> None:
    settings = load_method(name).Settings
    docs = field_docs(settings)
    assert list(docs) == [field.name for field in dataclasses.fields(settings)]
    explained = {field: split_origin(text) for field, text in docs.items()}
    assert [f for f, (meaning, origin) in explained.items() if not (meaning and origin in ORIGINS)] == []
    assert [f for f, (meaning, _) in explained.items() if "[" in meaning] == []  # one marker, at the end
    why, unseen = NOT_SEEN.get(name, ("", set()))
    assert [f for f, (_, origin) in explained.items() if origin in unseen] == [], why


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tau of the contrast. [notes]", ("tau of the contrast.", "notes")),
        ("tau of the contrast.", ("tau of the contrast.", "")),
        ("Length [mm]", ("Length [mm]", "")),
        ("[code] is published.", ("[code] is published.", "")),
        ("", ("", "")),
    ],
)
def test_a_marker_is_split_off_at_the_end(text: str, expected: tuple[str, str]) -> None:
    assert split_origin(text) == expected


# ---- methods of installed packages

Install = Callable[..., None]
METHOD = """
from dataclasses import dataclass
from semivox.methods.supervised import Supervised

class {name}(Supervised):
    presets = {{"bold": {{"ema_decay": 0.5}}}}
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """``install(package, entry points, module=source)``: a package as pip leaves it, on the path."""
    before = set(sys.modules)

    def install(package: str, points: Mapping[str, str], **modules: str) -> None:
        folder = tmp_path / package
        record = folder / f"{package.replace('-', '_')}-1.0.dist-info"
        record.mkdir(parents=True)
        (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {where}\n" for name, where in points.items()]
        (record / "entry_points.txt").write_text("[semivox.methods]\n" + "".join(lines))
        for module, source in modules.items():
            (folder / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(folder)

    yield install
    for name in set(sys.modules) - before:
        if name.startswith("theirs_"):
            del sys.modules[name]


def test_an_installed_method_goes_by_its_name(install: Install) -> None:
    install("mc-net", {"mcnet": "theirs_mc:MCNet"}, theirs_mc=METHOD.format(name="MCNet"))
    rows = catalog.listed()
    assert list(rows) == [*CATALOG, "mcnet"]
    assert (rows["mcnet"].where, rows["mcnet"].basis) == ("theirs_mc:MCNet", "installed: mc-net")
    assert "theirs_mc" not in sys.modules  # the table reads records alone

    assert load_method("mcnet").__name__ == "MCNet"
    assert load_method("theirs_mc:MCNet") is load_method("mcnet")
    assert parse_method("mcnet") == ("mcnet", None, {})
    assert parse_method("mcnet:bold{ema_decay=0.9}") == ("mcnet", "bold", {"ema_decay": 0.9})
    assert parse_method("theirs_mc:MCNet:bold") == ("theirs_mc:MCNet", "bold", {})
    config, method = resolve(Path("data"), {"method": "mcnet:bold"})
    assert (config.run.method, config.method.ema_decay, method) == ("mcnet", 0.5, load_method("mcnet"))
    with pytest.raises(SettingsError, match="did you mean 'mcnet'.*pseudo_contrast, mcnet;"):
        load_method("mcent")


def test_a_module_may_have_the_methods_name(install: Install) -> None:
    source = METHOD.format(name="Net") + METHOD.format(name="Other")
    install("theirs", {"theirs_net": "theirs_net:Net [extra]"}, theirs_net=source)
    assert parse_method("theirs_net:Net") == ("theirs_net:Net", None, {})
    assert parse_method("theirs_net:bold") == ("theirs_net", "bold", {})
    assert load_method("theirs_net") is load_method("theirs_net:Net")


def test_names_of_ours_win(install: Install) -> None:
    install("clash", {"cps": "theirs_clash:CPS", "auto": "theirs_clash:Auto"}, theirs_clash="raise OSError")
    rows = catalog.listed()
    assert list(rows) == [*CATALOG, "theirs_clash:Auto", "theirs_clash:CPS"]
    assert rows["cps"] == catalog.entry("cps")
    assert load_method("cps").__module__ == "semivox.methods.cps"
    assert parse_method("cps:CPS") == ("cps", "CPS", {})
    with pytest.raises(SettingsError, match="OSError"):
        load_method("theirs_clash:CPS")


def test_a_name_of_two_packages_is_nobodys(install: Install) -> None:
    install("one", {"same": "theirs_one:Net", "x:y": "theirs_one:Net"}, theirs_one=METHOD.format(name="Net"))
    install("two", {"same": "theirs_two:Net"}, theirs_two=METHOD.format(name="Net"))
    assert list(catalog.listed()) == [*CATALOG, "theirs_one:Net", "theirs_two:Net"]
    with pytest.raises(
        SettingsError, match="several.*'same'; found one, two.*theirs_one:Net or theirs_two:Net"
    ):
        load_method("same")
    assert load_method("theirs_two:Net").__module__ == "theirs_two"


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("theirs_gone:Net", "cannot import 'theirs_gone'"),
        ("theirs_bad:Net", "ZeroDivisionError: division by zero"),
        ("theirs_empty:Net", "theirs_empty has no class 'Net'"),
        ("theirs_empty:path", "is no method"),
        ("theirs_empty", "names no class"),
        ("", "names no class"),
    ],
)
def test_a_broken_package_matters_when_it_is_asked_for(where: str, told: str, install: Install) -> None:
    install("broken-net", {"broken": where}, theirs_bad="1 / 0", theirs_empty="from os import path")
    assert "broken" in catalog.listed()
    assert load_method("supervised").__name__ == "Supervised"
    with pytest.raises(SettingsError, match="'broken' of the installed package 'broken-net'") as caught:
        load_method("broken")
    assert told in str(caught.value)


def test_packages_are_looked_up_only_where_a_name_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: str) -> None:
        raise AssertionError("looked up")

    monkeypatch.setattr("importlib.metadata.entry_points", refuse)
    assert parse_method("cvrl:miccai{temperature=0.1}")[:2] == ("cvrl", "miccai")
    assert parse_method("simcvd")[0] == parse_method("simcvd{contrast=0}")[0] == "simcvd"
    assert parse_method("mine.py:Mine:bold")[1] == "bold"
    assert load_method("supervised").__name__ == "Supervised"
    with pytest.raises(AssertionError, match="looked up"):
        parse_method("theirs:bold")
