"""The command `tamiyo-rl`: train, evaluate, verify, tour."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import tyro
from rich.console import Console

from tamiyo_rl.cli.evaluate import Evaluate
from tamiyo_rl.cli.tour import Tour
from tamiyo_rl.cli.train import Train
from tamiyo_rl.cli.verify import Verify
from tamiyo_rl.training.distributed import LostProcessError

Command = (
    Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Verify, tyro.conf.subcommand("verify")]
    | Annotated[Tour, tyro.conf.subcommand("tour")]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; bad input ends with a message and exit code 2.

    Args:
        arguments: What a shell would pass; None for those of this process.
    """
    try:
        command = parse(arguments)
        if isinstance(command, Train) and command.resume is not None:
            command = command.resumed(parse_train(arguments, command.saved()))
        command(Console())
    except (ValueError, OSError, ImportError) as error:
        _print_error(error)
        sys.exit(2)
    except LostProcessError as error:
        _print_error(error)
        sys.exit(1)


def parse(arguments: Sequence[str] | None) -> Train | Evaluate | Verify | Tour:
    """Turn the arguments of the command into what it shall do.

    Args:
        arguments: What a shell would pass; None for those of this process.
    """
    return tyro.cli(Command, prog="tamiyo-rl", description=__doc__, args=arguments)


def parse_train(arguments: Sequence[str] | None, default: Train) -> Train:
    """Turn the arguments of `tamiyo-rl train` into what it shall do.

    Args:
        arguments: As those of `parse`.
        default: What is taken where they say nothing.
    """
    given = sys.argv[1:] if arguments is None else arguments
    return tyro.cli(Train, prog="tamiyo-rl train", args=given[1:], default=default)


def _print_error(error: Exception) -> None:
    Console(stderr=True, soft_wrap=True).print(f"tamiyo-rl: {error}", highlight=False, markup=False)
