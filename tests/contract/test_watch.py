"""`watch_training` finds what nothing trains, accuses no right code, and leaves no trace."""

import copy
import functools
import gc
import itertools
import json
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from tamiyo_rl import ContractError, LSTMPolicyBundle, watch_training
from tamiyo_rl.contract.watch import RULES, Watch


class Model(nn.Module):
    """A core with two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.core = nn.Linear(3, 8)
        self.policy = nn.Linear(8, 2)
        self.value = nn.Linear(8, 1)

    def terms(self) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.core(torch.randn(16, 3)).tanh()
        return self.policy(hidden).square().mean(), (self.value(hidden) - 1).square().mean()


def run(
    model: Model,
    loss: Callable[[Model], torch.Tensor],
    optimizer: torch.optim.Optimizer | None = None,
    steps: int = 4,
) -> Watch:
    """Train under a watch."""
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1)
    with watch_training(model) as watch:
        for _ in range(steps):
            optimizer.zero_grad()
            loss(model).backward()
            optimizer.step()
    return watch


def found(watch: Watch) -> dict[str, tuple[str, ...]]:
    """Return what each rule named."""
    return {finding.rule: finding.where for finding in watch.report.findings}


def both(model: Model) -> torch.Tensor:
    """Add both terms."""
    policy, value = model.terms()
    return policy + 0.5 * value


def test_a_right_training_has_no_findings() -> None:
    watch = run(Model(), both)
    assert watch.report.findings == ()
    assert str(watch.report) == "4 optimizer steps, 4 calls of backward()\nnothing found"
    watch.report.raise_if_broken()


def test_a_detached_term_is_named_with_the_parameters_that_nothing_trains() -> None:
    def loss(model: Model) -> torch.Tensor:
        policy, value = model.terms()
        return policy.detach() + value

    watch = run(Model(), loss)
    names = found(watch)
    assert names["no-gradient"] == ("policy.weight", "policy.bias")
    assert "test_watch.py" in names["constant-term"][0]
    with pytest.raises(ContractError, match="does not train what it should") as caught:
        watch.report.raise_if_broken()
    assert "policy.weight" in str(caught.value)
    written = json.loads(watch.report.to_json())
    assert {finding["rule"] for finding in written["findings"]} == set(names)


@pytest.mark.parametrize(
    "combine",
    [
        lambda one, two: one.detach() - two,
        lambda one, two: two - one.detach(),
        lambda one, two: 0.5 * (two + one.detach()),
        lambda one, two: -(two + one.detach()) / 2,
        lambda one, two: sum([one.detach(), two]),
    ],
)
def test_a_constant_term_is_found_wherever_it_is_added(
    combine: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> None:
    assert "constant-term" in found(run(Model(), lambda model: combine(*model.terms())))


def test_a_constant_that_is_written_to_in_place_is_found() -> None:
    def loss(model: Model) -> torch.Tensor:
        policy, value = model.terms()
        total = policy.detach().clone()
        total += value
        return total

    assert "constant-term" in found(run(Model(), loss))


@pytest.mark.parametrize(
    "combine",
    [
        lambda one, two: torch.zeros(()) + one + two,
        lambda one, two: sum([one, two]),
        lambda one, two: one + two + 0.5,
        lambda one, two: (one - one.detach()) + two,
        lambda one, two: one + two - torch.zeros(1).squeeze(),
    ],
)
def test_right_sums_are_not_accused(
    combine: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> None:
    assert run(Model(), lambda model: combine(*model.terms())).report.findings == ()


def test_a_term_that_stays_one_number_is_to_be_looked_at() -> None:
    watch = run(Model(), lambda model: both(model) + torch.tensor(2.0))
    assert list(found(watch)) == ["fixed-term"]
    assert watch.report.problems == ()


def test_a_gradient_of_zero_in_every_step_is_broken() -> None:
    def loss(model: Model) -> torch.Tensor:
        policy, value = model.terms()
        return 0.0 * policy + value

    assert found(run(Model(), loss)) == {"zero-gradient": ("policy.weight", "policy.bias")}
    assert run(Model(), loss, steps=2).report.findings == ()


def test_a_part_that_is_trained_in_some_steps_is_not_accused() -> None:
    turns = iter([False, False, False, True])

    def loss(model: Model) -> torch.Tensor:
        policy, value = model.terms()
        return policy + value if next(turns) else value

    assert run(Model(), loss).report.findings == ()


def test_frozen_parts_are_not_accused() -> None:
    model = Model()
    model.policy.requires_grad_(requires_grad=False)
    assert run(model, lambda model: model.terms()[1]).report.findings == ()


def test_a_head_that_was_replaced_after_the_optimizer_was_made() -> None:
    model = Model()
    optimizer = torch.optim.Adam(model.parameters())
    model.policy = nn.Linear(8, 2)
    assert found(run(model, both, optimizer)) == {"not-optimized": ("policy.weight", "policy.bias")}


def test_an_optimizer_that_has_not_stepped_yet_holds_its_parameters() -> None:
    model = Model()
    value = torch.optim.Adam([*model.core.parameters(), *model.value.parameters()])
    policy = torch.optim.Adam(model.policy.parameters())  # steps every hundredth time
    assert run(model, both, value).report.findings == ()
    del policy
    gc.collect()
    assert "not-optimized" in found(run(model, both, value))


def test_a_target_network_is_to_be_looked_at_only() -> None:
    model = Model()
    target = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch_training([model, target]) as watch:
        for _ in range(4):
            optimizer.zero_grad()
            both(model).backward()
            optimizer.step()
            with torch.no_grad():
                for own, other in zip(target.parameters(), model.parameters(), strict=True):
                    own.lerp_(other, 0.1)
    assert watch.report.problems == ()
    assert found(watch)["never-optimized"][0] == "[1].core.weight"


def test_steps_without_backward_are_broken() -> None:
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch_training(model) as watch:
        for _ in range(2):
            both(model)
            optimizer.step()
    assert list(found(watch)) == ["no-backward"]


def test_gradients_that_are_computed_without_backward_are_right() -> None:
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch_training(model) as watch:
        for _ in range(4):
            parameters = list(model.parameters())
            for p, grad in zip(
                parameters, torch.autograd.grad(both(model), parameters), strict=True
            ):
                p.grad = grad
            optimizer.step()
    assert watch.report.findings == ()


def test_a_loop_without_a_step_says_so() -> None:
    model = Model()
    with watch_training(model) as watch:
        both(model).backward()
    assert list(found(watch)) == ["no-step"]


def test_gradients_that_are_cleared_and_never_used_are_broken() -> None:
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch_training(model) as watch:
        for _ in range(4):
            optimizer.zero_grad()
            both(model).backward()
    assert found(watch) == {"unused-gradients": ("3 times",)}


def test_updates_by_hand_are_right() -> None:
    model = Model()
    with watch_training(model) as watch:
        for _ in range(4):
            model.zero_grad()
            both(model).backward()
            with torch.no_grad():
                for parameter in model.parameters():
                    assert parameter.grad is not None
                    parameter.sub_(parameter.grad, alpha=0.1)
    assert list(found(watch)) == ["no-step"]


def test_gradients_that_are_never_cleared_are_broken() -> None:
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch_training(model) as watch:
        for _ in range(4):
            both(model).backward()
            optimizer.step()
    assert found(watch) == {"kept-gradients": ("3 steps",)}


def test_gradients_of_two_optimizers_are_cleared_in_turn() -> None:
    generator, critic = nn.Linear(2, 2), nn.Linear(2, 1)
    steps = [(part, torch.optim.SGD(part.parameters(), lr=0.1)) for part in (generator, critic)]
    with watch_training([generator, critic]) as watch:
        for _ in range(4):
            for _, optimizer in steps:
                optimizer.zero_grad()
                critic(generator(torch.randn(4, 2))).square().mean().backward()
                optimizer.step()
    assert watch.report.findings == ()


def test_a_term_that_reaches_only_what_does_not_step_is_broken() -> None:
    generator, critic = nn.Linear(2, 2), nn.Linear(2, 1)
    optimizer = torch.optim.SGD(generator.parameters(), lr=0.1)
    of_critic = torch.optim.SGD(critic.parameters(), lr=0.1)
    with watch_training(generator) as watch:
        for _ in range(4):
            made = generator(torch.randn(4, 2))
            optimizer.zero_grad()
            (made.square().mean() - critic(made.detach()).mean()).backward()
            optimizer.step()
            of_critic.zero_grad()
            critic(made.detach()).square().mean().backward()
            of_critic.step()
    assert list(found(watch)) == ["wasted-term"]
    assert "term 2" in found(watch)["wasted-term"][0]


def test_a_term_of_an_optimizer_that_steps_later_is_right() -> None:
    model, codes = Model(), nn.Parameter(torch.ones(3))
    later = torch.optim.SGD([codes], lr=0.1)  # steps every tenth time
    watch = run(model, lambda model: both(model) + codes.square().mean())
    assert watch.report.findings == ()
    del later
    gc.collect()
    watch = run(model, lambda model: both(model) + codes.square().mean())
    assert list(found(watch)) == ["wasted-term"]


def test_two_steps_on_one_gradient_are_right() -> None:
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch_training(model) as watch:
        for _ in range(2):
            optimizer.zero_grad()
            both(model).backward()
            optimizer.step()
            optimizer.step()
    assert watch.report.findings == ()


def test_sums_for_a_log_are_not_terms() -> None:
    def loss(model: Model) -> torch.Tensor:
        policy, value = model.terms()
        with torch.no_grad():
            (policy + value.detach()).item()
        return policy + value

    assert run(Model(), loss).report.findings == ()


def test_a_registered_module_may_stand_in_a_list_too() -> None:
    model = Model()
    model.heads = [model.policy, model.value]  # type: ignore[assignment]  # as users keep them
    assert run(model, both).report.findings == ()


def test_modules_in_a_plain_list_are_seen() -> None:
    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(3, 3)
            self.others = [nn.Linear(3, 3)]

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            outputs: torch.Tensor = self.others[0](self.first(inputs).tanh())
            return outputs

    model = Stack()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch_training(model) as watch:
        for _ in range(4):
            optimizer.zero_grad()
            model(torch.randn(4, 3)).square().mean().backward()
            optimizer.step()
    assert found(watch) == {"not-optimized": ("others[0].weight", "others[0].bias")}


def test_a_learning_rate_of_zero_moves_nothing() -> None:
    model = Model()
    watch = run(model, both, torch.optim.SGD(model.parameters(), lr=0.0))
    assert list(found(watch)) == ["nothing-moved"]


def test_a_group_that_stays_is_to_be_looked_at() -> None:
    model = Model()
    groups: list[dict[str, Any]] = [
        {"params": [*model.core.parameters(), *model.value.parameters()]},
        {"params": model.policy.parameters(), "lr": 0.0},
    ]
    watch = run(model, both, torch.optim.SGD(groups, lr=0.1))
    assert found(watch) == {"never-moved": ("policy.weight", "policy.bias")}


def test_parameters_and_buffers_under_inference_mode() -> None:
    model = Model()
    with torch.inference_mode():
        born = nn.Linear(8, 2)
        table = torch.ones(8)
    model.policy = born
    model.register_buffer("table", table)
    model.cache = {"rotary": [table]}  # type: ignore[assignment]  # as a user keeps one
    with watch_training(model) as watch:
        pass
    names = found(watch)
    assert names["inference-parameter"] == ("policy.weight", "policy.bias")
    assert set(names["inference-buffer"]) == {"table", 'cache["rotary"][0]'}


def test_a_step_under_inference_mode_is_to_be_looked_at() -> None:
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch_training(model) as watch:
        for _ in range(3):
            optimizer.zero_grad()
            both(model).backward()
            with torch.inference_mode():
                optimizer.step()
    assert found(watch) == {"inference-step": ("3 steps",)}


def test_compare_keeps_what_does_not_agree() -> None:
    with watch_training(Model()) as watch:
        watch.compare({"value": torch.ones(2)}, {"value": torch.ones(2)})
        watch.compare({"value": torch.ones(2)}, {"value": torch.zeros(2)})
    assert "value: expected what the rollout stored" in found(watch)["inconsistent"][0]


class Batched(nn.Module):
    """Computes its loss in `forward`, for wrappers."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()

    def forward(self) -> torch.Tensor:
        return both(self.model)


