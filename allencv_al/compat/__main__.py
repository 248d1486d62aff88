"""`python -m allencv_al.compat run main.py`."""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path
from types import TracebackType

from allencv_al.common.errors import AllenCVError
from allencv_al.service.pipeline.functions.infer_keys import POLICIES


def main() -> int:
    """Read the command line and run the script."""
    parser = argparse.ArgumentParser(
        prog="python -m allencv_al.compat",
        description="Run code that was written for the Alectio SDK.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run a script that imports alectio_sdk")
    run.add_argument(
        "--host", help="address to listen on (default: from the script, else 127.0.0.1)"
    )
    run.add_argument("--port", type=int, help="port (default: from the script, else 5000)")
    run.add_argument(
        "--key-policy",
        choices=POLICIES,
        default="auto",
        help="matching of outputs of infer to records: by key (auto), or by order alone as in the "
        "original (positional) (default: auto)",
    )
    run.add_argument("script", type=Path, help="script to run, such as main.py")
    run.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the script")
    args = parser.parse_args()
    try:
        from allencv_al.compat.legacy_pipeline import Options
        from allencv_al.compat.script import run as run_script

        options = Options(args.host, args.port, args.key_policy)
        return run_script(args.script, args.arguments, options)
    except AllenCVError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except Exception as error:  # raised by the script: shown as Python would
        traceback.print_exception(error.with_traceback(_from_script(error, args.script)))
        return 1


def _from_script(error: Exception, script: Path) -> TracebackType | None:
    """Return the traceback without the frames that precede the script."""
    found = error.__traceback__
    while found is not None and found.tb_frame.f_code.co_filename != str(script):
        found = found.tb_next
    return found


if __name__ == "__main__":
    raise SystemExit(main())
