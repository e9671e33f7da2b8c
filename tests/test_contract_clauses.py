"""Every clause has an example on the page, is cited in docstrings and tests, and is enforced."""

import ast
import contextlib
import io
import pkgutil
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tamiyo_rl import HiddenState, LSTMPolicyBundle, checks
from tamiyo_rl.contract import guard
from tamiyo_rl.policy import inputs
from tamiyo_rl.policy.categorical import CategoricalHeads
from tamiyo_rl.policy.gaussian import GaussianHeads
from tamiyo_rl.recurrent import episode_plan
from tamiyo_rl.recurrent.episodic_rnn import EpisodicRNN
from tamiyo_rl.training import RolloutBuffer

ROOT = Path(__file__).parent.parent
SECTION = re.compile(r"^## (C\d+): .*?\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
EXAMPLE = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)
SECTIONS = dict(SECTION.findall((ROOT / "docs" / "contract.md").read_text()))


def cited(pattern: str, *folders: str) -> set[str]:
    text = "\n".join(p.read_text() for f in folders for p in sorted((ROOT / f).rglob("*.py")))
    return {clause for found in re.findall(pattern, text) for clause in re.findall(r"C\d+", found)}


def test_page_docstrings_and_tests_cite_the_same_clauses() -> None:
    on_page = set(SECTIONS)
    assert on_page == {f"C{number}" for number in range(1, 14)}
    assert cited(r"\(C\d+(?:, C\d+)*\)|\*\*C\d+\*\*", "src") == on_page
    assert cited(r"mark\.clause\([^)]*\)", "tests") == on_page


def test_class_docstring_lists_every_clause() -> None:
    listed = re.findall(r"\*\*(C\d+)\*\*", LSTMPolicyBundle.__doc__ or "")
    assert listed == list(SECTIONS)


def run_example(clause: str) -> tuple[str, str]:
    source, expected = EXAMPLE.findall(SECTIONS[clause])[0]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), torch.random.fork_rng():
        exec(compile(source, clause, "exec"), {"__name__": "__main__"})  # noqa: S102 - the example
    return printed.getvalue(), expected


Patch = Callable[[pytest.MonkeyPatch], None]


def without_inference_mode(name: str) -> Patch:
    method = getattr(LSTMPolicyBundle, name)
    return lambda patch: patch.setattr(LSTMPolicyBundle, name, method.__wrapped__)


def ordinary_initial_hidden(patch: pytest.MonkeyPatch) -> None:
    def initial_hidden(self: LSTMPolicyBundle, batch_size: int = 1) -> Any:
        return self.network.core.initial_state(batch_size)  # type: ignore[operator, union-attr]

    patch.setattr(LSTMPolicyBundle, "initial_hidden", initial_hidden)


def detached_initial_state(patch: pytest.MonkeyPatch) -> None:
    initial_state = EpisodicRNN.initial_parts
    patch.setattr(EpisodicRNN, "initial_parts", torch.no_grad()(initial_state))


def blind_guard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(guard, "_inference_tensors", lambda _: {})


def hidden_decides(patch: pytest.MonkeyPatch) -> None:
    state_before = EpisodicRNN._state_before
    patch.setattr(
        EpisodicRNN,
        "_state_before",
        lambda self, batch, hidden, starts: hidden or state_before(self, batch, hidden, starts),
    )


def learned_state_needs_no_starts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LSTMPolicyBundle, "_require_known_state", lambda *_: None)


def buffer_under_inference_mode(patch: pytest.MonkeyPatch) -> None:
    gather: Any = RolloutBuffer._gather
    patch.setattr(RolloutBuffer, "_gather", gather.__wrapped__)


def resets_ignored(patch: pytest.MonkeyPatch) -> None:
    plan = episode_plan.EpisodePlan
    original = plan.__init__

    def without_inner_starts(self: episode_plan.EpisodePlan, starts: torch.Tensor) -> None:
        inner = starts.clone()
        inner[:, 1:] = False
        original(self, inner)

    patch.setattr(plan, "__init__", without_inner_starts)


def mode_unchecked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(guard, "_require_grad_mode", lambda _: None)


def masks_ignored(patch: pytest.MonkeyPatch) -> None:
    masked_logits = CategoricalHeads.masked_logits
    patch.setattr(
        CategoricalHeads, "masked_logits", lambda self, logits, _: masked_logits(self, logits, None)
    )


def masks_unchecked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(inputs.InputChecks, "masks", lambda _, masks: masks)


def shapes_unchecked(patch: pytest.MonkeyPatch) -> None:
    for module in (checks, inputs):
        patch.setattr(module, "require_shape", lambda _, value, __: value)


def values_unchecked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(inputs.InputChecks, "_require", lambda *_: None)