def accumulated(module: Batched) -> None:
    optimizer = torch.optim.Adam(module.parameters())
    for number in range(8):
        (module() / 2).backward()
        if number % 2:
            optimizer.step()
            optimizer.zero_grad()


def scaled(module: Batched) -> None:
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu")
    for _ in range(4):
        optimizer.zero_grad()
        scaler.scale(module()).backward()
        scaler.step(optimizer)
        scaler.update()


def closed(module: Batched) -> None:
    optimizer = torch.optim.LBFGS(module.parameters(), max_iter=2)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss: torch.Tensor = module()
        loss.backward()
        return loss

    for _ in range(4):
        optimizer.step(closure)


def compiled(module: Batched) -> None:
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    run_it = torch.compile(module, backend="eager")
    for _ in range(4):
        optimizer.zero_grad()
        run_it().backward()
        optimizer.step()


def stepped_in_backward(module: Batched) -> None:
    for parameter in module.parameters():
        optimizer = torch.optim.SGD([parameter], lr=0.1)

        def step(p: torch.Tensor, optimizer: torch.optim.Optimizer = optimizer) -> None:
            optimizer.step()
            p.grad = None

        parameter.register_post_accumulate_grad_hook(step)
    for _ in range(4):
        module().backward()


def checkpointed(module: Batched) -> None:
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    model = module.model
    frozen = nn.Linear(3, 3).requires_grad_(requires_grad=False)
    for _ in range(4):
        inputs = torch.randn(16, 3, requires_grad=True)
        hidden = checkpoint(frozen, inputs, use_reentrant=True)
        hidden = checkpoint(model.core, hidden, use_reentrant=True)
        optimizer.zero_grad()
        (model.policy(hidden).square().mean() + model.value(hidden).square().mean()).backward()
        optimizer.step()


