"""The rules of the watch, and the report of what it saw."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from tamiyo_rl.contract.guard import ContractError
from tamiyo_rl.contract.wording import listed

Severity = Literal["broken", "look"]


@dataclass(frozen=True)
class Rule:
    """Something that the watch looks for.

    Attributes:
        id: Its stable name.
        severity: `"broken"` where nothing but a fault looks like it, else `"look"`.
        says: What it found, in words.
        remedy: What to do.
    """

    id: str
    severity: Severity
    says: str
    remedy: str


RULES: Mapping[str, Rule] = {
    rule.id: rule
    for rule in (
        Rule(
            "no-gradient",
            "broken",
            "parameters that never had a gradient when their optimizer stepped",
            "let the loss depend on them, without a detach, or freeze them",
        ),
        Rule(
            "zero-gradient",
            "broken",
            "parameters whose gradient was 0 in every element, in every step",
            "look for a constant term of the loss, a weight of 0 or a dead ReLU before them",
        ),
        Rule(
            "not-optimized",
            "broken",
            "parameters that got gradients, but that no optimizer holds",
            "make the optimizer after the last change of the module, or freeze them",
        ),
        Rule(
            "constant-term",
            "broken",
            "terms of the loss without a graph, whose value changes from step to step",
            "compute them in the training call, with grad enabled, not from the rollout's outputs",
        ),
        Rule(
            "wasted-term",
            "broken",
            "terms of the loss that reach no parameter of the optimizers that then stepped",
            "look for a detach in the term, or give its parameters an optimizer that steps",
        ),
        Rule(
            "no-backward",
            "broken",
            "optimizer steps without a gradient of any parameter, and no backward()",
            "call backward() on the loss before step()",
        ),
        Rule(
            "unused-gradients",
            "broken",
            "gradients that were cleared before any optimizer took a step",
            "call step() of the optimizer after backward(), and update() of the same scaler",
        ),
        Rule(
            "kept-gradients",
            "broken",
            "optimizer steps whose gradients still held those of the step before",
            "call zero_grad() once for each step",
        ),
        Rule(
            "nothing-moved",
            "broken",
            "optimizer steps that left every parameter as it was",
            "look at the learning rate, at the clipping of gradients, and whether the optimizer "
            "holds the parameters of this module",
        ),
        Rule(
            "inference-parameter",
            "broken",
            "parameters that were made under inference_mode() and cannot be trained",
            "build, move and load the module outside inference mode, then the optimizer",
        ),
        Rule(
            "inconsistent",
            "broken",
            "what training computed is not what the rollout stored",
            "give training the states, episode starts and masks of the rollout",
        ),
        Rule(
            "never-moved",
            "look",
            "parameters that have a gradient and stayed as they were",
            "look at the learning rate of their group; in bfloat16, small steps round to nothing",
        ),
        Rule(
            "never-optimized",
            "look",
            "parameters that require a gradient, got none, and that no optimizer holds",
            "nothing, where they are a target network; else freeze them or train them",
        ),
        Rule(
            "frozen-term",
            "look",
            "terms of the loss without a graph, in a module that has frozen parameters",
            "nothing, where only frozen parameters compute them; else compute them with a graph",
        ),
        Rule(
            "fixed-term",
            "look",
            "terms of the loss without a graph, whose value does not change",
            "nothing, where they are constants",
        ),
        Rule(
            "inference-buffer",
            "look",
            "buffers and attributes of the module that hold inference tensors",
            "clone() them outside inference mode before a loss depends on them",
        ),
        Rule(
            "inference-step",
            "look",
            "optimizer steps under inference_mode()",
            "leave inference mode first: the optimizer's own state becomes inference tensors",
        ),
        Rule(
            "no-step",
            "look",
            "no optimizer that holds a watched parameter has taken a step while the watch ran",
            "watch for longer, around the whole loop",
        ),
    )
}


@dataclass(frozen=True)
class Finding:
    """What one rule found.

    Attributes:
        rule: The id of the rule.
        severity: That of the rule.
        where: Names of parameters, terms or attributes.
        text: What was found and what to do.
    """

    rule: str
    severity: Severity
    where: tuple[str, ...]
    text: str

    @classmethod
    def of(cls, rule: str, where: Sequence[str]) -> Finding:
        """Write a finding of a rule in words."""
        found = RULES[rule]
        text = f"{found.says}\n    {listed(where, most=3)}\n    do: {found.remedy}"
        return cls(rule, found.severity, tuple(where), text)

    def __str__(self) -> str:
        """Write the rule and what it found."""
        return f"{self.severity}, {self.rule}: {self.text}"


@dataclass(frozen=True)
class WatchReport:
    """What a watch saw.

    Attributes:
        steps: Steps of optimizers that hold a watched parameter.
        backwards: Calls of `backward()`.
        findings: What the rules found, the broken first.

    Examples:
        ```python
        import torch
        from tamiyo_rl import watch_training

        model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with watch_training(model) as watch:
            for _ in range(3):
                optimizer.zero_grad()
                model[1](model[0](torch.ones(3, 2)).detach()).square().mean().backward()
                optimizer.step()
        print(watch.report)
        ```

        ```text
        3 optimizer steps, 3 calls of backward()
        broken, no-gradient: parameters that never had a gradient when their optimizer stepped
            0.weight, 0.bias
            do: let the loss depend on them, without a detach, or freeze them
        ```
    """

    steps: int
    backwards: int
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """What is broken."""
        return tuple(found for found in self.findings if found.severity == "broken")

    def raise_if_broken(self) -> None:
        """Raise `ContractError` if a rule found something broken.

        Raises:
            ContractError: With what was found and what to do.
        """
        if self.problems:
            lines = ("this training does not train what it should", *map(str, self.problems))
            raise ContractError("\n  ".join(lines))

    def to_json(self) -> str:
        """Return all of the report as JSON."""
        return json.dumps(asdict(self))

    def __str__(self) -> str:
        """Write what was seen, then a finding a line."""
        head = f"{self.steps} optimizer steps, {self.backwards} calls of backward()"
        return "\n".join([head, *map(str, self.findings or ["nothing found"])])
