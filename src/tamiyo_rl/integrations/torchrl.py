"""`LSTMModule` and `GRUModule` of TorchRL with episode resets inside one fused call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torchrl
from tensordict import TensorDictBase  # type: ignore[import-untyped]  # it ships no types
from tensordict.nn import dispatch  # type: ignore[import-untyped]  # it ships no types
from torchrl.modules import GRUModule as TheirGRUModule
from torchrl.modules import LSTMModule as TheirLSTMModule

from tamiyo_rl.recurrent.episodic_gru import EpisodicGRU
from tamiyo_rl.recurrent.episodic_lstm import EpisodicLSTM
from tamiyo_rl.recurrent.episodic_rnn import EpisodicRNN

TESTED = "0.14."
UNSUPPORTED = {"python_based": False, "recurrent_backend": "pad", "recurrent_recompute": "none"}


class LSTMModule(TheirLSTMModule):
    """`torchrl.modules.LSTMModule`, which resets its state in one fused call (C5).

    It takes the same arguments, keys and primers, and with the same seed it begins with the same
    parameters. A step of a rollout runs as in the original. In recurrent mode, where the original
    splits the rows at `is_init`, pads the pieces and puts them back together, an `EpisodicLSTM`
    runs the rows as they are. The state after the last step of each row is returned at that step,
    also where a row holds several episodes. At the earlier steps it holds zeros, also where an
    episode ends, at which the original gives the state of that episode.

    Args:
        *args: As for `torchrl.modules.LSTMModule`.
        **kwargs: As for `torchrl.modules.LSTMModule`; its options for another kernel
            (`python_based`, `recurrent_backend`, `recurrent_recompute`), `bidirectional` and
            `proj_size` are not supported.

    Raises:
        ImportError: If TorchRL is of a version with which this was not tested.
        ValueError: If an option is not supported.

    Examples:
        ```python
        import torch
        from tensordict import TensorDict
        from torchrl.modules import set_recurrent_mode

        from tamiyo_rl.integrations.torchrl import LSTMModule

        lstm = LSTMModule(input_size=4, hidden_size=8, in_key="observation", out_key="features")
        rows = TensorDict({"observation": torch.randn(2, 6, 4)}, [2, 6])
        rows["is_init"] = torch.zeros(2, 6, 1, dtype=torch.bool)
        rows["is_init"][0, 3] = True
        with set_recurrent_mode(True):
            print(list(lstm(rows)["features"].shape))
        ```

        ```text
        [2, 6, 8]
        ```
    """

    lstm: EpisodicLSTM

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _require_supported(kwargs)
        super().__init__(*args, **kwargs)
        self.lstm = EpisodicLSTM.sharing(self.lstm)

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Run one step of a rollout, or in recurrent mode rows `[..., T]`."""
        if not self.recurrent_mode or not tensordict.ndim:
            return super().forward(tensordict)
        return _run_rows(self.lstm, tensordict, self.in_keys, self.out_keys)


class GRUModule(TheirGRUModule):
    """`torchrl.modules.GRUModule`, which resets its state in one fused call (C5).

    All that `LSTMModule` says holds for it, with a state of one part.

    Args:
        *args: As for `torchrl.modules.GRUModule`.
        **kwargs: As for `torchrl.modules.GRUModule`; its options for another kernel are not
            supported.

    Raises:
        ImportError: If TorchRL is of a version with which this was not tested.
        ValueError: If an option is not supported.

    Examples:
        ```python
        import torch
        from tensordict import TensorDict
        from torchrl.modules import set_recurrent_mode

        from tamiyo_rl.integrations.torchrl import GRUModule

        gru = GRUModule(input_size=4, hidden_size=8, in_key="observation", out_key="features")
        rows = TensorDict({"observation": torch.randn(2, 6, 4)}, [2, 6])
        rows["is_init"] = torch.zeros(2, 6, 1, dtype=torch.bool)
        rows["is_init"][0, 3] = True
        with set_recurrent_mode(True):
            print(list(gru(rows)["features"].shape))
        ```

        ```text
        [2, 6, 8]
        ```
    """

    gru: EpisodicGRU

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _require_supported(kwargs)
        super().__init__(*args, **kwargs)
        self.gru = EpisodicGRU.sharing(self.gru)

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Run one step of a rollout, or in recurrent mode rows `[..., T]`."""
        if not self.recurrent_mode or not tensordict.ndim:
            return super().forward(tensordict)
        return _run_rows(self.gru, tensordict, self.in_keys, self.out_keys)


def _run_rows(
    core: EpisodicRNN, tensordict: TensorDictBase, in_keys: list[Any], out_keys: list[Any]
) -> TensorDictBase:
    rows = tensordict.unsqueeze(0) if tensordict.ndim == 1 else tensordict.flatten(0, -2)
    features = rows.get(in_keys[0])
    parts = [rows.get(key, None) for key in in_keys[1:-1]]
    given = None if any(part is None for part in parts) else tuple(map(_before_rows, parts))
    starts = rows.get(in_keys[-1]).squeeze(-1)
    outputs, to_batch, after = core.forward_in_lanes(features, given, starts)
    states = [_at_last_step(part, features.shape[1]) for part in after]
    for key, value in zip(out_keys, (to_batch(outputs), *states), strict=True):
        tensordict.set(key, value.reshape(*tensordict.shape, *value.shape[2:]))
    return tensordict


def _require_supported(options: Mapping[str, Any]) -> None:
    for name, only in UNSUPPORTED.items():
        given = options.get(name, only)
        if given != only:
            raise ValueError(f"{name}: expected {only!r}, got {given!r}. Leave it out.")
    if not torchrl.__version__.startswith(TESTED):
        raise ImportError(
            f"torchrl: expected version {TESTED}x, with which this module was tested, got "
            f"{torchrl.__version__}. Install 'tamiyo-rl[torchrl]'."
        )


def _before_rows(states: torch.Tensor) -> torch.Tensor:
    """Return the state before the first step, `[layers, B, hidden]`, from that of every step."""
    return states[:, 0].transpose(0, 1).contiguous()


def _at_last_step(state: torch.Tensor, steps: int) -> torch.Tensor:
    """Give a state `[layers, B, hidden]` to the last step of `[B, T, layers, hidden]`."""
    last = state.transpose(0, 1).unsqueeze(1)
    earlier = last.new_zeros(last.shape[0], steps - 1, *last.shape[2:])
    return torch.cat([earlier, last], dim=1)
