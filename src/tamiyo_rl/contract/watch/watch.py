"""`watch_training`: a watch around any training loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import torch
from torch import nn
from torch.optim import Optimizer

from tamiyo_rl.checks import describe
from tamiyo_rl.contract.consistency import check_consistency
from tamiyo_rl.contract.guard import ContractError
from tamiyo_rl.contract.nesting import (
    HasParameters,
    has_parameters,
    walk_leaves,
    walk_tensors,
)
from tamiyo_rl.contract.ordinary import is_trackable, parameters_of
from tamiyo_rl.contract.watch.clearing import Clearing
from tamiyo_rl.contract.watch.gradients import Gradients, checksum, living_optimizers, names_held
from tamiyo_rl.contract.watch.report import Finding, WatchReport
from tamiyo_rl.contract.watch.summands import JUDGED_STEPS, ConstantTerms, Operand
from tamiyo_rl.contract.watch.taps import add_observer, remove_observer
from tamiyo_rl.contract.watch.wasted import WastedTerms

ENOUGH_STEPS = 3  # before a gradient of 0, or a parameter that stays, means anything


def watch_training(modules: HasParameters | Iterable[HasParameters]) -> Watch:
    """Watch a training loop from outside, whoever wrote it (C3, C7, C8).

    The context sees the steps of PyTorch's optimizers, the calls of `backward()` and the graph of
    the loss, and needs no names of terms. It says which parameters nothing trains, which
    parameters no optimizer holds, which terms of the loss have no graph, and where inference
    tensors are. *Broken* is what nothing but a fault looks like; *look* is what may be right.

    It changes nothing of the training: what it wraps, it puts back at the end. A term without a
    graph is seen where it is added with `+` or `-`, outside compiled code, in the first four steps.
    Of sharded parameters nothing is said.

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
    return Watch(_named_modules(modules))


class Watch:
    """The watch that `watch_training` makes.

    Args:
        modules: The modules by the beginning of their parameters' names.
    """

    def __init__(self, modules: Mapping[str, HasParameters]) -> None:
        self._modules = modules
        self._parameters = {
            prefix + name: parameter
            for prefix, module in modules.items()
            for name, parameter in (*module.named_parameters(), *_hidden_parameters(module))
            if parameter.requires_grad
        }
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
        self._before: dict[str, int | None] = {}
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
        self._before = {name: checksum(p) for name, p in self._parameters.items()}
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
        self._clearing = Clearing({})

    @property
    def needs_operands(self) -> bool:
        """Whether the terms of the loss are still looked at."""
        return self._gradients.steps < JUDGED_STEPS

    def before_backward(
        self, roots: tuple[torch.Tensor, ...], operands: Mapping[Any, Operand]
    ) -> None:
        """See the roots of a graph that is about to be differentiated."""
        self._backwards += 1
        if self.needs_operands:
            self._clearing.before_backward()
            for root in roots:
                self._terms.see(root, operands)
                self._wasted.see(root)

    def after_backward(self) -> None:
        """See that the gradients are there."""
        if self.needs_operands:
            self._clearing.after_backward()

    def after_step(self, optimizer: Optimizer) -> None:
        """See an optimizer that has taken a step."""
        self._inference_steps += torch.is_inference_mode_enabled()
        if self.needs_operands:
            self._wasted.see_step(optimizer)
            if self._clearing.is_held_by(optimizer):
                self._clearing.after_step()
        self._gradients.see(optimizer)

    def _make_report(self) -> WatchReport:
        found = [Finding.of(rule, names) for rule, names in self._findings() if names]
        found.sort(key=lambda finding: finding.severity != "broken")
        return WatchReport(self._gradients.steps, self._backwards, tuple(found))

    def _findings(self) -> Iterator[tuple[str, list[str]]]:
        """Yield what each rule names."""
        seen = self._gradients
        bad = [name for name, p in self._parameters.items() if not is_trackable(p)]
        yield "inference-parameter", bad
        yield "inconsistent", self._inconsistent
        yield "inference-buffer", list(_inference_attributes(self._modules))
        yield "inference-step", [f"{self._inference_steps} steps"] * bool(self._inference_steps)
        if not seen.steps:
            yield from self._without_steps()
        elif not seen.given and not self._backwards:
            yield "no-backward", [f"{seen.steps} steps"]
        else:
            yield from self._findings_of_gradients()

    def _without_steps(self) -> Iterator[tuple[str, list[str]]]:
        still = all(before == checksum(self._parameters[n]) for n, before in self._before.items())
        unused = self._clearing.unused
        is_broken = still and unused >= ENOUGH_STEPS - 1  # the last gradient is not cleared yet
        yield ("unused-gradients", [f"{unused} times"]) if is_broken else ("no-step", ["no step"])

    def _findings_of_gradients(self) -> Iterator[tuple[str, list[str]]]:
        seen = self._gradients
        yield "no-gradient", [n for n in self._parameters if n in seen.stepped - seen.given]
        yield "constant-term", self._terms.changing()
        yield "fixed-term", self._terms.fixed()
        yield "wasted-term", self._wasted.in_each(ENOUGH_STEPS)
        kept = self._clearing.kept
        is_broken = kept >= ENOUGH_STEPS - 1 and kept >= self._clearing.steps - 1
        yield "kept-gradients", [f"{kept} steps"] * is_broken
        others = [name for name in self._parameters if name not in seen.stepped]
        yield from self._unheld(others)
        if seen.steps >= ENOUGH_STEPS:
            zero = (seen.given - seen.moved) & seen.stepped
            yield "zero-gradient", [name for name in self._parameters if name in zero]
            yield from self._still()

    def _unheld(self, others: list[str]) -> Iterator[tuple[str, list[str]]]:
        """Tell apart the parameters that no optimizer holds."""
        names = {id(self._parameters[name]): name for name in others}
        held = names_held(living_optimizers(), names) if names else frozenset()
        unheld = [name for name in others if name not in held]
        yield "not-optimized", [name for name in unheld if name in self._gradients.given]
        yield "never-optimized", [name for name in unheld if name not in self._gradients.given]

    def _still(self) -> Iterator[tuple[str, list[str]]]:
        """Name the parameters that had a gradient and are what they were."""
        trained = self._gradients.moved & self._gradients.stepped
        still = [
            name
            for name, before in self._before.items()
            if name in trained and before is not None and before == checksum(self._parameters[name])
        ]
        yield ("nothing-moved" if len(still) == len(trained) else "never-moved"), still


