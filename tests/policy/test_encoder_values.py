"""The values of an encoder are checked: NaN in one row must not reach another row."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from tamiyo_rl import LSTMPolicyBundle

ROWS = 6
STEPS = 12


class Logarithm(nn.Module):
    """Returns NaN for a row whose first feature is negative, and -inf where it is 0."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 5)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        encoded: torch.Tensor = self.linear(features) + features[:, :1].log()
        return encoded


def make_bundle(**settings: Any) -> LSTMPolicyBundle:
    torch.manual_seed(0)
    return LSTMPolicyBundle(3, 2, hidden_dim=4, encoder=Logarithm(), **settings)


def batch(value: float) -> dict[str, Any]:
    features = torch.rand(ROWS, STEPS, 3) + 0.1
    features[2, 5, 0] = value
    return {
        "features": features,
        "actions": {"action": torch.zeros(ROWS, STEPS, dtype=torch.long)},
        "episode_starts": torch.rand(ROWS, STEPS) < 0.2,
        "hidden": tuple(torch.zeros(1, ROWS, 4) for _ in range(2)),
    }


@pytest.mark.clause("C10")
@pytest.mark.parametrize(("value", "got"), [(-1.0, "nan"), (0.0, "-inf")])
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # PyTorch's own warning when it compiles
def test_the_row_and_the_step_are_named(value: float, got: str, compiled: bool) -> None:
    bundle = make_bundle()
    if compiled:
        bundle.compile(backend="eager")
    message = f"^encoder: expected to return finite numbers, got {got} for row 2 at step 5"
    with pytest.raises(ValueError, match=message):
        bundle.evaluate_actions(**batch(value))
    with pytest.raises(ValueError, match=f"^encoder: .*, got {got} for row 2 at step 0"):
        bundle.get_action(batch(value)["features"][:, 5])
    with pytest.raises(ValueError, match=f"^encoder: .*, got {got} for row 2 at step 0"):
        bundle.get_value(batch(value)["features"][:, 5])


def test_no_batch_has_nan_in_rows_that_the_encoder_left_whole() -> None:
    bundle = make_bundle()
    other = [0, 1, 3, 4, 5]
    for seed in range(20):
        torch.manual_seed(seed)
        try:
            result = bundle.evaluate_actions(**batch(-1.0))
        except ValueError:
            continue
        assert result.value[other].isfinite().all()


def test_setting_validate_later_decides_whether_values_are_checked() -> None:
    bundle = make_bundle(validate=False)
    assert bundle.get_value(batch(-1.0)["features"][:, 5]).isnan().tolist() == [
        row == 2 for row in range(ROWS)
    ]
    bundle.validate = True
    with pytest.raises(ValueError, match=r"^encoder: expected to return"):
        bundle.get_value(batch(-1.0)["features"][:, 5])


def test_large_numbers_whose_sum_overflows_pass() -> None:
    class Large(Logarithm):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            encoded: torch.Tensor = self.linear(features) * 0 + 3e38
            return encoded

    bundle = LSTMPolicyBundle(3, 2, hidden_dim=4, encoder=Large())
    assert math.isfinite(bundle.get_value(torch.ones(1, 3)).item())
