"""Trained policies as programs that need no part of this package: ONNX and `torch.export`."""

from __future__ import annotations

import copy
import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, cast

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from tamiyo_rl.checks import require_bool
from tamiyo_rl.policy.action_dims import categorical
from tamiyo_rl.policy.network import FactoredRecurrentActorCritic, unwrap
from tamiyo_rl.policy.results import joint
from tamiyo_rl.recurrent.hidden_state import HiddenState
from tamiyo_rl.training.rollout.normalization import CLIP, FeatureNormalizer
from tamiyo_rl.training.rollout.statistics import EPSILON
from tamiyo_rl.training.runs.policy import SavedPolicy
from tamiyo_rl.training.storage.files import as_path, replace_file

ROWS = 2  # of the example that is traced; a batch of one row would be taken for a fixed size


def export_policy(path: str | os.PathLike[str], saved: SavedPolicy, *, masks: bool = False) -> None:
    """Write a policy as a program that runs without this package, the normalisation inside.

    The program takes one step of any number of rows, and chooses the most probable actions. Its
    inputs are `features` `[B, F]` in float32, `episode_starts` `[B]` bool, and the state `h` and,
    with an LSTM, `c`, `[layers, B, hidden]`. Where an episode starts, the program takes the
    initial state in place of the given one. Its outputs are `action`, a tensor `[B]`, or
    `[B, D]` if it is continuous, for each head; the joint `log_prob` `[B]`; `value` `[B]`; and
    `next_h` and `next_c`, the state for the next step. The action of a head with a name of its own
    is `action.<name>`. Continuous actions are the means, and may leave the bounds of the space.

    Args:
        path: The file: `.onnx` for ONNX, which needs the extra `onnx`, or `.pt2` for
            `torch.export`.
        saved: The policy, as `load_policy` returns it.
        masks: Whether the program takes a mask `[B, N]` bool for each categorical head, named as
            the actions are.

    Raises:
        ImportError: If the extra is missing.
        TypeError: If an argument has the wrong type.
        ValueError: If the file has another ending, the policy another type than float32, or its
            encoder cannot be traced.
        OSError: If the file cannot be written; what was there before is unchanged.

    Examples:
        ```python
        import torch
        from tamiyo_rl import LSTMPolicyBundle
        from tamiyo_rl.training import FeatureNormalizer, SavedPolicy, export_policy

        bundle = LSTMPolicyBundle(feature_dim=2, action_dims=3)
        export_policy("policy.pt2", SavedPolicy(bundle, FeatureNormalizer(2)))

        with torch.device("cpu"):
            step = torch.export.load("policy.pt2").module()
            state = torch.zeros(1, 3, 128)
            outputs = step(
                features=torch.zeros(3, 2),
                episode_starts=torch.ones(3, dtype=torch.bool),
                hidden=(state, state),
                masks={},
            )
        print(list(outputs))
        ```

        ```text
        ['action', 'log_prob', 'value', 'next_h', 'next_c']
        ```
    """
    write = _writer(path)
    _require_saved(saved)
    require_bool(masks=masks)
    step = PolicyStep(saved)
    inputs = step.example_inputs(masks=masks)
    with _quiet():
        program = _trace(step, inputs)
        content = write(program, step, inputs)
    replace_file(path, content)


