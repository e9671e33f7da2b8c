"""The network behind the bundle: tensors in, tensors out, no checks."""

from __future__ import annotations

import math

import torch
from torch import nn

from tamiyo_rl.recurrent.episode_plan import EpisodePlan
from tamiyo_rl.recurrent.episodic_lstm import EpisodicLSTM, uncompiled
from tamiyo_rl.recurrent.hidden_state import HiddenState


class FactoredRecurrentActorCritic(nn.Module):
    """Encoder, LSTM, and linear heads for the policy and the value.

    It is unguarded: what it is given goes straight to PyTorch. `LSTMPolicyBundle` is the checked
    way to it, and sets `validate` to have NaN and infinity from the encoder refused. `forward` is
    the only way that training takes to the parameters, so that wrappers such as
    `DistributedDataParallel` see every call.

    Args:
        feature_dim: Features of one step, F.
        num_actions: Logits of all heads together.
        hidden_dim: Width of the LSTM.
        num_lstm_layers: Stacked layers of the LSTM.
        learn_initial_hidden: Whether the LSTM learns its initial state.
        encoder: Maps `[N, F]` to `[N, E]`, before the LSTM; None passes the features on.

    Examples:
        ```python
        import torch
        from tamiyo_rl.policy import FactoredRecurrentActorCritic

        network = FactoredRecurrentActorCritic(feature_dim=4, num_actions=5, hidden_dim=8)
        logits, value, hidden = network(torch.zeros(2, 7, 4))
        print(list(logits.shape), list(value.shape), list(hidden.h.shape))
        ```

        ```text
        [2, 7, 5] [2, 7] [1, 2, 8]
        ```
    """

    validate = False

    def __init__(
        self,
        feature_dim: int,
        num_actions: int,
        *,
        hidden_dim: int = 128,
        num_lstm_layers: int = 1,
        learn_initial_hidden: bool = False,
        encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.encoder = nn.Identity() if encoder is None else encoder
        self.core = EpisodicLSTM(
            encoded_dim(self.encoder, feature_dim),
            hidden_dim,
            num_lstm_layers,
            batch_first=True,
            learn_initial_state=learn_initial_hidden,
        )
        self.policy_head = nn.Linear(hidden_dim, num_actions)
        self.value_head = nn.Linear(hidden_dim, 1)
        self._initialise()

    def forward(
        self,
        features: torch.Tensor,
        hidden: HiddenState | None = None,
        episode_starts: torch.Tensor | EpisodePlan | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, HiddenState]:
        """Return the logits `[B, T, actions]`, the value `[B, T]` and the last hidden state.

        Args:
            features: `[B, T, F]`.
            hidden: State before step 0; None for the initial state.
            episode_starts: `[B, T]` bool or an `EpisodePlan`; None for no start.
        """
        batch, time = features.shape[:2]
        encoded = self.encoder(features.flatten(0, 1)).view(batch, time, -1)
        result: tuple[torch.Tensor, torch.Tensor, HiddenState] = self._recur(
            encoded, hidden, episode_starts
        )
        return result

    # The encoder is what compiling pays for; the places of the lanes differ from call to call.
    @uncompiled
    def _recur(
        self,
        encoded: torch.Tensor,
        hidden: HiddenState | None,
        episode_starts: torch.Tensor | EpisodePlan | None,
    ) -> tuple[torch.Tensor, torch.Tensor, HiddenState]:
        # NaN would spread to the rows behind it in the same lane; features were looked at already.
        if self.validate and not isinstance(self.encoder, nn.Identity):
            require_finite_encoding(encoded)
        outputs, to_batch, state = self.core.forward_in_lanes(encoded, hidden, episode_starts)
        # Two products: in one, a loss on the value alone would seem to reach the policy's head.
        logits, value = (to_batch(head(outputs)) for head in (self.policy_head, self.value_head))
        return logits, value.squeeze(-1), state

    def _initialise(self) -> None:
        """Start from an almost uniform policy, as PPO implementations do."""
        with torch.no_grad():
            self.policy_head.weight.mul_(0.01)
        nn.init.zeros_(self.policy_head.bias)
        nn.init.zeros_(self.value_head.bias)


def require_finite_encoding(encoded: torch.Tensor) -> None:
    """Raise where the encoder returned NaN or infinity, naming the row and the step.

    Args:
        encoded: `[B, T, E]`.
    """
    if encoded.is_meta or math.isfinite(encoded.detach().sum().item()):
        return
    wrong = (~encoded.isfinite()).nonzero().tolist()
    if wrong:  # else the sum overflowed
        row, step, column = wrong[0]
        raise ValueError(
            f"encoder: expected to return finite numbers, got {encoded[row, step, column].item()} "
            f"for row {row} at step {step}. Look for a logarithm, a root or a division of its "
            "features."
        )


def encoded_dim(encoder: nn.Module, feature_dim: int) -> int:
    """Measure the width that `encoder` gives, without changing its training state or statistics.

    Raises:
        ValueError: If the encoder does not map `[N, feature_dim]` to `[N, E]`.
    """
    if isinstance(encoder, nn.Identity):
        return feature_dim
    try:
        encoded: object = _probe(encoder, feature_dim)
    except Exception as error:
        raise _misfit(feature_dim, f"{type(error).__name__}: {error}") from error
    if not isinstance(encoded, torch.Tensor):
        raise _misfit(feature_dim, type(encoded).__name__)
    if encoded.dim() != 2 or encoded.shape[0] != 2 or not encoded.shape[1]:
        raise _misfit(feature_dim, str(list(encoded.shape)))
    if not encoded.is_floating_point():
        raise _misfit(feature_dim, str(encoded.dtype))
    return int(encoded.shape[1])


def _probe(encoder: nn.Module, feature_dim: int) -> torch.Tensor:
    """Encode two rows of zeros in evaluation mode, and restore the modes."""
    modes = [(module, module.training) for module in encoder.modules()]
    parameter = next(encoder.parameters(), torch.empty(0))
    probe = torch.zeros(2, feature_dim, dtype=parameter.dtype, device=parameter.device)
    try:
        with torch.no_grad():
            return encoder.eval()(probe)  # type: ignore[no-any-return]  # what comes is looked at by the caller
    finally:
        for module, training in modes:
            module.training = training


def _misfit(feature_dim: int, got: str) -> ValueError:
    return ValueError(
        f"encoder: expected a module that maps [N, {feature_dim}] to [N, E], got {got} for "
        f"[2, {feature_dim}]."
    )


def unwrap(network: nn.Module) -> nn.Module:
    """Return the module inside wrappers that hold it as `.module`."""
    while not isinstance(network, FactoredRecurrentActorCritic):  # looked at first: it is fast
        inner = getattr(network, "module", None)
        if not isinstance(inner, nn.Module):
            break
        network = inner
    return network
