"""The learner that calls train, test and infer of a pipeline over HTTP."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Interval
from overrides import overrides

from allencv_al.active_learning.learners.base import Learner, TestFigures, TestOutputs
from allencv_al.common.config.config_check import ConfigView
from allencv_al.common.config.configurable import Problem, not_one_of_two
from allencv_al.common.errors import ConfigurationError, DataError, Fault
from allencv_al.common.files.atomic_file import write_json
from allencv_al.common.names import class_name
from allencv_al.labels.label_store import UNTOLD
from allencv_al.selection.pool.pool_outputs import PoolOutputs
from allencv_al.selection.pool.unlabeled_pool import FloatArray
from allencv_al.service.driver.http_transport import HTTPTransport, address_fault
from allencv_al.service.driver.outputs import (
    embeddings_of,
    logits_of,
    stacked,
    test_outputs,
)
from allencv_al.service.driver.pipeline_experiment import OFFERED, PipelineExperiment
from allencv_al.service.driver.pipeline_records import (
    Records,
    counted_records,
    kept_by_pipeline,
    read_records,
    with_images,
)
from allencv_al.service.driver.transport import Transport
from allencv_al.service.driver.worker_transport import WorkerTransport
from allencv_al.service.web.web_settings import is_loopback

logger = logging.getLogger(__name__)

TOKEN_VARIABLE = "ALLENCV_AL_PIPELINE_TOKEN"  # noqa: S105  a name
# Key and checkpoint of a round: what a loop that was killed needs to ask for the same again
ROUND_NAME = "pipeline.json"
_PROTOCOL = 1


def _place_problems(url: str | None, listen_port: int | None) -> Iterator[Problem]:
    yield from not_one_of_two(url=url, listen_port=listen_port)
    message = None if url is None else address_fault(url)
    if message is not None:
        yield "url", message


def _one_token(token: str | None, token_file: Path | None) -> Iterator[Problem]:
    if token is not None and token_file is not None:
        yield "token_file", "expected it or token, found both"


@Learner.register("pipeline")
class PipelineLearner(Learner):
    """Drives a `Pipeline`, which trains with any library; the loop chooses the queries.

    Each round sends `/train`, `/test` and `/infer` with a checkpoint name that no other round or
    run uses: `ckpt_0_` and eight letters in the first round. The loop waits for a pipeline that is
    busy or restarts, and does not repeat finished requests. With `retrain: "warm"`, train gets the
    checkpoint of the previous round as `resume_from`.

    The records to label are those of getdatasetstate. A record with a `label` there gets that
    label; if no record has one, the pipeline is assumed to know the labels of the records that it
    trains on, unless an annotator provides them: train gets those as `labels`.

    A pipeline that cannot be reached polls for requests by `Pipeline.work(url, token)`: set
    `listen_port` instead of `url`.

    Args:
        experiment: The experiment of the config.
        url: Address of the pipeline, such as "http://127.0.0.1:5000".
        listen_port: Port where the run waits for a worker, instead of `url`; 0 takes a free one.
        listen_host: Address to listen on; any other than loopback needs a token.
        token: Token of the pipeline, or token that workers need; it is written to no file of the
            run. Default: the environment variable ALLENCV_AL_PIPELINE_TOKEN, if set.
        token_file: File with the token, instead of `token`.
        embeddings: Whether infer returns a vector `embedding` beside the logits of each record,
            which some strategies need.
        records: Number of records, if the pipeline has no getdatasetstate.
        records_per_request: Number of records per `/infer` request.
        patience_seconds: Seconds that the pipeline may be unreachable before the run stops.

    Raises:
        AllenCVError: The pipeline is unreachable, or its records contradict the config.
    """

    joint_rules = (_place_problems, _one_token)

    def __init__(
        self,
        experiment: PipelineExperiment,
        url: str | None = None,
        listen_port: Annotated[int, Interval(ge=0, le=65535)] | None = None,
        listen_host: str = "127.0.0.1",
        token: str | None = None,
        token_file: Path | None = None,
        embeddings: bool = False,
        records: Annotated[int, Ge(1)] | None = None,
        records_per_request: Annotated[int, Ge(1)] = 10_000,
        patience_seconds: Annotated[float, Ge(0)] = 600.0,
    ) -> None:
        self._settings = experiment.settings
        self._embeddings = embeddings
        self._per_request = records_per_request
        secret = _token(token, token_file)
        self._transport: Transport
        if url is not None:
            self._transport = HTTPTransport(url, secret, patience_seconds)
        else:
            self._transport = WorkerTransport(listen_host, listen_port or 0, secret)
        try:
            self._info = self._transport.get("/v1/info")
            if self._info.get("protocol") != _PROTOCOL:
                name = self._transport.name
                raise DataError(f"{name}: expected a pipeline of protocol {_PROTOCOL}")
            self._records = self._find_records(experiment, records)
        except BaseException:
            # Else the port and the thread of the transport would stay until the process ends
            self._transport.close(is_done=False)
            raise
        self.items = self._records.items
        self._width = len(self._records.classes)
        self._checkpoint: str | None = None
        self._round = 0
        self._path = Path()
        self._kept: dict[str, Any] = {}

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        secrets = (config.get("token"), config.get("token_file"), os.environ.get(TOKEN_VARIABLE))
        is_open = secrets == (None, None, None)
        if config.sound("listen_host") and is_open and not is_loopback(config.get("listen_host")):
            yield config.fault("listen_host", "other machines can reach it: a token is needed")

    @classmethod
    @overrides
    def experiment_class(cls) -> type[PipelineExperiment]:
        return PipelineExperiment

    @overrides
    def check(self, needs: Collection[str]) -> None:
        if set(needs) - OFFERED:
            missing = ", ".join(sorted(set(needs) - OFFERED))
            raise ConfigurationError(
                f"active_learning.strategy: needs {missing}, which pipelines do not return"
            )
        if not self._embeddings and {"embeddings", "labeled_embeddings"} & set(needs):
            raise ConfigurationError(
                "active_learning.strategy: needs embeddings: let infer return a vector "
                "`embedding` for each record, and set active_learning.learner.embeddings: true"
            )

    @property
    def _spellings(self) -> dict[str, str]:
        """Spellings of the pipeline by class name."""
        return {class_name(name): name for name in self._records.classes}

    @overrides
    def class_names(self) -> list[str]:
        return list(self._spellings)

    @overrides
    def data_classes(self) -> list[str]:
        return [] if not self.knows_labels() else self.class_names()

    @overrides
    def knows_labels(self) -> bool:
        # The pipeline keeps all labels or none: the first record tells for all
        return not any(item.label == UNTOLD for item in self.items[:1])

    @overrides
    def set_classes(self, names: Collection[str]) -> bool:
        known = self.class_names()
        # A class cannot be added: the columns of the pipeline's logits are its own
        others = sorted(set(names) - {*known, UNTOLD})
        if known and others:
            raise DataError(
                f"labels of no class of the pipeline: {', '.join(others)}; known: "
                f"{', '.join(known)}"
            )
        return False

    @overrides
    def train(self, round: int, labels: Mapping[str, str], folder: Path) -> dict[str, Any]:
        path = folder / ROUND_NAME
        # Before the first request: after a kill, the same key and checkpoint are sent again
        if not path.is_file():
            write_json(path, self._new_round(round))
        # That of the loop, not what the pipeline wrote last: another experiment may train in
        # between
        before = _checkpoint_in(folder.parent / f"{round - 1:04d}" / ROUND_NAME)
        self._take_up(round, folder)
        records = self._records.index_of
        body: dict[str, Any] = {
            # Sorted, so that the same labels in another order are the same request
            "labeled": sorted(records[id] for id in labels),
            "resume_from": before if self._settings.retrain == "warm" else None,
            "ckpt_file": self._checkpoint,
        }
        if self.knows_labels():
            spellings = self._spellings
            body["labels"] = {
                str(records[id]): spellings.get(label, label) for id, label in labels.items()
            }
        answer = self._call("/train", body)
        self._kept["train_time"] = answer.get("train_time")
        write_json(self._path, self._kept)
        return {"pipeline_seconds": answer.get("train_time")}

    @overrides
    def restore(self, round: int, labels: Mapping[str, str], folder: Path) -> None:
        self._take_up(round, folder)

    @overrides
    def test(self) -> TestOutputs | TestFigures | None:
        answer = self._call("/test", {"ckpt_file": self._checkpoint})
        task = (answer.get("metrics") or {}).get("task")
        if task != self._kept.get("task"):
            self._kept["task"] = task
            write_json(self._path, self._kept)
        return test_outputs(answer, self._records.classes)

    @overrides
    def infer(self, ids: Sequence[str], needs: Collection[str], folder: Path | None) -> PoolOutputs:
        if not needs:
            # The strategy needs no outputs: no request, which for a large pool may take hours
            return PoolOutputs(list(ids))
        if self._checkpoint is None:
            raise DataError("infer: the pipeline has no checkpoint before the first training")
        index_of = self._records.index_of
        blocks = list(self._infer_blocks(sorted((index_of[id], id) for id in ids), needs))
        # Asked by index, in blocks that are the same for any order of `ids`; put back into order
        # here
        order = {id: place for place, id in enumerate(id for found, _, _ in blocks for id in found)}
        places = np.asarray([order[id] for id in ids], np.int64)
        logits = stacked([block for _, block, _ in blocks], self._width)[places]
        self._width = logits.shape[1]
        embeddings = None
        if "embeddings" in needs:
            embeddings = stacked([block for _, _, block in blocks if block is not None], 0)[places]
        return PoolOutputs(list(ids), logits, embeddings=embeddings)

    @overrides
    def offers(self, output: str) -> bool:
        return output == "logits" or (output == "embeddings" and self._embeddings)

    @overrides
    def close(self, is_done: bool) -> None:
        self._transport.close(is_done)

    @overrides
    def write_archive(self, folder: Path) -> None:
        logger.info("the model is the checkpoint %s of %s", self._checkpoint, self._transport.name)

    def _find_records(self, experiment: PipelineExperiment, count: int | None) -> Records:
        named = self._info.get("class_labels") or {}
        # Classes without a name in between keep their numbers, since columns are counted
        size = max((int(number) for number in named), default=-1) + 1
        classes = [named.get(str(number), str(number)) for number in range(size)]
        classes = classes or list(experiment.settings.classes or ())
        if "getdatasetstate" in self._info.get("functions", ()):
            answer = self._transport.call("/getdatasetstate", {}, None)
            records = read_records(answer.get("state"), classes)
            if count is not None and count != len(records.items):
                raise DataError(
                    f"active_learning.learner.records: expected {len(records.items)}, the number "
                    f"of records that getdatasetstate returned, found {count}"
                )
        elif count is None:
            raise ConfigurationError(
                "active_learning.learner.records: expected the number of records, since the "
                "pipeline has no getdatasetstate; found none"
            )
        else:
            records = counted_records(count, classes)
        if experiment.dataset_reader is not None and experiment.train_data_path is not None:
            images = list(experiment.dataset_reader.read(experiment.train_data_path))
            records = with_images(records, images)
        labeled = sum(item.label is not None for item in records.items)
        if not experiment.settings.annotator.needs_known_labels or labeled == len(records.items):
            return records
        if labeled:
            raise DataError(
                f"getdatasetstate: {len(records.items) - labeled} of {len(records.items)} records "
                "have no label; expected one for each, or for none"
            )
        return kept_by_pipeline(records)

    def _new_round(self, round: int) -> dict[str, str]:
        """Return the key of a round's requests and its unique checkpoint name."""
        key = uuid.uuid4().hex
        extension = self._info.get("checkpoint_extension", "")
        return {"key": key, "checkpoint": f"ckpt_{round - 1}_{key[:8]}{extension}"}

    def _take_up(self, round: int, folder: Path) -> None:
        self._round, self._path = round, folder / ROUND_NAME
        self._kept = json.loads(self._path.read_text(encoding="utf-8"))
        self._checkpoint = self._kept["checkpoint"]

    def _call(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        # Loops of the protocol count from 0, and rounds that train from 1
        body = {**body, "cur_loop": self._round - 1}
        text = json.dumps(body, sort_keys=True)
        # With the body in the key: the same route is asked several times a round, for other records
        asked = hashlib.sha256(text.encode()).hexdigest()[:16]
        answer = self._transport.call(path, body, f"{self._kept['key']}{path}/{asked}")
        for note in answer.get("warnings") or ():
            logger.warning("%s: %s", self._transport.name, note)
        return answer

    def _infer_blocks(
        self, records: Sequence[tuple[int, str]], needs: Collection[str]
    ) -> Iterator[tuple[list[str], FloatArray, FloatArray | None]]:
        for start in range(0, len(records), self._per_request):
            block = records[start : start + self._per_request]
            numbers = [number for number, _ in block]
            answer = self._call("/infer", {"ckpt_file": self._checkpoint, "unlabeled": numbers})
            outputs = answer.get("outputs") or {}
            logits = logits_of(outputs, numbers, self._kept.get("task"))
            embeddings = embeddings_of(outputs, numbers) if "embeddings" in needs else None
            yield [id for _, id in block], logits, embeddings


def _checkpoint_in(path: Path) -> str | None:
    """Return the checkpoint name of a round; None if the round trained none."""
    if not path.is_file():
        return None
    found: str = json.loads(path.read_text(encoding="utf-8"))["checkpoint"]
    return found


def _token(token: str | None, token_file: Path | None) -> str | None:
    if token_file is None:
        return token or os.environ.get(TOKEN_VARIABLE)
    try:
        found = token_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"active_learning.learner.token_file: {token_file} cannot be read: {error}"
        ) from error
    if not found:
        raise ConfigurationError(f"active_learning.learner.token_file: {token_file} is empty")
    return found
