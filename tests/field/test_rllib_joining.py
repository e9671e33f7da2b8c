"""Joined chunks: the same steps, log-probabilities, values and gradients, with less padding."""

from typing import Any

import pytest
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule

from tamiyo_rl.integrations.rllib import LSTMPolicyModule, PPOTorchLearner
from tamiyo_rl.integrations.rllib.joining import join_chunks, pack
from tests.field.rllib_training import make_config, one_machine, running

pytestmark = [pytest.mark.field, pytest.mark.filterwarnings("ignore:::ray")]

LENGTH = 8


def make_module(cell: str) -> LSTMPolicyModule:
    torch.manual_seed(0)
    module = LSTMPolicyModule(
        observation_space=spaces.Dict(level=spaces.Discrete(3), place=spaces.Box(-1, 1, (2,))),
        action_space=spaces.Discrete(3),
        model_config={"hidden_dim": 8, "max_seq_len": LENGTH, "cell": cell},
    )
    return module.double()


def make_columns(module: LSTMPolicyModule) -> dict[str, Any]:
    """Make chunks as RLlib does: padded, some continue an episode, one holds no step to train."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([3, 8, 1, 2, 7, 4, 0, 3, 2])
    begins = torch.tensor([True, True, False, True, False, True, False, True, True])
    shape = (len(lengths), LENGTH)
    mask = torch.arange(LENGTH) < lengths[:, None]
    state = torch.randn(2, len(lengths), 1, 8, generator=generator, dtype=torch.float64).tanh()
    h, c = state * ~begins[:, None, None]
    return {
        Columns.OBS: {
            "level": torch.randint(3, shape, generator=generator) * mask,
            "place": torch.randn(*shape, 2, generator=generator) * mask[..., None],
        },
        Columns.ACTIONS: torch.randint(3, shape, generator=generator) * mask,
        Columns.LOSS_MASK: mask,
        Columns.SEQ_LENS: lengths + 1,
        Columns.STATE_IN: {part: {"h": h, "c": c}[part] for part in module.get_initial_state()},
        "step": torch.arange(mask.numel()).view(shape),
    }


def evaluate(module: LSTMPolicyModule, columns: dict[str, Any]) -> tuple[Any, ...]:
    """Return log-probabilities and values by the number of their step, and gradients."""
    module.zero_grad()
    outputs = module.forward_train(columns)
    kind = module.get_train_action_dist_cls()
    log_prob = kind.from_logits(outputs["action_dist_inputs"]).logp(columns[Columns.ACTIONS])
    mask = columns[Columns.LOSS_MASK]
    order = columns["step"][mask].argsort()
    by_step = [part[mask][order] for part in (log_prob, outputs[Columns.EMBEDDINGS])]
    (by_step[0].sum() + by_step[1].square().sum()).backward()
    return columns["step"][mask][order], *by_step, [p.grad.clone() for p in module.parameters()]


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_joined_rows_give_what_padded_rows_give(cell: str) -> None:
    module = make_module(cell)
    padded = make_columns(module)
    joined = join_chunks(padded)
    assert joined[Columns.LOSS_MASK].shape == (4, LENGTH)
    assert joined[Columns.SEQ_LENS].sum() == padded[Columns.LOSS_MASK].sum()
    steps, *expected, gradients = evaluate(module, padded)
    joined_steps, *got, joined_gradients = evaluate(module, joined)
    assert joined_steps.equal(steps)
    torch.testing.assert_close(got, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(joined_gradients, gradients, atol=1e-10, rtol=0)
    assert not padded.keys() & {"episode_starts"}


def test_a_chunk_that_continues_an_episode_stands_first_in_its_row() -> None:
    rows = pack([3, 5, 4, 0, 2, 1], [True, False, False, True, True, True], 8)
    assert rows == [[1, 0], [2, 4, 5]]
    assert pack([8, 8, 3], [True, True, True], 8) == [[0], [1], [2]]


def test_a_column_that_cannot_be_joined_is_named() -> None:
    columns = make_columns(make_module("lstm"))
    without = {key: value for key, value in columns.items() if key != Columns.LOSS_MASK}
    with pytest.raises(ValueError, match=r"batch\['loss_mask'\]: expected the mask .*, got None"):
        join_chunks(without)
    with pytest.raises(ValueError, match=r"batch\['infos'\]: expected tensors \[9, 8\].*Ray 2.60"):
        join_chunks(columns | {Columns.INFOS: [{}] * 72})


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"minibatch_size": 8}, "minibatch_size: expected at least max_seq_len=16 of default"),
        ({"add_default_connectors_to_learner_pipeline": False}, "connectors.*expected True"),
    ],
)
def test_what_the_learner_cannot_join_is_named_before_training(settings: Any, named: str) -> None:
    config = make_config()
    config.update_from_dict(settings)
    with one_machine(num_cpus=1), pytest.raises(ValueError, match=named), running(config):
        pass


def test_a_batch_of_rllib_loses_its_padding(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[dict[str, Any], dict[str, Any]]] = []

    class Kept(PPOTorchLearner):
        def build(self) -> None:
            super().build()
            join = self._learner_connector.connectors[-1]

            def keep(*, rl_module: MultiRLModule, batch: dict[str, Any], **rest: Any) -> Any:
                joined = join(rl_module=rl_module, batch=batch, **rest)
                seen.append((batch["default_policy"], joined["default_policy"]))
                return joined

            self._learner_connector.connectors[-1] = keep

    model = {"max_seq_len": 64}
    with (
        one_machine(num_cpus=1),
        running(make_config(learner_class=Kept, model=model)) as algorithm,
    ):
        algorithm.train()
    ((padded, joined),) = seen
    share = [1 - float(b[Columns.LOSS_MASK].float().mean()) for b in (padded, joined)]
    shapes = [list(b[Columns.LOSS_MASK].shape) for b in (padded, joined)]
    said = f"padding: {share[0]:.0%} of {shapes[0]}, joined {share[1]:.0%} of {shapes[1]}"
    with capsys.disabled():
        print(f"\n{said}")  # noqa: T201 - what the connector saves
    assert padded[Columns.LOSS_MASK].sum() == joined[Columns.LOSS_MASK].sum()
    assert share[1] < share[0] / 2
