"""Read the pool and the labeled images of `allencv-al select`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from allencv_al.common.errors import DataError, raise_problems
from allencv_al.common.files.paths import (
    absent,
    path_problem,
    split_path,
    written_path,
)
from allencv_al.common.files.tables import (
    CSV_SUFFIXES,
    JSON_SUFFIXES,
    Row,
    cell_text,
    is_json_text,
    parse_table,
)
from allencv_al.common.files.text_files import decode_text, is_text
from allencv_al.common.process import standard_input
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.image_files import count_images, is_image_name
from allencv_al.data.dataset_readers.image_tables import (
    PATH_COLUMNS,
    file_of_row,
    is_path_table,
    path_columns,
    path_lines,
)
from allencv_al.data.dataset_readers.manifest import ManifestReader
from allencv_al.data.instance import Instance, check_ids_are_unique, encodable, path_id
from allencv_al.labels.audit_sample import is_audit
from allencv_al.selection.known_labels import read_labeled
from allencv_al.tasks.base import LabelTask, label_task

logger = logging.getLogger(__name__)

STANDARD_INPUT = "-"
_COLUMNS = (*PATH_COLUMNS, "id", "label")


def read_pool(text: str) -> list[Instance]:
    """List the images that the argument POOL names; none is decoded.

    Args:
        text: A folder (images at any depth, in sorted order; ids are the relative paths); a table
            as the reader `manifest` takes it; JSON lines with `image_path`; a text file whose
            lines are paths of images; or `-` for such lines on stdin. Rows may have labels.

    Raises:
        DataError: There is no such thing, no image in it, or a line is wrong; all are told.
    """
    if not text:  # an unset variable of a script must not read the current folder
        raise DataError('POOL: expected a path, found ""')
    if text == STANDARD_INPUT:
        return _listed(standard_input().read(), "stdin", Path())
    location, part = split_path(text)
    if location.is_dir() and part is None:
        return _folder(location)
    if not location.is_file():
        raise DataError(f"{absent(text, 'file or folder')}{_reader_hint(location)}")
    if is_image_name(location.name) or not is_text(_head(location)):
        raise DataError(
            f"{text}: expected a folder, a table or a list of image files to choose from, found "
            f"one image or a file of another kind{_reader_hint(location)}"
        )
    content = location.read_bytes()
    if part is not None or _is_table(location, content):
        # A file that is not there counts as unreadable, as it does in the other forms of POOL
        reader = ManifestReader(check_files=False)
        reader.expects_labels = False  # a pool has none to begin with
        return list(reader.read(text))
    return _listed(content, text, location.parent)


def separate(
    pool: Sequence[Instance],
    labeled_text: str | None,
    task: LabelTask | None = None,
    reader: DatasetReader | None = None,
) -> tuple[list[Instance], list[Instance]]:
    """Return the images that may be chosen, and the labeled images.

    Args:
        pool: The images of POOL. Those with a label are taken as labeled.
        labeled_text: The value of `--labeled`; its labels have precedence over those of POOL.
        task: The kind of labels; default: one class per image.
        reader: The dataset reader of the model, for masks and boxes of `--labeled`.

    Raises:
        DataError: Everything is labeled, or the labels cannot be read.
    """
    task = label_task(task)
    labeled = [] if labeled_text is None else read_labeled(labeled_text, pool, task, reader)
    # A label of --labeled goes before one that the pool itself has
    known = {instance.id for instance in labeled}
    labeled += [item for item in pool if task.is_labeled(item) and item.id not in known]
    known |= {instance.id for instance in labeled}
    # Audit images measure the model: trained on, they would praise it
    rest = [item for item in pool if item.id not in known and not is_audit(item)]
    if not rest:
        raise DataError(f"all {len(pool)} images of the pool are labeled: none is left to choose")
    return rest, labeled


def _folder(folder: Path) -> list[Instance]:
    names, skipped = count_images(folder)
    if not names:
        raise DataError(
            f"{folder}: found no images in this folder, at any depth; skipped: {skipped}"
            f"{_reader_hint(folder)}"
        )
    logger.info("%s: %d images; skipped: %s", folder, len(names), skipped)
    return [Instance(encodable(name), folder / name) for name in names]


def _reader_hint(location: Path) -> str:
    if location.suffix in CSV_SUFFIXES + JSON_SUFFIXES:
        return ""
    return "; --use-dataset-reader lets the archive's reader read it"


def _head(file: Path) -> bytes:
    with file.open("rb") as stream:
        # As much as tells a text from an image
        return stream.read(4096)


def _is_table(file: Path, content: bytes) -> bool:
    """Return whether the reader `manifest` reads the file: by its name, header or keys."""
    head = content.decode("utf-8", "replace")
    if is_text(content[:4096]) and b"\0" in content[:4096]:
        head = decode_text(content, str(file))
    if is_json_text(head):
        first = next(iter(parse_table(head, str(file), PATH_COLUMNS, is_json=True).rows), Row(1))
        return "path" in first.values and "image_path" not in first.values
    if file.suffix.lower() in JSON_SUFFIXES:
        return True
    # Paths in `image_path` are relative to the current folder, not to the table
    has_other = path_columns(head[:4096]) == {"image_path"}
    return is_path_table(file.name, head[:4096]) and not has_other


def _listed(content: bytes, where: str, folder: Path) -> list[Instance]:
    problems: list[str] = []
    if not is_text(content[:4096]) or b"\0" in content[:4096]:
        content = decode_text(content, where).encode()
    head = content[:4096].decode("utf-8", "replace")
    is_json = is_json_text(head)
    if is_json or is_path_table(where, head):
        table = parse_table(decode_text(content, where), where, _COLUMNS, is_json)
        if not is_json:
            table.require(where, PATH_COLUMNS)
        instances = list(_of_rows(table.rows, folder, problems))
    else:
        instances = list(_of_lines(content, problems))
    raise_problems(where, problems)
    if not instances:
        raise DataError(f"{where}: expected the paths of images, one a line, found nothing")
    check_ids_are_unique(where, instances)
    return instances


def _of_lines(content: bytes, problems: list[str]) -> Iterator[Instance]:
    for number, path in path_lines(content):
        if (problem := path_problem(path)) is not None:
            problems.append(f"line {number}: {problem}")
        else:
            yield Instance(encodable(path_id(path)), written_path(path))


def _of_rows(rows: Sequence[Row], folder: Path, problems: list[str]) -> Iterator[Instance]:
    for row in rows:
        try:
            if row.problem is None and not set(PATH_COLUMNS) & set(row.values):
                keys = ", ".join(row.values)
                raise ValueError(f'expected {{"image_path": path}}, found the keys {keys}')
            written, file = file_of_row(row, folder)
            id, label = cell_text(row.values, "id"), cell_text(row.values, "label")
            yield Instance(encodable(id or path_id(written)), file, label or None)
        except ValueError as error:
            problems.append(f"{row.place}: {error}")
