"""List the files that a value of a config passes on its way to the first step of the optimizer.

Usage: python .ci/way.py [--functions]

Trains the digits of scikit-learn with `training_config/digits.jsonnet` from `Params.from_file` to
the end of the first `optimizer.step`, and lists each file of the package in which a function ran,
in any thread, in order of first entry. Code of modules and class bodies does not count, nor what
it calls while it is imported (such as `register`): a reader follows calls, not imports.
`--functions` also prints the functions that ran in each file.
"""

from __future__ import annotations

import inspect
import os
import sys
import tempfile
import threading
from collections import defaultdict
from pathlib import Path
from types import CodeType, FrameType

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = str(REPOSITORY / "allencv_al") + os.sep
CONFIG = REPOSITORY / "training_config" / "digits.jsonnet"


class FirstStep(BaseException):
    """Ends the training after the first step; no handler of the package takes it for an error."""


class Entered:
    """Records the functions of the package that run, by file."""

    def __init__(self) -> None:
        self.functions: dict[str, set[str]] = defaultdict(set)
        self.stopped = False
        self._threads = threading.local()

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        """Take an event of `sys.setprofile`."""
        code = frame.f_code
        if code.co_name == "<module>":
            change = {"call": 1, "return": -1}.get(event, 0)
            self._threads.importing = self._importing() + change
        elif event == "call" and self._is_on_the_way(code):
            self.functions[code.co_filename].add(code.co_qualname)

    def _is_on_the_way(self, code: CodeType) -> bool:
        # A class body has a frame of its own, too, but no fast locals
        is_function = bool(code.co_flags & inspect.CO_OPTIMIZED)
        is_ours = is_function and code.co_filename.startswith(PACKAGE)
        return is_ours and not self.stopped and not self._importing()

    def _importing(self) -> int:
        return getattr(self._threads, "importing", 0)


def main(arguments: list[str]) -> int:
    """Print the files."""
    entered = files_entered()
    for number, (file, functions) in enumerate(entered.items(), 1):
        print(f"{number:3} {Path(file).relative_to(REPOSITORY)}")
        if "--functions" in arguments:
            print(*(f"      {name}" for name in sorted(functions)), sep="\n")
    print(f"{len(entered)} files, {sum(map(len, entered.values()))} functions")
    return 0


def files_entered() -> dict[str, set[str]]:
    """Return the functions that ran, by file in order of first entry."""
    sys.path.insert(0, str(REPOSITORY))
    from torch.optim.optimizer import register_optimizer_step_post_hook

    from allencv_al.common import Params
    from allencv_al.data.sample_data.digits import write_digits
    from allencv_al.training.training_run import train

    entered = Entered()

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
