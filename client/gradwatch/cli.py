"""The command ``gradwatch``: runs the one asked for, and says in one line what failed."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

import httpx

from gradwatch import commands, config
from gradwatch.errors import GradwatchError, Unreachable
from gradwatch.terminal import complain
from gradwatch.transport import Transport, client_version

DONE, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130
GROUP = "gradwatch.commands"


def main(
    argv: Sequence[str] | None = None,
    *,
    settings: config.Config | None = None,
    http: httpx.BaseTransport | None = None,
) -> int:
    """Run one command and return its exit code.

    Args:
        argv: The arguments; those of the process if left out.
        settings: Instead of those from the environment, for tests.
        http: Instead of the network, for tests.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _flushed(arguments, settings, http)
    except Unreachable as error:
        complain(f"no answer from the service ({error}); `gradwatch doctor` says what to do")
    except GradwatchError as error:
        complain(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    return FAILED


def _flushed(
    arguments: list[str], settings: config.Config | None, http: httpx.BaseTransport | None
) -> int:
    """Dispatch, and find out here, not at exit, that nobody reads any more."""
    try:
        return _dispatch(arguments, settings, http)
    finally:
        sys.stdout.flush()


def _dispatch(
    arguments: list[str], settings: config.Config | None, http: httpx.BaseTransport | None
) -> int:
    elsewhere = {point.name: point for point in entry_points(group=GROUP)}
    if arguments and arguments[0] in elsewhere:
        return _run_elsewhere(elsewhere[arguments[0]], arguments[1:])
    wants_help = not arguments or arguments[0] in ("-h", "--help")
    parser = _parser(elsewhere if wants_help else {})
    args = parser.parse_args(arguments)
    if args.command is None:
        parser.print_help()
        return MISUSED
    chosen = settings or config.load()
    with closing(Transport(chosen, http)) as transport:
        code: int = args.command(args, commands.Context(chosen, transport))
    return code


def _parser(elsewhere: dict[str, EntryPoint]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gradwatch",
        description="Watches training: sees exploding gradients early, and says what to do.",
        epilog="The service is found at GRADWATCH_URL (default: http://127.0.0.1:8321).",
    )
    parser.add_argument("--version", action="version", version=f"gradwatch {client_version()}")
    parser.set_defaults(command=None)
    added = parser.add_subparsers(metavar="COMMAND")
    for name, module in _modules().items():
        summary = _summary(module.run)
        own = added.add_parser(name, help=summary, description=summary)
        module.add_arguments(own)
        own.set_defaults(command=module.run)
    for name, point in sorted(elsewhere.items()):
        added.add_parser(name, help=_summary_of(point), add_help=False)
    return parser


def _modules() -> dict[str, ModuleType]:
    """The client's own commands: every module in ``gradwatch.commands``."""
    found = pkgutil.iter_modules(commands.__path__)
    return {
        item.name: importlib.import_module(f"{commands.__name__}.{item.name}") for item in found
    }


def _run_elsewhere(point: EntryPoint, arguments: list[str]) -> int:
    try:
        command: Callable[[list[str]], int] = point.load()
    except ImportError:
        complain(f"`gradwatch {point.name}` {_NEEDS_SERVICE}")
        return MISUSED
    return command(arguments)


def _summary_of(point: EntryPoint) -> str:
    try:
        return _summary(point.load())
    except ImportError:
        return _NEEDS_SERVICE


def _summary(command: Callable[..., int]) -> str:
    return (command.__doc__ or "").strip().partition("\n")[0].replace("%", "%%")


_NEEDS_SERVICE = "needs the service: pip install 'gradwatch[service]'"
