"""The command line ``allencv-al``, also ``python -m allencv_al``."""

from __future__ import annotations

import argparse
import difflib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from allencv_al.commands.table import SUBCOMMANDS, load_subcommand
from allencv_al.common.errors import AllenCVError, is_of_a_path
from allencv_al.common.process import interrupts_outside_imports, replace_closed_streams

EXIT_USAGE = 2
EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0 is success, 1 a failure of the machine (such as a full disk), 2 a mistake in the command, the
    config or the data (such as a folder without write permission), 130 an interrupt. Mistakes are
    reported in one message on stderr; ``--debug`` adds the traceback.

    Args:
        argv: The arguments after the program's name; those of the process by default.
    """
    replace_closed_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        args = _parse(arguments)
    except OSError as error:  # --help with stdout closed, or on a full disk
        _discard_output()
        return _report(_describe_os_error(error), EXIT_FAILURE, False)
    except SystemExit as stop:  # argparse has printed its message
        return stop.code if isinstance(stop.code, int) else EXIT_USAGE
    debug = getattr(args, "debug", False)
    with _logging(debug or getattr(args, "verbose", False)), interrupts_outside_imports():
        return _run(args, debug)


def build_parser(subcommand: str | None = None) -> argparse.ArgumentParser:
    """Build the parser of the whole command line.

    Args:
        subcommand: The subcommand whose module is imported for its arguments; the others have a
            name and a help text only.
    """
    from allencv_al import __version__

    parser = argparse.ArgumentParser(
        prog="allencv-al",
        description="Train image classifiers from one jsonnet file, on the fewest labels.",
        epilog="allencv-al SUBCOMMAND --help shows the arguments of a subcommand.",
    )
    parser.add_argument("--version", action="version", version=f"allencv-al {__version__}")
    _add_frame_arguments(parser, default=False)
    subparsers = parser.add_subparsers(title="subcommands", metavar="SUBCOMMAND", required=True)
    for name, text in SUBCOMMANDS.items():
        child = subparsers.add_parser(name, help=text, description=_sentence(text))
        if name == subcommand:
            module = load_subcommand(name)
            module.add_arguments(child)
            child.set_defaults(run=module.run)
            # SUPPRESS: an absent flag must not undo the same flag before the subcommand
            _add_frame_arguments(child, default=argparse.SUPPRESS)
    return parser


def _parse(arguments: list[str]) -> argparse.Namespace:
    # No option of the frame takes a value, so the first word is the subcommand.
    words = [argument for argument in arguments if not argument.startswith("-")]
    name = words[0] if words else None
    parser = build_parser(name if name in SUBCOMMANDS else None)
    if not arguments:
        parser.print_help(sys.stderr)
        raise SystemExit(EXIT_USAGE)
    if name is not None and name not in SUBCOMMANDS:
        near = difflib.get_close_matches(name, SUBCOMMANDS, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(SUBCOMMANDS)}"
        parser.error(f'unknown subcommand "{name}"; {hint}')
    return parser.parse_args(arguments)


def _add_frame_arguments(parser: argparse.ArgumentParser, default: bool | str) -> None:
    group = parser.add_argument_group("messages")
    group.add_argument(
        "-v", "--verbose", action="store_true", default=default, help="log more, on stderr"
    )
    group.add_argument(
        "--debug",
        action="store_true",
        default=default,
        help="show the traceback of an error, and log everything",
    )


def _run(args: argparse.Namespace, debug: bool) -> int:
    try:
        _import_user_code(args)
        exit_code = int(args.run(args))
        sys.stdout.flush()
    except AllenCVError as error:
        return _report(str(error), error.exit_code, debug)
    except BrokenPipeError:
        return _leave_broken_pipe()
    except OSError as error:
        _discard_output()
        explained = _user_code_error(error)
        exit_code = EXIT_USAGE if is_of_a_path(error) else EXIT_FAILURE
        return _report(explained or _describe_os_error(error), exit_code, debug)
    except MemoryError as error:
        return _report(f"out of memory: {error}".removesuffix(": "), EXIT_FAILURE, debug)
    except UnicodeError as error:  # such as file names that are not Unicode
        return _report(_describe_unicode_error(error), EXIT_USAGE, debug)
    except Exception as error:
        explained = _user_code_error(error)
        if explained is None:
            raise  # a bug of this package
        return _report(explained, EXIT_USAGE, debug)
    except KeyboardInterrupt:
        return _report("interrupted", EXIT_INTERRUPTED, debug)
    return exit_code


@contextmanager
def _logging(is_verbose: bool) -> Iterator[None]:
    """Log to stderr in the block; logging is configured nowhere else."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    ours = logging.getLogger("allencv_al")
    level = ours.level
    ours.addHandler(handler)
    ours.setLevel(logging.DEBUG if is_verbose else logging.INFO)
    try:
        yield
    finally:
        ours.removeHandler(handler)
        ours.setLevel(level)


def _import_user_code(args: argparse.Namespace) -> None:
    packages: list[str] | None = getattr(args, "include_package", None)
    if packages is None:
        return
    from allencv_al.common.config.plugins import import_package, import_plugins

    import_plugins()
    for package in packages:
        import_package(package)


def _user_code_error(error: Exception) -> str | None:
    from allencv_al.common.user_mistakes import explain

    explained = explain(error)
    return None if explained is None else str(explained)


def _report(message: str, exit_code: int, debug: bool) -> int:
    if debug:
        logger.debug("traceback of the error:", exc_info=True)
    sys.stderr.write(f"error: {message}\n")
    return exit_code


def _describe_os_error(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename else reason


def _describe_unicode_error(error: UnicodeError) -> str:
    if not isinstance(error, UnicodeEncodeError | UnicodeDecodeError):
        return f"expected Unicode text: {error}"
    found = error.object[max(error.start - 20, 0) : error.end + 20]
    if isinstance(error, UnicodeEncodeError) and not _is_surrogate(error.object[error.start]):
        return (
            f"the encoding {error.encoding} of the output has no place for {found!a}; "
            "PYTHONIOENCODING=utf-8 sets another one"
        )
    return f"expected Unicode text, found {found!a}"


def _is_surrogate(mark: str) -> bool:
    return "\ud800" <= mark <= "\udfff"


def _leave_broken_pipe() -> int:
    _discard_output()  # the reader (head, less) has ended
    return EXIT_BROKEN_PIPE


def _discard_output() -> None:
    """Discard the buffer of stdout, whose flush at exit would fail again."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


if __name__ == "__main__":
    sys.exit(main())
