"""YAML as plain data that knows its lines, by libyaml and by the parser in Python alike."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config.strict_yaml import Document, KeyPath, Section, Variables, expand, load, show
from exporter.config.strict_yaml.document import Scalar
from exporter.config.strict_yaml.parse import LOADER, parse
from exporter.errors import ConfigError

LOADERS = [yaml.SafeLoader, yaml.CSafeLoader]


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def loader(request: pytest.FixtureRequest) -> Any:
    return request.param


def read(text: str, loader: Any = LOADER) -> Document:
    document = Document("file.yml", Path("/"))
    parse(document, text, loader)
    return document


def refused(text: str, loader: Any) -> str:
    with pytest.raises(ConfigError) as error:
        read(text, loader).check()
    (fault,) = error.value.faults
    return fault


def test_libyaml_is_used_where_it_is_there() -> None:
    assert LOADER is yaml.CSafeLoader


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a", "a"),
        ("'1'", "1"),
        ('"\\x41\\u00e9\\U0001f600"', "Aé😀"),
        ("!!str 1", "1"),
        ("!!seq []", []),
        ("!!map {}", {}),
        ("1", 1),
        ("-1", -1),
        ("1_000", 1000),
        ("0x10", 16),
        ("010", 8),
        ("0b11", 3),
        ("1:30", 90),
        ("1.5", 1.5),
        ("1e3", "1e3"),
        ("1.0e+3", 1000.0),
        (".inf", math.inf),
        ("yes", True),
        ("Off", False),
        ("", None),
        ("~", None),
        ("null", None),
        ("2024-01-01", Scalar(None, "2024-01-01")),
        ("2024-99-99 10:00:00", Scalar(None, "2024-99-99 10:00:00")),
        ("=", "="),
        ("|\n a\n b", "a\nb"),
        ("[a, 1, {b: c}]", ["a", Scalar(1, "1"), {"b": "c"}]),
        ("9" * 101, math.inf),
        ("9" * 5000, math.inf),
        ("1" + ":00" * 500, math.inf),
        ("0x_", math.inf),
        ("0b_", math.inf),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_scalars_are_read_as_yaml_1_1(loader: Any, text: str, value: Any) -> None:
    """Numbers that Python refuses to read, or reads in quadratic time, are infinite."""
    expected = Scalar(value, text) if isinstance(value, int | float) else value
    assert repr(read(f"k: {text}", loader).data) == repr({"k": expected})  # which tells 1, 1.0 and True apart


def text_at(document: Document, path: KeyPath) -> str:
    node = document.data
    for step in path:
        node = node[step]
    return node.text if isinstance(node, Scalar) else ""


def test_every_value_knows_its_line_and_text(loader: Any) -> None:
    text = "a: 1\nb:\n  - x\n  - c: yes\n    d:\n  -\n    - 0x1F\ne: {f: &f [2.50], g: *f}\n"
    document = read(text, loader)
    places: dict[KeyPath, tuple[int, str]] = {
        (): (1, ""),
        ("a",): (1, "1"),
        ("b",): (2, ""),
        ("b", 0): (3, ""),
        ("b", 1): (4, ""),
        ("b", 1, "c"): (4, "yes"),
        ("b", 1, "d"): (5, ""),
        ("b", 2, 0): (7, "0x1F"),
        ("e", "f", 0): (8, "2.50"),
        ("e", "g", 0): (8, "2.50"),
    }
    assert {path: (document.line_of(path), text_at(document, path)) for path in places} == places


def test_what_is_missing_is_found_where_it_should_be(loader: Any) -> None:
    document = read("\na:\n  - b: c\n", loader)
    assert document.line_of(("x",)) == 2
    assert document.line_of(("a", 0, "x")) == 3
    assert document.line_of(("a", 7)) == 2
    assert document.line_of(("a", -1)) == 2
    assert document.line_of(("a", 0, "b", "x")) == 3


def test_an_alias_is_the_value_it_stands_for(loader: Any) -> None:
    data = read("a: &a {n: m}\nb: *a\nc: &c 5\nd: *c\ne: &e key\n*e : x\n", loader).data
    assert data["b"] is data["a"]
    assert data == {"a": {"n": "m"}, "b": {"n": "m"}, "c": Scalar(5, "5"), "d": Scalar(5, "5"), "e": "key", "key": "x"}


def test_an_alias_in_a_list_has_the_line_of_the_item_before_it(loader: Any) -> None:
    """Or of the list: PyYAML knows where the anchor stands, and not where the alias does."""
    document = read("a: &a {n: 1}\nb:\n- c\n- *a\n- *a\n- d\n", loader)
    assert [document.line_of(("b", index)) for index in range(4)] == [3, 3, 3, 6]


def test_few_nodes_exist_at_a_time(loader: Any) -> None:
    """A node of PyYAML is several times as large as what is made of it."""
    text = "".join(f"- {{a: {index}}}\n" for index in range(3000))
    tracemalloc.start()
    try:
        document = read(text, loader)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(document.data) == 3000
    assert peak < 1.5 * kept


def test_32_levels_are_allowed(loader: Any) -> None:
    assert read("[" * 32 + "]" * 32, loader).line_of((0,) * 31) == 1


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: 1\na: 2", "file.yml:2: a: is given twice, first in line 1; keep one"),
        ('a: {b: 1,\n  "b": 2}', "file.yml:2: a.b: is given twice, first in line 1; keep one"),
        ("1: a", 'file.yml:1: 1 is no string, as a key has to be; quote it: "1"'),
        ("a:\n- no: b", 'file.yml:2: a[0]: no is no string, as a key has to be; quote it: "no"'),
        ("?\n: a", "file.yml:1: nothing is no string, as a key has to be; write KEY: VALUE"),
        ("? [a]\n: b", "file.yml:1: a list or mapping is no string, as a key has to be; write KEY: VALUE"),
        ("? {a: b}", "file.yml:1: a list or mapping is no string, as a key has to be; write KEY: VALUE"),
        ("<<: {a: b}", "file.yml:1: merge keys (<<) are not supported; write the keys out"),
        ("a: !x b", "file.yml:1: a: the tag is not supported; remove it, or quote what begins with !"),
        ("!!set {}", 'file.yml:1: the tag "!!set" is not supported; remove it, or quote what begins with !'),
        (
            "!!int a: b",
            'file.yml:1: the tag "!!int" is not supported; remove it, or quote what begins with !',
        ),
        ("a: &x b\nc: &x d", "file.yml:2: defines an anchor that is defined above already; write another name"),
        ("a: *x", "file.yml:1: refers to an anchor that is not defined above; define it with &, or quote the text"),
        ("- &a [[*a, b], c]", "file.yml:1: is an alias of what it stands in, without end; write the value out"),
        ("a\n---\nb", "file.yml:2: begins a second document; remove the line --- or what follows it"),
    ],
)
def test_what_yaml_allows_and_a_configuration_does_not(loader: Any, text: str, fault: str) -> None:
    assert refused(text, loader) == fault


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a:\n\tb: c", 2),
        ("a: 'b", 1),
        ("a: [b", None),
        ("a: b: c", 1),
        ("a: @b", 1),
        ('a: "\\q"', 1),
        ('a: "\\ud800"', 1),
        ('a: !!str "\\ud800"', 1),
        ('a: "\\UFFFFFFFF"', None),
        ("a: %\n- b\n%", None),
        ("%YAML 3.0\n--- a", 1),
    ],
)
def test_a_syntax_error_names_line_reason_and_cure(loader: Any, text: str, line: int | None) -> None:
    """None: the two parsers point to different lines, or one of them to none."""
    fault = refused(text, loader)
    assert fault.startswith("file.yml:" if line is None else f"file.yml:{line}:")
    assert "; " in fault
    assert "\n" not in fault


def test_faults_come_in_the_order_of_the_file() -> None:
    document = read("a: 1\nb: 2\nc: 3\n")
    document.fault(("c",), "third; fix it")
    document.fault(("a",), "first; fix it")
    document.fault(("a",), lambda: "second; fix it")
    with pytest.raises(ConfigError) as error:
        document.check(str.upper)
    assert error.value.faults == (
        "file.yml:1: A: FIRST; FIX IT",
        "file.yml:1: A: SECOND; FIX IT",
        "file.yml:3: C: THIRD; FIX IT",
    )


def test_a_document_without_fault_passes() -> None:
    document = read("a: 1")
    document.warn(("a",), "odd")
    document.check()
    assert document.warnings() == ["file.yml:1: a: odd"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", '"plain"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("a\nb\t\x1b\x85\u2028\u202e", '"a\\nb\\t\\u001b\\u0085\\u2028\\u202e"'),
        ("\U000e0001é客", '"\\U000e0001é客"'),
        ("\ud800", '"\\ud800"'),
        ("x" * 200, '"' + "x" * 79 + '…"'),
    ],
)
def test_text_is_shown_on_one_line(text: str, shown: str) -> None:
    assert show(text) == shown


def test_a_section_reads_booleans_for_whom_needs_them() -> None:
    document = read("a: true\nb: 'true'\nc: 1\n")
    section = Section.root(document, ("a", "b", "c", "d"))
    assert section is not None
    assert section.boolean("a") is True
    assert section.boolean("d", default=False) is False
    assert section.boolean("b") is None
    assert section.boolean("c") is None
    with pytest.raises(ConfigError) as error:
        document.check()
    assert error.value.faults == (
        "file.yml:2: b: is a string; write true or false without quotes",
        "file.yml:3: c: is a number; write true or false",
    )


def test_a_section_reads_lists_of_strings() -> None:
    """Every item that is refused is a fault at its own line; a variable is one where it is not expanded."""
    document = read("a: [x, y]\nb:\n- x\n- 1\n- ${HOME}\n- z\nc: x\nd:\n")
    expand(document, Variables())
    section = Section.root(document, ("a", "b", "c", "d"))
    assert section is not None

    def upper(text: str) -> str:
        if text == "z":
            raise ValueError("is the last letter; write another")
        return text.upper()

    assert section.texts("a", upper) == ("X", "Y")
    assert section.texts("d", upper) == section.texts("e", upper) == ()
    assert section.texts("b", upper) is None
    assert section.texts("c", upper) is None
    with pytest.raises(ConfigError) as error:
        document.check()
    assert [fault.partition("; ")[0] for fault in error.value.faults] == [
        "file.yml:4: b[1]: is not a string",
        "file.yml:5: b[2]: holds ${...}, and variables are not expanded without --config.expand-environment-variables",
        "file.yml:6: b[3]: is the last letter",
        "file.yml:7: c: is not a list",
    ]


def test_the_limit_on_size_is_the_callers(tmp_path: Path) -> None:
    path = tmp_path / "web.yml"
    path.write_text("a: b\n")
    assert load(path, max_bytes=5).data == {"a": "b"}
    with pytest.raises(ConfigError) as error:
        load(path, max_bytes=4)
    assert error.value.faults[0].startswith(f"{path}: is larger than 4 bytes; ")