LOOPS = (accumulated, scaled, closed, compiled, stepped_in_backward, checkpointed)


@pytest.mark.parametrize("loop", LOOPS)
def test_right_loops_of_other_kinds_are_not_accused(loop: Callable[[Batched], None]) -> None:
    module = Batched()
    with watch_training(module) as watch:
        loop(module)
    assert watch.report.findings == ()
    assert watch.report.steps


def online(module: Batched) -> None:
    """Square an error of one number by hand: the target is no term."""
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    for _ in range(4):
        error = torch.randn(()) - module()
        optimizer.zero_grad()
        (error * error).backward()
        optimizer.step()


def overlapping(module: Batched) -> None:
    """Divide by a sum that holds a count, as the Dice loss does."""
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    for _ in range(4):
        both_sums = module()
        optimizer.zero_grad()
        (-(2 * both_sums) / (both_sums + torch.rand(()))).backward()
        optimizer.step()


def cancelled_later(module: Batched) -> None:
    """Take the value of a term away after others were added."""
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    for _ in range(4):
        policy, value = module.model.terms()
        optimizer.zero_grad()
        (policy + value - value.detach()).backward()
        optimizer.step()


def accumulated_beside_another(module: Batched, other: nn.Linear) -> None:
    """Let one optimizer step each time, and the other every fourth time."""
    seldom = torch.optim.SGD(module.parameters(), lr=0.1)
    often = torch.optim.SGD(other.parameters(), lr=0.1)
    for number in range(12):
        module().backward()
        often.zero_grad()
        other(torch.randn(4, 2)).square().mean().backward()
        often.step()
        if number % 4 == 3:
            seldom.step()
            seldom.zero_grad()


