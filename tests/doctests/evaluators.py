"""Evaluators of the fences, one for each language."""

import doctest
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import yaml  # type: ignore[import-untyped]  # it ships no types
from sybil import Example
from sybil.example import SybilFailure
from sybil.typing import Evaluator

from tests.doctests.isolation import isolate_example

if TYPE_CHECKING:
    from tests.doctests.examples import Block

Report = Callable[[Example, str], None]
COMMAND = re.compile(r"\$ (?P<command>(?:.*\\\n)*.*)\n(?P<output>(?:(?!\$ ).*\n)*)")


def make_evaluators(report: Report) -> dict[str, Evaluator]:
    """Make the table of languages; ``report`` takes an output that is not as written."""
    return {
        "python": PythonEvaluator(report),
        "pycon": run_session,
        "console": run_commands,
        "toml": lambda example: _parse(tomllib.loads, example),
        "yaml": lambda example: _parse(yaml.safe_load, example),
        "json": lambda example: _parse(json.loads, example),
    }


class PythonEvaluator:
    """Run a block, and compare what it prints with the text below it."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def __call__(self, example: Example) -> None:
        """Run one block."""
        __tracebackhide__ = True
        block: Block = example.parsed
        # The blank lines give tracebacks and coverage the lines of the file.
        source = "\n" * example.line + block.source
        code = compile(source, example.path, "exec", dont_inherit=True)
        with isolate_example(example) as namespace, redirect_stdout(io.StringIO()) as stdout:
            exec(code, namespace)  # noqa: S102  to run the example is the point
        printed = _end_line(stdout.getvalue())
        if printed != (block.output or ""):
            self._report(example, printed)


def reject_output(example: Example, printed: str) -> None:
    """Fail an example that prints something else than its text block says."""
    block: Block = example.parsed
    expected = f"the output\n{block.output}" if block.output else "no output\n"
    raise SybilFailure(
        example,
        f"expected {expected}came\n{printed}"
        "Correct the example, or write what came with: python -m pytest --rewrite-outputs",
    )


def run_session(example: Example) -> str:
    """Run a session with ``>>>`` prompts, and return how its output differs."""
    __tracebackhide__ = True
    block: Block = example.parsed
    parts = doctest.DocTestParser().parse(block.source)
    if any(isinstance(part, str) and part.strip() for part in parts):
        return "expected only '>>>' lines and their output; came text that belongs to none."
    examples = [part for part in parts if isinstance(part, doctest.Example)]
    if not examples or any(part.options for part in examples):
        return "expected '>>>' lines without doctest directives."
    return _run_doctest(examples, example)


def _run_doctest(examples: list[doctest.Example], example: Example) -> str:
    lines: list[str] = []
    source = example.parsed.source
    with isolate_example(example) as namespace:
        test = doctest.DocTest(examples, {}, "example", example.path, example.line, source)
        test.globs = namespace  # its constructor would make a copy
        doctest.DocTestRunner(verbose=False).run(test, out=lines.append, clear_globs=False)
    return "".join(lines)


def run_commands(example: Example) -> None:
    """Run each ``$`` line with the shell, and compare its output with the lines below it."""
    __tracebackhide__ = True
    source = example.parsed.source
    commands = list(COMMAND.finditer(source))
    if not commands or "".join(match[0] for match in commands) != source:
        raise SybilFailure(example, "expected lines that begin with '$ ', each before its output.")
    for match in commands:
        _run_command(example, match["command"], match["output"])


def _run_command(example: Example, command: str, expected: str) -> None:
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    finished = subprocess.run(  # noqa: S602  a reader types it into a shell
        command,
        shell=True,
        check=False,
        text=True,
        env={**os.environ, "PATH": binaries, "COLUMNS": "80"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    printed = _end_line(finished.stdout)
    if finished.returncode or printed != expected:
        raise SybilFailure(
            example,
            f"$ {command}\nexpected exit status 0 and the output\n{expected}"
            f"came exit status {finished.returncode} and\n{printed}Correct the example.",
        )


def _parse(parser: Callable[[str], object], example: Example) -> None:
    block: Block = example.parsed
    try:
        parser(block.source)
    except (ValueError, yaml.YAMLError) as error:
        raise SybilFailure(example, f"expected {block.language}; came {error}") from error


def _end_line(output: str) -> str:
    """End the last line, since a reader cannot see whether it was."""
    return output if output.endswith("\n") or not output else f"{output}\n"
