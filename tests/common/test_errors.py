from __future__ import annotations

import errno
import pickle

import pytest

from allencv_al.common import errors
from allencv_al.common.errors import (
    AllenCVError,
    ConfigurationError,
    ConfigurationFaults,
    Fault,
    ImageDecodeError,
    is_machine_fault,
    machine_fault,
)


def test_a_fault_reads_as_path_and_message() -> None:
    assert str(Fault("trainer.lr", "expected float")) == "trainer.lr: expected float"
    assert str(Fault("", "expected an object")) == "expected an object"


def test_faults_are_one_error_with_one_line_each() -> None:
    error = ConfigurationFaults([Fault("a", "x"), Fault("b.c", "y")], "config.jsonnet")
    assert str(error) == "2 faults in config.jsonnet:\n  a: x\n  b.c: y"
    assert isinstance(error, ConfigurationError)
    assert str(ConfigurationFaults([Fault("a", "x")])).startswith("1 fault in the configuration:")


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationFaults([Fault("a", "x"), Fault("b", "y")], "here"),
        ImageDecodeError("a.png", "broken"),
        ConfigurationError("x"),
    ],
)
def test_an_error_comes_back_whole_from_a_worker_process(error: AllenCVError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_an_image_that_cannot_be_read_says_which_and_why() -> None:
    error = ImageDecodeError("a.png", "broken")
    assert str(error) == "a.png: cannot be read as an image: broken"


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    found = {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, AllenCVError)
    }
    assert errors.__doc__ is not None
    for name, kind in found.items():
        line = next(line for line in errors.__doc__.splitlines() if f" {name} " in f" {line} ")
        if kind is not AllenCVError:
            assert line.split()[-1] == str(kind.exit_code), name


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
