"""What a library computed and stored, and what that answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch

GAMMA = 0.9
LAMBDA = 0.95
LENGTH = 3
LONG = 50
TOLERANCE = 1e-5
Key = tuple[float, ...]
Outputs = list[tuple[Key, Key]]


class Seen(NamedTuple):
    """What was seen of two updates on episodes whose observations count 1, 2, 3, ...

    Attributes:
        rollout: For each update, what identifies a step (its number, and its action where that
            matters), and the outputs of the rollout.
        training: The same of training.
        values: For each update, the number of a step, and its value.
        targets: The same with the targets of the values.
        reached: The number of a step, and those of the steps that its gradient reaches.
        stored: The numbers that the rollout stored.
    """

    rollout: list[Outputs]
    training: list[Outputs]
    values: list[Outputs]
    targets: list[Outputs]
    reached: list[tuple[int, list[int]]]
    stored: list[int]

    @classmethod
    def nothing(cls) -> Seen:
        """Return what a library fills."""
        return cls([], [], [], [], [], [])


class Answer(NamedTuple):
    """Whether the contract is kept, and what was measured."""

    kept: bool
    measured: str


def outputs(keys: torch.Tensor, values: torch.Tensor) -> Outputs:
    """Pair each row of the keys with that of the values."""
    values = values.detach().reshape(len(keys), -1)
    return list(zip(map(tuple, keys.tolist()), map(tuple, values.tolist()), strict=True))


def reached_steps(
    results: Iterable[tuple[int, torch.Tensor]], observations: torch.Tensor
) -> list[tuple[int, list[int]]]:
    """Return for each result its step, and the steps of the observations that it depends on."""
    reached = []
    for step, result in results:
        (gradient,) = torch.autograd.grad(result, observations, retain_graph=True)
        reached.append((step, observations[gradient != 0].int().tolist()))
    return reached


def answers(observe: Callable[..., Seen]) -> dict[str, Answer]:
    """Run a library, and answer each question."""
    seen = observe(length=LENGTH)
    return {
        "rollout": _like_the_first(seen.rollout[0]),
        "training": _like_the_first(seen.training[0]),
        "alike": _like_the_first(seen.rollout[0] + seen.training[0]),
        "carried": _like_the_first(*map(_joined, (seen.rollout, seen.training, seen.values))),
        "bootstrap": bootstrap(seen, observe(length=LONG)),
        "gradient": gradient(seen),
        "copy": copy(seen, observe(length=LENGTH, reuses_its_array=True)),
    }


def _joined(updates: list[Outputs]) -> Outputs:
    return [pair for update in updates for pair in update]


def _like_the_first(*found: Outputs) -> Answer:
    """With a right state each episode is like the first: how far apart are they?"""
    spread = max(map(_spread, found))
    return Answer(spread < TOLERANCE, f"{spread:.1e}")


def _spread(found: Outputs) -> float:
    groups: dict[Key, list[Key]] = defaultdict(list)
    for key, output in found:
        groups[key].append(output)
    return max(max(c) - min(c) for group in groups.values() for c in zip(*group, strict=True))


def bootstrap(short: Seen, long: Seen) -> Answer:
    """Which value continues a truncated episode? The long episode goes on where the short ends."""
    added = (_at(LENGTH, short.targets) - 1) / GAMMA
    next_values = _at(1, short.values)
    returns = [value for (step, *_), (value,) in short.targets[0] if step == 1]
    candidates = [
        ("the last observation", _at(LENGTH + 1, long.values)),
        ("the observation after the reset", next_values),
        ("the observation before the last", _at(LENGTH, short.values)),
        ("nothing", 0.0),
        *(("the next episode", (1 - LAMBDA) * next_values + LAMBDA * value) for value in returns),
    ]
    name, value = min(candidates, key=lambda candidate: abs(candidate[1] - added))
    name = name if abs(value - added) < TOLERANCE else "another value"
    return Answer(name == "the last observation", name)


def _at(step: int, updates: list[Outputs]) -> float:
    """Return the value at a step of the first update."""
    return next(value for key, (value,) in updates[0] if key[0] == step)


def gradient(seen: Seen) -> Answer:
    """Each step may depend on those before it in its episode, and on no other."""
    crossing = [reached for reached in seen.reached if not _is_of_one_episode(*reached)]
    has_memory = any(len(steps) > 1 for _, steps in seen.reached)
    return Answer(not crossing and has_memory, f"{len(crossing)} of {len(seen.reached)} steps")


def _is_of_one_episode(step: int, steps: list[int]) -> bool:
    numbers = sorted(set(steps))  # a library that stacks observations repeats the first
    return numbers == list(range(step - len(numbers) + 1, step + 1))


def copy(seen: Seen, reusing: Seen) -> Answer:
    """An environment that reuses the array of its observations must leave the same behind."""
    pairs = zip(seen.stored, reusing.stored, strict=True)
    wrong = sum(left != right for left, right in pairs)
    return Answer(not wrong, f"{wrong} of {len(seen.stored)} observations")


def as_record(found: dict[str, Answer]) -> dict[str, dict[str, Any]]:
    """Return the answers as JSON has them."""
    return {question: answer._asdict() for question, answer in found.items()}
