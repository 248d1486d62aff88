from __future__ import annotations

import errno

import pytest

from allencv_al.common.machine_faults import is_machine_fault, machine_fault


@pytest.mark.parametrize(
    "number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE]
)
def test_a_fault_of_the_machine_keeps_its_own_name_and_gets_the_files(number: int) -> None:
    error = OSError(number, "as the system says it")
    assert is_machine_fault(error)
    fault = machine_fault(error, "a.jpg")
    assert fault is not None
    assert (fault.errno, fault.filename) == (number, "a.jpg")
    assert fault.strerror


def test_a_memory_error_is_told_as_the_system_tells_it() -> None:
    fault = machine_fault(MemoryError(), "a.jpg")
    assert fault is not None
    assert (fault.errno, fault.filename) == (errno.ENOMEM, "a.jpg")


@pytest.mark.parametrize(
    "error",
    [
        *(OSError(number, "") for number in (errno.ENOENT, errno.EACCES, errno.EISDIR)),
        OSError("image file is truncated"),
        ValueError("broken"),
    ],
)
def test_what_is_one_files_fault_is_not_the_machines(error: Exception) -> None:
    assert not is_machine_fault(error)
    assert machine_fault(error, "a.jpg") is None
