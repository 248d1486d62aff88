"""What a worker and the loop that it works for say to each other."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

State = Literal["STARTED", "WAITING", "FETCHED", "FINISHED", "PAUSED"]


class StartRequest(BaseModel):
    """Says that a worker is there."""

    model_config = ConfigDict(extra="ignore")

    name: str = Field("", max_length=200, description="What the pipeline is called.")


class StartAnswer(BaseModel):
    """That it was heard."""

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
    """What to do: nothing yet, something, or nothing any more."""

    status: int = 200
    state: State
    task: WorkerTask | None = None


class ResultRequest(BaseModel):
    """What has come of a task."""

    model_config = ConfigDict(extra="ignore")

    worker: str = Field(max_length=64)
    task: str = Field(max_length=64)
    task_status: int = Field(ge=100, le=599, description="The HTTP status of the answer.")
    answer: dict[str, Any] = Field(description="The answer.")


class ResultAnswer(BaseModel):
    """That it was heard."""

    status: int = 200
    state: State = "WAITING"
