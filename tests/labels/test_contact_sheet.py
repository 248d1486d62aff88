"""The contact sheet: what a person sees of the picks."""

from __future__ import annotations

import errno
import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allencv_al.common.errors import ImageDecodeError
from allencv_al.common.fonts import further_fonts
from allencv_al.data.instance import Instance
from allencv_al.labels.contact_sheet import (
    MOST_PICKS,
    THUMBNAIL_SIDE,
    thumbnail,
    thumbnail_png_bytes,
    write_contact_sheet,
)
from allencv_al.labels.label_table import PickedImage

COLORS = [(200, 40 * n, 255 - 40 * n) for n in range(6)]
SIDE = 64


def solid(color: tuple[int, int, int], height: int = SIDE, width: int = SIDE) -> np.ndarray:
    return np.full((height, width, 3), color, dtype=np.uint8)


def picks_of(images: list[np.ndarray | Path]) -> list[PickedImage]:
    return [
        PickedImage(rank, Instance(f"pool/{rank}.png", image), 1 / rank, "cat", 0.5)
        for rank, image in enumerate(images, start=1)
    ]


def place_of(sheet: np.ndarray, color: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the pixels of exactly this color."""
    rows, columns = np.nonzero((sheet == color).all(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.array(image.convert("RGB"))


def test_the_picks_stand_in_their_order_at_even_distances(tmp_path: Path) -> None:
    write_contact_sheet(tmp_path / "picks.png", picks_of([solid(c) for c in COLORS]), "six")
    sheet = read(tmp_path / "picks.png")
    places = [place_of(sheet, color) for color in COLORS]
    assert places == sorted(places, key=lambda place: (place[1], place[0]))
    lefts = sorted({place[0] for place in places})
    tops = sorted({place[1] for place in places})
    assert (len(lefts), len(tops)) == (3, 2)
    assert len(set(np.diff(lefts))) == 1
    assert np.diff(lefts)[0] >= THUMBNAIL_SIDE
    height, width, _ = sheet.shape
    assert max(place[2] for place in places) <= width
    assert max(place[3] for place in places) < height


def test_rank_score_class_and_name_are_written_below_the_picture(tmp_path: Path) -> None:
    """Whatever of them changes, the ink below the picture does, and nothing else."""
    instance = Instance("a.png", solid(COLORS[0]))
    picks = {
        "plain": PickedImage(1, instance, 0.5, "cat", 0.5),
        "rank": PickedImage(2, instance, 0.5, "cat", 0.5),
        "score": PickedImage(1, instance, 0.4, "cat", 0.5),
        "class": PickedImage(1, instance, 0.5, "dog", 0.5),
        "probability": PickedImage(1, instance, 0.5, "cat", 0.9),
        "name": PickedImage(1, Instance("b.png", solid(COLORS[0])), 0.5, "cat", 0.5),
        "no class": PickedImage(1, instance, 0.5),
    }
    sheets = {}
    for name, pick in picks.items():
        write_contact_sheet(tmp_path / "picks.png", [pick])
        sheets[name] = read(tmp_path / "picks.png")
    _, _, _, bottom = place_of(sheets["plain"], COLORS[0])
    for name, sheet in sheets.items():
        assert np.array_equal(sheet[:bottom], sheets["plain"][:bottom])
        assert (name == "plain") == np.array_equal(sheet, sheets["plain"])
        assert (sheet[bottom:].min(axis=2) < 100).sum() > 50, "there is dark ink"


@pytest.mark.parametrize(
    "name",
    [
        "x" * 100_000,
        "кошка-γάτα-猫-قطة-🐈.jpg",
        "line\nbreak\ttab\x00nul\x1b[31m.jpg",
        "not utf-8 \udce9.jpg",
        "\u202egnp.exe",
        "e" + "\u0301" * 1000,
        "",
        "$x_1$ {0} %s </b>",
    ],
)
def test_hostile_and_foreign_names_break_nothing(tmp_path: Path, name: str) -> None:
    instance = Instance(name, solid(COLORS[0]))
    pick = PickedImage(1, instance, 0.5, name, 0.5)
    usual = PickedImage(1, Instance("a.jpg", solid(COLORS[0])), 0.5, "cat", 0.5)
    for path, shown in ((tmp_path / "a.png", pick), (tmp_path / "b.png", usual)):
        write_contact_sheet(path, [shown, usual], shown.predicted or "")
    hostile, plain = read(tmp_path / "a.png"), read(tmp_path / "b.png")
    assert hostile.shape == plain.shape
    first_cell = place_of(hostile, COLORS[0])[0] + THUMBNAIL_SIDE
    bottom = place_of(hostile, COLORS[0])[3]
    assert np.array_equal(hostile[bottom:, first_cell:], plain[bottom:, first_cell:]), (
        "the name reaches into the next cell"
    )


def test_an_image_that_cannot_be_read_any_more_has_a_gray_cell(tmp_path: Path) -> None:
    images = [solid(COLORS[0]), tmp_path / "gone.png", solid(COLORS[2])]
    write_contact_sheet(tmp_path / "picks.png", picks_of(images))
    sheet = read(tmp_path / "picks.png")
    first, third = place_of(sheet, COLORS[0]), place_of(sheet, COLORS[2])
    middle = sheet[first[1] + 5, (first[0] + third[0]) // 2]
    assert middle.max() - middle.min() < 20, "gray"
    assert 150 < middle.mean() < 220


def test_of_many_picks_the_first_200_are_shown(tmp_path: Path) -> None:
    image = solid(COLORS[0], 8, 8)
    write_contact_sheet(tmp_path / "few.png", picks_of([image] * MOST_PICKS), "picks")
    write_contact_sheet(tmp_path / "many.png", picks_of([image] * (MOST_PICKS + 1)), "picks")
    few, many = read(tmp_path / "few.png"), read(tmp_path / "many.png")
    assert few.shape == many.shape
    assert not np.array_equal(few[:60], many[:60]), "the title says so"
    assert np.array_equal(few[60:], many[60:])


def test_no_picks_give_an_empty_page(tmp_path: Path) -> None:
    write_contact_sheet(tmp_path / "picks.png", [], "0 of 0 images")
    assert read(tmp_path / "picks.png").size


def test_a_large_picture_is_made_smaller_with_its_aspect(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png"):
        Image.new("RGB", (900, 300), (10, 200, 30)).save(tmp_path / name)
        small = thumbnail(Instance("a", tmp_path / name), 90)
        assert small.size == (90, 30)
        assert small.mode == "RGB"
        assert np.abs(np.array(small).astype(int) - (10, 200, 30)).max() <= 3
    assert thumbnail(Instance("a", solid(COLORS[0], 1, 2000)), 90).size == (90, 1)


def test_a_tiny_picture_is_enlarged_pixel_by_pixel() -> None:
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (32, 20, 3), dtype=np.uint8)
    small = np.array(thumbnail(Instance("a", image), 176))
    assert small.shape == (160, 100, 3)
    assert np.array_equal(small, image.repeat(5, axis=0).repeat(5, axis=1))


def test_a_picture_of_middle_size_stays_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 80, 3), dtype=np.uint8)
    assert np.array_equal(np.array(thumbnail(Instance("a", image), 176)), image)


def test_a_thumbnail_stands_upright(tmp_path: Path) -> None:
    """Red on the left; turned by EXIF, red is on top."""
    pixels = solid((0, 0, 255), 400, 800)
    pixels[:, :400] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    small = np.array(thumbnail(Instance("a", tmp_path / "turned.jpg"), 100)).astype(int)
    assert small.shape == (100, 50, 3)
    assert small[:45, :, 0].min() > 200
    assert small[55:, :, 2].min() > 200


def test_the_png_of_a_thumbnail_has_its_pixels() -> None:
    instance = Instance("a", solid(COLORS[3]))
    with Image.open(io.BytesIO(thumbnail_png_bytes(instance, 50))) as image:
        assert np.array_equal(np.array(image), np.array(thumbnail(instance, 50)))


def test_an_unreadable_image_has_no_thumbnail(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(ImageDecodeError, match=r"a\.png"):
        thumbnail(Instance("a", tmp_path / "a.png"), 50)


def test_large_pictures_are_held_one_at_a_time(tmp_path: Path) -> None:
    """numpy tells tracemalloc of its arrays; one of these takes 12 MB at full size."""
    Image.new("RGB", (2000, 2000), (10, 200, 30)).save(tmp_path / "large.jpg")
    picks = picks_of([tmp_path / "large.jpg"] * 12)
    write_contact_sheet(tmp_path / "picks.png", picks)  # the font is loaded now
    tracemalloc.start()
    write_contact_sheet(tmp_path / "picks.png", picks)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6e6


def test_names_in_other_scripts_are_letters_and_not_boxes(tmp_path: Path) -> None:
    names = ("猫狗", "鸟鱼")
    if not further_fonts("".join(names)):
        pytest.skip("no font with Chinese letters is installed")
    sheets = []
    for name in names:
        pick = PickedImage(1, Instance("a.png", solid(COLORS[0])), 1.0, name, 0.5)
        write_contact_sheet(tmp_path / "picks.png", [pick], "title")
        sheets.append(read(tmp_path / "picks.png"))
    assert not np.array_equal(sheets[0], sheets[1])


def test_the_share_stands_behind_a_name_that_is_written_from_right_to_left(tmp_path: Path) -> None:
    sheets = []
    for share in (0.11, 0.77):
        pick = PickedImage(1, Instance("a.png", solid(COLORS[0])), 1.0, "קטן", share)
        write_contact_sheet(tmp_path / "picks.png", [pick], "title")
        sheets.append(read(tmp_path / "picks.png"))
    changed = np.argwhere((sheets[0] != sheets[1]).any(axis=2))[:, 1]
    assert changed.min() > 20 + 80  # behind "predicted" and the name


def test_a_fault_of_the_machine_is_no_image_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    file = tmp_path / "a.png"
    Image.fromarray(solid(COLORS[0])).save(file)
    monkeypatch.setattr(Image, "open", fails)
    with pytest.raises(OSError, match="Too many open files"):
        write_contact_sheet(tmp_path / "picks.png", picks_of([file]), "title")
