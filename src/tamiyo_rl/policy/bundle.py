"""`LSTMPolicyBundle`: a recurrent actor-critic policy, and the contract around it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, Self

import torch
from torch import nn

from tamiyo_rl.checks import require_bool, require_positive
from tamiyo_rl.contract.guard import (
    MissingHiddenWarning,
    guard_training_inputs,
    require_graph,
)
from tamiyo_rl.contract.ordinary import forwards_to
from tamiyo_rl.contract.origin import mark_origin, mark_tensors
from tamiyo_rl.policy.action_dims import ActionDims, Gaussian
from tamiyo_rl.policy.heads import ActionHeads
from tamiyo_rl.policy.inputs import (
    InputChecks,
    is_usual_step,
    require_cell,
    require_critic,
    require_head_dims,
    require_steps,
)
from tamiyo_rl.policy.network import (
    Critic,
    FactoredRecurrentActorCritic,
    require_one_place,
    require_same_sizes,
    unwrap,
)
from tamiyo_rl.policy.protocol import HeadTensors
from tamiyo_rl.policy.results import ActionResult, EvalResult, ForwardResult
from tamiyo_rl.policy.rollout_side import rollout_side
from tamiyo_rl.recurrent.episode_plan import Cell, EpisodePlan
from tamiyo_rl.recurrent.hidden_state import HiddenState

if TYPE_CHECKING:
    import gymnasium

GET_ACTION = "LSTMPolicyBundle.get_action"


class LSTMPolicyBundle:
    """A recurrent actor-critic policy for PPO, with discrete, maskable and continuous actions.

    The *rollout side* collects experience under inference mode: `initial_hidden`, `get_action`,
    `get_value`. The *training side* is differentiated: `evaluate_actions`, `forward`. The
    contract says what may cross from one to the other:

    - **C1** `initial_hidden` returns inference tensors, `[layers, batch, hidden]`.
    - **C2** `get_action` and `get_value` run under inference mode; what they return has no graph.
    - **C3** `evaluate_actions` with `hidden=None` starts every row from the differentiable
      initial state, and every trainable parameter gets a gradient.
    - **C4** An inference tensor in any argument of `evaluate_actions` or `forward` warns once,
      and training goes on with a copy. An ordinary tensor never warns.
    - **C5** Where `episode_starts` is true, the state before the step is the initial state,
      whatever `hidden` holds; other rows continue from `hidden`.
    - **C6** `RolloutBuffer` yields ordinary tensors that share no memory with what went in.
    - **C7** With unchanged parameters, `evaluate_actions` gives the log-probabilities and values
      that `get_action` gave.
    - **C8** With grad enabled, every output that depends on a trainable parameter requires grad;
      otherwise `evaluate_actions` raises.
    - **C9** A masked action is never chosen and has probability 0, with finite gradients.
    - **C10** Bad input raises before anything runs, and names the argument.
    - **C11** `state_dict` round-trips bit for bit and loads with `weights_only=True`.
    - **C12** Same seed, device and inputs: same outputs.
    - **C13** The contract holds under `torch.compile`, autocast, `float64` and `bfloat16`, and
      `DistributedDataParallel`.

    Shapes: `B` batch, `T` time, `F` features, `N` actions of a head. Rollout calls take `[B, F]`,
    training calls `[B, T, F]`. The bundle is not an `nn.Module`: it holds one, `network`, which
    is unguarded.

    Args:
        feature_dim: Features of one step, F.
        action_dims: Number of actions by head, or a `Gaussian` for a continuous head; what is no
            mapping is one head named `"action"`.
        hidden_dim: Width of the LSTM.
        num_lstm_layers: Stacked layers of the LSTM.
        cell: `"lstm"`; or `"gru"` for an `EpisodicGRU` in the place of each LSTM, whose states are
            `HiddenState(h, c=None)`.
        learn_initial_hidden: Whether the initial state is learned; else it is zeros.
        critic: `"shared"` for a value that reads the policy's LSTM, `"separate"` for an LSTM of its
            own, whose layers follow those of the policy in every state.
        head_dims: Widths of the ReLU layers between an LSTM and each output; none by default.
        encoder: Maps `[N, F]` to `[N, E]`, before the LSTM; None passes the features on.
        validate: Whether to read values (range, NaN, masks, what the encoder returns). Shapes,
            dtypes and devices are always checked. On CUDA, reading values waits for the device.

    Raises:
        TypeError: If a flag is not a bool, or a head is not named by a string.
        ValueError: If a size is below 1, there is no head, `critic` is another name, or the encoder
            does not fit.

    Examples:
        Collect with the rollout side, train with the training side:

        ```pycon
        >>> import torch
        >>> from tamiyo_rl import LSTMPolicyBundle
        >>> bundle = LSTMPolicyBundle(feature_dim=4, action_dims=2)
        >>> hidden = bundle.initial_hidden(batch_size=8)
        >>> steps, actions = [torch.randn(8, 4) for _ in range(5)], []
        >>> for features in steps:
        ...     result = bundle.get_action(features, hidden=hidden)
        ...     hidden = result.hidden
        ...     actions.append(result.action["action"].clone())
        >>> evaluation = bundle.evaluate_actions(
        ...     torch.stack(steps, dim=1), {"action": torch.stack(actions, dim=1)}
        ... )
        >>> (-evaluation.joint_log_prob.mean() + evaluation.value.square().mean()).backward()
        >>> all(p.grad is not None for p in bundle.parameters())
        True

        ```

        State from `initial_hidden()` contributes no gradient, and the bundle says so:

        ```pycon
        >>> import warnings
        >>> import torch
        >>> from tamiyo_rl import LSTMPolicyBundle
        >>> bundle = LSTMPolicyBundle(feature_dim=4, action_dims=2)
        >>> actions = {"action": torch.zeros(8, 5, dtype=torch.long)}
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     result = bundle.evaluate_actions(
        ...         torch.zeros(8, 5, 4), actions, hidden=bundle.initial_hidden(8)
        ...     )
        >>> [str(warning.message).splitlines()[1].strip() for warning in caught]
        ['hidden.h, hidden.c from LSTMPolicyBundle.initial_hidden']

        ```
    """

    def __init__(
        self,
        feature_dim: int,
        action_dims: int | Gaussian | ActionDims,
        *,
        hidden_dim: int = 128,
        num_lstm_layers: int = 1,
        cell: Cell = "lstm",
        learn_initial_hidden: bool = False,
        critic: Critic = "shared",
        head_dims: Sequence[int] = (),
        encoder: nn.Module | None = None,
        validate: bool = True,
    ) -> None:
        require_positive(
            feature_dim=feature_dim, hidden_dim=hidden_dim, num_lstm_layers=num_lstm_layers
        )
        require_bool(learn_initial_hidden=learn_initial_hidden, validate=validate)
        self.feature_dim = int(feature_dim)
        self.hidden_dim = int(hidden_dim)
        self.num_lstm_layers = int(num_lstm_layers)
        self.cell = require_cell(cell)
        self.learn_initial_hidden = learn_initial_hidden
        self.critic = require_critic(critic)
        self.head_dims = require_head_dims(head_dims)
        self.heads = ActionHeads(action_dims)
        self.validate = validate
        self.network = FactoredRecurrentActorCritic(
            self.feature_dim,
            self.heads.num_logits,
            self.heads.num_means,
            hidden_dim=self.hidden_dim,
            num_lstm_layers=self.num_lstm_layers,
            cell=self.cell,
            learn_initial_hidden=learn_initial_hidden,
            critic=self.critic,
            head_dims=self.head_dims,
            encoder=encoder,
        )

    @classmethod
    def from_spaces(
        cls,
        observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any],
        *,
        encoder: nn.Module | Literal["cnn"] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Build a bundle for Gymnasium spaces; `SpaceAdapter` converts what passes between.

        Args:
            observation_space: Box, Discrete, MultiBinary, MultiDiscrete, or Dict and Tuple of them.
            action_space: Box, Discrete, MultiDiscrete, or Dict and Tuple of them. A Box becomes a
                `Gaussian` head, whose actions `SpaceAdapter` clips to the bounds.
            encoder: A module as for the constructor, or `"cnn"` for an `ImageEncoder`.
            **kwargs: The other keyword arguments of the constructor.

        Raises:
            ValueError: If a space is of another kind; a Box of whole numbers as actions among them;
                or `"cnn"` is for observations that are no images.

        Examples:
            ```python
            import gymnasium
            from tamiyo_rl import LSTMPolicyBundle

            env = gymnasium.make("CartPole-v1")
            bundle = LSTMPolicyBundle.from_spaces(env.observation_space, env.action_space)
            print(bundle.feature_dim, bundle.action_dims)
            ```

            ```text
            4 {'action': 2}
            ```
        """
        from tamiyo_rl.policy.spaces import (  # noqa: PLC0415 - needs the extra `train`
            SpaceAdapter,
            make_image_encoder,
        )

        adapter = SpaceAdapter(observation_space, action_space)
        module = make_image_encoder(observation_space) if encoder == "cnn" else encoder
        return cls(adapter.feature_dim, adapter.action_dims, encoder=module, **kwargs)

    # enforces C1
    def initial_hidden(self, batch_size: int = 1) -> HiddenState:
        """Return the state at the first step of an episode, for the rollout (C1).

        Args:
            batch_size: Rows of the state, B.

        Returns:
            Inference tensors `[layers, B, hidden]` on the bundle's device and in its dtype. For
            training pass `hidden=None` or `episode_starts` instead: these carry no gradient.

        Raises:
            ValueError: If `batch_size` is below 1.
        """
        require_positive(batch_size=batch_size)
        with torch.inference_mode():
            state = self._module.initial_state(batch_size)
        return mark_origin(state, "LSTMPolicyBundle.initial_hidden")

    # enforces C2
    @rollout_side
    def get_action(
        self,
        features: torch.Tensor,
        masks: HeadTensors | None = None,
        hidden: HiddenState | None = None,
        *,
        episode_starts: torch.Tensor | None = None,
        deterministic: bool = False,
    ) -> ActionResult:
        """Choose actions for one step of the rollout (C2, C9).

        Args:
            features: `[B, F]`.
            masks: By categorical head, `[B, N]` bool, true where the action is valid; None for no
                mask.
            hidden: State before the step; None for the initial state.
            episode_starts: `[B]` bool, true where the step is the first of its episode.
            deterministic: Whether to take the most probable action, the mean of a continuous one,
                instead of a sample.

        Returns:
            Inference tensors: they cannot be differentiated. To train on the same actions pass
            them to `evaluate_actions`.

        Raises:
            TypeError: If an argument has the wrong type or dtype.
            ValueError: If an argument has the wrong shape, device or values.
        """
        require_bool(deterministic=deterministic)
        outputs, value, state, masks = self._step(features, masks, hidden, episode_starts)
        actions, log_prob = self.heads.choose(outputs, masks, deterministic=deterministic)
        mark_tensors(GET_ACTION, *actions.values(), *log_prob.values(), value, *state.parts)
        return ActionResult(actions, log_prob, value, state)

    # enforces C2
    @rollout_side
    def get_value(
        self,
        features: torch.Tensor,
        hidden: HiddenState | None = None,
        *,
        episode_starts: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Estimate the return at one step of the rollout, `[B]` (C2).

        Args:
            features: `[B, F]`.
            hidden: State before the step; None for the initial state.
            episode_starts: `[B]` bool, true where the step is the first of its episode.

        Returns:
            An inference tensor: a value loss built from it trains nothing. Use the value of
            `evaluate_actions` there.

        Raises:
            TypeError: If an argument has the wrong type or dtype.
            ValueError: If an argument has the wrong shape, device or values.
        """
        _, value, _, _ = self._step(features, None, hidden, episode_starts)
        return mark_origin(value, "LSTMPolicyBundle.get_value")

    @guard_training_inputs
    def forward(
        self,
        features: torch.Tensor,
        masks: HeadTensors | None = None,
        hidden: HiddenState | None = None,
        *,
        episode_starts: torch.Tensor | EpisodePlan | None = None,
    ) -> ForwardResult:
        """Return logits, value and state on sequences, differentiably (C3, C4, C5, C8).

        Args:
            features: `[B, T, F]`.
            masks: By categorical head, `[B, T, N]` bool, true where the action is valid; None for
                no mask.
            hidden: State before step 0; None for the initial state.
            episode_starts: `[B, T]` bool, true where a step is the first of its episode, or the
                `EpisodePlan` of it; None for no start.

        Returns:
            Masked logits by head, or means and logarithms of the standard deviations, value and
            last state.

        Raises:
            ContractError: If the parameters behind an output cannot get a gradient.
            TypeError: If an argument has the wrong type or dtype.
            ValueError: If an argument has the wrong shape, device or values, or a learned initial
                state comes with `hidden` and no `episode_starts`.
        """
        checks = self._checks(features, "batch", "time")
        masks = checks.masks(masks)
        outputs, value, state = self._sequences(checks, features, hidden, episode_starts)
        return ForwardResult(self.heads.split(outputs, masks), value, state)

    @guard_training_inputs
    def evaluate_actions(
        self,
        features: torch.Tensor,
        actions: HeadTensors,
        masks: HeadTensors | None = None,
        hidden: HiddenState | None = None,
        *,
        episode_starts: torch.Tensor | EpisodePlan | None = None,
    ) -> EvalResult:
        """Evaluate stored actions on sequences, differentiably (C3, C4, C5, C7, C8).

        Args:
            features: `[B, T, F]`.
            actions: By head, `[B, T]` integers, or `[B, T, D]` floating point.
            masks: By categorical head, `[B, T, N]` bool, true where the action is valid; None for
                no mask.
            hidden: State before step 0; None for the initial state.
            episode_starts: `[B, T]` bool, true where a step is the first of its episode, or the
                `EpisodePlan` of it; None for no start.

        Returns:
            Log-probability and entropy by head, value and last state.

        Raises:
            ContractError: If the parameters behind an output cannot get a gradient.
            TypeError: If an argument has the wrong type or dtype.
            ValueError: If an argument has the wrong shape, device or values, or a learned initial
                state comes with `hidden` and no `episode_starts`.
        """
        checks = self._checks(features, "batch", "time")
        masks = checks.masks(masks)
        chosen = checks.actions(actions, masks)
        outputs, value, state = self._sequences(checks, features, hidden, episode_starts)
        log_prob, entropy = self.heads.evaluate(outputs, chosen, masks)
        return EvalResult(log_prob, entropy, value, state)

    @property
    def network(self) -> nn.Module:
        """The unguarded module: a `FactoredRecurrentActorCritic`, perhaps inside a wrapper.

        Settable, as in `bundle.network = DistributedDataParallel(bundle.network)`.
        """
        return self._network

    @network.setter
    def network(self, network: nn.Module) -> None:
        module = unwrap(network)
        if not isinstance(module, FactoredRecurrentActorCritic):
            raise TypeError(
                "network: expected a FactoredRecurrentActorCritic or a wrapper that holds one as "
                f".module, got {type(network).__name__}. To compile it call bundle.compile()."
            )
        sizes = self.settings() | {
            "number of actions": self.heads.num_logits,
            "number of continuous actions": self.heads.num_means,
        }
        del sizes["action_dims"]
        require_same_sizes(module, sizes)
        self._network = network
        self._module = module

    @property
    def action_dims(self) -> dict[str, int | Gaussian]:
        """Number of actions by head, or a `Gaussian`."""
        return self.heads.action_dims

    @property
    def encoder(self) -> nn.Module | None:
        """What maps `[N, F]` to `[N, E]`, before the LSTM; None without one."""
        encoder = self._module.encoder
        return None if isinstance(encoder, nn.Identity) else encoder

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self._module.core.weight_hh_l0.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating point type of the parameters."""
        return self._module.core.weight_hh_l0.dtype

    @property
    def is_compiled(self) -> bool:
        """Whether the present network is compiled."""
        return getattr(self._network, "_compiled_call_impl", None) is not None

    def settings(self) -> dict[str, Any]:
        """Return the arguments that build a bundle of the same sizes, without the encoder."""
        return {
            "feature_dim": self.feature_dim,
            "action_dims": dict(self.action_dims),
            "hidden_dim": self.hidden_dim,
            "num_lstm_layers": self.num_lstm_layers,
            "cell": self.cell,
            "learn_initial_hidden": self.learn_initial_hidden,
            "critic": self.critic,
            "head_dims": self.head_dims,
        }

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters, for an optimizer."""
        return self._module.parameters()

    @forwards_to("_module")
    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the parameters with their names, the same whether the network is wrapped or not."""
        return self._module.named_parameters()

    @property
    def training(self) -> bool:
        """Whether the network is in training mode (dropout on)."""
        return self.network.training

    def train(self, mode: bool = True) -> Self:
        """Set training mode (dropout on), or evaluation mode, and return the bundle.

        Args:
            mode: Whether to train.

        Raises:
            TypeError: If `mode` is not a bool.
        """
        require_bool(mode=mode)
        self.network.train(mode)
        return self

    def eval(self) -> Self:
        """Set evaluation mode (dropout off), and return the bundle."""
        return self.train(mode=False)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move or cast the network as `nn.Module.to` does, and return the bundle."""
        self.network.to(*args, **kwargs)
        return self

    def compile(self, **kwargs: Any) -> None:
        """Compile the network in place; the guard and the checks stay outside what is compiled.

        Args:
            **kwargs: The keyword arguments of `torch.compile`.
        """
        self.network.compile(**kwargs)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the network's parameters and buffers, without the names of wrappers (C11)."""
        return self._module.state_dict()

    # enforces C11
    def load_state_dict(self, state_dict: Mapping[str, torch.Tensor]) -> None:
        """Load what `state_dict` returned; nothing changes where it does not fit (C11).

        Args:
            state_dict: Tensors by name.

        Raises:
            ValueError: If it is not the state of a network of the same sizes, saying why.
        """
        before = copy.deepcopy(self.state_dict())
        try:
            self._module.load_state_dict(state_dict)
        except Exception as error:
            self._module.load_state_dict(before)
            raise ValueError(
                "state_dict: expected what state_dict() of a bundle with the same settings "
                f"returned, got something else: {error}"
            ) from error

    @property
    def _state_layers(self) -> int:
        return self.num_lstm_layers * (2 if self.critic == "separate" else 1)

    def _checks(self, features: object, *dims: str) -> InputChecks:
        """Return the checks of a call with these features, whose leading dimensions are `dims`."""
        weight = self._module.core.weight_hh_l0
        return InputChecks(
            feature_dim=self.feature_dim,
            action_dims=self.heads.action_dims,
            num_layers=self._state_layers,
            hidden_dim=self.hidden_dim,
            cell=self.cell,
            device=weight.device,
            dtype=weight.dtype,
            read_values=self.validate,
            steps=require_steps(features, dims, self.feature_dim),
        )

    def _step(
        self,
        features: torch.Tensor,
        masks: HeadTensors | None,
        hidden: HiddenState | None,
        starts: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor, HiddenState, HeadTensors | None]:
        """Run one checked step of the rollout: outputs `[B, n]`, value `[B]`, state, masks."""
        sizes = (self.feature_dim, self._state_layers, self.hidden_dim)
        weight = self._module.core.weight_hh_l0
        if masks is not None or not is_usual_step(
            features,
            hidden,
            starts,
            sizes=sizes,
            cell=self.cell,
            like=weight,
            read_values=self.validate,
        ):
            checks = self._checks(features, "batch")
            masks = checks.masks(masks)
            features = checks.features(features)
            hidden = checks.hidden(hidden)
            starts = None if starts is None else checks.episode_starts(starts)
        outputs, value, state = self._run(features, hidden, starts)
        return outputs, value, state, masks

    def _sequences(
        self,
        checks: InputChecks,
        features: torch.Tensor,
        hidden: HiddenState | None,
        starts: torch.Tensor | EpisodePlan | None,
    ) -> tuple[torch.Tensor, torch.Tensor, HiddenState]:
        """Run checked sequences: outputs `[B, T, n]`, value `[B, T]`, last state."""
        features = checks.features(features)
        hidden = checks.hidden(hidden)
        plan = checks.plan(starts)
        self._require_known_state(hidden, plan)
        outputs, value, state = self._run(features, hidden, plan)
        if torch.is_grad_enabled():
            self._require_graphs(outputs, value)
        return outputs, value, state

    # enforces C13
    def _run(
        self,
        features: torch.Tensor,
        hidden: HiddenState | None,
        starts: torch.Tensor | EpisodePlan | None,
    ) -> tuple[torch.Tensor, torch.Tensor, HiddenState]:
        module = self._module
        if module.validate != self.validate:
            module.validate = self.validate
        if self.validate and self.heads.gaussian is not None and module.log_std is not None:
            self.heads.gaussian.require_deviations(module.log_std)
        try:
            outputs, value, state = self._network(features, hidden, starts)
        except RuntimeError:  # only after a failure: a rollout calls this at every step
            require_one_place(module)
            raise
        # Autocast leaves them in half precision: too coarse for states to store and for ratios.
        if value.dtype != features.dtype:
            outputs, value = outputs.to(features.dtype), value.to(features.dtype)
            state = state.map(lambda part: part.to(features.dtype))
        return outputs, value, state

    # enforces C5
    def _require_known_state(self, hidden: HiddenState | None, plan: EpisodePlan | None) -> None:
        """Refuse or report a training call whose first states are not the rollout's (C5)."""
        if self.learn_initial_hidden and hidden is not None and plan is None and self._trains():
            raise ValueError(
                "episode_starts: expected a tensor with hidden, since the initial state is "
                "learned, got None. A copy of initial_hidden() would cut its gradient: say where "
                "episodes begin, or pass hidden=None."
            )
        if hidden is None and plan is not None and plan.continued_rows and self._trains():
            warnings.warn(
                f"hidden is None, but rows {plan.continued_rows} do not start an episode at step 0"
                "\n  lost: the state that the rollout had there; they begin from the initial state"
                "\n  do: pass the hidden state before these steps, as RolloutBuffer does",
                MissingHiddenWarning,
                stacklevel=5,
            )

    def _trains(self) -> bool:
        trains = torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters())
        return trains and self.device.type != "meta"

    def _require_graphs(self, outputs: torch.Tensor, value: torch.Tensor) -> None:
        """Raise where an output has no graph although parameters behind it train (C8)."""
        module = self._module
        for which, output, core, head in (
            ("the logits do not require", outputs, module.cores[0], module.policy_head),
            ("the value does not require", value, module.cores[-1], module.value_head),
        ):
            if not output.requires_grad and self._trains_behind(core, head):
                require_graph("LSTMPolicyBundle.network", which, output)

    def _trains_behind(self, core: nn.RNNBase, head: nn.Module) -> bool:
        weights = chain.from_iterable(core.all_weights)
        behind = chain(self._module.encoder.parameters(), weights, head.parameters())
        return any(parameter.requires_grad for parameter in behind)
