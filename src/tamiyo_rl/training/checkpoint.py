"""Trained policies as files: written whole or not at all, and loaded without executing anything."""

from __future__ import annotations

import os
import pickle
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from tamiyo_rl.policy.lstm_bundle import LSTMPolicyBundle
from tamiyo_rl.training.normalization import FeatureNormalizer

FORMAT = 1


class SavedPolicy(NamedTuple):
    """A trained policy and what it needs to see its environment as it did in training.

    Attributes:
        bundle: The policy.
        normalizer: Statistics of its features.
    """

    bundle: LSTMPolicyBundle
    normalizer: FeatureNormalizer


def save_policy(path: Path, policy: SavedPolicy) -> None:
    """Write a policy to a file, which is replaced only once the new content is on the disk.

    Args:
        path: The file.
        policy: Bundle and normaliser.

    Examples:
        ```python
        from pathlib import Path
        from tamiyo_rl import LSTMPolicyBundle
        from tamiyo_rl.training import FeatureNormalizer, SavedPolicy, load_policy, save_policy

        bundle = LSTMPolicyBundle(feature_dim=2, action_dims=2)
        save_policy(Path("policy.pt"), SavedPolicy(bundle, FeatureNormalizer(2)))
        loaded = load_policy(Path("policy.pt"), device=bundle.device)
        print(all(a.equal(b) for a, b in zip(bundle.parameters(), loaded.bundle.parameters())))
        ```

        ```text
        True
        ```
    """
    bundle, normalizer = policy
    content = {
        "format": FORMAT,
        "settings": bundle.settings(),
        "dtype": bundle.dtype,
        "parameters": bundle.state_dict(),
        "normalizer": normalizer.state_dict(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def load_policy(
    path: Path, *, device: torch.device | str = "cpu", encoder: nn.Module | None = None
) -> SavedPolicy:
    """Load what `save_policy` wrote, in evaluation mode; nothing in the file is executed.

    Args:
        path: The file.
        device: Where the policy goes.
        encoder: Built as the one that was saved; its parameters are loaded.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a policy of this format, naming the file and the reason.

    Examples:
        ```python
        from pathlib import Path
        from tamiyo_rl.training import load_policy

        Path("policy.pt").write_text("not a policy")
        try:
            load_policy(Path("policy.pt"))
        except ValueError as error:
            print(error)
        ```

        ```text
        policy.pt: expected a file that save_policy() wrote, got UnpicklingError
          do: train the policy again, or pass another file
        ```
    """
    content = _read(path)
    try:
        return _build(content, device, encoder)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ValueError(
            f"{path}: expected a whole saved policy, got {type(error).__name__}: {error}"
            "\n  do: if it has an encoder of its own, pass one built alike as encoder="
        ) from error


def _build(
    content: dict[str, Any], device: torch.device | str, encoder: nn.Module | None
) -> SavedPolicy:
    with torch.device(device):
        bundle = LSTMPolicyBundle(**content["settings"], encoder=encoder)
    bundle.to(device=device, dtype=content["dtype"]).load_state_dict(content["parameters"])
    normalizer = FeatureNormalizer(bundle.feature_dim)
    normalizer.load_state_dict(content["normalizer"])
    return SavedPolicy(bundle.eval(), normalizer)


def _read(path: Path) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of foreign files; the error below says more
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise ValueError(
            f"{path}: expected a file that save_policy() wrote, got {type(error).__name__}"
            "\n  do: train the policy again, or pass another file"
        ) from error
    if not isinstance(content, dict) or repr(content.get("format")) != repr(FORMAT):
        raise ValueError(
            f"{path}: expected a saved policy of format {FORMAT}, got another file or format"
            "\n  do: load it with the version of tamiyo-rl that wrote it"
        )
    return content
