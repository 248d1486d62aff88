"""List the files that a value of a config passes on its way to the first step of the optimizer.

Usage: python .ci/way.py [--functions] [--value NUMBER]

Trains the digits of scikit-learn with `training_config/digits.jsonnet` from `Params.from_file` to
the end of the first `optimizer.step`, and lists each file of the package in which a function ran,
in any thread, in order of first entry. What runs while a module is imported (such as `register`)
does not count: a reader follows calls, not imports.

`--functions` also prints the functions that ran in each file. `--value 0.002` (the optimizer's
`lr`) counts only functions that are given this number, alone or in what they are given: the files
that a reader opens to follow one value of the config. Inside objects it is looked for in their
attributes, and in what these hold.
"""

from __future__ import annotations

import inspect
import os
import sys
import tempfile
import threading
from collections import defaultdict
from pathlib import Path
from types import CodeType, FrameType, ModuleType

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = str(REPOSITORY / "allencv_al") + os.sep
DEPTH = 5  # a rate lies so deep in a config: trainer, optimizer, lr, and the object around it
MOST_ITEMS = 20  # parameters have short lists, data long ones
CONFIG = REPOSITORY / "training_config" / "digits.jsonnet"


class FirstStep(BaseException):
    """Ends the training after the first step; no handler of the package takes it for an error."""


class Entered:
    """Records the functions of the package that run, by file.

    Args:
        value: Only those that get this number in an argument; None for all.
    """

    def __init__(self, value: float | None = None) -> None:
        self.functions: dict[str, set[str]] = defaultdict(set)
        self.stopped = False
        self._value = value
        self._threads = threading.local()

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        """Take an event of `sys.setprofile`."""
        code = frame.f_code
        if code.co_name in ("_find_and_load", "_find_spec") and "importlib" in code.co_filename:
            change = {"call": 1, "return": -1}.get(event, 0)
            self._threads.importing = self._importing() + change
        elif event == "call" and self._is_on_the_way(code) and self._carries_value(frame):
            self.functions[code.co_filename].add(code.co_qualname)

    def _importing(self) -> int:
        return getattr(self._threads, "importing", 0)

    def _is_on_the_way(self, code: CodeType) -> bool:
        # A class body has a frame of its own, too, but no fast locals
        is_function = bool(code.co_flags & inspect.CO_OPTIMIZED)
        is_ours = is_function and code.co_filename.startswith(PACKAGE)
        return is_ours and not self.stopped and not self._importing()

    def _carries_value(self, frame: FrameType) -> bool:
        return self._value is None or any(
            _holds(argument, self._value) for argument in list(frame.f_locals.values())
        )


def _holds(thing: object, value: float, depth: int = DEPTH) -> bool:
    if isinstance(thing, float):
        return thing == value
    if depth == 0 or isinstance(thing, str | bytes | int | type | ModuleType):
        return False
    if isinstance(thing, dict):
        parts = list(thing.values())
    elif isinstance(thing, list | tuple):
        parts = list(thing[:MOST_ITEMS])
    else:
        parts = list(getattr(thing, "__dict__", {}).values())
    return any(_holds(part, value, depth - 1) for part in parts)


def main(arguments: list[str]) -> int:
    """Print the files."""
    value = float(arguments[arguments.index("--value") + 1]) if "--value" in arguments else None
    entered = files_entered(value)
    for number, (file, functions) in enumerate(entered.items(), 1):
        print(f"{number:3} {Path(file).relative_to(REPOSITORY)}")
        if "--functions" in arguments:
            print(*(f"      {name}" for name in sorted(functions)), sep="\n")
    print(f"{len(entered)} files, {sum(map(len, entered.values()))} functions")
    return 0


def files_entered(value: float | None = None) -> dict[str, set[str]]:
    """Return the functions that ran, by file in order of first entry.

    Args:
        value: Only those that got this number; None for all.
    """
    sys.path.insert(0, str(REPOSITORY))
    from torch.optim.optimizer import register_optimizer_step_post_hook

    from allencv_al.common import Params
    from allencv_al.data.sample_data.digits import write_digits
    from allencv_al.training.training_run import train

    entered = Entered(value)

    def stop(*_arguments: object) -> None:
        entered.stopped = True  # what ends the loaders and threads lies behind the first step
        raise FirstStep

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = write_digits(folder / "digits")
        paths = {f"{part.upper()}_PATH": str(data / part) for part in ("train", "validation")}
        hook = register_optimizer_step_post_hook(stop)
        threading.setprofile(entered)
        sys.setprofile(entered)
        try:
            train(Params.from_file(CONFIG, ext_vars=paths), folder / "run", source=str(CONFIG))
        except FirstStep:
            return entered.functions
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
            hook.remove()
    raise RuntimeError(f"{CONFIG}: expected a step of an optimizer")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
