"""The guard: what a training call checks before it runs, and after.

A training call differentiates. Tensors made under `torch.inference_mode()` cannot take part in
that: PyTorch either raises an error that names no argument, or trains without them and says
nothing. The guard names the argument, its origin, what is lost and what to do.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import torch
from torch.nn.parameter import is_lazy

from tamiyo_rl.contract.nesting import (
    has_parameters,
    is_tensor,
    replace_tensors,
    walk_leaves,
    walk_tensors,
)
from tamiyo_rl.contract.ordinary import all_ordinary, any_requires_grad, is_trackable
from tamiyo_rl.contract.origin import origin_of
from tamiyo_rl.contract.trace import travel_of

P = ParamSpec("P")
R = TypeVar("R")
Leaves = Sequence[tuple[str, object]]

_COPY = "clone() it outside inference mode, or take it from RolloutBuffer"
_REMEDIES = {
    "initial_hidden": "pass hidden=None; or clone() it, and pass episode_starts too",
    "get_action": _COPY,
    "get_value": _COPY,
}


class InferenceTensorWarning(UserWarning):
    """A training call was given inference tensors, and goes on with copies of them (C4).

    To make it an error is the standard library's business:

    Examples:
        ```python
        import warnings

        import torch
        from tamiyo_rl import InferenceTensorWarning, LSTMPolicyBundle

        warnings.filterwarnings("error", category=InferenceTensorWarning)
        bundle = LSTMPolicyBundle(feature_dim=4, action_dims=2)
        features, actions = torch.zeros(1, 3, 4), {"action": torch.zeros(1, 3, dtype=torch.long)}
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
        features, actions = torch.zeros(1, 3, 4), {"action": torch.zeros(1, 3, dtype=torch.long)}
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
        features, actions = torch.zeros(1, 3, 4), {"action": torch.zeros(1, 3, dtype=torch.long)}
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


def find_inference_tensors(**named: object) -> dict[str, torch.Tensor]:
    """Find the inference tensors in any nesting of containers (C4).

    Entered are tuples, lists, mappings, dataclasses, attrs classes and namespaces; not modules.

    Args:
        **named: Values to search, each under the name that its paths begin with.

    Returns:
        Each inference tensor by its path, such as `hidden.c` or `masks["op"]`.

    Examples:
        ```python
        import torch
        from tamiyo_rl import find_inference_tensors

        with torch.inference_mode():
            state = torch.zeros(1, 8, 128)
        found = find_inference_tensors(hidden=(state, state.clone()), masks={"op": state > 0})
        print(list(found))
        ```

        ```text
        ['hidden[0]']
        ```
    """
    return _inference_tensors(_leaves(named))


def guard_training_inputs(method: Callable[P, R]) -> Callable[P, R]:
    """Give a training method of any class the guard of `LSTMPolicyBundle` (C4, C8).

    With grad enabled and something to train, each call

    1. raises `ContractError` if inference mode is on underneath `torch.enable_grad()`, or if a
       parameter is, or once was, an inference tensor;
    2. warns once with `InferenceTensorWarning` if any argument holds inference tensors, and goes
       on with copies of them;
    3. raises `ContractError` if no output requires grad.

    The parameters are those of the arguments that have `named_parameters()`, `self` among them.
    Of `self` nothing else is looked at. A container that holds inference tensors is copied, so
    what the method writes into it is lost.

    Calls under `no_grad` or inference mode, and calls with nothing to train, pass untouched.
    Detection is `Tensor.is_inference()`, which `torch.compile` cannot trace: keep the guard
    outside what is compiled.

    Args:
        method: The method or function whose outputs are differentiated; a module is one too.

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
            lost: the gradient into its source
            do: clone() it outside inference mode, or take it from RolloutBuffer
        ```
    """
    signature, name = _signature(method), _name(method)
    holder = getattr(method, "__self__", method)  # of a bound method; a module is its own
    defaults = (p.default for p in signature.parameters.values() if p.default is not p.empty)
    # What the arguments do not show.
    unseen = [value for value in (*defaults, holder) if not inspect.isroutine(value)]

    @functools.wraps(method)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        if not torch.is_grad_enabled():
            return method(*args, **kwargs)
        if not torch.is_inference_mode_enabled() and all_ordinary((args, kwargs, *unseen)):
            outputs = method(*args, **kwargs)
        else:
            checked = _checked(name, holder, _bound(signature, args, kwargs))
            outputs = method(*checked.args, **checked.kwargs)
        if not any_requires_grad(outputs) and _parameters(holder, _bound(signature, args, kwargs)):
            require_graph(f"{name}()", "no output requires", outputs)
        return outputs

    return guarded


def require_graph(where: str, which: str, outputs: object) -> None:
    """Raise `ContractError` if `outputs` hold tensors, and none of them requires grad (C8)."""
    tensors = [t for _, t in walk_tensors(outputs, "") if t.is_floating_point() or t.is_complex()]
    if tensors and not any_requires_grad(tensors):
        raise ContractError(
            f"{where}: {which} grad, although parameters behind it do"
            "\n  cause: something inside runs under no_grad() or inference_mode(), or detaches"
            "\n  do: move that out of the call, or freeze what is not to be trained"
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


def _name(method: Any) -> str:  # noqa: ANN401 - anything that is called
    """Return the name of a function, of what a partial calls, or of the class of a module."""
    return str(getattr(getattr(method, "func", method), "__name__", type(method).__name__))


def _bound(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> inspect.BoundArguments:
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return bound


def _checked(name: str, holder: object, bound: inspect.BoundArguments) -> inspect.BoundArguments:
    """Return the arguments to call with: ordinary tensors, where something is to be trained."""
    parameters, leaves = _parameters(holder, bound), _leaves(_inputs(bound))
    if not _trains(parameters, leaves):
        return bound
    _require_grad_mode(name)
    _require_ordinary_parameters(name, parameters or {})
    found = _inference_tensors(leaves)
    if found:
        warnings.warn(_message(name, found), InferenceTensorWarning, stacklevel=3)
        bound.arguments.update(replace_tensors(_inputs(bound), _ordinary))
    return bound


def _inputs(bound: inspect.BoundArguments) -> dict[str, Any]:
    return {name: value for name, value in bound.arguments.items() if name != "self"}


def _leaves(named: Mapping[str, object]) -> list[tuple[str, object]]:
    return [leaf for name, value in named.items() for leaf in walk_leaves(value, name)]


def _inference_tensors(leaves: Leaves) -> dict[str, torch.Tensor]:
    return {path: leaf for path, leaf in leaves if is_tensor(leaf) and leaf.is_inference()}


def _parameters(holder: object, bound: inspect.BoundArguments) -> dict[str, torch.Tensor] | None:
    """Collect the parameters of what trains; None where nothing has any."""
    leaves = _leaves(_inputs(bound) | {"self": bound.arguments.get("self", holder)})
    owners = {id(leaf): (path, leaf) for path, leaf in leaves if has_parameters(leaf)}
    named = [(path, _materialised(owner)) for path, owner in owners.values()]
    trained = [(path, own) for path, own in named if any(p.requires_grad for p in own.values())]
    if len(trained) > 1:  # of the same class perhaps, with parameters of the same names
        return {f"{path}.{name}": p for path, own in trained for name, p in own.items()}
    return trained[0][1] if trained else {} if owners else None


def _materialised(owner: Any) -> dict[str, torch.Tensor]:  # noqa: ANN401 - whatever names parameters
    return {name: p for name, p in owner.named_parameters() if not is_lazy(p)}


def _trains(parameters: Mapping[str, torch.Tensor] | None, leaves: Leaves) -> bool:
    if parameters is None or parameters:
        return True
    return any(is_tensor(leaf) and leaf.requires_grad for _, leaf in leaves)


def _require_grad_mode(method: str) -> None:
    if torch.is_inference_mode_enabled():
        raise ContractError(
            f"{method}() runs under inference_mode() underneath enable_grad(): nothing is recorded"
            "\n  lost: every gradient"
            "\n  do: leave inference mode first; a generator that yields inside it leaks it"
        )


def _require_ordinary_parameters(method: str, parameters: Mapping[str, torch.Tensor]) -> None:
    bad = [name for name, p in parameters.items() if not is_trackable(p)]
    if bad:
        others = f" and {len(bad) - 2} more" if bad[2:] else ""
        raise ContractError(
            f"{method}(): parameters made or replaced under inference_mode() cannot be trained:"
            f"\n  {', '.join(bad[:2])}{others}"
            "\n  do: build, move and load the module outside inference mode, then the optimizer"
        )


def _ordinary(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.clone() if tensor.is_inference() else tensor


def _message(method: str, found: Mapping[str, torch.Tensor]) -> str:
    """Write one paragraph for each group of arguments that shares origin, loss and remedy."""
    groups: dict[str, list[str]] = {}
    for path, tensor in found.items():
        groups.setdefault(_explanation(path, tensor), []).append(path)
    parts = [f"\n  {', '.join(paths)} {text}" for text, paths in groups.items()]
    return f"{method}() trains on copies of the inference tensors it was given:{''.join(parts)}"


def _explanation(path: str, tensor: torch.Tensor) -> str:
    origin = origin_of(tensor)
    remedy = _REMEDIES.get((origin or "").rpartition(".")[2], _COPY)
    travel = travel_of(tensor)
    parts = [f"from {origin or 'unknown code'}", *([travel] if travel else [])]
    return "\n    ".join([*parts, f"lost: {_loss(path, tensor)}", f"do: {remedy}"])


def _loss(path: str, tensor: torch.Tensor) -> str:
    if not tensor.is_floating_point():
        return "nothing"
    return f"the gradient into {'the initial state' if path.startswith('hidden') else 'its source'}"
