"""Checks that training computes what the rollout stored, before an update changes a parameter.

At that point the parameters are those of the rollout, so log-probabilities and values must be too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from tamiyo_rl.checks import FLOAT_DTYPES, describe, is_dense
from tamiyo_rl.contract.guard import ContractError

_CAUSE = (
    "the state, the episode starts, a mask, dropout or an input is not the rollout's; or "
    "exploded parameters amplify rounding"
)
_REMEDY = (
    "train on what the rollout stored, with dropout off. To tell a mistake from rounding, compute "
    "both in float64: only rounding shrinks"
)


class _Difference(NamedTuple):
    """The largest difference and its place."""

    size: float
    place: Sequence[int]


def check_consistency(
    new: Mapping[str, torch.Tensor],
    old: Mapping[str, torch.Tensor],
    *,
    mask: torch.Tensor | None = None,
    tolerance: float | None = None,
) -> None:
    """Check that training computes the numbers that the rollout stored (C7).

    Call it with the first minibatch of each update, before a parameter changes. Compare values as
    well as log-probabilities: a policy at its initialisation is almost uniform whatever its state
    is, so a lost state hardly shows in the log-probabilities, but it shows in the values.

    A number may differ by `tolerance * max(1, |old|)`.

    Args:
        new: The results of training by name: `{"log_prob": ..., "value": ...}`, floating point
            tensors such as `[B, T]`.
        old: The stored results of the rollout, by the same names and in the same shapes.
        mask: Bool, of the same shape: true where a step counts, false for padding; None if every
            step counts.
        tolerance: None to follow from the coarser type of the two: 1e-8 in float64, 1e-3 in
            float32 (1e-2 on CUDA, assumed for TF32 and not measured), 0.1 in half precision.
            Under autocast, pass 0.1: the types of the results do not show it.

    Raises:
        TypeError: If the two are not mappings of dense, floating point tensors, or the mask is
            not a bool tensor.
        ValueError: If names, shapes or devices differ, or the tolerance is not a number of at
            least 0.
        ContractError: If a number is off, with the quantity, the largest difference and its place.

    Examples:
        This training call ignores where an episode starts. At the default initialisation, the
        log-probabilities hardly show it:

        ```python
        import torch
        from tamiyo_rl import ContractError, LSTMPolicyBundle, check_consistency

        torch.manual_seed(0)
        bundle = LSTMPolicyBundle(feature_dim=4, action_dims=2)
        features = torch.randn(8, 6, 4)
        starts = torch.zeros(8, 6, dtype=torch.bool)
        starts[:, 0] = starts[:, 3] = True

        hidden = bundle.initial_hidden(8)
        steps = []
        for t in range(6):
            step = bundle.get_action(features[:, t], hidden=hidden, episode_starts=starts[:, t])
            hidden = step.hidden
            steps.append(step)
        actions = {"action": torch.stack([step.action["action"] for step in steps], dim=1)}
        log_prob = torch.stack([step.joint_log_prob for step in steps], dim=1)
        value = torch.stack([step.value for step in steps], dim=1)

        right = bundle.evaluate_actions(features, actions, episode_starts=starts)
        old = {"log_prob": log_prob, "value": value}
        check_consistency({"log_prob": right.joint_log_prob, "value": right.value}, old)

        wrong = bundle.evaluate_actions(features, actions)
        check_consistency({"log_prob": wrong.joint_log_prob}, {"log_prob": log_prob})
        try:
            check_consistency({"value": wrong.value}, {"value": value})
        except ContractError as error:
            print(str(error).partition(", off by")[0])
        ```

        ```text
        value: expected what the rollout stored, within 0.001
        ```
    """
    _require_quantities(new, old)
    for name, value in new.items():
        used = _tolerance(tolerance, value, old[name])
        _require_mask(mask, value)
        found = _largest_difference(value, old[name], mask)
        if found is not None and not found.size <= used:
            raise ContractError(
                f"{name}: expected what the rollout stored, within {used:g}, off by "
                f"{found.size:.3g} at {_describe_place(found.place)}"
                f"\n  cause: {_CAUSE}\n  do: {_REMEDY}"
            )


def check_ratio(
    ratio: torch.Tensor,
    log_prob: torch.Tensor,
    *,
    mask: torch.Tensor | None = None,
    tolerance: float | None = None,
) -> None:
    """Check the probability ratio of PPO at the first minibatch of the first epoch (C7).

    At that point the parameters are those of the rollout, so `ratio = exp(log_prob - old_log_prob)`
    (Schulman et al. 2017, arXiv:1707.06347, section 3) is 1, and its derivative by `log_prob` is
    the ratio itself. A hidden state that was rebuilt in another way, a dropout mask or a changed
    input moves the ratio. New and old in the wrong order turn the sign of the derivative, which
    nothing else shows. While a policy is almost uniform, `check_consistency` sees more: give it
    the values.

    Args:
        ratio: The ratio as the loss uses it, such as `[B, T]`.
        log_prob: The new log-probabilities, from `evaluate_actions`, in the same shape.
        mask: Bool, of the same shape: true where a step counts; None if every step counts.
        tolerance: Largest allowed distance from 1, and of the derivative from the ratio; None as
            for `check_consistency`.

    Raises:
        TypeError: If the two are not dense, floating point tensors, or the mask is not a bool
            tensor.
        ValueError: If shapes or devices differ, the tensors are empty, or `backward()` has freed
            their graph; if the tolerance is not a number of at least 0.
        ContractError: If the ratio or its derivative differs.

    Examples:
        ```python
        import torch
        from tamiyo_rl import ContractError, check_ratio

        log_prob = torch.tensor([-0.5, -1.0], requires_grad=True)
        old_log_prob = log_prob.detach().clone()
        check_ratio((log_prob - old_log_prob).exp(), log_prob)
        for wrong in ((old_log_prob - log_prob).exp(), (log_prob - 2 * old_log_prob).exp()):
            try:
                check_ratio(wrong, log_prob)
            except ContractError as error:
                print(str(error).splitlines()[0])
        ```

        ```text
        ratio: expected to rise with log_prob, as exp(log_prob - old_log_prob) does
        ratio: expected 1 within 0.001 before the first update, off by 1.72 at index [1]
        ```
    """
    _require_ratio(ratio, log_prob)
    _require_mask(mask, ratio)
    used = _tolerance(tolerance, ratio, log_prob)
    found = _largest_difference(ratio, torch.ones_like(ratio), mask)
    if found is not None and not found.size <= used:
        raise ContractError(
            f"ratio: expected 1 within {used:g} before the first update, off by {found.size:.3g} "
            f"at {_describe_place(found.place)}\n  cause: {_CAUSE}\n  do: {_REMEDY}"
        )
    slope = _slope(ratio, log_prob)
    off = None if slope is None else _largest_difference(slope, ratio, mask)
    if off is None or not off.size <= used:
        raise ContractError(
            "ratio: expected to rise with log_prob, as exp(log_prob - old_log_prob) does"
            f"\n  got: {'no dependence on it' if off is None else 'another derivative'}"
            "\n  do: subtract the rollout's log-probability from the new one"
        )


def _largest_difference(
    new: torch.Tensor, old: torch.Tensor, mask: torch.Tensor | None
) -> _Difference | None:
    """Find the largest difference in units of `max(1, |old|)`; None where no step counts."""
    if new.is_meta or not new.numel():
        return None
    old = old.detach()
    error = (new.detach() - old).abs() / old.abs().clamp_min(1)
    error = error.nan_to_num(nan=torch.inf)
    if mask is not None:
        error = error.masked_fill(~mask, 0)
    size, flat = error.flatten().max(dim=0)
    return _Difference(size.item(), [int(i) for i in torch.unravel_index(flat, error.shape)])


def _describe_place(place: Sequence[int]) -> str:
    if len(place) == 2:
        return f"row {place[0]}, step {place[1]}"
    return f"index {list(place)}"


def _tolerance(given: float | None, *compared: torch.Tensor) -> float:
    if given is None:
        return max(_rounding(tensor) for tensor in compared)
    if isinstance(given, bool) or not isinstance(given, int | float) or not given >= 0:
        raise ValueError(f"tolerance: expected a number of at least 0, got {given!r}.")
    return given


def _rounding(tensor: torch.Tensor) -> float:
    """Return how much rounding may change; on CUDA, recurrent layers may use TF32 for float32."""
    if tensor.dtype == torch.float64:
        return 1e-8
    if tensor.dtype == torch.float32:
        return 1e-2 if tensor.is_cuda else 1e-3
    return 0.1


def _require_quantities(new: object, old: object) -> None:
    for name, given in (("new", new), ("old", old)):
        if not isinstance(given, Mapping):
            raise TypeError(
                f'{name}: expected a mapping such as {{"value": tensor}}, got {describe(given)}.'
            )
        for key, value in given.items():
            _require_floats(f"{name}[{key!r}]", value)
    assert isinstance(new, Mapping)  # noqa: S101 - the loop refused all else
    assert isinstance(old, Mapping)  # noqa: S101 - the loop refused all else
    if not new or new.keys() != old.keys():
        raise ValueError(
            f"old: expected the quantities of new, {sorted(map(str, new))}, at least one, got "
            f"{sorted(map(str, old))}."
        )
    for key in new:
        _require_same_place(f"old[{key!r}]", old[key], f"new[{key!r}]", new[key])


def _require_ratio(ratio: torch.Tensor, log_prob: torch.Tensor) -> None:
    for name, value in (("ratio", ratio), ("log_prob", log_prob)):
        _require_floats(name, value)
    _require_same_place("ratio", ratio, "log_prob", log_prob)
    if not ratio.numel() or ratio.is_meta:
        raise ValueError(
            f"ratio: expected at least one value, got {list(ratio.shape)} on {ratio.device}."
        )


def _require_floats(name: str, value: object) -> None:
    if is_dense(value) and value.dtype in FLOAT_DTYPES:
        return
    got = value.dtype if is_dense(value) else describe(value)
    raise TypeError(f"{name}: expected a dense floating point tensor, got {got}.")


def _require_mask(mask: torch.Tensor | None, like: torch.Tensor) -> None:
    if mask is None:
        return
    if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
        got = mask.dtype if isinstance(mask, torch.Tensor) else describe(mask)
        raise TypeError(f"mask: expected a bool tensor, true where a step counts, got {got}.")
    _require_same_place("mask", mask, "what it masks", like)


def _require_same_place(name: str, value: torch.Tensor, other: str, like: torch.Tensor) -> None:
    if value.shape != like.shape or value.device != like.device:
        raise ValueError(
            f"{name}: expected the shape and device of {other}, {list(like.shape)} on "
            f"{like.device}, got {list(value.shape)} on {value.device}."
        )


def _slope(ratio: torch.Tensor, log_prob: torch.Tensor) -> torch.Tensor | None:
    if not (ratio.requires_grad and log_prob.requires_grad):
        return None
    ones = torch.ones_like(ratio)  # not ratio.sum(), which has no graph under no_grad()
    try:
        (slope,) = torch.autograd.grad(ratio, log_prob, ones, retain_graph=True, allow_unused=True)
    except RuntimeError as error:
        raise ValueError(
            "ratio: expected a graph that is still there, got one that backward() has freed. "
            "Call check_ratio() before it."
        ) from error
    return None if slope is None else slope.to(ratio.dtype)
