"""Planted faults: each is documentation that must fail, run by the real plugin."""

import re
import shutil
import textwrap
from collections.abc import Callable

import pytest
import torch

from tests import strict_device
from tests.doctests import devices

pytest_plugins = ["pytester"]

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(
    pytester: pytest.Pytester, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run documentation under the real configuration, in a root of its own."""
    shutil.copy(pytestconfig.rootpath / "pyproject.toml", pytester.path)
    monkeypatch.setenv("DEVICES", "cpu")
    # Plugins of other packages would be loaded anew for each run.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run_documentation(text: str, *options: str, name: str = "README.md") -> pytest.RunResult:
        path = pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), "utf-8")
        return pytester.runpytest_inprocess(*options)

    return run_documentation


def read(result: pytest.RunResult) -> str:
    return "\n".join(result.outlines + result.errlines)


PASSING = {
    "python": "```python\nx = 1\n```\n",
    "output": "```python\nprint(1)\n```\n\n```text\n1\n```\n",
    "output without its last newline": "```python\nprint(1, end='')\n```\n```text\n1\n```\n",
    "indented output": "```python\nprint('  1')\n```\n```text\n  1\n```\n",
    "list": "- Item:\n\n    ```python\n    if True:\n        x = 1\n    ```\n",
    "admonition": "!!! note\n\n    ```python\n    print(1)\n    ```\n    ```text\n    1\n    ```\n",
    "session": (
        "```pycon\n>>> 1 + 1\n2\n>>> 1 / 0\nTraceback (most recent call last):\n"
        "    ...\nZeroDivisionError: division by zero\n```\n"
    ),
    "console": "```console\n$ echo 1 > a; echo \\\n2\n2\n$ cat a\n1\n```\n",
    "console of the environment": "```console\n$ python -c 'import sybil'\n```\n",
    "console of 80 columns": "```console\n$ echo $COLUMNS\n80\n```\n",
    "console error output": "```console\n$ echo 1 >&2\n1\n```\n",
    "output like a fence": "```python\nprint('~~~\\n~~~')\n```\n```text\n~~~\n~~~\n```\n",
    "own class": "```pycon\n>>> class A: ...\n>>> import __main__\n>>> A = __main__.A\n```\n",
    "toml": "```toml\na = 1\n```\n",
    "yaml": "```yaml\na: 1\n```\n",
    "json": '```json\n{"a": 1}\n```\n',
    "pickle": "```python\nimport pickle\n\nclass A: ...\n\npickle.dumps(A())\n```\n",
    "tabs": '=== "A"\n\n    - B\n\n        ```json\n        1\n        ```\n',
}

LEAKED_GENERATOR = """
```python
import torch

def generate():
    with torch.inference_mode():
        yield

generator = generate()
next(generator)
```
"""

FAILING = {
    "raises": ("```python\n1 / 0\n```\n", "README.md:2: ZeroDivisionError"),
    "raises in list": ("- Item:\n\n    ```python\n    1 / 0\n    ```\n", "README.md:4: Zero"),
    "indented as a whole": ("```python\n    x = 1\n```\n", "IndentationError"),
    "wrong output": (
        "```python\nprint(1)\n```\n```text\n2\n```\n",
        "expected the output\n2\ncame\n1",
    ),
    "wrong blank lines": (
        "```python\nprint('1\\n')\n```\n```text\n1\n```\n",
        "expected the output",
    ),
    "missing output": ("```python\nprint(1)\n```\n", "expected no output\ncame\n1\n"),
    "output of silence": ("```python\nx = 1\n```\n```text\n1\n```\n", "expected the output\n1"),
    "missing import": ("```python\nimport re\n```\n```python\nre\n```\n", "name 're' is not"),
    "leaked name": ("```python\nx = 1\n```\n```pycon\n>>> x\n1\n```\n", "name 'x' is not"),
    "name of the engine": ("```python\nexample\n```\n", "name 'example' is not"),
    "future of the engine": ("```python\ndef f(x: unknown): ...\n```\n", "name 'unknown' is not"),
    "warning": ("```python\nimport warnings\nwarnings.warn('w')\n```\n", "UserWarning: w"),
    "warning in session": (
        "```pycon\n>>> import warnings\n>>> warnings.warn('w')\n```\n",
        "UserWarning: w",
    ),
    "session": (
        "```pycon\n>>> 1\n2\n```\n",
        "line 2, in example\nFailed example:\n    1\nExpected:\n    2",
    ),
    "session with text": ("```pycon\n>>> x = 1\n\nText\n```\n", "came text that belongs to none"),
    "session without prompt": ("```pycon\n```\n", "expected '>>>' lines"),
    "session that skips": (
        "```pycon\n>>> 1  # doctest: +SKIP\n```\n",
        "without doctest directives",
    ),
    "console output": ("```console\n$ echo 1\n2\n```\n", "output\n2\ncame exit status 0 and\n1\n"),
    "console status": ("```console\n$ echo 1; exit 3\n1\n```\n", "came exit status 3"),
    "console without prompt": ("```console\necho 1\n```\n", "expected lines that begin with '$ '"),
    "toml": (
        "```toml\na = \n```\n",
        "line 1, column 1 did not evaluate as expected:\nexpected toml",
    ),
    "yaml": ("```yaml\na: [\n```\n", "expected yaml; came"),
    "json": ("```json\n{\n```\n", "expected json; came"),
    "leaked inference mode": (LEAKED_GENERATOR, "expected inference mode off"),
    "leaked grad mode": (
        "```pycon\n>>> import torch\n>>> _ = torch.set_grad_enabled(False)\n```\n",
        "expected grad mode on",
    ),
}

UNCOLLECTED = {
    "title": ("```python title='a.py'\n```\n", 1, "got \"python title='a.py'\""),
    "py": ("```py\n```\n", 1, "got 'py'"),
    "bare": ("```\n```\n", 1, "got ''"),
    "attributes": ("```{.python}\n```\n", 1, "got '{.python}'"),
    "space": ("``` python\n```\n", 1, "got ' python'"),
    "in a list": ("- a\n\n    ```py\n    ```\n", 3, "got 'py'"),
    "in a quotation": ("> ```python\n> ```\n", 1, "lines of three backticks"),
    "on the line of its item": ("- ```python\n  x\n  ```\n", 1, "lines of three backticks"),
    "tildes": ("~~~python\n~~~\n", 1, "lines of three backticks"),
    "four": ("````python\n````\n", 1, "lines of three backticks"),
    "unclosed": ("Text\n\n```python\nx\n", 3, "lines of three backticks"),
    "unclosed at once": ("```python", 1, "lines of three backticks"),
    "closed elsewhere": ("```python\n  ```\n", 1, "lines of three backticks"),
    "output of nothing": ("```text\nx\n```\n", 1, "directly below a python"),
    "output of json": ("```json\n1\n```\n```text\nx\n```\n", 4, "directly below a python"),
    "output outdented": ("- a\n\n    ```python\n    ```\n```text\n```\n", 5, "directly below"),
    "output below text": ("```python\n```\nText\n```text\n```\n", 4, "directly below a python"),
    "second output": ("```python\n```\n```text\n```\n```text\n```\n", 5, "directly below a python"),
}

DOCSTRINGS = {
    "module": ('"""Do.\n\n```python\n1 / 0\n```\n"""\n', "module.py:4: ZeroDivisionError"),
    "class": (
        'class A:\n    """Do.\n\n    ```python\n    1 / 0\n    ```\n    """\n',
        "module.py:5:",
    ),
    "function": ('def f():\n    """\n    ```python\n    1 / 0\n    ```"""\n', "module.py:4: Zero"),
    "coroutine": (
        'async def f():\n    """\n    ```python\n    1 / 0\n    ```"""\n',
        "module.py:4:",
    ),
    "raw": ('r"""\\d\n```python\n1 / 0\n```"""\n', "module.py:3: ZeroDivisionError"),
    "section": ('"""Do.\n\nExamples:\n    ```python\n    1 / 0\n    ```\n"""\n', "module.py:5:"),
    "globals": ('"""\n```python\nx\n```"""\nx = 1\n', "NameError: name 'x'"),
    "bare": ('"""Do.\n\n```\nx\n```\n"""\n', "line 3: expected one of python"),
}


@pytest.mark.parametrize("text", PASSING.values(), ids=PASSING)
def test_example_passes(run: Run, text: str) -> None:
    result = run(text)
    assert result.parseoutcomes().keys() <= {"passed"}, read(result)
    assert result.parseoutcomes().get("passed", 0) == int("```" in text)


@pytest.mark.parametrize(("text", "message"), FAILING.values(), ids=FAILING)
def test_example_fails(run: Run, text: str, message: str) -> None:
    result = run(text)
    assert result.parseoutcomes().get("failed") == 1, read(result)
    assert message in read(result)


@pytest.mark.parametrize(("text", "line", "message"), UNCOLLECTED.values(), ids=UNCOLLECTED)
def test_page_is_not_collected(run: Run, text: str, line: int, message: str) -> None:
    result = run(text, name="docs/how-to/page.md")
    result.assert_outcomes(errors=1)
    assert re.search(rf"page.md, line {line}: .*{re.escape(message)}", read(result))


@pytest.mark.parametrize(("source", "message"), DOCSTRINGS.values(), ids=DOCSTRINGS)
def test_docstring_fails(run: Run, source: str, message: str) -> None:
    result = run(source, name="src/package/module.py")
    assert result.ret != pytest.ExitCode.OK
    assert message in read(result)


def test_docstring_of_a_package_runs_once(run: Run) -> None:
    run('"""\n' + PASSING["output"] + '"""', name="src/package/__init__.py").assert_outcomes(
        passed=1
    )


def test_code_and_comments_are_not_examples(run: Run) -> None:
    result = run("# ```python\nx = '''\n```python\n1 / 0\n```\n'''\n", name="src/module.py")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_other_files_are_not_documentation(run: Run) -> None:
    result = run(FAILING["raises"][0], name="tests/page.md")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_examples_leave_nothing_behind(run: Run) -> None:
    change = """
        ```python
        import warnings
        from pathlib import Path

        import torch

        assert torch.get_default_dtype() == torch.float32
        assert torch.zeros(1).device.type == "cpu"
        assert list(Path().iterdir()) == []
        warnings.simplefilter("ignore")
        torch.set_default_dtype(torch.float64)
        if not torch.__version__.startswith("2.9."):  # it loses a device that encloses the default
            torch.set_default_device("meta")
        torch.manual_seed(0)
        Path("file").touch()
        ```
    """
    warn = FAILING["warning"][0]
    result = run(textwrap.dedent(change) * 2 + warn)
    result.assert_outcomes(passed=2, failed=1)
    assert torch._GLOBAL_DEVICE_CONTEXT.device_context is None


def test_modes_and_random_state_are_given_back(run: Run) -> None:
    torch.seed()
    state = torch.get_rng_state()
    text = "```python\nimport torch\ntorch.manual_seed(0)\n```\n"
    run(text + LEAKED_GENERATOR + FAILING["leaked grad mode"][0])
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


NAME_DEVICE = """
```python
from torch.overrides import _get_current_function_mode_stack

print(_get_current_function_mode_stack()[-1].device.type)
```

```text
cpu
```
"""


def test_page_runs_on_each_device(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(devices.IS_AVAILABLE, "cuda", lambda: True)
    result = run(NAME_DEVICE, "--devices=cpu,cuda", "-v")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["README.md::sybil:cpu,line:1,* PASSED *"])
    result.stdout.fnmatch_lines(["README.md::sybil:cuda,line:1,* FAILED *", "*cpu", "came", "cuda"])


def test_missing_device_fails_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(devices.IS_AVAILABLE, "cuda", lambda: False)
    result = run(PASSING["python"], "--devices=cpu,cuda")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "cuda was asked for, and PyTorch finds none" in read(result)


def test_unknown_device_fails_the_run(run: Run) -> None:
    result = run(PASSING["python"], "--devices=gpu")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "expected auto or a list of cpu, cuda, strict; came 'gpu'" in read(result)


@pytest.mark.parametrize(("has_cuda", "expected"), [(True, ["cpu", "cuda"]), (False, ["cpu"])])
def test_auto_takes_every_device_that_is_there(
    monkeypatch: pytest.MonkeyPatch, *, has_cuda: bool, expected: list[str]
) -> None:
    monkeypatch.setitem(devices.IS_AVAILABLE, "cuda", lambda: has_cuda)
    assert devices.choose_devices("auto") == expected


def test_strict_without_a_compiler_fails_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    result = run(PASSING["python"], "--devices=cpu,strict")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "strict was asked for, and there is no C++ compiler" in read(result)


@pytest.mark.parametrize(
    ("compiler", "reason"), [("no-such-compiler", "no C++ compiler"), ("true", "make strict")]
)
def test_the_head_of_the_report_says_why_strict_is_left_out(
    run: Run, monkeypatch: pytest.MonkeyPatch, compiler: str, reason: str
) -> None:
    monkeypatch.setenv("CXX", compiler)
    head = read(run(PASSING["python"], "--devices=auto"))
    assert re.search(
        rf"^devices: cpu.* \(without strict: .*{re.escape(reason)}", head, re.MULTILINE
    )


def test_strict_that_does_not_compile_fails_the_run(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "false")
    monkeypatch.setattr(strict_device, "register", strict_device.register.__wrapped__)
    result = run(PASSING["python"], "--devices=cpu,strict")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "strict was asked for, and does not compile" in read(result)


def test_strict_runs_no_commands(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_device, "register", lambda: None)
    text = PASSING["console"] + PASSING["json"]
    found = read(run(text, "--devices=cpu,strict", "--collect-only", "-q"))
    assert found.count("sybil:cpu") == 2
    assert found.count("sybil:strict") == 1


def test_environment_names_the_devices(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVICES", "gpu")
    assert run(PASSING["python"]).ret == pytest.ExitCode.USAGE_ERROR


UNWRITTEN = """
```python
print(1)
```

```text
2
```

- Item:

    ```python
    print("a\\n\\nb")
    ```

```python
print(3)
```
```text
```
"""

WRITTEN = """
```python
print(1)
```

```text
1
```

- Item:

    ```python
    print("a\\n\\nb")
    ```

    ```text
    a

    b
    ```

```python
print(3)
```

```text
3
```
"""


def test_outputs_of_a_page_are_written(run: Run, pytester: pytest.Pytester) -> None:
    run(UNWRITTEN, "--rewrite-outputs").assert_outcomes(passed=3)
    assert (pytester.path / "README.md").read_text() == WRITTEN.lstrip()
    pytester.runpytest_inprocess().assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("opener", "indent"), [('"""Do.', ""), ('"""é"""\ndef f():\n    """Do.', "    ")]
)
def test_outputs_of_docstrings_are_written(
    run: Run, pytester: pytest.Pytester, opener: str, indent: str
) -> None:
    name = "src/module.py"
    code, output = (
        textwrap.indent(f"```{text}\n```", indent) for text in ("python\nprint(1)", "text\n1")
    )
    run(f'{opener}\n\n{code}\n{indent}"""', "--rewrite-outputs", name=name)
    written = (pytester.path / name).read_text("utf-8")
    assert written == f'{opener}\n\n{code}\n\n{output}\n{indent}"""'


def test_output_of_two_devices_is_not_written(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(devices.IS_AVAILABLE, "cuda", lambda: True)
    result = run(NAME_DEVICE.replace("\ncpu", ""), "--devices=cpu,cuda", "--rewrite-outputs")
    result.assert_outcomes(passed=1, failed=1)
    assert "prints something else on another device" in read(result)


def test_output_that_would_end_its_fence_is_not_written(run: Run) -> None:
    result = run("```python\nprint('`' * 3)\n```\n", "--rewrite-outputs")
    result.assert_outcomes(failed=1)
    assert "cannot be written by --rewrite-outputs" in read(result)
