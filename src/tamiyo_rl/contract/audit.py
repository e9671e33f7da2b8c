"""The audit: what no input check can see, because it shows only in the loss.

A policy loss made of the rollout's own log-probabilities is a constant. Beside a value loss that
has a gradient it raises nothing and trains nothing. The audit looks at the loss term by term.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

import torch

from tamiyo_rl.contract.guard import ContractError
from tamiyo_rl.contract.nesting import has_parameters, is_tensor

# Nodes that compute with parameters which their edges do not name.
_OPAQUE = ("CheckpointFunctionBackward", "CompiledFunctionBackward")


class HasParameters(Protocol):
    """An `nn.Module`, or anything that names its parameters as one does."""

    def named_parameters(self) -> Iterable[tuple[str, torch.nn.Parameter]]:
        """Yield each parameter with its name."""


@dataclass(frozen=True)
class GradientReport:
    """What the terms of a loss really train.

    Attributes:
        reached: The trainable parameters that each term reaches, by the name of the term.
        constants: Terms without a gradient.
        unreached: Trainable parameters that no term reaches.
        opaque: Terms with a graph that hides its parameters (reentrant checkpointing,
            `torch.compile`). While there are any, `unreached` is empty: nothing is guessed.
        unoptimized: Trainable parameters that the optimizer does not hold.

    Examples:
        ```python
        import torch
        from tamiyo_rl import audit_gradients

        model = torch.nn.Linear(2, 1)
        report = audit_gradients({"fit": model(torch.ones(3, 2)).mean()}, model)
        print(report)
        report.raise_if_broken()
        ```

        ```text
        fit: reaches weight, bias
        ```
    """

    reached: Mapping[str, tuple[str, ...]]
    constants: tuple[str, ...] = ()
    unreached: tuple[str, ...] = ()
    opaque: tuple[str, ...] = ()
    unoptimized: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """What is broken, a line each; empty where nothing is."""
        return tuple(
            f"{text}: {_listed(names)}\n    do: {remedy}"
            for names, text, remedy in (
                (self.constants, "terms without a gradient", _CONSTANT),
                (self.unreached, "parameters that nothing trains", _UNREACHED),
                (self.unoptimized, "parameters that the optimizer does not hold", _UNOPTIMIZED),
            )
            if names
        )

    def raise_if_broken(self) -> None:
        """Raise `ContractError` if a term is a constant or a parameter is not trained.

        Raises:
            ContractError: With the names and what to do.
        """
        if self.problems:
            raise ContractError(
                "\n  ".join(("this loss does not train what it should", *self.problems))
            )

    def __str__(self) -> str:
        """Write a line for each term, then what is broken."""
        lines = [f"{term}: reaches {_listed(names)}" for term, names in self.reached.items()]
        lines += [f"{term}: hides its parameters; use audit_backward()" for term in self.opaque]
        return "\n".join([*lines, *self.problems])


_CONSTANT = "take log_prob, value and entropy from evaluate_actions(), with grad enabled"
_UNREACHED = "pass the state and features through the module, or name them in untouched="
_UNOPTIMIZED = "make the optimizer after the last change of the module's parameters"


def audit_gradients(
    terms: Mapping[str, torch.Tensor],
    module: HasParameters,
    *,
    untouched: Iterable[str] = (),
    optimizer: torch.optim.Optimizer | None = None,
) -> GradientReport:
    """Find the constant terms and the untrained parameters of a loss, before `backward()` (C8).

    The graph behind each term is walked; nothing is computed. Frozen parameters are left out.

    Args:
        terms: The terms of the loss by name, as they are summed: scalars, or any tensors.
        module: What is trained: a module, or an `LSTMPolicyBundle`.
        untouched: Names, or patterns such as `"core.initial_*"`, of the parameters that this loss
            is not meant to reach: another phase's, or a learned initial state in a batch where
            no row starts an episode.
        optimizer: If given, every trainable parameter must be in one of its groups.

    Returns:
        The report. It prints, and has `raise_if_broken()`.

    Raises:
        TypeError: If the terms are not tensors by name, the module has no named parameters,
            `untouched` is no list of names, or the optimizer has no groups of parameters.
        ValueError: If there are no terms, or a pattern matches no parameter.

    Examples:
        A policy loss of the rollout's own log-probabilities, beside an entropy bonus that has a
        gradient. Every parameter of the policy is reached, and yet nothing improves it:

        ```python
        import torch
        from tamiyo_rl import LSTMPolicyBundle, audit_gradients

        bundle = LSTMPolicyBundle(feature_dim=4, action_dims=2)
        rollout = bundle.get_action(torch.zeros(3, 4))
        evaluation = bundle.evaluate_actions(
            torch.zeros(3, 1, 4), {"action": rollout.action["action"].clone()[:, None]}
        )
        terms = {
            "policy": -rollout.joint_log_prob.mean(),
            "value": evaluation.value.square().mean(),
            "entropy": -evaluation.joint_entropy.mean(),
        }
        print(audit_gradients(terms, bundle))
        ```

        ```text
        value: reaches core.weight_ih_l0, core.weight_hh_l0, core.bias_ih_l0 and 3 more
        entropy: reaches core.weight_ih_l0, core.weight_hh_l0, core.bias_ih_l0 and 3 more
        terms without a gradient: policy
            do: take log_prob, value and entropy from evaluate_actions(), with grad enabled
        ```

        An optimizer made too early, and a graph that hides its parameters:

        ```python
        import torch
        from torch.utils.checkpoint import checkpoint
        from tamiyo_rl import audit_gradients

        model = torch.nn.Linear(2, 1)
        optimizer = torch.optim.SGD(model.parameters())
        model.weight = torch.nn.Parameter(torch.zeros(1, 2))
        features = torch.ones(3, 2, requires_grad=True)
        loss = checkpoint(model, features, use_reentrant=True).mean()
        print(audit_gradients({"loss": loss}, model, optimizer=optimizer))
        ```

        ```text
        loss: hides its parameters; use audit_backward()
        parameters that the optimizer does not hold: weight
            do: make the optimizer after the last change of the module's parameters
        ```
    """
    _require_terms(terms)
    parameters = _trainable(module, untouched)
    walks = {name: _walk(term) for name, term in terms.items()}
    reached = {
        term: tuple(n for n, p in parameters.items() if id(p) in walk)
        for term, walk in walks.items()
        if terms[term].requires_grad
    }
    opaque = tuple(term for term, walk in walks.items() if walk.keys() & set(_OPAQUE))
    found = {name for names in reached.values() for name in names}
    return GradientReport(
        {term: names for term, names in reached.items() if term not in opaque},
        constants=tuple(term for term in terms if term not in reached),
        unreached=() if opaque else tuple(n for n in parameters if n not in found),
        opaque=opaque,
        unoptimized=_unoptimized(parameters, optimizer),
    )


def audit_backward(module: HasParameters, *, untouched: Iterable[str] = ()) -> GradientReport:
    """Find the trainable parameters that `backward()` left without a gradient (C3).

    The form of the audit for graphs that hide their parameters. Call it after `backward()`, on
    gradients that were `None` before.

    Args:
        module: What is trained.
        untouched: As for `audit_gradients`.

    Returns:
        The report, with one term named `backward`.

    Raises:
        TypeError: If the module has no named parameters, or `untouched` is no list of names.
        ValueError: If a pattern matches no parameter.

    Examples:
        ```python
        import torch
        from tamiyo_rl import audit_backward

        model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
        model[1](model[0](torch.ones(3, 2)).detach()).mean().backward()
        print(audit_backward(model))
        audit_backward(model, untouched=["0.*"]).raise_if_broken()
        ```

        ```text
        backward: reaches 1.weight, 1.bias
        parameters that nothing trains: 0.weight, 0.bias
            do: pass the state and features through the module, or name them in untouched=
        ```
    """
    parameters = _trainable(module, untouched)
    missing = tuple(name for name, p in parameters.items() if p.grad is None)
    found = tuple(name for name in parameters if name not in missing)
    return GradientReport({"backward": found}, unreached=missing)


def _require_terms(terms: object) -> None:
    if not isinstance(terms, Mapping):
        raise TypeError(
            f'terms: expected a mapping such as {{"policy": loss}}, got {_kind(terms)}.'
        )
    if not terms:
        raise ValueError("terms: expected at least one named term of the loss, got none.")
    for name, term in terms.items():
        if not isinstance(term, torch.Tensor):
            raise TypeError(f"terms[{name!r}]: expected a tensor, got {_kind(term)}.")


def _trainable(module: HasParameters, untouched: Iterable[str]) -> dict[str, torch.Tensor]:
    if not has_parameters(module):
        raise TypeError(
            "module: expected an nn.Module or anything else with named_parameters(), got "
            f"{_kind(module)}."
        )
    named = {name: p for name, p in module.named_parameters() if p.requires_grad}
    for pattern in _patterns(untouched):
        matched = [name for name in named if fnmatchcase(name, pattern)]
        if not matched:
            raise ValueError(
                f"untouched: expected names of trainable parameters, got {pattern!r}, which "
                f"matches none.\n  there are: {_listed(tuple(named))}"
            )
        named = {name: p for name, p in named.items() if name not in matched}
    return dict(named)


def _patterns(untouched: Iterable[str]) -> list[str]:
    try:
        patterns: list[Any] = [None] if isinstance(untouched, str) else list(untouched)
    except TypeError:  # arrays of no dimension have __iter__
        patterns = [None]
    if not all(isinstance(pattern, str) for pattern in patterns):
        raise TypeError(f"untouched: expected a list of names, got {untouched!r}.")
    return patterns


def _walk(term: torch.Tensor) -> dict[Any, None]:
    """Collect what a term's graph holds: ids of its leaf tensors, names of opaque nodes."""
    found: dict[Any, None] = {id(term): None}  # a term may be a parameter itself
    for node in _nodes(term.grad_fn):
        found[id(getattr(node, "variable", None))] = None
        if node.name() in _OPAQUE:
            found[node.name()] = None
    return found


def _nodes(root: Any) -> Iterator[Any]:  # noqa: ANN401 - torch types its nodes loosely
    """Yield each node of the graph once, with no recursion: graphs are deep."""
    seen, stack = set(), [root]
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            stack.extend(parent for parent, _ in node.next_functions)


def _unoptimized(
    parameters: Mapping[str, torch.Tensor], optimizer: torch.optim.Optimizer | None
) -> tuple[str, ...]:
    if optimizer is None:
        return ()
    if not isinstance(getattr(optimizer, "param_groups", None), list):
        raise TypeError(f"optimizer: expected a torch optimizer, got {_kind(optimizer)}.")
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    return tuple(name for name, p in parameters.items() if id(p) not in held)


def _listed(names: tuple[str, ...]) -> str:
    others = f" and {len(names) - 3} more" if names[3:] else ""
    return (", ".join(names[:3]) or "no parameter of the module") + others


def _kind(value: object) -> str:
    name = type(value).__name__
    if isinstance(value, torch.Tensor):
        return f"a {name} of {value.dtype}"
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {name}"


def _is_dense_float(value: object) -> bool:
    if not is_tensor(value) or value.is_nested or value.layout != torch.strided:
        return False
    return value.dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16)