def plain_state_dict(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(EpisodicRNN, "_load_from_state_dict", torch.nn.RNNBase._load_from_state_dict)


def nothing_loaded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LSTMPolicyBundle, "load_state_dict", lambda *_: None)


def unseeded_sampling(heads: type[CategoricalHeads | GaussianHeads]) -> Patch:
    sample: Any = heads.sample

    def unseeded(*args: Any) -> Any:
        torch.seed()
        return sample(*args)

    return lambda patch: patch.setattr(heads, "sample", unseeded)


def deviations_unchecked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(GaussianHeads, "require_deviations", lambda *_: None)


def states_keep_the_dtype_they_come_in(patch: pytest.MonkeyPatch) -> None:
    def run(self: LSTMPolicyBundle, *inputs: Any) -> Any:
        logits, value, (h, c) = self.network(*inputs)
        return logits, value, HiddenState(h, c)

    patch.setattr(LSTMPolicyBundle, "_run", run)


# Ways to take away the code that enforces each clause.
ENFORCEMENT: list[tuple[str, str, Patch]] = [
    ("C1", "LSTMPolicyBundle.initial_hidden", ordinary_initial_hidden),
    ("C2", "LSTMPolicyBundle.get_action", without_inference_mode("get_action")),
    ("C2", "LSTMPolicyBundle.get_value", without_inference_mode("get_value")),
    ("C3", "EpisodicRNN.initial_parts", detached_initial_state),
    ("C4", "_inference_tensors", blind_guard),
    ("C5", "LSTMPolicyBundle._require_known_state", learned_state_needs_no_starts),
    ("C5", "EpisodicRNN._state_before", hidden_decides),
    ("C6", "RolloutBuffer._gather", buffer_under_inference_mode),
    ("C7", "EpisodePlan.__init__", resets_ignored),
    ("C8", "_require_grad_mode", mode_unchecked),
    ("C9", "CategoricalHeads.masked_logits", masks_ignored),
    ("C9", "InputChecks.masks", masks_unchecked),
    ("C10", "require_shape", shapes_unchecked),
    ("C10", "InputChecks._require", values_unchecked),
    ("C10", "GaussianHeads.require_deviations", deviations_unchecked),
    ("C11", "LSTMPolicyBundle.load_state_dict", nothing_loaded),
    ("C11", "EpisodicRNN._load_from_state_dict", plain_state_dict),
    ("C12", "CategoricalHeads.sample", unseeded_sampling(CategoricalHeads)),
    ("C12", "GaussianHeads.sample", unseeded_sampling(GaussianHeads)),
    ("C13", "LSTMPolicyBundle._run", states_keep_the_dtype_they_come_in),
]


def read_enforcers() -> dict[tuple[str, str], str]:
    """Find the definitions below a comment such as `# enforces C5`, and where each is imported."""
    found: dict[tuple[str, str], str] = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        text = path.read_text("utf-8")
        module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
        for owner, node in definitions(ast.parse(text)):
            first = min([node.lineno, *(line.lineno for line in node.decorator_list)])
            mark = re.fullmatch(r"\s*# enforces (C\d+)", text.split("\n")[first - 2])
            if mark:
                found[mark[1], f"{owner}{node.name}"] = f"{module}:{owner}{node.name}"
    return found


def definitions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield "", node
        elif isinstance(node, ast.ClassDef):
            inner = [part for part in node.body if isinstance(part, ast.FunctionDef)]
            yield from ((f"{node.name}.", part) for part in inner)


ENFORCERS = read_enforcers()


@pytest.mark.parametrize("clause", SECTIONS)
def test_example_of_clause_holds(clause: str) -> None:
    printed, expected = run_example(clause)
    assert printed == expected


@pytest.mark.parametrize(
    ("clause", "enforcer", "take_away"),
    ENFORCEMENT,
    ids=lambda value: getattr(value, "__name__", value),
)
def test_an_example_fails_without_the_code_that_enforces_its_clause(
    clause: str, enforcer: str, take_away: Patch, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ENFORCERS[clause, enforcer]
    whole = pkgutil.resolve_name(place)
    take_away(monkeypatch)
    assert pkgutil.resolve_name(place) is not whole, "something else was taken away"
    try:
        printed, expected = run_example(clause)
    except Exception:  # noqa: BLE001 - to raise is to fail, whatever it raises
        return
    assert printed != expected


def test_each_marked_enforcer_is_taken_away_and_named_on_the_page() -> None:
    taken_away = {(clause, enforcer) for clause, enforcer, _ in ENFORCEMENT}
    named = {
        (clause, enforcer)
        for clause, section in SECTIONS.items()
        for line in re.findall(r"^Enforced by (.*)\.$", section, re.MULTILINE)
        for enforcer in re.findall(r"`([\w.]+)`", line)
    }
    assert set(ENFORCERS) == taken_away
    assert named == taken_away
