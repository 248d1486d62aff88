"""What copies mean: leaks, contradictions, duplicates."""

from __future__ import annotations

from allencv_al.data.instance import Instance
from allencv_al.data_audit.audited_images import AuditedImage
from allencv_al.data_audit.copies_in_splits import Copies


def images(*rows: tuple[str, str | None]) -> list[AuditedImage]:
    """Return images by split and label."""
    return [
        AuditedImage(Instance(str(place), f"{place}.png", label), split)
        for place, (split, label) in enumerate(rows)
    ]


def kinds(copies: Copies, found: list[AuditedImage]) -> list[tuple[str, int, int]]:
    return [(one.kind, one.place, one.other) for one in copies.findings(found)]


def test_equal_contents_in_one_split_are_duplicates() -> None:
    copies = Copies(3)
    assert copies.add_equal_contents([b"x", None, b"x"]).tolist() == [0, 1]
    assert kinds(copies, images(("train", "a"), ("train", "a"), ("train", "a"))) == [
        ("exact_duplicate", 2, 0)
    ]


def test_a_leak_names_the_image_of_the_later_split_wherever_it_stands() -> None:
    copies = Copies(2)
    copies.add_equal_contents([b"x", b"x"])
    assert kinds(copies, images(("test", "a"), ("train", "a"))) == [("leak", 0, 1)]
    assert kinds(copies, images(("validation", "a"), ("test", "a"))) == [("leak", 1, 0)]


def test_a_leak_with_another_label_is_a_contradiction_too() -> None:
    copies = Copies(2)
    copies.add_equal_contents([b"x", b"x"])
    assert kinds(copies, images(("train", "a"), ("test", "b"))) == [
        ("leak", 1, 0),
        ("contradiction", 1, 0),
    ]
    assert kinds(copies, images(("train", "a"), ("train", None))) == [("exact_duplicate", 1, 0)]


def test_a_near_copy_of_a_copy_is_found_across_splits() -> None:
    copies = Copies(3)
    copies.add_equal_contents([b"x", b"x", b"y"])
    copies.add(0, 2, 0.97, is_exact=False)
    found = list(copies.findings(images(("test", "a"), ("train", "a"), ("test", "a"))))
    assert [(one.kind, one.place, one.other, one.score) for one in found] == [
        ("leak", 0, 1, 1.0),
        ("leak", 2, 1, 0.97),
    ]


def test_many_equal_images_give_one_finding_each() -> None:
    copies = Copies(1000)
    copies.add_equal_contents([b"x"] * 1000)
    found = kinds(copies, images(*[("train", "a")] * 1000))
    assert found == [("exact_duplicate", place, 0) for place in range(1, 1000)]


def test_groups_join_copies_and_declared_groups() -> None:
    copies = Copies(5)
    copies.add_equal_contents([b"x", b"x", b"y", b"z", b"w"])
    copies.add(1, 2, 0.97, is_exact=False)
    found = images(*[("train", "a")] * 5)
    found[2] = AuditedImage(found[2].instance, group="patient")
    found[3] = AuditedImage(found[3].instance, group="patient")
    names = copies.groups(found)
    assert len(set(names[:4])) == 1
    assert names[4] != names[0]
