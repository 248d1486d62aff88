"""The bodies of requests to a pipeline, and of its answers, of all generations of clients."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

Index = Annotated[int, Field(ge=0, le=2**53)]
Loop = Annotated[int, Field(ge=0, le=10**6)]


class TrainRequest(BaseModel):
    """Asks for a training."""

    model_config = ConfigDict(extra="allow")

    labeled: list[Index] = Field(description="The indices of the records to train on.")
    resume_from: str | None = Field(None, description="The checkpoint to go on from.")
    ckpt_file: str = Field(description="The checkpoint to write.", max_length=200)
    labels: dict[Index, str] | None = Field(
        None, description="The class of each record, for functions that have no labels themselves."
    )
    cur_loop: Loop | None = Field(None, description="The number of the loop, for functions.")


class TestRequest(BaseModel):
    """Asks for a test."""

    __test__ = False  # no test of pytest's
    model_config = ConfigDict(extra="allow")

    ckpt_file: str = Field(max_length=200)
    cur_loop: Loop | None = Field(None, description="The number of the loop, for functions.")


class InferRequest(BaseModel):
    """Asks for the outputs of records."""

    model_config = ConfigDict(extra="allow")

    ckpt_file: str = Field(max_length=200)
    unlabeled: list[Index] = Field(description="The indices of the records.")
    cur_loop: Loop | None = Field(
        None,
        description="The number of the loop; with it, infer may write infer_outputs_LOOP.db.",
    )


class InferQuery(BaseModel):
    """Options for the outputs in the answer."""

    model_config = ConfigDict(extra="forbid")

    store: bool = Field(False, description="Keep them in the storage, and answer their address.")


class StateRequest(BaseModel):
    """Asks what records there are."""

    model_config = ConfigDict(extra="allow")


class OneLoopRequest(BaseModel):
    """Asks for a whole loop; the names of all generations are understood."""

    model_config = ConfigDict(extra="allow")

    experiment_id: str | int
    project_id: str | int
    user_id: str | int | None = Field(None, validation_alias=AliasChoices("user_id", "tenant_id"))
    bucket_name: str | None = None
    cur_loop: Loop = Field(validation_alias=AliasChoices("cur_loop", "current_loop"))
    type: str | None = Field(None, validation_alias=AliasChoices("type", "task_type"))
    dataset_type: str | None = None
    n_rec: int | None = Field(None, validation_alias=AliasChoices("n_rec", "n_rec_per_loop"))
    n_loop: int | None = None
    training_set_size: int | None = Field(
        None, ge=1, le=10**9, validation_alias=AliasChoices("training_set_size", "train_size")
    )
    class_labels: dict[str, str] | list[str] | None = Field(
        None, validation_alias=AliasChoices("class_labels", "classes")
    )
    selected_indices: list[Index] | None = Field(
        None,
        description="The records chosen for this loop; without it they are read from the storage.",
    )
    callback_url: str | None = Field(
        None, description="Refused, unless it is the URL that the pipeline was made with."
    )


class EndRequest(BaseModel):
    """Says that an experiment is over."""

    model_config = ConfigDict(extra="allow")


class TrainAnswer(BaseModel):
    """The result of training."""

    status: int = 200
    train_time: float = Field(description="Seconds.")
    num_queried_per_class: dict[str, int] | None = None


class TestAnswer(BaseModel):
    """The result of test."""

    __test__ = False
    status: int = 200
    predictions: Any
    labels: Any
    outputs: list[list[float]] | None = Field(
        None, description="Logits of the test items, in the order of labels, if test returns them."
    )
    metrics: dict[str, Any] | None = None
    warnings: list[str] = Field([], description="Why there are no metrics.")


class InferAnswer(BaseModel):
    """The outputs of infer, by record."""

    status: int = 200
    outputs: dict[str, Any] | None = None
    artifact: str | None = Field(None, description="Where the outputs are, if they were stored.")
    count: int
    warnings: list[str] = Field([], description="What is odd about the outputs.")


class StateAnswer(BaseModel):
    """The records."""

    status: int = 200
    state: Any
    size: int | None


class OneLoopAnswer(BaseModel):
    """The result of a loop."""

    status: int = 200
    Message: str = "Loop Started - 200 status returned"
    loop: int
    metrics: dict[str, Any]
    artifacts: dict[str, str]
    phases: dict[str, Any]
    warnings: list[str] = Field([], description="What is odd about what functions returned.")


class JobAnswer(BaseModel):
    """Job status."""

    model_config = ConfigDict(extra="allow")

    id: str
    state: str = Field(description="running, done or failed.")
    phase: str | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class EndAnswer(BaseModel):
    """Acknowledgment."""

    status: int = 200
    Message: str = "Experiment complete"


class PipelineInfoAnswer(BaseModel):
    """Facts about this pipeline."""

    protocol: int
    name: str
    functions: list[str]
    busy: bool
    class_labels: dict[int, str] | None = Field(None, description="The classes by their numbers.")
    checkpoint_extension: str = Field("", description="What loops put behind `ckpt_i`.")


class FunctionFault(BaseModel):
    """An error."""

    type: str = Field(description="One word for programs, or what a function has raised.")
    message: str
    phase: str | None = Field(description="train, test, infer or getdatasetstate.")
    loop: int | None
    request_id: str
    traceback: str | None = Field(None, description="Of a function, where debug is on.")


class PipelineErrorAnswer(BaseModel):
    """Everything that is no success."""

    status: int = Field(description="That of the answer.")
    Message: str | None = Field(None, description="Of a loop whose callback was not heard.")
    error: FunctionFault
