"""`watch_training`: a watch around any training loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from types import TracebackType
from typing import Self

import torch
from torch.optim import Optimizer

from tamiyo_rl.contract.consistency import check_consistency
from tamiyo_rl.contract.guard import ContractError
from tamiyo_rl.contract.nesting import HasParameters
from tamiyo_rl.contract.ordinary import is_trackable
from tamiyo_rl.contract.watch.clearing import Clearing
from tamiyo_rl.contract.watch.gradients import Gradients, living_optimizers, names_held
from tamiyo_rl.contract.watch.modules import (
    any_frozen,
    inference_attributes,
    named_modules,
    trainable_parameters,
)
from tamiyo_rl.contract.watch.movement import Movement
from tamiyo_rl.contract.watch.report import Finding, WatchReport
from tamiyo_rl.contract.watch.summands import JUDGED_STEPS, ConstantTerms
from tamiyo_rl.contract.watch.taps import add_observer, remove_observer
from tamiyo_rl.contract.watch.wasted import WastedTerms

ENOUGH_STEPS = 3  # before a gradient of 0, or a parameter that stays, means anything
MOST_BACKWARDS = 100  # whose terms are looked at, where no step is seen


def watch_training(modules: HasParameters | Iterable[HasParameters]) -> Watch:
    """Watch a training loop from outside, whoever wrote it (C3, C7, C8).

    The context sees the steps of PyTorch's optimizers, the calls of `backward()` and the graph of
    the loss, and needs no names of terms. It says which parameters nothing trains, which
    parameters no optimizer holds, which terms of the loss have no graph, and where inference
    tensors are. *Broken* is what nothing but a fault looks like; *look* is what may be right.

    It changes nothing of the training: what it wraps, it puts back at the end. A term without a
    graph is seen where it is added to a scalar with `+` or `-`, outside compiled code, in the first
    four steps. Of sharded parameters nothing is said.

    Args:
        modules: The module that is trained, or several.

    Returns:
        The watch, which is a context manager; its `report` is there at the end of the context.

    Raises:
        TypeError: If it is not a module, or an iterable of modules.
        ValueError: If there is no module, or none has a parameter that requires a gradient.

    Examples:
        This loop trains a value, and a policy term that is made of stored numbers:

        ```python
        import torch
        from tamiyo_rl import watch_training

        core, policy, value = torch.nn.Linear(4, 8), torch.nn.Linear(8, 2), torch.nn.Linear(8, 1)
        model = torch.nn.ModuleDict({"core": core, "policy": policy, "value": value})
        optimizer = torch.optim.Adam(model.parameters())

        with watch_training(model) as watch:
            for _ in range(4):
                hidden = core(torch.randn(16, 4)).tanh()
                stored = policy(hidden).log_softmax(dim=-1)[:, 0].detach()
                loss = value(hidden).square().mean() - stored.mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

        print([problem.rule for problem in watch.report.problems])
        print(watch.report.problems[0].where)
        ```

        ```text
        ['no-gradient', 'constant-term']
        ('policy.weight', 'policy.bias')
        ```
    """
    return Watch(named_modules(modules))


class Watch:
    """The watch that `watch_training` makes.

    Args:
        modules: The modules by the beginning of their parameters' names.
    """

    def __init__(self, modules: Mapping[str, HasParameters]) -> None:
        self._modules = modules
        self._parameters = trainable_parameters(modules)
        if not self._parameters:
            raise ValueError(
                "modules: expected a parameter that requires a gradient, got none."
                "\n  do: pass the module that is trained; a generator of modules yields only once"
            )
        self._gradients = Gradients(self._parameters)
        self._terms = ConstantTerms()
        self._clearing = Clearing(self._parameters)
        self._wasted = WastedTerms()
        self._backwards = 0
        self._inference_steps = 0
        self._inconsistent: list[str] = []
        self._movement = Movement(self._parameters)
        self._has_frozen = False
        self._state = "new"
        self._report: WatchReport | None = None

    @property
    def report(self) -> WatchReport:
        """What the watch saw, up to now or up to its end."""
        return self._report or self._make_report()

    def compare(
        self,
        new: Mapping[str, torch.Tensor],
        old: Mapping[str, torch.Tensor],
        *,
        mask: torch.Tensor | None = None,
        tolerance: float | None = None,
    ) -> None:
        """Compare what training computes with what the rollout stored, before the first step (C7).

        Args:
            new: Such as `{"log_prob": ..., "value": ...}`, computed for the first minibatch.
            old: The same as stored.
            mask: Bool, true where a step counts; None if every step counts.
            tolerance: As for `check_consistency`, which compares them.
        """
        try:
            check_consistency(new, old, mask=mask, tolerance=tolerance)
        except ContractError as error:
            self._inconsistent.append(str(error).partition("\n")[0])

    def __enter__(self) -> Self:
        """Begin to watch."""
        if self._state != "new":
            raise RuntimeError(
                f"watch: expected a watch that was not entered before, got one that {self._state}."
                "\n  do: make another one with watch_training()"
            )
        self._state = "runs"
        self._movement.begin()
        add_observer(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the watch, and let go of the modules."""
        remove_observer(self)
        self._state = "has ended"
        self._report = self._make_report()
        self._modules = {}
        self._parameters = {}
        self._gradients = Gradients({})
        self._movement = Movement({})
        self._clearing = Clearing({})
        self._wasted = WastedTerms()

    @property
    def needs_terms(self) -> bool:
        """Whether the terms of the loss are still looked at."""
        return self._gradients.steps < JUDGED_STEPS and self._backwards < MOST_BACKWARDS

    def before_backward(self, roots: tuple[torch.Tensor, ...]) -> None:
        """See the roots of a graph that is about to be differentiated."""
        self._backwards += 1
        if self.needs_terms:
            self._has_frozen |= any_frozen(self._modules)
            self._clearing.before_backward(roots)
            for root in roots:
                self._terms.see(root)
                self._wasted.see(root)

    def after_backward(self) -> None:
        """See that the gradients are there."""
        if self.needs_terms:
            self._clearing.after_backward()
            self._wasted.after_backward()

    def after_step(self, optimizer: Optimizer) -> None:
        """See an optimizer that has taken a step."""
        self._inference_steps += torch.is_inference_mode_enabled()
        is_judged = self.needs_terms
        self._gradients.see(optimizer)
        if is_judged:
            self._gradients.find_holders()
            self._movement.see()
            self._clearing.after_step(optimizer)
            self._wasted.see_step(optimizer)
        else:
            self._wasted.see_later_step(optimizer)

    def _make_report(self) -> WatchReport:
        self._movement.see()
        found = [Finding.of(rule, names) for rule, names in self._findings() if names]
        found.sort(key=lambda finding: finding.severity != "broken")
        return WatchReport(self._gradients.steps, self._backwards, tuple(found))

    def _findings(self) -> Iterator[tuple[str, list[str]]]:
        """Yield what each rule names."""
        seen = self._gradients
        bad = [name for name, p in self._parameters.items() if not is_trackable(p)]
        yield "inference-parameter", bad
        yield "inconsistent", self._inconsistent
        yield "inference-buffer", list(inference_attributes(self._modules))
        yield "inference-step", [f"{self._inference_steps} steps"] * bool(self._inference_steps)
        if not seen.steps:
            yield from self._without_steps()
        elif not seen.given and not self._backwards:
            yield "no-backward", [f"{seen.steps} steps"]
        else:
            yield from self._findings_of_parameters()
            yield from self._findings_of_terms()

    def _without_steps(self) -> Iterator[tuple[str, list[str]]]:
        unused = self._clearing.unused
        # The last gradient is not cleared yet.
        is_broken = unused >= ENOUGH_STEPS - 1 and not self._movement.has_any
        yield ("unused-gradients", [f"{unused} times"]) if is_broken else ("no-step", ["no step"])

    def _findings_of_terms(self) -> Iterator[tuple[str, list[str]]]:
        changing = "frozen-term" if self._has_frozen else "constant-term"
        yield changing, self._terms.changing()
        yield "fixed-term", self._terms.fixed()
        yield "wasted-term", self._wasted.in_each(ENOUGH_STEPS)
        kept = self._clearing.kept
        is_broken = kept >= ENOUGH_STEPS - 1 and kept >= self._clearing.steps - 1
        yield "kept-gradients", [f"{kept} steps"] * is_broken

    def _findings_of_parameters(self) -> Iterator[tuple[str, list[str]]]:
        """Accuse no parameter that is frozen, and as unused none that something else moves."""
        seen, still = self._gradients, self._movement.still
        stepped, often = seen.stepped(), seen.stepped(ENOUGH_STEPS)
        yield "no-gradient", self._named(stepped & still - seen.given)
        yield "zero-gradient", self._named(often & seen.given - seen.nonzero)
        yield from self._unheld(self._named(self._parameters.keys() - stepped))
        trained = often & seen.nonzero
        rule = "nothing-moved" if trained <= still else "never-moved"
        yield rule, self._named(trained & still)

    def _unheld(self, others: list[str]) -> Iterator[tuple[str, list[str]]]:
        """Tell apart the parameters that no optimizer holds."""
        names = {id(self._parameters[name]): name for name in others}
        held = names_held(living_optimizers(), names) if names else frozenset()
        unheld = frozenset(others) - held - self._gradients.held
        given = self._gradients.given
        yield "not-optimized", self._named(unheld & given & self._movement.still)
        yield "never-optimized", self._named(unheld - given)

    def _named(self, names: AbstractSet[str]) -> list[str]:
        """List the names in the order of the module, without those that are frozen."""
        return [name for name in self._parameters if name in names - self._gradients.frozen]
