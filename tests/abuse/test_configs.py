"""A9: configs that compute without end, or stand for far more than they say."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from allencv_al.common import ConfigurationError, Params
from allencv_al.common.config.sources.yaml_file import read_yaml

Size = Callable[[int, int], int]
Record = Callable[[str, object, str], None]

LAUGHS = "".join(f"local a{n} = [{', '.join([f'a{n - 1}'] * 10)}];" for n in range(1, 10))
QUICK = {
    "array": "{a: std.makeArray(1000000000, function(i) i)}",
    "text": "{a: std.repeat('x', 10000000000)}",
    "doubled": "local d(s, n) = if n == 0 then s else d(s + s, n - 1) tailstrict; {a: d('x', 40)}",
    "deep": "local f(n) = if n == 0 then {} else {a: f(n - 1)}; f(100)",
    "recursion": "local f(n) = f(n + 1); {a: f(1)}",
    "long result": "local d(s, n) = if n == 0 then s else d(s + s, n - 1); {a: d('x', 24)}",
    "device": "{a: importstr '/dev/zero'}",
}
SLOW = {
    "endless": "local f(n) = f(n + 1) tailstrict; {a: f(1)}",
    "fibonacci": "local f(n) = if n < 2 then n else f(n - 1) + f(n - 2); {a: f(60)}",
    "laughs": f"local a0 = ['x']; {LAUGHS} {{a: a9}}",
    "product": "{a: [x + y + z for x in std.range(1, 9999) for y in std.range(1, 9999) "
    "for z in std.range(1, 9999)]}",
    "fold": "{a: std.foldl(function(a, b) a + b, std.range(1, 100000000), 0)}",
    "sort": "{a: std.sort(std.makeArray(30000000, function(i) -i))}",
    "escapes": "{a: std.escapeStringJson(std.repeat('\"', 1000000000))}",
    "replaced": "{a: std.strReplace(std.repeat('x', 10000000), 'x', 'xxxxxxxxxxxxxxxxxxxx')}",
    "parsed": "{a: std.parseJson(std.repeat('[', 10000000))}",
}


def test_a_hostile_config_is_a_fault_in_seconds(tmp_path: Path, size: Size, record: Record) -> None:
    texts = {**QUICK, **SLOW} if size(0, 1) else QUICK
    path = tmp_path / "config.jsonnet"
    slowest = 0.0
    for text in texts.values():
        path.write_text(text)
        began = time.monotonic()
        with pytest.raises(ConfigurationError, match=r"config\.jsonnet|nests deeper"):
            Params.from_file(path)
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 20
    record("A9 configs that compute without end", len(texts), f"a fault in {slowest:.1f} s at most")


def test_a_hostile_yaml_file_is_a_fault_in_seconds(tmp_path: Path, record: Record) -> None:
    lines = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 40)]
    texts = [
        "\n".join(["a0: &a0 [x]", *lines]),
        "\n".join(["a0: &a0 {x: 1}", *lines]).replace("[", "{<<: [").replace("]", "]}"),
        "a: &a [*a]",
        "[" * 100_000,
        "a: &a\n  b: &b {c: [*a, *b]}",
    ]
    path = tmp_path / "config.yaml"
    began = time.monotonic()
    for text in texts:
        path.write_text(text)
        with pytest.raises(ConfigurationError, match=str(path)):
            read_yaml(path)
    seconds = time.monotonic() - began
    assert seconds < 10
    record("A9 YAML that contains itself, or billions", len(texts), f"faults in {seconds:.1f} s")