def joined_later(module: Batched) -> None:
    """Warm up the value before the optimizer of the rest takes a step."""
    model = module.model
    value = torch.optim.SGD(model.value.parameters(), lr=0.1)
    rest = torch.optim.SGD([*model.core.parameters(), *model.policy.parameters()], lr=0.1)
    for number in range(9):
        policy_loss, value_loss = model.terms()
        model.zero_grad()
        (policy_loss + value_loss).backward()
        value.step()
        if number > 5:
            rest.step()


def scaled_too_high(module: Batched, other: nn.Linear) -> None:
    """Let a scaler skip the first steps of one optimizer, while another takes its own."""
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    often = torch.optim.SGD(other.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    for _ in range(15):
        module.zero_grad()
        often.zero_grad()
        scaler.scale(100 * module()).backward()
        other(torch.randn(4, 2)).square().mean().backward()
        scaler.step(optimizer)
        often.step()
        scaler.update()


def traced(module: Batched) -> None:
    """Let the gradients decay, in place of clearing them."""
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    for _ in range(4):
        for parameter in module.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(0.9)
        module().backward()
        optimizer.step()


def restored(module: Batched) -> None:
    """Put the parameters back at the end, as the search for a learning rate does."""
    before = {name: value.clone() for name, value in module.state_dict().items()}
    accumulated(module)
    module.load_state_dict(before)


def with_masters(module: Batched) -> None:
    """Let the optimizer hold copies of one part, and the other part itself."""
    model = module.model
    masters = [p.detach().clone().requires_grad_() for p in model.policy.parameters()]
    rest = [*model.core.parameters(), *model.value.parameters()]
    optimizer = torch.optim.SGD([*masters, *rest], lr=0.1)
    for _ in range(4):
        module.zero_grad()
        module().backward()
        for master, own in zip(masters, model.policy.parameters(), strict=True):
            master.grad = own.grad
        optimizer.step()
        with torch.no_grad():
            for master, own in zip(masters, model.policy.parameters(), strict=True):
                own.copy_(master)


def averaged(module: Batched) -> None:
    """Let one part follow another, though it requires a gradient and the optimizer holds it."""
    model = module.model
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(4):
        optimizer.zero_grad()
        model.terms()[0].backward()
        optimizer.step()
        with torch.no_grad():
            for parameter in model.value.parameters():
                parameter.lerp_(torch.ones(()), 0.1)


def frozen_later(module: Batched) -> None:
    """Freeze a part when the watch already runs."""
    optimizer = torch.optim.Adam(module.parameters())
    module.model.value.requires_grad_(requires_grad=False)
    for _ in range(4):
        optimizer.zero_grad()
        module.model.terms()[0].backward()
        optimizer.step()
    module.model.value.requires_grad_(requires_grad=True)


def zero_at_first(module: Batched, other: nn.Linear) -> None:
    """Step a part that begins at zero once, beside an optimizer that steps often."""
    for head in (module.model.policy, module.model.value):
        nn.init.zeros_(head.weight)
    often = torch.optim.SGD(other.parameters(), lr=0.1)
    once = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(4):
        often.zero_grad()
        other(torch.randn(4, 2)).square().mean().backward()
        often.step()
    module().backward()
    once.step()


def learnt_by_copies(module: Batched) -> None:
    """Give the gradients of a trained copy to the module, as meta-learning of first order does."""
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(4):
        inner = copy.deepcopy(module)
        inner_optimizer = torch.optim.SGD(inner.parameters(), lr=0.1)
        for _ in range(2):
            inner_optimizer.zero_grad()
            inner().backward()
            inner_optimizer.step()
        inner_optimizer.zero_grad()
        inner().backward()
        for own, other in zip(module.parameters(), inner.parameters(), strict=True):
            own.grad = None if other.grad is None else other.grad.clone()
        optimizer.step()


RIGHT = (
    learnt_by_copies,
    online,
    overlapping,
    cancelled_later,
    joined_later,
    traced,
    restored,
    with_masters,
    averaged,
    frozen_later,
)


@pytest.mark.parametrize("loop", RIGHT)
def test_right_loops_that_look_like_a_mistake_are_not_accused(
    loop: Callable[[Batched], None],
) -> None:
    module = Batched()
    with watch_training(module) as watch:
        loop(module)
    gc.collect()  # the optimizers are gone
    assert watch.report.findings == ()
    assert watch.report.steps


def accumulated_beyond_the_watch(module: Batched, other: nn.Linear) -> None:
    """End before the optimizer that accumulates takes a step."""
    seldom = torch.optim.SGD(module.parameters(), lr=0.1)
    often = torch.optim.SGD(other.parameters(), lr=0.1)
    for _ in range(4):
        module().backward()
        often.zero_grad()
        other(torch.randn(4, 2)).square().mean().backward()
        often.step()
    assert seldom.param_groups


def skipped_beyond_the_watch(module: Batched, other: nn.Linear) -> None:
    """End before a scaler has found its scale."""
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    often = torch.optim.SGD(other.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    for _ in range(4):
        module.zero_grad()
        often.zero_grad()
        scaler.scale(1e6 * module()).backward()
        other(torch.randn(4, 2)).square().mean().backward()
        scaler.step(optimizer)
        often.step()
        scaler.update()


def updated_by_hand(module: Batched, other: nn.Linear) -> None:
    """Update one part by hand, beside an optimizer for the other."""
    often = torch.optim.SGD(other.parameters(), lr=0.1)
    for _ in range(4):
        module.zero_grad()
        often.zero_grad()
        (module() + other(torch.randn(4, 2)).square().mean()).backward()
        often.step()
        for parameter in module.parameters():
            assert parameter.grad is not None
            parameter.data.sub_(parameter.grad, alpha=0.1)


def accumulated_by_hand(module: Batched, other: nn.Linear) -> None:
    """Update one part by hand from the gradients of five backward passes."""
    often = torch.optim.SGD(other.parameters(), lr=0.1)
    for _ in range(5):
        often.zero_grad()
        (module() + other(torch.randn(4, 2)).square().mean()).backward()
        often.step()
    for parameter in module.parameters():
        assert parameter.grad is not None
        parameter.data.sub_(parameter.grad, alpha=0.1)


def switched_off(module: Batched, other: nn.Linear) -> None:
    """Multiply by 0 what a part that no optimizer holds adds to the loss."""
    frozen_in_effect = nn.Linear(2, 1)
    optimizer = torch.optim.SGD([*module.parameters(), *other.parameters()], lr=0.1)
    for _ in range(4):
        inputs = torch.randn(4, 2)
        optimizer.zero_grad()
        loss = module() + other(inputs).square().mean()
        (loss + 0.0 * frozen_in_effect(inputs).mean()).backward()
        optimizer.step()


def attacked(module: Batched, other: nn.Linear) -> None:
    """Use the gradient of an input that another network gives."""
    judge = nn.Linear(2, 1)
    inputs = torch.randn(4, 2, requires_grad=True)
    optimizer = torch.optim.SGD([*module.parameters(), *other.parameters()], lr=0.1)
    for _ in range(4):
        inputs.grad = None
        optimizer.zero_grad()
        (module() + other(inputs).square().mean() + judge(inputs).mean()).backward()
        optimizer.step()


def hidden(module: Batched, other: nn.Linear) -> None:
    """Train a part that the graph of its term hides."""
    judge, start = nn.Linear(1, 1), nn.Parameter(torch.randn(4, 2))
    optimizer = torch.optim.SGD([*module.parameters(), *other.parameters()], lr=0.1)
    for _ in range(4):
        optimizer.zero_grad()
        made = checkpoint(other, start, use_reentrant=True)
        (module() + judge(made).square().mean()).backward()
        optimizer.step()


@pytest.mark.parametrize(
    "loop",
    [
        accumulated_beside_another,
        accumulated_beyond_the_watch,
        scaled_too_high,
        skipped_beyond_the_watch,
        zero_at_first,
        updated_by_hand,
        accumulated_by_hand,
        switched_off,
        attacked,
        hidden,
    ],
)
def test_right_loops_of_two_optimizers_are_not_accused(
    loop: Callable[[Batched, nn.Linear], None],
) -> None:
    module, other = Batched(), nn.Linear(2, 1)
    with watch_training([module, other]) as watch:
        loop(module, other)
    assert watch.report.problems == ()
    assert watch.report.steps


def test_modules_that_share_a_part_name_it_once() -> None:
    model = Model()
    actor, critic = nn.Sequential(model.core, model.policy), nn.Sequential(model.core, model.value)

    def train() -> None:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(4):
            inputs = torch.randn(4, 3)
            optimizer.zero_grad()
            (actor(inputs).square().mean() + critic(inputs).square().mean()).backward()
            optimizer.step()

    with watch_training([actor, critic]) as watch:
        train()
        gc.collect()
    assert watch.report.findings == ()


def test_a_parameter_is_named_once() -> None:
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch_training([model, model]) as watch:
        for _ in range(4):
            optimizer.zero_grad()
            model.terms()[1].backward()
            optimizer.step()
    assert found(watch) == {"no-gradient": ("[0].policy.weight", "[0].policy.bias")}


def test_a_scaler_that_still_looks_for_its_scale_is_right() -> None:
    def train(scalers: Iterator[torch.amp.GradScaler]) -> Watch:
        model = Model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with watch_training(model) as watch:
            for scaler in itertools.islice(scalers, 4):
                optimizer.zero_grad()
                scaler.scale(1e6 * both(model)).backward()
                scaler.step(optimizer)
                scaler.update()
        return watch

    def new_scaler() -> torch.amp.GradScaler:
        return torch.amp.GradScaler("cpu", init_scale=2.0**127)

    assert list(found(train(itertools.repeat(new_scaler())))) == ["no-step"]
    assert list(found(train(iter(new_scaler, None)))) == ["unused-gradients"]


def test_a_term_of_a_frozen_part_is_to_be_looked_at() -> None:
    model = Model()
    for part in (model.core, model.policy):
        part.requires_grad_(requires_grad=False)
    watch = run(model, both)
    assert list(found(watch)) == ["frozen-term"]
    assert watch.report.problems == ()


def test_two_constants_of_one_line_are_two_terms() -> None:
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch_training(model) as watch:
        for _ in range(4):
            policy, value = model.terms()
            losses = policy + torch.tensor(2.0), value + torch.tensor(3.0)
            optimizer.zero_grad()
            for loss in losses:
                loss.backward(retain_graph=True)
            optimizer.step()
    assert list(found(watch)) == ["fixed-term"]


def test_a_term_that_reaches_what_no_optimizer_holds_is_broken() -> None:
    generator, critic = nn.Linear(2, 2), nn.Linear(2, 1)
    optimizer = torch.optim.SGD(generator.parameters(), lr=0.1)
    with watch_training(generator) as watch:
        for _ in range(4):
            made = generator(torch.randn(4, 2))
            optimizer.zero_grad()
            (made.square().mean() - critic(made.detach()).mean()).backward()
            optimizer.step()
    assert list(found(watch)) == ["wasted-term"]


def test_a_watch_keeps_no_graph() -> None:
    class Mark:
        """Lives as long as a graph."""

    model = Model()
    marks = []
    with watch_training(model):
        for _ in range(3):
            total = both(model) + torch.ones(())
            mark = Mark()
            node: Any = total.grad_fn
            node.metadata["mark"] = mark
            marks.append(weakref.ref(mark))
            del total, node, mark
        gc.collect()
        assert [mark() for mark in marks] == [None] * 3


def test_terms_are_not_looked_at_for_ever_where_no_step_is_seen() -> None:
    model = Model()
    with watch_training(model):
        for _ in range(101):
            both(model).backward()
        assert "__add__" not in vars(torch.Tensor)


def test_a_backward_that_another_tool_wrapped_meanwhile_stays() -> None:
    before = torch.autograd.backward
    watch = watch_training(Model()).__enter__()
    theirs = functools.partial(torch.autograd.backward)
    torch.autograd.backward = theirs
    watch.__exit__(None, None, None)
    try:
        assert torch.autograd.backward is theirs
        assert run(Model(), both).report.backwards == 4
    finally:
        torch.autograd.backward = before


def test_an_operator_that_another_tool_wrapped_meanwhile_stays() -> None:
    watch = watch_training(Model()).__enter__()
    ours = torch.Tensor.__add__
    theirs = functools.partialmethod(ours)
    torch.Tensor.__add__ = theirs  # type: ignore[method-assign,assignment]
    watch.__exit__(None, None, None)
    try:
        assert vars(torch.Tensor)["__add__"] is theirs
        node: Any = both(Model()).grad_fn
        assert node.metadata == {}
        assert run(Model(), both).report.findings == ()
    finally:
        del torch.Tensor.__add__


def optimizer_hooks() -> dict[int, Any]:
    return dict(sys.modules["torch.optim.optimizer"]._global_optimizer_post_hooks)


def test_a_watch_leaves_nothing_behind() -> None:
    names = ("__add__", "__radd__", "__iadd__", "__sub__", "__rsub__", "__isub__")
    before = [getattr(torch.Tensor, name) for name in names], torch.autograd.backward
    module = Model()
    with pytest.raises(KeyError), watch_training(module):
        raise KeyError
    run(module, both)
    assert before == ([getattr(torch.Tensor, name) for name in names], torch.autograd.backward)
    assert not optimizer_hooks()
    alive = weakref.ref(module)
    del module
    gc.collect()
    assert alive() is None


def test_watches_may_end_in_any_order() -> None:
    before = torch.autograd.backward
    one, other = watch_training(Model()), watch_training(Model())
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert torch.autograd.backward is not before
    other.__exit__(None, None, None)
    assert torch.autograd.backward is before


def test_a_training_in_another_thread_is_seen() -> None:
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def train() -> None:
        both(model).backward()
        optimizer.step()

    with watch_training(model) as watch:
        thread = threading.Thread(target=train)
        thread.start()
        thread.join()
    assert watch.report.steps == 1


@pytest.mark.parametrize(
    ("part", "steps"), [("gradients.Gradients.see", 0), ("summands.users_place", 4)]
)
def test_a_fault_of_the_watch_does_not_end_the_training(
    part: str, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(f"tamiyo_rl.contract.watch.{part}", fail)
    watch = run(Model(), lambda model: both(model) + torch.rand(()))
    assert watch.report.steps == steps
    assert watch.report.problems == ()


@pytest.mark.parametrize(
    ("modules", "error", "text"),
    [
        (nn.ReLU(), ValueError, "expected a parameter that requires a gradient"),
        (iter(()), ValueError, "a generator of modules yields only once"),
        (3, TypeError, "expected an nn.Module or an iterable of them, got 3"),
        ([nn.Linear(1, 1), 3], TypeError, "got 3"),
    ],
)
def test_what_cannot_be_watched(modules: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        watch_training(modules)


def test_a_watch_is_entered_once() -> None:
    watch = watch_training(Model())
    with watch, pytest.raises(RuntimeError, match="got one that runs"):
        watch.__enter__()
    with pytest.raises(RuntimeError, match="got one that has ended"):
        watch.__enter__()


def test_a_bundle_can_be_watched() -> None:
    bundle = LSTMPolicyBundle(4, 2)
    optimizer = torch.optim.Adam(bundle.parameters())
    actions = {"action": torch.zeros(2, 3, dtype=torch.long)}
    with watch_training(bundle) as watch:
        for _ in range(4):
            result = bundle.evaluate_actions(torch.randn(2, 3, 4), actions)
            loss = -result.joint_log_prob.mean() + result.value.square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert watch.report.findings == ()


def test_stand_ins_for_parameters_are_not_judged() -> None:
    weight = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    model = nn.ParameterList([weight])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with watch_training(model) as watch:
        for _ in range(3):
            optimizer.zero_grad()
            weight.abs().sum().backward()
            optimizer.step()
    assert watch.report.findings == ()


def test_the_page_has_the_rules_and_an_example_of_each() -> None:
    text = Path("docs/reference/watch-rules.md").read_text("utf-8")
    sections = dict(part.split("\n", 1) for part in text.split("### ")[1:])
    assert list(sections) == list(RULES)
    for name, rule in RULES.items():
        section = sections[name]
        assert f"*{rule.severity}*: {rule.says}.\n\nDo: {rule.remedy}." in section
        assert name in section.partition("```text\n")[2]
