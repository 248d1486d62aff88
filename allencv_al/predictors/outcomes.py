"""`Outcome`: the prediction for one input, or the error in its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from allencv_al.common.errors import AllenCVError

if TYPE_CHECKING:
    from allencv_al.data.frame import Frame

T = TypeVar("T")


class PredictionError(AllenCVError):
    """A prediction cannot be made although the input is sound."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """The result of one input: a value or an error.

    Args:
        index: Its position among the inputs.
        id: The id of its instance; None where not even an instance could be made of it.
        value: The computed value.
        error: Why there is no value.
        frame: The place of the transformed image in the decoded one, where that was asked for.
    """

    index: int
    id: str | None
    value: T | None = None
    error: AllenCVError | None = None
    frame: Frame | None = None

    def unwrap(self) -> T:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        assert self.value is not None
        return self.value
