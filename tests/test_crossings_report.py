"""The report of `verify` puts unexpected results last, in lines that are not folded."""

import io

from rich.console import Console

from tamiyo_rl.crossings import CATALOGUE, Observation
from tamiyo_rl.crossings.report import print_results
from tamiyo_rl.crossings.verify import Result

ERROR = "could not create a primitive descriptor for the LSTM forward propagation primitive"


def report(*observations: Observation) -> str:
    printed = io.StringIO()
    results = [Result(CATALOGUE[seen.id], seen) for seen in observations]
    print_results(results, "cpu", Console(file=printed, width=80))
    return printed.getvalue()


def as_expected(name: str) -> Observation:
    crossing = CATALOGUE[name]
    return Observation(name, crossing.expected, tuple(crossing.noticed_by))


def test_failures_stand_last_and_unfolded() -> None:
    failed = Observation("hidden.detach", "raises in backward", ("audit",), error=ERROR)
    printed = report(failed, as_expected("cores.gru"))
    assert printed.endswith(
        "\n1 of 2 crossings are not as expected:\n"
        "hidden.detach\n"
        "  expected: raises in forward, noticed by guard, trace\n"
        "  seen: raises in backward, noticed by audit\n"
        f"  error: {ERROR}\n"
    )


def test_a_report_without_failures_names_none() -> None:
    printed = report(as_expected("hidden.detach"), as_expected("cores.gru"))
    assert "not as expected" not in printed
    assert "FAILED" not in printed


def test_no_table_is_wider_than_the_console_or_higher_than_its_words() -> None:
    printed = report(Observation("hidden.detach", "crashed", error=ERROR * 5))
    table = printed.partition("crossings as expected")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert len(table.splitlines()) < 12
