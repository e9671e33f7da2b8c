"""The audit of a loss, which finds the faults that no check of inputs can see.

A policy loss made of the rollout's own log-probabilities is a constant. Next to a value
loss that has a gradient, it raises no error and trains nothing. The audit looks at each term.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch

from tamiyo_rl.checks import describe
from tamiyo_rl.contract.graph import graph_of, is_transformed, size_of
from tamiyo_rl.contract.guard import ContractError
from tamiyo_rl.contract.nesting import HasParameters, has_parameters, is_tensor
from tamiyo_rl.contract.wording import listed


@dataclass(frozen=True)
class GradientReport:
    """The parameters that the terms of a loss really train.

    Attributes:
        reached: The trainable parameters that each term reaches, by the name of the term.
        constants: Terms without a gradient.
        unreached: Trainable parameters that no term reaches.
        opaque: Terms with a graph that may hide its parameters: it holds a custom
            `torch.autograd.Function` (as `torch.compile` and reentrant checkpointing make), or
            leaves that may stand for parameters (sharded training). If there is such a term,
            `unreached` is empty: the audit does not guess.
        unoptimized: Trainable parameters that the optimizer does not hold.
        switched_off: Terms that are the number 0.
        zero: Parameters whose gradient is 0 in every element. That is not a problem by itself, so
            `raise_if_broken()` lets it pass: a dead ReLU, or a part that this batch does not
            use, gives the same gradient as a constant term does.
        unknown: Parameters without a gradient that may have had one: a hook took it (an
            optimizer that steps inside `backward()`), or sharded training keeps it elsewhere.

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
    switched_off: tuple[str, ...] = ()
    zero: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """The problems, one line each; empty if nothing is broken."""
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
        """Write a line for each term, then the possible problems, then the certain ones."""
        lines = [f"{term}: reaches {_listed(names)}" for term, names in self.reached.items()]
        lines += [f"{term}: hides its parameters; use audit_backward()" for term in self.opaque]
        lines += [f"{term}: switched off" for term in self.switched_off]
        notes = ((self.zero, _ZERO), (self.unknown, _UNKNOWN))
        lines += [text.format(_listed(names)) for names, text in notes if names]
        return "\n".join([*lines, *self.problems])


_CONSTANT = "compute them in the training call, with grad enabled, not from the rollout's outputs"
_UNREACHED = "let a term depend on them, without a detach, or name them in untouched="
_ZERO = (
    "parameters whose gradient is 0 in every element: {}"
    "\n    maybe: a term that is constant, a dead ReLU, or a part that this batch does not use"
)
_UNKNOWN = (
    "parameters without a gradient, which a hook may have taken or a shard may keep: {}"
    "\n    do: use audit_gradients(), or call this where the gradients are still there"
)
_UNOPTIMIZED = "make the optimizer after the last change of the module's parameters"


