"""The report, tables, pictures and model of a run."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from allencv_al.active_learning.learners.base import Learner
from allencv_al.active_learning.report.run_report import (
    CURVE_NAME,
    RunContext,
    run_lines,
    write_run_report,
)
from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.active_learning.settings import ActiveLearningSettings, name_in
from allencv_al.active_learning.stop_rules.base import target_accuracy
from allencv_al.common import Params
from allencv_al.common.errors import AllenCVError
from allencv_al.common.files.atomic_file import write_json, write_text
from allencv_al.common.files.tables import LABELS_NAME, csv_text
from allencv_al.data.instance import Instance
from allencv_al.labels.audit_sample import marked
from allencv_al.labels.contact_sheet import thumbnail_png_bytes, write_contact_sheet
from allencv_al.labels.label_store import LabelStore
from allencv_al.labels.label_table import PickedImage, write_label_table
from allencv_al.reports.line_chart import ChartText, write_line_chart
from allencv_al.selection.pool.pool_outputs import EncodingCost
from allencv_al.tasks.base import LabelTask
from allencv_al.training.run_records import read_environment

if TYPE_CHECKING:
    from allencv_al.active_learning.loop import ActiveLearningLoop

logger = logging.getLogger(__name__)

SHEET_NAME = "picks.png"
TEST_ITEMS_NAME = "test_images.csv"
ENCODING_NAME = "encoding.json"
THUMBNAIL_SIDE = 96  # pixels
_SECONDS_BETWEEN = 60.0  # rounds on embeddings may take about a second


class RunFiles:
    """Writes the files of a run beside its database.

    That is `report.html`, `learning_curve.png`, `labels.csv`, `model.tar.gz`, and `picks.png` while
    the loop waits for labels.

    Args:
        folder: The folder of the run.
        params: Its config.
        learner: The learner.
        settings: Its block `active_learning`.
    """

    def __init__(
        self,
        folder: Path,
        params: Params,
        learner: Learner,
        settings: ActiveLearningSettings,
    ) -> None:
        self._folder = folder
        self._params = params
        self._learner = learner
        self._settings = settings
        self._items = {item.id: item for item in learner.items}
        self._written = time.monotonic()
        # Earlier calls of this run have encoded images, too
        self._cost_before = read_encoding_cost(folder)

    def update(self, loop: ActiveLearningLoop) -> None:
        """Write all files but the model, at most once a minute: rounds may be short."""
        if time.monotonic() - self._written >= _SECONDS_BETWEEN:
            self.write(loop, with_model=False)

    def write(self, loop: ActiveLearningLoop, with_model: bool) -> None:
        """Write the files, and the current model if `with_model`."""
        records = loop.records()
        if with_model and any(record.labels for record in records):
            self._learner.write_archive(self._folder)
        lines = run_lines(records, target_accuracy(self._settings.stop))
        if lines:
            text = ChartText(title=self._folder.name)
            write_line_chart(self._folder / CURVE_NAME, lines, text)
        # Records of a pipeline may be no images, or images on another machine
        is_shown = any(_has_image(item) for item in self._items.values())
        thumbnail = self._thumbnail if is_shown else None
        write_run_report(self._folder, records, self._context(records, loop.labels), thumbnail)
        self._write_labels(loop.labels.labels(), loop.audit.ids)
        try:
            self._write_contact_sheet(records)
        except Exception as error:  # a picture must not end the run
            logger.warning("%s: not drawn: %s", self._folder / SHEET_NAME, error)
        self._written = time.monotonic()

    def _context(self, records: Sequence[RoundRecord], labels: LabelStore) -> RunContext:
        config = self._params.as_dict()
        matrix = next((r.confusion_matrix for r in records if r.confusion_matrix), None)
        return RunContext(
            name=self._folder.name,
            strategy=name_in(config, "strategy", "margin"),
            annotator=name_in(config, "annotator", "ground_truth")
            if self._learner.knows_labels()
            else "the pipeline",
            retrain=self._settings.retrain,
            test_items=None if matrix is None else sum(map(sum, matrix)),
            target=target_accuracy(self._settings.stop),
            seconds_per_label=labels.median_seconds(),
            config=config,
            environment=read_environment(self._folder),
            encoding=self._encoding_cost(),
        )

    def _encoding_cost(self) -> EncodingCost | None:
        """Return the cost of encoding in all calls of the run, and keep it for the next one."""
        cost = self._learner.encoding_cost()
        if cost is None:
            return self._cost_before
        before = self._cost_before or EncodingCost()
        encoded = before.encoded + cost.encoded
        # Images that an earlier call encoded came from the store in this one
        known = max(cost.encoded + cost.known - encoded, 0)
        cost = EncodingCost(encoded, known, before.seconds + cost.seconds)
        write_json(self._folder / ENCODING_NAME, asdict(cost))
        return cost

    def _write_labels(self, labels: Mapping[str, str], audit: Collection[str]) -> None:
        """Write all current labels as a table for the reader `manifest`."""
        items = [self._items[id] for id in labels if id in self._items]
        labeled = [
            replace(
                self._learner.task.labeled(item, labels[item.id]),
                metadata=marked(item.metadata, item.id in audit),
            )
            for item in items
        ]
        write_label_table(self._folder / LABELS_NAME, [], labeled)

    def _write_contact_sheet(self, records: Sequence[RoundRecord]) -> None:
        """Draw the images that wait for labels, if any."""
        path = self._folder / SHEET_NAME
        asked = (*records[-1].picks, *records[-1].audit)
        waiting = [pick for pick in asked if pick.outcome == "waiting"]
        if not waiting:
            path.unlink(missing_ok=True)
            return
        picked = [
            PickedImage(rank, self._items[pick.id], pick.score, pick.predicted)
            for rank, pick in enumerate(waiting, start=1)
            if pick.id in self._items
        ]
        write_contact_sheet(path, picked, f"{len(picked)} images to label")

    def _thumbnail(self, id: str) -> bytes | None:
        item = self._items.get(id)
        if item is None:
            return None
        try:
            return thumbnail_png_bytes(item, THUMBNAIL_SIDE)
        except AllenCVError:
            return None


def read_encoding_cost(folder: Path) -> EncodingCost | None:
    """Return the cost of encoding that a run has recorded; None if it has not."""
    path = folder / ENCODING_NAME
    if not path.is_file():
        return None
    return EncodingCost(**json.loads(path.read_text(encoding="utf-8")))


def _has_image(item: Instance) -> bool:
    return not (isinstance(item.image, bytes) and not item.image)


def record_test_items(path: Path, items: Sequence[Instance], task: LabelTask) -> None:
    """Write the table of the drawn test images, once; warn if later ones differ.

    Args:
        path: The CSV file, with the columns `id` and `label`.
        items: The images that measure; none writes nothing.
        task: The kind of their labels.
    """
    if not items:
        return
    ordered = sorted(items, key=lambda item: item.id)
    rows = [{"id": item.id, "label": task.text_of(item)} for item in ordered]
    text = csv_text(("id", "label"), rows)
    if not path.exists():
        write_text(path, text)
    elif path.read_text(encoding="utf-8") != text:
        logger.warning(
            "%s: other images measure now than when the run began: its rounds do not compare", path
        )