def _named_modules(modules: object) -> dict[str, HasParameters]:
    """Return the modules, each with the beginning of its parameters' names."""
    if has_parameters(modules):
        return {"": modules}  # type: ignore[dict-item]  # it has parameters
    try:
        several = list(modules)  # type: ignore[call-overload]  # what cannot be iterated raises
    except TypeError:
        several = [modules]
    for module in several:
        if not has_parameters(module):
            raise TypeError(
                "modules: expected an nn.Module or an iterable of them, got "
                f"{describe(module)}.\n  do: pass the module that is trained"
            )
    return {f"[{number}].": module for number, module in enumerate(several)}


def _hidden_parameters(owner: HasParameters) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the parameters of modules in lists and dicts, which no module registers."""
    registered = {id(parameter) for _, parameter in owner.named_parameters()}
    for place, value in _attributes(owner):
        if isinstance(value, list | tuple | dict):
            for path, inner in walk_leaves(value, place):
                named = parameters_of(inner) if has_parameters(inner) else None
                for name, parameter in (named or {}).items():
                    if id(parameter) not in registered:
                        yield f"{path}.{name}", parameter


def _attributes(owner: HasParameters) -> Iterator[tuple[str, object]]:
    """Yield the attributes and buffers of each module, by path."""
    inner = owner.named_modules() if isinstance(owner, nn.Module) else ()
    for path, module in inner:
        for name, value in {**module._buffers, **vars(module)}.items():
            if not name.startswith(("_parameters", "_buffers", "_modules")):
                yield ".".join(filter(None, (path, name))), value


def _inference_attributes(modules: Mapping[str, HasParameters]) -> Iterator[str]:
    """Name the buffers and attributes of modules that hold inference tensors."""
    for prefix, owner in modules.items():
        for place, value in _attributes(owner):
            found = walk_tensors(value, prefix + place)
            yield from (path for path, tensor in found if tensor.is_inference())
