"""The guard of a training call: it checks the inputs before the call and the outputs after it.

A training call differentiates. Tensors made under `torch.inference_mode()` cannot take part in
that: PyTorch either raises an error that names no argument, or trains without them and says
nothing. The guard names the argument, its origin, what is lost and what to do.
"""

from __future__ import annotations

import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar, overload

import torch

from tamiyo_rl.checks import describe
from tamiyo_rl.contract.advice import OUR_POLICIES, leak_message
from tamiyo_rl.contract.carriers import note_carriers
from tamiyo_rl.contract.graph import is_transformed
from tamiyo_rl.contract.nesting import (
    has_parameters,
    is_tensor,
    replace_tensors,
    walk_leaves,
    walk_tensors,
)
from tamiyo_rl.contract.ordinary import (
    all_ordinary,
    any_requires_grad,
    is_trackable,
    parameters_of,
)
from tamiyo_rl.contract.wording import listed

P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound=torch.nn.Module)
Leaves = Sequence[tuple[str, object]]
_TORCH = str(Path(torch.__file__).parent)


class InferenceTensorWarning(UserWarning):
    """A training call was given inference tensors, and goes on with copies of them (C4).

    To turn it into an error, use the standard library:

    Examples:
        ```python
        import warnings

        import torch
        from tamiyo_rl import InferenceTensorWarning, LSTMPolicyBundle

        warnings.filterwarnings("error", category=InferenceTensorWarning)
        bundle = LSTMPolicyBundle(feature_dim=4, action_dims=2)
        features = torch.zeros(1, 3, 4)
        actions = {"action": torch.zeros(1, 3, dtype=torch.long)}
        try:
            bundle.evaluate_actions(features, actions, hidden=bundle.initial_hidden())
        except InferenceTensorWarning as error:
            print(error)
        ```

        ```text
        evaluate_actions() trains on copies of the inference tensors it was given:
          hidden.h, hidden.c from LSTMPolicyBundle.initial_hidden
            lost: the gradient into the initial state
            do: pass hidden=None; or clone() it, and pass episode_starts too
        ```
    """


class MissingHiddenWarning(UserWarning):
    """A training row continues an episode, but no hidden state was given for it (C5).

    The rollout had a state there; training starts the row from the initial state instead, and
    its log-probabilities and values are not those of the rollout (C7).

    Examples:
        ```python
        import warnings

        import torch
        from tamiyo_rl import LSTMPolicyBundle, MissingHiddenWarning

        bundle = LSTMPolicyBundle(feature_dim=4, action_dims=2)
        features = torch.zeros(1, 3, 4)
        actions = {"action": torch.zeros(1, 3, dtype=torch.long)}
        starts = torch.tensor([[False, False, True]])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            bundle.evaluate_actions(features, actions, episode_starts=starts)
        print(caught[0].category is MissingHiddenWarning)
        print(caught[0].message)
        ```

        ```text
        True
        hidden is None, but rows [0] do not start an episode at step 0
          lost: the state that the rollout had there; they begin from the initial state
          do: pass the hidden state before these steps, as RolloutBuffer does
        ```
    """


class ContractError(RuntimeError):
    """A training call cannot give its parameters a gradient, whatever its loss (C8).

    Examples:
        ```python
        import torch
        from tamiyo_rl import ContractError, LSTMPolicyBundle

        with torch.inference_mode():
            bundle = LSTMPolicyBundle(feature_dim=4, action_dims=2)
        features = torch.zeros(1, 3, 4)
        actions = {"action": torch.zeros(1, 3, dtype=torch.long)}
        try:
            bundle.evaluate_actions(features, actions)
        except ContractError as error:
            print(error)
        ```

        ```text
        evaluate_actions(): parameters made or replaced under inference_mode() cannot be trained:
          core.weight_ih_l0, core.weight_hh_l0 and 6 more
          do: build, move and load the module outside inference mode, then the optimizer
        ```
    """


@overload
def guard_training_inputs(
    method: Callable[P, R], *, differentiable_outputs: bool = True
) -> Callable[P, R]: ...


