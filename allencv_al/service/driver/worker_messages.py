"""Messages between a worker and its loop."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

State = Literal["STARTED", "WAITING", "FETCHED", "FINISHED", "PAUSED"]


class StartRequest(BaseModel):
    """Says that a worker is there."""

    model_config = ConfigDict(extra="ignore")

    name: str = Field("", max_length=200, description="What the pipeline is called.")


class StartAnswer(BaseModel):
    """Acknowledgment."""

    status: int = 200
    state: State = "STARTED"
    worker: str = Field(description="The id of this worker from now on; earlier ids are invalid.")


class NextTaskRequest(BaseModel):
    """Asks what to do."""

    model_config = ConfigDict(extra="ignore")

    worker: str = Field(max_length=64)


class WorkerTask(BaseModel):
    """A request to the worker's pipeline."""

    id: str
    method: str = Field(description="GET or POST.")
    path: str = Field(description="The route, such as /train.")
    key: str | None = Field(description="The Idempotency-Key that the request has.")
    body: dict[str, Any] = Field(description="Its body.")


class NextTaskAnswer(BaseModel):
    """The next task, if any, and the state of the loop."""

    status: int = 200
    state: State
    task: WorkerTask | None = None


class ResultRequest(BaseModel):
    """The answer to a task."""

    model_config = ConfigDict(extra="ignore")

    worker: str = Field(max_length=64)
    task: str = Field(max_length=64)
    task_status: int = Field(ge=100, le=599, description="The HTTP status of the answer.")
    answer: dict[str, Any] = Field(description="The answer.")


class ResultAnswer(BaseModel):
    """Acknowledgment."""

    status: int = 200
    state: State = "WAITING"
