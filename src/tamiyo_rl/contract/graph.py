"""The autograd graph behind a tensor: the leaves it shows, and whether others can hide in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import BackwardCFunction
from torch.nn.parameter import is_lazy


@dataclass(frozen=True)
class Graph:
    """The result of a walk over a graph.

    Attributes:
        leaves: The tensors that `backward()` would give a gradient, by id.
        runs_python: Whether a node is a custom `torch.autograd.Function`, or the tensor belongs
            to a transform of `torch.func`. Its backward may use tensors that no edge names, and
            may give no gradient to those that an edge names.
    """

    leaves: Mapping[int, torch.Tensor]
    runs_python: bool

    def hides(self, missing: Iterable[torch.Tensor], parameters: Iterable[torch.Tensor]) -> bool:
        """Tell whether this graph may reach a parameter in a way that no walk sees.

        Args:
            missing: The parameters that no graph names.
            parameters: All parameters of the module; any other leaf may stand for one of them.
        """
        if self.runs_python:
            return True
        known = {id(parameter) for parameter in parameters}
        foreign = [leaf for key, leaf in self.leaves.items() if key not in known]
        return any(_may_stand_for(leaf, parameter) for parameter in missing for leaf in foreign)


def graph_of(tensor: torch.Tensor) -> Graph:
    """Walk the graph behind a tensor; a leaf is its own graph."""
    own = {id(tensor): tensor} if tensor.is_leaf and tensor.requires_grad else {}
    behind = graph_behind(tensor.grad_fn)
    return Graph(own | dict(behind.leaves), behind.runs_python or is_transformed(tensor))


def graph_behind(root: Any) -> Graph:
    """Walk the graph from a node on."""
    leaves: dict[int, torch.Tensor] = {}
    runs_python = False
    for node in _nodes(root):
        runs_python |= isinstance(node, BackwardCFunction)
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            leaves[id(leaf)] = leaf
    return Graph(leaves, runs_python)


def is_transformed(tensor: torch.Tensor) -> bool:
    """Tell whether a tensor belongs to `torch.vmap` or another transform of `torch.func`.

    Such a tensor does not tell whether what it stands for requires grad.

    Examples:
        ```python
        import torch
        from tamiyo_rl.contract.graph import is_transformed

        seen = []
        torch.vmap(lambda row: seen.append(is_transformed(row)) or row)(torch.zeros(3, 2))
        print(seen, is_transformed(torch.zeros(3)))
        ```

        ```text
        [True] False
        ```
    """
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(tensor))


def shares_storage(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Tell whether one tensor is a view of the other, or both are views of a third.

    Examples:
        ```python
        import torch
        from tamiyo_rl.contract.graph import shares_storage

        one = torch.eye(2)
        print(shares_storage(one, one[0]), shares_storage(one, one.clone()))
        print(shares_storage(one, one.to_sparse()))
        ```

        ```text
        True False
        False
        ```
    """
    return storage_of(one) is storage_of(other)


def storage_of(tensor: torch.Tensor) -> object:
    """Return the storage; for a tensor without one (sparse, opaque, vmapped, lazy), the tensor."""
    try:
        return tensor.untyped_storage()
    except (NotImplementedError, RuntimeError, ValueError):
        return tensor


def _may_stand_for(leaf: torch.Tensor, parameter: torch.Tensor) -> bool:
    """Tell whether a leaf may be a parameter in another form: gathered, cast, or one flat piece.

    Sharded training computes with such leaves. A shard may be empty in this process.
    """
    size = size_of(parameter)
    return size in {0, size_of(leaf)} or shares_storage(leaf, parameter)


def size_of(parameter: torch.Tensor) -> int:
    """Count the elements; -1 for a lazy parameter, which has none yet."""
    return -1 if is_lazy(parameter) else parameter.numel()


def _nodes(root: Any) -> Iterator[Any]:
    """Yield each node of the graph once, with no recursion: graphs are deep."""
    seen = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            stack.extend(parent for parent, _ in node.next_functions)
