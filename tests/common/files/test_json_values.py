from __future__ import annotations

import json
import math
import re
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.common import ConfigurationError, Params
from allencv_al.common.files.json_values import MAX_DEPTH, parse_json, plain, repr_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


class Color(Enum):
    RED = "red"


@given(JSON)
def test_a_plain_copy_is_equal_and_independent(value: Any) -> None:
    copy = plain(value)
    assert repr(copy) == repr(value)
    if isinstance(value, (list, dict)):
        assert copy is not value


def test_plain_turns_params_into_dicts_and_keeps_objects() -> None:
    thing = object()
    copy = plain({"a": Params({"b": [Params({"c": 1})]}), "t": (1, [2]), "o": thing})
    assert copy == {"a": {"b": [{"c": 1}]}, "t": (1, [2]), "o": thing}
    assert type(copy["a"]["b"][0]) is dict and copy["o"] is thing


def test_plain_has_a_limit() -> None:
    assert plain(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    with pytest.raises(ConfigurationError, match="nests deeper than 64 levels"):
        plain(nested(MAX_DEPTH + 1))
    mappings: Any = 1
    for _ in range(MAX_DEPTH):
        mappings = {"a": mappings}
    assert plain(mappings) == mappings
    with pytest.raises(ConfigurationError, match="nests deeper than 64 levels"):
        plain({"a": mappings})
    with pytest.raises(ConfigurationError, match="nests deeper"):
        plain(nested(100_000))


@given(JSON)
def test_a_short_text_is_the_json_or_its_beginning(value: Any) -> None:
    text = repr_json(value)
    assert len(text) <= 60
    if len(text) < 60:
        assert text == json.dumps(value, ensure_ascii=False)
    else:
        whole = json.dumps(value, ensure_ascii=False)
        assert text == whole or (text.endswith("...") and whole.startswith(text[:-3]))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ("fast", '"fast"'),
        (Params({"a": [1]}), '{"a": [1]}'),
        (Path("a/b"), '"a/b"'),
        (Color.RED, '"red"'),
        ((1, 2), "[1, 2]"),
        ({1, 2}, "{1, 2}"),
        (float("nan"), "NaN"),
        pytest.param(10**5000, "a very long int", id="huge"),
        ("\x1b[31m", '"\\u001b[31m"'),
    ],
)
def test_what_messages_show(value: Any, text: str) -> None:
    assert repr_json(value) == text


def test_long_and_deep_values_are_cut() -> None:
    assert repr_json("x" * 1_000_000) == '"' + "x" * 56 + "..."
    assert repr_json(nested(100_000)) == "[" * 57 + "..."
    assert repr_json(list(range(10**6)), limit=12) == "[0, 1, 2,..."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1 column 2: Expecting property name"),
        (b"\xff", "expected UTF-8, found another byte at 0"),
        ('{"a": {"b": 1, "b": 2}}', 'the key "b" is there twice'),
        ("[NaN]", "expected finite numbers, found NaN"),
        ("[-Infinity]", "expected finite numbers, found -Infinity"),
        ("[1e999]", "expected finite numbers, found a larger one"),
        (f"[{'9' * 4001}]", "at most 4000 digits"),
        ("[[[1]]]", "nested too deep"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_only_strict_json_is_parsed(text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_json(text, max_depth=2)


def test_strict_json_is_parsed() -> None:
    assert parse_json(b'{"a": [1, 2.5, null, "\xc3\xa4"]}', max_depth=2) == {
        "a": [1, 2.5, None, "ä"]
    }
    assert math.isinf(parse_json("[1e999]", finite=False)[0])