def audit_gradients(
    terms: Mapping[str, torch.Tensor | float],
    module: HasParameters,
    *,
    untouched: Iterable[str] = (),
    optimizer: torch.optim.Optimizer | None = None,
) -> GradientReport:
    """Find the constant terms and the untrained parameters of a loss, before `backward()` (C8).

    It walks the graph behind each term and computes nothing. It leaves frozen parameters out.

    Args:
        terms: The terms of the loss by name, as they are summed: scalars, or any tensors. The
            number 0 is a term that is switched off.
        module: The module that is trained, or an `LSTMPolicyBundle`.
        untouched: Names, or patterns such as `"core.initial_*"`, of the parameters that this loss
            is not meant to reach: those of another phase, or a learned initial state in a batch
            where no row starts an episode.
        optimizer: If given, every trainable parameter must be in one of its groups.

    Returns:
        The report. It prints, and has `raise_if_broken()`.

    Raises:
        TypeError: If the terms are not tensors by name, the module has no named parameters,
            `untouched` is not a list of names, or the optimizer has no groups of parameters.
        ValueError: If there are no terms, or a pattern matches no parameter.

    Examples:
        This policy loss is made of the rollout's own log-probabilities, and the entropy bonus has a
        gradient. The terms reach every parameter of the policy, and yet nothing improves it:

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
            do: compute them in the training call, with grad enabled, not from the rollout's outputs
        ```

        This optimizer was made too early, and the graph hides its parameters:

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
    used = _required_terms(terms)
    parameters = _trainable(module, untouched)
    all_parameters = [parameter for _, parameter in module.named_parameters()]
    graphs = {name: graph_of(term) for name, term in used.items()}
    reached = {
        term: tuple(n for n, p in parameters.items() if id(p) in graph.leaves)
        for term, graph in graphs.items()
        if used[term].requires_grad or is_transformed(used[term])
    }
    found = {name for names in reached.values() for name in names}
    missing = {name: p for name, p in parameters.items() if name not in found}
    opaque = tuple(t for t in reached if graphs[t].hides(missing.values(), all_parameters))
    return GradientReport(
        {term: names for term, names in reached.items() if term not in opaque},
        constants=tuple(term for term in used if term not in reached),
        unreached=() if opaque else tuple(missing),
        opaque=opaque,
        unoptimized=_unoptimized(parameters, all_parameters, optimizer),
        switched_off=tuple(name for name in terms.keys() if name not in used),  # noqa: SIM118 - a TensorDict iterates over its rows
    )


def audit_backward(module: HasParameters, *, untouched: Iterable[str] = ()) -> GradientReport:
    """Find the trainable parameters that `backward()` left without a gradient (C3).

    Use this form of the audit for graphs that hide their parameters. Call it after `backward()`,
    on gradients that were `None` before.

    Args:
        module: The module that is trained.
        untouched: Names or patterns, as for `audit_gradients`.

    Returns:
        The report, with one term named `backward`. It lists gradients of 0 only where a gradient
        is one dense tensor, not a shard.

    Raises:
        TypeError: If the module has no named parameters, or `untouched` is not a list of names.
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
            do: let a term depend on them, without a detach, or name them in untouched=
        ```
    """
    parameters = _trainable(module, untouched)
    found = {name: p.grad for name, p in parameters.items() if p.grad is not None}
    kinds = {type(parameters[name]) for name in found}
    missing = {name: p for name, p in parameters.items() if name not in found and size_of(p)}
    unknown = tuple(name for name, p in missing.items() if _may_have_had_gradient(p, kinds))
    return GradientReport(
        {"backward": tuple(found)},
        unreached=tuple(name for name in missing if name not in unknown),
        zero=tuple(name for name, grad in found.items() if _is_zero(grad)),
        unknown=unknown,
    )


def _required_terms(terms: object) -> dict[str, torch.Tensor]:
    """Return the terms that are not switched off."""
    if not isinstance(terms, Mapping):
        raise TypeError(
            f'terms: expected a mapping such as {{"policy": loss}}, got {describe(terms)}.'
        )
    named = dict(terms.items())  # a TensorDict iterates over its rows
    if not named:
        raise ValueError("terms: expected at least one named term of the loss, got none.")
    named = {name: term for name, term in named.items() if not _is_number_zero(term)}
    for name, term in named.items():
        if not isinstance(term, torch.Tensor):
            raise TypeError(f"terms[{name!r}]: expected a tensor or 0, got {describe(term)}.")
    return named


def _is_number_zero(term: object) -> bool:
    if is_tensor(term):  # a TensorDict makes a tensor of a number
        return term.dtype == torch.int64 and term.shape == () and not term.is_meta and not term
    return isinstance(term, int | float) and term == 0


def _trainable(module: HasParameters, untouched: Iterable[str]) -> dict[str, torch.Tensor]:
    if not has_parameters(module):
        raise TypeError(
            "module: expected an nn.Module or anything else with named_parameters(), got "
            f"{describe(module)}."
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
        patterns = None if isinstance(untouched, str) else list(untouched)
    except TypeError:  # arrays of no dimension have __iter__
        patterns = None
    if patterns is None or not all(isinstance(pattern, str) for pattern in patterns):
        raise TypeError(f"untouched: expected a list of names, got {untouched!r}.")
    return patterns


def _may_have_had_gradient(parameter: torch.Tensor, kinds: set[type]) -> bool:
    """Tell whether a hook may have taken the gradient, or sharding may keep it elsewhere.

    A shard has no gradient if other parameters of its class have one.
    """
    if parameter._post_accumulate_grad_hooks:
        return True
    kind = type(parameter)
    is_shard = kind is not torch.Tensor and not issubclass(kind, torch.nn.Parameter)
    return is_shard and kind not in kinds


def _is_zero(grad: torch.Tensor) -> bool:
    is_plain = type(grad) is torch.Tensor and grad.layout == torch.strided
    return is_plain and not grad.is_meta and not bool(grad.any())


def _unoptimized(
    parameters: Mapping[str, torch.Tensor],
    all_parameters: list[torch.nn.Parameter],
    optimizer: torch.optim.Optimizer | None,
) -> tuple[str, ...]:
    if optimizer is None:
        return ()
    if not isinstance(getattr(optimizer, "param_groups", None), list):
        raise TypeError(f"optimizer: expected a torch optimizer, got {describe(optimizer)}.")
    held = {id(p): p for group in optimizer.param_groups for p in group["params"]}
    known = set(map(id, all_parameters))
    foreign = [p for key, p in held.items() if key not in known]
    return tuple(
        name
        for name, p in parameters.items()
        if id(p) not in held and not any(_is_other_form(other, p) for other in foreign)
    )


def _is_other_form(held: torch.Tensor, parameter: torch.Tensor) -> bool:
    """Tell whether `held` may be the parameter in another class, as a shard is."""
    return type(held) is not type(parameter) and held.numel() == parameter.numel()


def _listed(names: tuple[str, ...]) -> str:
    return listed(names, most=3) or "no parameter of the module"
