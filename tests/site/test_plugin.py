"""A page passes when the code it shows has passed in the same run, on every device asked for."""

import shutil
from pathlib import Path

import pytest

from tests.doctests import devices
from tests.site.conftest import build_site, run_mkdocs
from tests.site.plugin import Passed, hash_of
from tests.site.visible_code import Shown

pytest_plugins = ["pytester"]

PAGE = "# Home\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n"
SUMMARY = "expected an example that passed on every device asked for: print(1)"


@pytest.fixture(scope="module")
def built(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    build_site(folder, root, {"docs/index.md": PAGE})
    return folder


@pytest.fixture
def folder(
    built: Path, root: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Hold a copy of the site and of its page in the root of a run."""
    shutil.copytree(built, pytester.path, dirs_exist_ok=True)
    shutil.copy(root / "pyproject.toml", pytester.path)
    monkeypatch.setenv("DEVICES", "cpu")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return pytester.path


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    """Run the examples, then look at the site."""
    pytester.runpytest_inprocess(*options)
    return pytester.runpytest_inprocess("--site", "site", *options)


@pytest.mark.usefixtures("folder")
def test_page_of_passed_examples_passes(pytester: pytest.Pytester) -> None:
    run(pytester).assert_outcomes(passed=2)  # the page, and the page for an error


@pytest.mark.usefixtures("folder")
def test_examples_that_passed_in_other_processes_count(
    pytester: pytest.Pytester, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    monkeypatch.setenv("PYTHONPATH", str(root))
    pytester.runpytest_subprocess("-n", "2")
    pytester.runpytest_inprocess("--site", "site").assert_outcomes(passed=2)


def test_example_that_fails_fails_its_page(pytester: pytest.Pytester, folder: Path) -> None:
    (folder / "docs/index.md").write_text(PAGE.replace("\n1\n", "\n2\n"))
    result = run(pytester)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([SUMMARY])


def test_page_that_is_older_than_its_source_fails(pytester: pytest.Pytester, folder: Path) -> None:
    (folder / "docs/index.md").write_text(PAGE.replace("print(1)", "print(1 + 0)"))
    result = run(pytester)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([SUMMARY])


@pytest.mark.usefixtures("folder")
def test_example_that_did_not_run_fails_its_page(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--site", "site")
    result.assert_outcomes(passed=1, failed=1)


def test_example_must_pass_on_each_device(
    pytester: pytest.Pytester, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(devices.IS_AVAILABLE, "cuda", lambda: True)
    code = (
        "from torch.overrides import _get_current_function_mode_stack\n\n"
        "print(int(_get_current_function_mode_stack()[-1].device.type == 'cpu'))"
    )
    (folder / "docs/index.md").write_text(PAGE.replace("print(1)", code))
    run_mkdocs(folder, folder / "site")
    run(pytester).assert_outcomes(passed=2)
    run(pytester, "--devices", "cpu,cuda").assert_outcomes(passed=1, failed=1)


def test_a_command_must_pass_where_processes_can_run() -> None:
    command = Shown("console", "$ true", "")
    passed = [("cpu", *command)]
    assert command in Passed(passed, ["cpu", "strict"])
    assert command not in Passed([], ["cpu", "strict"])
    assert command not in Passed(passed, ["strict"])


@pytest.mark.usefixtures("folder")
def test_site_that_is_not_built_fails_the_run(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--site", "nowhere")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*expected a built site, got nowhere. Run: make docs"])


def test_an_example_that_passed_elsewhere_counts_by_its_hash() -> None:
    example = Shown("python", "print(1)", "1")
    assert example in Passed([], ["cpu"], [hash_of(example)])
    assert example._replace(output="2") not in Passed([], ["cpu"], [hash_of(example)])