class PolicyStep(nn.Module):
    """One step of a policy, from raw features to actions, in operations that can be traced.

    Args:
        saved: The policy; a copy of its network goes on the CPU.
    """

    network: FactoredRecurrentActorCritic

    def __init__(self, saved: SavedPolicy) -> None:
        super().__init__()
        network = cast("FactoredRecurrentActorCritic", unwrap(saved.bundle.network))
        self.network = copy.deepcopy(network).to("cpu").eval()
        self.network.validate = False  # a program cannot raise
        self.heads = saved.bundle.heads
        self.normalize = Normalization(saved.normalizer)

    def forward(
        self,
        features: torch.Tensor,
        episode_starts: torch.Tensor,
        hidden: Sequence[torch.Tensor],
        masks: Mapping[str, torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """Return the outputs by name; arguments as the inputs of the program."""
        starts = episode_starts.unsqueeze(-1)
        initial = self.network.initial_state(1).parts
        before = [torch.where(starts, new, old) for new, old in zip(initial, hidden, strict=True)]
        outputs, value, after = self.network.forward(
            self.normalize(features), HiddenState(*before), None
        )
        chosen, log_prob = self.heads.choose(outputs, masks or None, deterministic=True)
        actions = {_name("action", head): action for head, action in chosen.items()}
        state = {f"next_{n}": part for n, part in zip("hc", after.parts, strict=False)}
        return {**actions, "log_prob": joint(log_prob), "value": value, **state}

    def example_inputs(self, *, masks: bool) -> dict[str, Any]:
        """Return inputs of two rows, by the names of the arguments."""
        state = self.network.initial_state(ROWS)
        sizes = categorical(self.heads.action_dims) if masks else {}
        return {
            "features": torch.zeros(ROWS, len(self.normalize.shift), device="cpu"),
            "episode_starts": torch.ones(ROWS, dtype=torch.bool, device="cpu"),
            "hidden": tuple(part.detach() for part in state.parts),
            "masks": {
                head: torch.ones(ROWS, actions, dtype=torch.bool, device="cpu")
                for head, actions in sizes.items()
            },
        }


class Normalization(nn.Module):
    """What a `FeatureNormalizer` does, with its statistics as constants."""

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(self, normalizer: FeatureNormalizer) -> None:
        super().__init__()
        state = normalizer.state_dict()
        self.enabled = state["enabled"]
        self.register_buffer("shift", state["mean"].float())
        self.register_buffer("scale", (state["var"] + EPSILON).sqrt().float())

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Normalise features `[B, F]`."""
        if not self.enabled:
            return features
        return ((features - self.shift) / self.scale).clamp(-CLIP, CLIP)


def _writer(path: str | os.PathLike[str]) -> Any:
    ending = as_path("path", path).suffix
    if ending == ".pt2":
        return _as_pt2
    if ending != ".onnx":
        raise ValueError(f"path: expected a file that ends in .onnx or .pt2, got {str(path)!r}.")
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"path: expected {' and '.join(missing)} to be installed to write ONNX. Run "
            "pip install 'tamiyo-rl[onnx]', or write a .pt2 file."
        )
    return _as_onnx


def _require_saved(saved: object) -> None:
    if not isinstance(saved, SavedPolicy):
        raise TypeError(f"saved: expected a SavedPolicy, got {type(saved).__name__}.")
    dtype = saved.bundle.dtype
    if dtype != torch.float32:
        raise ValueError(
            f"saved: expected a policy in torch.float32, got {dtype}. Call "
            "bundle.to(torch.float32) first."
        )


def _trace(step: PolicyStep, inputs: dict[str, Any]) -> ExportedProgram:
    rows = Dim("batch")
    shapes = {
        "features": {0: rows},
        "episode_starts": {0: rows},
        "hidden": tuple({1: rows} for _ in inputs["hidden"]),
        "masks": {head: {0: rows} for head in inputs["masks"]},
    }
    try:
        return torch.export.export(step, (), kwargs=inputs, dynamic_shapes=shapes)
    except Exception as error:
        reason = str(error).strip().split("\n", maxsplit=1)[0]
        raise ValueError(
            "encoder: expected a module that torch.export can trace with any number of rows, got "
            f"{type(error).__name__}: {reason}"
            "\n  do: leave out what depends on the values or the number of the features"
        ) from error


def _as_pt2(program: ExportedProgram, _step: PolicyStep, _inputs: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    torch.export.save(program, stream)
    return stream.getvalue()


def _as_onnx(program: ExportedProgram, step: PolicyStep, inputs: dict[str, Any]) -> bytes:
    state = HiddenState._fields[: len(inputs["hidden"])]
    masks = [_name("mask", head) for head in inputs["masks"]]
    exported = torch.onnx.export(
        program,
        input_names=["features", "episode_starts", *state, *masks],
        output_names=list(step(**inputs)),
        dynamo=True,
        verbose=False,
    )
    return bytes(exported.model_proto.SerializeToString())  # type: ignore[union-attr]  # dynamo=True returns a program


def _name(what: str, head: str) -> str:
    """Name an input or an output of a head; a head without a name of its own is `action`."""
    return what if head == "action" else f"{what}.{head}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter says of packages that it does not need, and of its own code."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.disable(before)
