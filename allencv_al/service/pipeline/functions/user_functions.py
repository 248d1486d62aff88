"""The user's functions with checked inputs and outputs."""

from __future__ import annotations

import copy
import logging
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from inspect import isawaitable, isgenerator
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from allencv_al.common.names import listed
from allencv_al.service.pipeline.functions.calling import UserFunction, unchanged_folder
from allencv_al.service.pipeline.functions.infer_keys import by_record
from allencv_al.service.pipeline.functions.returns import (
    as_array,
    by_index,
    drained,
    kind_of,
    mapping_with,
    side_by_side,
    to_plain,
)
from allencv_al.service.pipeline.pipeline_errors import (
    FunctionError,
    PipelineError,
    ReturnValueError,
)
from allencv_al.service.pipeline.sql_client import create_connection, read_rows, remap
from allencv_al.service.pipeline.tasks.infer_outputs import to_logits
from allencv_al.service.pipeline.tasks.pipeline_metrics import queried_per_class

logger = logging.getLogger(__name__)

Function = Callable[..., Any]


@dataclass(frozen=True)
class Trained:
    """Result of train.

    Args:
        seconds: Training time.
        queried_per_class: Labeled records per class, if train returned labels.
        hyperparams: Hyperparameters that train returned.
    """

    seconds: float
    queried_per_class: dict[str, int] | None
    hyperparams: Any = None


class Functions:
    """A user's train, test, infer and getdatasetstate.

    Args:
        train: Trains on the given records and writes a checkpoint.
        test: Returns predictions and labels.
        infer: Returns an output for each unlabeled record.
        getstate: Returns the records; None if there is no such function.
        args: Settings passed to every function; always the same object.
        calling: Calling convention; see `UserFunction`.
        key_policy: Matching of outputs of infer to records; see `by_record`.

    Raises:
        ConfigurationError: A function cannot be called by this convention.
    """

    def __init__(
        self,
        train: Function,
        test: Function,
        infer: Function,
        getstate: Function | None,
        args: dict[str, Any],
        calling: str = "auto",
        key_policy: str = "auto",
    ) -> None:
        self.args = args
        self._key_policy = key_policy
        train_keys = ("labeled", "resume_from", "ckpt_file", "labels")
        self._train = UserFunction(train, "train", train_keys, calling)
        self._test = UserFunction(test, "test", ("ckpt_file",), calling)
        self._infer = UserFunction(infer, "infer", ("ckpt_file", "unlabeled"), calling)
        self._getstate = (
            None if getstate is None else UserFunction(getstate, "getdatasetstate", (), "auto")
        )

    @property
    def has_state(self) -> bool:
        """Whether there is a getdatasetstate."""
        return self._getstate is not None

    def train(self, payload: Mapping[str, Any], loop: int | None = None) -> Trained:
        """Call train.

        Args:
            payload: labeled, resume_from, ckpt_file and any extra keys of the request.
            loop: Loop number.

        Raises:
            PipelineError: The function raised an exception (500).
        """
        began = time.perf_counter()
        found = self._call(self._train, payload, loop)
        seconds = time.perf_counter() - began
        if not isinstance(found, Mapping):
            if found is not None:  # some functions return a sentence
                logger.warning("train: ignoring the return value, a %s", type(found).__name__)
            return Trained(seconds, None)
        queried = None
        if "labels" in found:
            queried = queried_per_class(found["labels"], len(payload["labeled"]))
        try:
            hyperparams = to_plain(found.get("hyperparams"), "train", "hyperparams")
        except PipelineError as error:  # not worth losing a training
            logger.warning("%s; they are not kept", error)
            hyperparams = None
        return Trained(seconds, queried, hyperparams)

    def test(self, payload: Mapping[str, Any], loop: int | None = None) -> dict[str, Any]:
        """Call test; return predictions, labels and, if given, logits (`outputs`) as JSON values.

        Raises:
            PipelineError: The function raised (500), or its return value is wrong (422).
        """
        found = mapping_with(
            self._call(self._test, payload, loop), ("predictions", "labels"), "test"
        )
        predictions, labels = side_by_side(found["predictions"], found["labels"])
        values = {
            "predictions": to_plain(predictions, "test", "predictions"),
            "labels": to_plain(labels, "test", "labels"),
        }
        if found.get("outputs") is not None:
            values["outputs"] = _test_logits(found["outputs"], values["labels"])
        return values

    def infer(self, payload: Mapping[str, Any], loop: int | None = None) -> dict[int, Any]:
        """Call infer; return the outputs by record index, unconverted.

        With a loop number, the function may write the database of that loop instead.

        Raises:
            PipelineError: The function raised an exception (500), or records are missing (422).
        """
        if not payload["unlabeled"]:  # functions need not handle an empty batch
            return {}
        found = self.infer_or_database(payload, loop)
        if not isinstance(found, Path):
            return found
        with closing(create_connection(found)) as conn:
            return dict(read_rows(conn))

    def infer_or_database(
        self, payload: Mapping[str, Any], loop: int | None
    ) -> dict[int, Any] | Path:
        """Call infer; return the outputs, or the path of `infer_outputs_LOOP.db` in EXPT_DIR.

        With a loop number, a function that returns nothing may have written that file; see
        `sql_client`. Its rows are mapped to record indices.

        Raises:
            PipelineError: As `infer`; or there are neither outputs nor a file.
        """
        path = Path(str(self.args["EXPT_DIR"])) / f"infer_outputs_{loop}.db"
        if loop is not None:
            path.unlink(missing_ok=True)  # left by a killed attempt
        returned = self._call(self._infer, payload, loop)
        if loop is None or not path.is_file():
            found = mapping_with(returned, ("outputs",), "infer")
            return by_record(found["outputs"], payload["unlabeled"], self._key_policy)
        outputs = returned.get("outputs") if isinstance(returned, Mapping) else returned
        # A function that has written the database may return an empty value beside it
        if outputs is not None and not (hasattr(outputs, "__len__") and not len(outputs)):
            message = f"expected returned outputs or the file {path.name}, found both"
            raise ReturnValueError("infer", message)
        with closing(create_connection(path)) as conn:
            remap(conn, payload["unlabeled"])
        return path

    def state(self) -> Any:
        """Call getdatasetstate; return the records as JSON values.

        Raises:
            PipelineError: There is no such function (404), or it raised an exception (500).
        """
        if self._getstate is None:
            raise PipelineError(
                404, "not_found", "this pipeline has no getdatasetstate", "getdatasetstate"
            )
        return to_plain(self._call(self._getstate, {}, None), "getdatasetstate")

    def _call(self, function: UserFunction, payload: Mapping[str, Any], loop: int | None) -> Any:
        if loop is not None:
            self.args["cur_loop"] = self.args["current_loop"] = loop
        logdir = str(self.args.get("LOG_DIR", "")) or None
        try:
            with unchanged_folder():
                found = drained(function(copy.copy(dict(payload)), self.args, loop, logdir))
        except PipelineError:
            raise
        # Of every class: the SystemExit of an argument parser must not end the server
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and _may_be_of_the_terminal():
                raise
            if isinstance(error, FileNotFoundError) and _is_checkpoint(error, payload):
                raise PipelineError(
                    404, "not_found", f"{function.phase}: {error}", function.phase, loop
                ) from error
            lines = traceback.format_exception(error.with_traceback(_own_part(error)))
            logger.error("%s raised an exception\n%s", function.phase, "".join(lines).rstrip())
            raise FunctionError(error, function.phase, loop) from error
        if isawaitable(found) or isgenerator(found):
            # A coroutine that is never closed warns when it is collected
            getattr(found, "close", lambda: None)()
            message = f"expected values, found {kind_of(found)} that was not run"
            raise ReturnValueError(function.phase, message)
        return found


