import base64
from pathlib import Path

from allencv_al.commands.shared.mask_files import MaskFiles


def prediction(content: bytes) -> dict[str, object]:
    return {"mask": {"size": [1, 2], "png": base64.b64encode(content).decode()}, "shares": {}}


def test_masks_are_named_as_their_images_and_lie_beside_the_lines(tmp_path: Path) -> None:
    masks = MaskFiles(tmp_path / "out.jsonl")
    ids = ["a/cat.jpg", "b/Cat.png", "dog.png"]
    rows = [masks.written(prediction(id.encode()), id) for id in ids]
    names = [row["mask"]["png"] for row in rows]
    assert names == ["out_masks/cat.png", "out_masks/Cat-2.png", "out_masks/dog.png"]
    assert [(tmp_path / name).read_bytes() for name in names] == [id.encode() for id in ids]
    assert rows[0] == {"mask": {"size": [1, 2], "png": names[0]}, "shares": {}}


def test_what_is_no_mask_makes_no_folder(tmp_path: Path) -> None:
    masks = MaskFiles(tmp_path / "out.jsonl")
    for row in ({"class": "cat"}, {"mask": [[0, 1]]}, {"mask": {"size": [1, 1]}}):
        assert masks.written(dict(row), "a") == row
    assert not (tmp_path / "out_masks").exists()
