"""The settings of a benchmark, in words."""

from __future__ import annotations

from dataclasses import asdict

from tamiyo_rl.training import PPOConfig


def changed_settings(config: PPOConfig) -> str:
    """Write the settings that are not the defaults, without the number of steps."""
    defaults = asdict(PPOConfig()) | {"total_steps": config.total_steps}
    changed = ((name, value) for name, value in asdict(config).items() if value != defaults[name])
    return ", ".join(f"`{name}={value}`" for name, value in changed)
