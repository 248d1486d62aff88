"""Request and answer bodies of a pipeline, for all generations of clients."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

# Up to here a whole number is exact in JSON as JavaScript reads it
Index = Annotated[int, Field(ge=0, le=2**53)]
Loop = Annotated[int, Field(ge=0, le=10**6)]


class TrainRequest(BaseModel):
    """Request to train."""

    model_config = ConfigDict(extra="allow")

    labeled: list[Index] = Field(description="The indices of the records to train on.")
    resume_from: str | None = Field(None, description="The checkpoint to resume from.")
    ckpt_file: str = Field(description="The checkpoint to write.", max_length=200)
    labels: dict[Index, str] | None = Field(
        None, description="The class of each record, for functions without labels of their own."
    )
    cur_loop: Loop | None = Field(None, description="Loop number, passed to the functions.")


class TestRequest(BaseModel):
    """Request to test a checkpoint."""

    __test__ = False  # not a pytest class
    model_config = ConfigDict(extra="allow")

    ckpt_file: str = Field(max_length=200)
    cur_loop: Loop | None = Field(None, description="Loop number, passed to the functions.")


class InferRequest(BaseModel):
    """Request for the outputs of records."""

    model_config = ConfigDict(extra="allow")

    ckpt_file: str = Field(max_length=200)
    unlabeled: list[Index] = Field(description="The indices of the records.")
    cur_loop: Loop | None = Field(
        None,
        description="Loop number; with it, infer may write infer_outputs_LOOP.db.",
    )


class InferQuery(BaseModel):
    """Query of `/infer`."""

    model_config = ConfigDict(extra="forbid")

    store: bool = Field(False, description="Store the outputs and return their address.")


class StateRequest(BaseModel):
    """Request to list the records."""

    model_config = ConfigDict(extra="allow")


class OneLoopRequest(BaseModel):
    """Request for a whole loop; accepts the field names of all client generations."""

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
        description="Records chosen for this loop (default: read from the storage).",
    )
    callback_url: str | None = Field(
        None, description="Refused unless it equals the pipeline's own callback URL."
    )


class EndRequest(BaseModel):
    """Request to end an experiment."""

    model_config = ConfigDict(extra="allow")


class TrainAnswer(BaseModel):
    """Result of a training."""

    status: int = 200
    train_time: float = Field(description="Training time in seconds.")
    num_queried_per_class: dict[str, int] | None = None


class TestAnswer(BaseModel):
    """Result of a test."""

    __test__ = False
    status: int = 200
    predictions: Any
    labels: Any
    outputs: list[list[float]] | None = Field(
        None,
        description="Logits of the test records in the order of `labels`, if test returns them.",
    )
    metrics: dict[str, Any] | None = None
    warnings: list[str] = Field([], description="Why metrics are missing.")


class InferAnswer(BaseModel):
    """Outputs by record index."""

    status: int = 200
    outputs: dict[str, Any] | None = None
    artifact: str | None = Field(None, description="Address of the stored outputs.")
    count: int
    warnings: list[str] = Field([], description="Suspicious properties of the outputs.")


class StateAnswer(BaseModel):
    """The records."""

    status: int = 200
    state: Any
    size: int | None


class OneLoopAnswer(BaseModel):
    """Result of a loop."""

    status: int = 200
    Message: str = "Loop Started - 200 status returned"
    loop: int
    metrics: dict[str, Any]
    artifacts: dict[str, str]
    phases: dict[str, Any]
    warnings: list[str] = Field([], description="Suspicious properties of the returned values.")


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
    """Description of a pipeline."""

    protocol: int
    name: str
    functions: list[str]
    busy: bool
    class_labels: dict[int, str] | None = Field(None, description="Class names by class number.")
    checkpoint_extension: str = Field("", description="Extension of the checkpoints `ckpt_i`.")


class FunctionFault(BaseModel):
    """Details of an error."""

    type: str = Field(description="Machine-readable type, or the exception class of a function.")
    message: str
    phase: str | None = Field(description="train, test, infer or getdatasetstate.")
    loop: int | None
    request_id: str
    traceback: str | None = Field(None, description="Traceback of the function, with debug on.")


class PipelineErrorAnswer(BaseModel):
    """Any error answer."""

    status: int = Field(description="HTTP status of the answer.")
    Message: str | None = Field(None, description="Set when the callback of a loop failed.")
    error: FunctionFault
