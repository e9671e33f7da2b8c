"""A learner of PPO whose batches hold rows of several episodes in the place of padding."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from typing import Any

import ray
import torch
import tree
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner as TheirPPOTorchLearner
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.columns import Columns
from torch.nn.utils.rnn import pad_sequence

from tamiyo_rl.integrations.rllib.module import EPISODE_STARTS, MAX_SEQ_LEN, LSTMPolicyModule

BY_ROW = (Columns.STATE_IN, Columns.SEQ_LENS)  # all other columns have a value for each step


class PPOTorchLearner(TheirPPOTorchLearner):
    """RLlib's `PPOTorchLearner`, whose batches `JoinChunks` has joined.

    Raises:
        ValueError: If a minibatch is shorter than a row, or RLlib's connectors are left out,
            before training begins.
    """

    def build(self) -> None:
        """Build the learner, and join the chunks after all that RLlib does to them."""
        _require_connectors(self.config)
        super().build()
        for name, module in self.module.items():
            _require_whole_rows(name, module.unwrapped(), self.config.minibatch_size)
        self._learner_connector.append(JoinChunks())


class JoinChunks(ConnectorV2):
    """Puts the chunks that begin an episode behind others in a row, in the place of padding.

    RLlib cuts an episode every `max_seq_len` steps, gives each chunk a row of that length and pads
    it. Here a chunk that begins an episode goes into the padding behind another chunk, and the
    column `"episode_starts"` tells `LSTMPolicyModule` to reset the state there (C5). A chunk that
    continues an episode keeps the beginning of a row, since its state before it is one that the
    rollout stored. So each step has the state and the gradient that it has with padding. The step
    that RLlib adds to each episode to compute its advantages is left out.

    It stands behind RLlib's own connectors, where `PPOTorchLearner` puts it.
    """

    def __call__(self, *, rl_module: Any, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Join the chunks of each `LSTMPolicyModule`, and leave those of other modules."""
        return {
            name: join_chunks(columns)
            if isinstance(rl_module[name].unwrapped(), LSTMPolicyModule)
            else columns
            for name, columns in batch.items()
        }


def join_chunks(columns: dict[str, Any]) -> dict[str, Any]:
    """Join the rows of a batch, and say where an episode starts.

    Args:
        columns: Tensors `[rows, T, ...]` by column, of steps; `"state_in"` and `"seq_lens"` of
            rows.

    Raises:
        ValueError: If the mask of the padding is missing, or a column is of another kind.
    """
    mask = _require_columns(columns)
    begins = _begins_episode(columns[Columns.STATE_IN])
    lengths = _lengths(mask)
    rows = pack(lengths, begins.tolist(), mask.shape[1])
    steps = _steps(rows, lengths, mask.shape[1]).to(mask.device)
    starts = torch.zeros_like(mask)
    starts[:, 0] = begins

    def gather(column: torch.Tensor) -> torch.Tensor:
        return column.flatten(0, 1)[steps.clamp_min(0)]

    joined = {
        name: tree.map_structure(gather, column)
        for name, column in (columns | {EPISODE_STARTS: starts}).items()
        if name not in BY_ROW
    }
    joined[Columns.LOSS_MASK] &= steps >= 0
    first = torch.tensor([row[0] for row in rows], device=mask.device)
    joined[Columns.STATE_IN] = {k: v[first] for k, v in columns[Columns.STATE_IN].items()}
    joined[Columns.SEQ_LENS] = (steps >= 0).sum(dim=1)
    return joined


def pack(lengths: Sequence[int], begins: Sequence[bool], longest: int) -> list[list[int]]:
    """Assign chunks to rows: one that begins an episode goes where it leaves the least free.

    Args:
        lengths: Steps of each chunk; one without steps goes nowhere.
        begins: Whether a chunk begins an episode; another stands first in its row.
        longest: Steps of a row.

    Returns:
        The chunks of each row.
    """
    chunks = [chunk for chunk, length in enumerate(lengths) if length]
    rows = [[chunk] for chunk in chunks if not begins[chunk]]
    free = sorted((longest - lengths[row[0]], place) for place, row in enumerate(rows))
    others = (chunk for chunk in chunks if begins[chunk])
    for chunk in sorted(others, key=lambda chunk: -lengths[chunk]):
        at = bisect_left(free, (lengths[chunk], 0))
        if at == len(free):  # no row has room
            free.append((longest, len(rows)))
            rows.append([])
        space, place = free.pop(at)
        rows[place].append(chunk)
        insort(free, (space - lengths[chunk], place))
    return rows


def _begins_episode(state: dict[str, torch.Tensor]) -> torch.Tensor:
    """Tell which rows begin from the initial state, which is zeros: no step leaves such a state."""
    return torch.stack([part.flatten(1).eq(0).all(dim=1) for part in state.values()]).all(dim=0)


def _lengths(mask: torch.Tensor) -> list[int]:
    """Count the steps of each row up to the last that is trained."""
    numbers = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    lengths: list[int] = (mask * numbers).amax(dim=1).tolist()
    return lengths


def _steps(rows: Iterable[Sequence[int]], lengths: Sequence[int], longest: int) -> torch.Tensor:
    """Return which step of the batch goes where, `[rows, T]`; -1 where there is none."""
    joined = [
        torch.cat([torch.arange(lengths[chunk]) + chunk * longest for chunk in row]) for row in rows
    ]
    return pad_sequence(joined, batch_first=True, padding_value=-1)


def _require_columns(columns: dict[str, Any]) -> torch.Tensor:
    """Return the mask of the padding, `[rows, T]`, if all columns are of its rows."""
    mask = columns.get(Columns.LOSS_MASK)
    if not isinstance(mask, torch.Tensor) or mask.dim() != 2:
        raise ValueError(
            f"batch[{Columns.LOSS_MASK!r}]: expected the mask of padded rows [rows, T], got "
            f"{None if mask is None else list(mask.shape)}. Keep RLlib's default connectors."
        )
    for name, column in columns.items():
        for part in [column] if isinstance(column, list) else tree.flatten(column):
            rank = 1 if name in BY_ROW else 2
            shape = list(getattr(part, "shape", ()))
            if shape[:rank] != list(mask.shape[:rank]):
                raise ValueError(
                    f"batch[{name!r}]: expected tensors {list(mask.shape[:rank])} as the mask has "
                    f"them, got {shape or type(part).__name__}. JoinChunks cannot join it in Ray "
                    f"{ray.__version__}."
                )
    return mask


def _require_connectors(config: Any) -> None:
    if not config.add_default_connectors_to_learner_pipeline:
        raise ValueError(
            "add_default_connectors_to_learner_pipeline: expected True, since RLlib's connectors "
            f"add the mask of the padding, got False (Ray {ray.__version__})."
        )


def _require_whole_rows(name: str, module: Any, minibatch_size: int | None) -> None:
    """Raise if a minibatch has no room for a row: RLlib would never finish its epoch."""
    if not isinstance(module, LSTMPolicyModule) or minibatch_size is None:
        return
    longest = module.model_config[MAX_SEQ_LEN]
    if minibatch_size < longest:
        raise ValueError(
            f"minibatch_size: expected at least {MAX_SEQ_LEN}={longest} of {name}, got "
            f"{minibatch_size} (Ray {ray.__version__})."
        )