@overload
def guard_training_inputs(
    method: None = None, *, differentiable_outputs: bool = True
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def guard_training_inputs(
    method: Callable[P, R] | None = None, *, differentiable_outputs: bool = True
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Give a training method of any class the guard of `LSTMPolicyBundle` (C4, C8).

    With grad enabled and something to train, each call

    1. raises `ContractError` if inference mode is on underneath `torch.enable_grad()`, or if a
       parameter that requires grad is, or once was, an inference tensor;
    2. warns once with `InferenceTensorWarning` if any argument holds inference tensors, and goes
       on with copies of them;
    3. raises `ContractError` if no output requires grad, unless `differentiable_outputs=False`
       says that none has to, as for an actor that returns a sample or an update that calls
       `backward()` itself.

    The parameters are those of the arguments that have `named_parameters()`, including `self`.
    Of `self`, only the parameters are inspected. A container that holds inference tensors is
    copied, so what the method writes into it is lost. Objects of other classes are not entered:
    a method may well copy from them itself. If PyTorch then raises its error about inference
    tensors, a note says where the arguments hold them.

    Calls under `no_grad` or inference mode, and calls with nothing to train, pass untouched, and
    so does an argument that raises when it is inspected. Under `torch.vmap` and other transforms
    of `torch.func` a tensor does not tell whether it requires grad, so the guard says nothing
    about it. The guard asks `Tensor.is_inference()`, which `torch.compile` cannot trace: keep the
    guard outside compiled code.

    A copy (`copy.deepcopy`, `pickle`) of a guarded module, bound method or other callable object
    calls the copied object.

    Args:
        method: The method, function or module whose outputs are differentiated. Without it, a
            decorator is returned.
        differentiable_outputs: Whether an output has to require grad where parameters do.

    Returns:
        The guarded method, with the same signature.

    Raises:
        TypeError: If `method` is not a function whose arguments have names.
        ContractError: When called, as above.

    Examples:
        ```python
        import warnings

        import torch
        from tamiyo_rl import guard_training_inputs

        class Policy(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.core = torch.nn.GRU(4, 8, batch_first=True)

            @guard_training_inputs
            def evaluate(self, features, state=None):
                return self.core(features, state)[0]

        policy = Policy()
        with torch.inference_mode():
            state = torch.zeros(1, 2, 8)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            policy.evaluate(torch.zeros(2, 5, 4), state).sum().backward()
        print(caught[0].message)
        ```

        ```text
        evaluate() trains on copies of the inference tensors it was given:
          state from unknown code
            lost: the gradient into what made it, if that is to be trained
            do: clone() it outside inference mode
        ```

        This update takes its own optimizer step:

        ```python
        import torch
        from tamiyo_rl import guard_training_inputs

        policy = torch.nn.Linear(4, 2)
        optimizer = torch.optim.SGD(policy.parameters())

        @guard_training_inputs(differentiable_outputs=False)
        def update(policy, features):
            loss = policy(features).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.detach()

        print(update(policy, torch.zeros(3, 4)).requires_grad)
        ```

        ```text
        False
        ```
    """
    if method is None:
        return functools.partial(
            guard_training_inputs, differentiable_outputs=differentiable_outputs
        )
    guarded = _guarded(method, differentiable_outputs=differentiable_outputs)
    has_state = inspect.ismethod(method) or isinstance(method, functools.partial)
    if hasattr(type(method), "__get__") and not has_state:
        return guarded  # a function, which becomes a method in a class
    return _GuardedObject(guarded, method, differentiable_outputs=differentiable_outputs)


def guard_module(module: M, *, differentiable_outputs: bool = True) -> M:
    """Give `forward` of a module the guard, in place (C4, C8).

    The module stays what it is: its class, its state dict and its hooks do not change. A copy, or
    what unpickling makes of it, guards its own `forward`.

    Args:
        module: The module, whose calls are differentiated.
        differentiable_outputs: As for `guard_training_inputs`.

    Returns:
        The same module.

    Raises:
        TypeError: If it is not an `nn.Module`.

    Examples:
        ```python
        import warnings

        import torch
        from tamiyo_rl import guard_module

        core = guard_module(torch.nn.GRU(4, 8, batch_first=True))
        with torch.inference_mode():
            state = torch.zeros(1, 2, 8)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            core(torch.zeros(2, 5, 4), hx=state)
        print(caught[0].message)
        ```

        ```text
        forward() trains on copies of the inference tensors it was given:
          hx from unknown code
            lost: the gradient into what made it, if that is to be trained
            do: clone() it outside inference mode
        ```
    """
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module: expected an nn.Module, got {describe(module)}.")
    if not isinstance(vars(module).get("forward"), _GuardedObject):
        guard = guard_training_inputs(differentiable_outputs=differentiable_outputs)
        module.forward = guard(module.forward)
    return module


class _GuardedObject(functools.partial[R]):
    """The guard of a callable object; a copy of it guards a copy of that object."""

    guard: Callable[..., Callable[..., Any]]
    method: Callable[..., Any]

    def __new__(
        cls, guarded: Callable[..., R], method: Callable[..., R], *, differentiable_outputs: bool
    ) -> Self:
        self = super().__new__(cls, guarded)
        functools.update_wrapper(self, method, updated=())
        self.guard = guard_training_inputs(differentiable_outputs=differentiable_outputs)
        self.method = method
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return self.guard, (self.method,)


def _guarded(method: Callable[P, R], *, differentiable_outputs: bool) -> Callable[P, R]:
    signature = _signature(method)
    name = _name(method)
    is_ours = str(getattr(method, "__module__", "")).startswith(OUR_POLICIES)
    holder = getattr(method, "__self__", method)  # of a bound method; a module is its own
    defaults = (p.default for p in signature.parameters.values() if p.default is not p.empty)
    # What the arguments do not show.
    unseen = [value for value in (*defaults, holder) if not inspect.isroutine(value)]

    @functools.wraps(method)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        if not torch.is_grad_enabled():
            return method(*args, **kwargs)
        given = (*args, *kwargs.values(), *unseen)
        try:
            if not torch.is_inference_mode_enabled() and all_ordinary(given):
                outputs = method(*args, **kwargs)
            else:
                checked = _checked(name, holder, _bound(signature, args, kwargs), is_ours=is_ours)
                outputs = method(*checked.args, **checked.kwargs)
        except RuntimeError as error:
            arguments = {"self": holder} | _bound(signature, args, kwargs).arguments
            note_carriers(error, name, arguments)
            raise
        if not differentiable_outputs or any_requires_grad(outputs):
            return outputs
        if _parameters(holder, _bound(signature, args, kwargs)):
            require_graph(f"{name}()", "no output requires", outputs, _NOT_DIFFERENTIATED)
        return outputs

    return guarded


_NOT_DIFFERENTIATED = (
    "\n  or: if it returns a sample or calls backward() itself,"
    " guard_training_inputs(differentiable_outputs=False)"
)


def require_graph(where: str, which: str, outputs: object, otherwise: str = "") -> None:
    """Raise `ContractError` if `outputs` hold tensors, and none of them requires grad (C8)."""
    tensors = [t for _, t in walk_tensors(outputs, "") if t.is_floating_point() or t.is_complex()]
    if tensors and not any(t.requires_grad or is_transformed(t) for t in tensors):
        raise ContractError(
            f"{where}: {which} grad, although parameters behind it do"
            "\n  cause: something inside runs under no_grad() or inference_mode(), or detaches"
            f"\n  do: move that out of the call, or freeze what is not to be trained{otherwise}"
        )


def _signature(method: Callable[..., Any]) -> inspect.Signature:
    hint = ""
    if isinstance(method, staticmethod | classmethod):
        hint = f" Put @guard_training_inputs below @{type(method).__name__}."
    elif callable(method) and not isinstance(method, type):
        try:
            return inspect.signature(method)
        except ValueError:  # a builtin
            hint = " Wrap it in a function of your own."
    raise TypeError(
        f"method: expected a function whose arguments have names, got {method!r}.{hint}"
    )


def _name(method: Any) -> str:
    """Return the name of a function, of what a partial calls, or of the class of a module."""
    return str(getattr(getattr(method, "func", method), "__name__", type(method).__name__))


def _bound(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> inspect.BoundArguments:
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return bound


def _checked(
    name: str, holder: object, bound: inspect.BoundArguments, *, is_ours: bool
) -> inspect.BoundArguments:
    """Return the arguments to call with: ordinary tensors, where something is to be trained."""
    owned = _owned_parameters(holder, bound)
    trained = _trained(owned)
    leaves = _leaves(_inputs(bound))
    if owned and not trained and not _any_requires_grad(leaves):
        return bound
    _require_grad_mode(name)
    _require_ordinary_parameters(name, trained)
    found = _inference_tensors(leaves)
    if found:
        message = leak_message(name, found, is_ours=is_ours)
        warnings.warn(message, InferenceTensorWarning, stacklevel=_levels_to_caller())
        bound.arguments.update(replace_tensors(_inputs(bound), _ordinary))
    return bound


def _levels_to_caller() -> int:
    """Count the levels from `_checked` to the caller's line; a module is called through PyTorch."""
    frame = sys._getframe(3)
    level = 3
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_TORCH):
        frame = frame.f_back
        level += 1
    return level


def _inputs(bound: inspect.BoundArguments) -> dict[str, Any]:
    return {name: value for name, value in bound.arguments.items() if name != "self"}


def _leaves(named: Mapping[str, object]) -> list[tuple[str, object]]:
    return [leaf for name, value in named.items() for leaf in walk_leaves(value, name)]


# enforces C4
def _inference_tensors(leaves: Leaves) -> dict[str, torch.Tensor]:
    return {path: leaf for path, leaf in leaves if is_tensor(leaf) and leaf.is_inference()}


def _parameters(holder: object, bound: inspect.BoundArguments) -> dict[str, torch.Tensor]:
    return _trained(_owned_parameters(holder, bound))


def _owned_parameters(
    holder: object, bound: inspect.BoundArguments
) -> list[tuple[str, dict[str, torch.Tensor]]]:
    """Collect the parameters of each argument that has any, frozen or not, with its path."""
    leaves = _leaves(_inputs(bound) | {"self": bound.arguments.get("self", holder)})
    owners = {id(leaf): (path, leaf) for path, leaf in leaves if has_parameters(leaf)}
    owned = [(path, parameters_of(owner)) for path, owner in owners.values()]
    return [(path, parameters) for path, parameters in owned if parameters is not None]


def _trained(
    owned: Iterable[tuple[str, dict[str, torch.Tensor]]],
) -> dict[str, torch.Tensor]:
    """Join the parameters of those owners that have at least one to train."""
    trained = [(path, named) for path, named in owned if _any_requires_grad(named.items())]
    if len(trained) == 1:
        return trained[0][1]
    # Several owners may be of one class, with parameters of the same names.
    return {f"{path}.{name}": p for path, named in trained for name, p in named.items()}


def _any_requires_grad(leaves: Iterable[tuple[str, object]]) -> bool:
    return any(is_tensor(leaf) and leaf.requires_grad for _, leaf in leaves)


# enforces C8
def _require_grad_mode(method: str) -> None:
    if torch.is_inference_mode_enabled():
        raise ContractError(
            f"{method}() runs under inference_mode() underneath enable_grad(): nothing is recorded"
            "\n  lost: every gradient"
            "\n  do: leave inference mode first; a generator that yields inside it leaks it"
        )


def _require_ordinary_parameters(method: str, parameters: Mapping[str, torch.Tensor]) -> None:
    bad = [name for name, p in parameters.items() if p.requires_grad and not is_trackable(p)]
    if bad:
        raise ContractError(
            f"{method}(): parameters made or replaced under inference_mode() cannot be trained:"
            f"\n  {listed(bad, most=2)}"
            "\n  do: build, move and load the module outside inference mode, then the optimizer"
        )


def _ordinary(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.clone() if tensor.is_inference() else tensor
