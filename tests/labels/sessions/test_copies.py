"""Files with the same content are found under all their names."""

from __future__ import annotations

from pathlib import Path

from allencv_al.labels.sessions.copies import copies_of


def test_copies_name_the_first_of_their_kind(tmp_path: Path) -> None:
    head = bytes(70_000)
    contents = {
        "a": b"one",
        "b": b"two",
        "c": b"one",
        "d": head + b"x",
        "e": head + b"y",
        "f": head + b"x",
        "g": b"one",
        "h": b"four",
    }
    files = {name: tmp_path / name for name in contents}
    for name, content in contents.items():
        files[name].write_bytes(content)
    files["gone"] = tmp_path / "gone"
    assert copies_of(files) == {"c": "a", "g": "a", "f": "d"}