def _is_checkpoint(error: FileNotFoundError, payload: Mapping[str, Any]) -> bool:
    """Return whether the missing file is the requested checkpoint."""
    name = Path(str(error.filename or "")).name
    return any(
        name == asked or name.startswith(f"{asked}.")
        for asked in (payload.get("ckpt_file"), payload.get("resume_from"))
        if asked
    )


def _may_be_of_the_terminal() -> bool:
    """Return whether a KeyboardInterrupt can be Ctrl-C; server threads never receive it."""
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _own_part(error: BaseException) -> TracebackType | None:
    """Return the traceback starting in the user's function."""
    found = error.__traceback__
    folder = str(Path(__file__).parent)
    while found is not None and found.tb_frame.f_code.co_filename.startswith(folder):
        found = found.tb_next
    return found or error.__traceback__


def _test_logits(outputs: Any, labels: Any) -> list[list[float]]:
    """Return the logits of the test records, in the order of the labels."""
    keys = list(labels) if isinstance(labels, Mapping) else list(range(len(labels)))
    outputs = as_array(by_index(outputs) if isinstance(labels, Mapping) else outputs)
    if isinstance(outputs, Mapping):
        texts = {str(as_array(key)): value for key, value in outputs.items()}
        rows = [texts[str(key)] for key in keys if str(key) in texts]
    elif isinstance(outputs, list | tuple) or (isinstance(outputs, np.ndarray) and outputs.ndim):
        rows = list(outputs)
    else:
        message = f"expected a dictionary, a list or an array, found {kind_of(outputs)}"
        raise ReturnValueError("test", f"outputs: {message}")
    if len(rows) != len(keys) or len(outputs) != len(keys):
        message = f"expected one for each of {len(keys)} labels, found {len(outputs)}"
        raise ReturnValueError("test", f"outputs: {message}")
    found: list[list[float]] = to_logits(dict(enumerate(rows)), "test").tolist()
    return found


def check_records(records: Sequence[int], size: int | None, name: str) -> list[int]:
    """Return the record indices sorted.

    Args:
        records: Record indices.
        size: Number of records, if known.
        name: Name of the field, for messages.

    Raises:
        PipelineError: An index is a duplicate or out of range (422); they are named.
    """
    found = sorted(records)
    twice = sorted({one for one, other in pairwise(found) if one == other})
    if twice:
        raise PipelineError(422, "records", f"{name}: duplicate indices: {listed(twice)}")
    bad = [one for one in found if one < 0 or (size is not None and one >= size)]
    if bad:
        most = "" if size is None else f" to {size - 1}"
        raise PipelineError(422, "records", f"{name}: expected 0{most}, found {listed(bad)}")
    return found
