"""The command `tamiyo-rl`: train policies, and see what they do; --version prints its version."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from tamiyo_rl.cli.compare import Compare
from tamiyo_rl.cli.evaluate import Evaluate
from tamiyo_rl.cli.export import Export
from tamiyo_rl.cli.numbers import WHOLE_NUMBERS
from tamiyo_rl.cli.output import Output
from tamiyo_rl.cli.record import Record
from tamiyo_rl.cli.tour import Tour
from tamiyo_rl.cli.train import Train
from tamiyo_rl.cli.verify import Verify
from tamiyo_rl.contract.guard import ContractError
from tamiyo_rl.training.config import PPOConfig
from tamiyo_rl.training.distributed import LostProcessError
from tamiyo_rl.training.runs.settings import RunSettings

COMMANDS: dict[str, Any] = {
    "train": Train,
    "evaluate": Evaluate,
    "record": Record,
    "export": Export,
    "compare": Compare,
    "verify": Verify,
    "tour": Tour,
}
Command = (
    Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Record, tyro.conf.subcommand("record")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Compare, tyro.conf.subcommand("compare")]
    | Annotated[Verify, tyro.conf.subcommand("verify")]
    | Annotated[Tour, tyro.conf.subcommand("tour")]
)
Action = Train | Evaluate | Record | Export | Compare | Verify | Tour
OPTIONS = {
    field.name: field.name
    for settings in (Train, RunSettings, PPOConfig, Evaluate, Record, Export, Compare, Verify)
    for field in fields(settings)
    if field.name not in {"run", "runs", "settings", "ppo"}
} | {"env_id": "env", "path": "to"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; what goes wrong ends with a message and a status of its own.

    Args:
        arguments: What a shell would pass; None for those of this process.
    """
    find_modules_here()
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        command = parse(given)
        output: Any = Output(sys.stdout, needed=not isinstance(command, Train))
        command(Console(file=output))
    except (ValueError, OSError, ImportError) as error:
        _end(error, status=2)
    except ContractError as error:
        _end(error, status=3)
    except LostProcessError as error:
        _end(error, status=1)
    except KeyboardInterrupt:
        sys.exit(130)


def find_modules_here() -> None:
    """Let `--env module:id` find a module in the current folder, as `python -m` does."""
    here = str(Path.cwd())
    if not sys.flags.safe_path and here not in sys.path:
        sys.path.insert(0, here)


def parse(given: Sequence[str]) -> Action:
    """Turn the arguments of the command into what it shall do.

    Args:
        given: What a shell would pass.
    """
    name = given[0] if given else ""
    if name == "--version":
        sys.stdout.write(version("tamiyo-rl") + "\n")
        sys.exit()
    if name not in COMMANDS:
        return tyro.cli(Command, prog="tamiyo-rl", description=__doc__, args=given)
    command: Action = _parse_one(name, given[1:])
    if not isinstance(command, Train) or command.resume is None:
        return command
    saved = command.saved(command.resume)
    resumed: Train = _parse_one(name, given[1:], default=saved)
    resumed.require_settings_of(saved)
    return resumed


def _parse_one(name: str, given: Sequence[str], default: Any = tyro.MISSING_NONPROP) -> Any:
    """Parse the arguments of one command, so that an error names the help of that command."""
    with WHOLE_NUMBERS:
        return tyro.cli(COMMANDS[name], prog=f"tamiyo-rl {name}", args=given, default=default)


def _end(error: Exception, *, status: int) -> None:
    """Print an error by the option that was passed, and end."""
    name, colon, rest = str(error).partition(":")
    if colon and name in OPTIONS:
        name = f"--{OPTIONS[name].replace('_', '-')}"
    console = Console(stderr=True, soft_wrap=True)
    console.print(f"tamiyo-rl: {name}{colon}{rest}", highlight=False, markup=False)
    sys.exit(status)
