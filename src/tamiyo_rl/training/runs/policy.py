"""Trained policies as files: written whole or not at all, and loaded without executing anything."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import torch
from torch import nn

from tamiyo_rl.policy.action_dims import Gaussian
from tamiyo_rl.policy.bundle import LSTMPolicyBundle
from tamiyo_rl.policy.image_encoder import ImageEncoder
from tamiyo_rl.policy.protocol import PolicyBundle
from tamiyo_rl.training.rollout.normalization import FeatureNormalizer
from tamiyo_rl.training.storage.files import read_saved, write_saved

FORMAT = 1


class SavedPolicy(NamedTuple):
    """A trained policy with the statistics that normalise its observations as in training.

    Attributes:
        bundle: The policy.
        normalizer: Statistics of its features.
    """

    bundle: LSTMPolicyBundle
    normalizer: FeatureNormalizer


def save_policy(
    path: str | os.PathLike[str], bundle: LSTMPolicyBundle, normalizer: FeatureNormalizer
) -> None:
    """Write a policy to a file, which is replaced only once the new content is on the disk.

    Args:
        path: The file.
        bundle: The policy.
        normalizer: Statistics of its features, such as `trainer.normalizer`.

    Raises:
        TypeError: If an argument has the wrong type.
        OSError: If the file cannot be written; what was there before is unchanged.

    Examples:
        ```python
        from tamiyo_rl import LSTMPolicyBundle
        from tamiyo_rl.training import FeatureNormalizer, load_policy, save_policy

        bundle = LSTMPolicyBundle(feature_dim=2, action_dims=2)
        save_policy("policy.pt", bundle, FeatureNormalizer(2))
        loaded = load_policy("policy.pt", device=bundle.device)
        print(all(a.equal(b) for a, b in zip(bundle.parameters(), loaded.bundle.parameters())))
        ```

        ```text
        True
        ```
    """
    for name, given, kind in (
        ("bundle", bundle, LSTMPolicyBundle),
        ("normalizer", normalizer, FeatureNormalizer),
    ):
        if not isinstance(given, kind):
            raise TypeError(f"{name}: expected {kind.__name__}, got {type(given).__name__}.")
    tensors = {"parameters": bundle.state_dict(), "normalizer": normalizer.state_dict()}
    write_saved(path, policy_sizes(bundle) | tensors, kind="policy", version=FORMAT)


def policy_sizes(bundle: PolicyBundle) -> dict[str, Any]:
    """Return what a file holds of a policy beside its parameters and statistics.

    A file that executes nothing holds no classes: a `Gaussian(2)` stands there as `[2]`, and an
    `ImageEncoder` as its arguments.

    Args:
        bundle: The policy; only an `LSTMPolicyBundle` can be built again.
    """
    if not isinstance(bundle, LSTMPolicyBundle):
        return {"settings": None, "dtype": bundle.dtype}
    settings = bundle.settings()
    settings["action_dims"] = {
        head: [dims.size] if isinstance(dims, Gaussian) else dims
        for head, dims in bundle.action_dims.items()
    }
    if isinstance(bundle.encoder, ImageEncoder):
        settings["encoder"] = [list(bundle.encoder.shape), bundle.encoder.width]
    return {"settings": settings, "dtype": bundle.dtype}


def load_policy(
    path: str | os.PathLike[str],
    *,
    device: torch.device | str = "cpu",
    encoder: nn.Module | None = None,
) -> SavedPolicy:
    """Load what `save_policy` wrote, in evaluation mode; nothing in the file is executed.

    Args:
        path: The file.
        device: Where the policy goes.
        encoder: Built as the one that was saved; its parameters are loaded. None for none, or for
            an `ImageEncoder`, which is built again.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If an argument has the wrong type.
        ValueError: If the file is not a policy of this format, naming the file and the reason; or
            this machine has no such device.

    Examples:
        ```python
        from pathlib import Path
        from tamiyo_rl.training import load_policy

        Path("policy.pt").write_text("not a policy")
        try:
            load_policy("policy.pt")
        except ValueError as error:
            print(error)
        ```

        ```text
        policy.pt: expected a saved policy, got a damaged or foreign file
          cause: BadZipFile: File is not a zip file
          do: pass a file that tamiyo-rl wrote, and that was copied whole
        ```
    """
    _require_device(device)
    if encoder is not None and not isinstance(encoder, nn.Module):
        raise TypeError(f"encoder: expected a torch.nn.Module, got {type(encoder).__name__}.")
    content = read_saved(path, kind="policy", version=FORMAT)
    return build_policy(path, content, device=device, encoder=encoder)


def _require_device(device: torch.device | str) -> None:
    try:
        torch.empty(0, device=device)
    except (TypeError, RuntimeError, AssertionError) as error:  # PyTorch's own, by kind of device
        raise ValueError(
            f"device: expected one that this machine has, got {device!r}. Pass 'cpu', or leave it "
            "out."
        ) from error


def build_policy(
    path: str | os.PathLike[str],
    content: dict[str, Any],
    *,
    device: torch.device | str = "cpu",
    encoder: nn.Module | None = None,
) -> SavedPolicy:
    """Build the policy that a file holds; arguments and errors as `load_policy`.

    Args:
        path: The file, for the errors.
        content: What `save_policy` writes.
        device: Where the policy goes.
        encoder: Built as the one that was saved.
    """
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
    settings = dict(content["settings"])
    settings["action_dims"] = {
        head: Gaussian(*dims) if isinstance(dims, list) else dims
        for head, dims in settings["action_dims"].items()
    }
    images = settings.pop("encoder", None)
    with torch.device(device):
        own = ImageEncoder(*images) if images and encoder is None else encoder
        bundle = LSTMPolicyBundle(**settings, encoder=own)
    bundle.to(device=device, dtype=content["dtype"]).load_state_dict(content["parameters"])
    normalizer = FeatureNormalizer(bundle.feature_dim)
    normalizer.load_state_dict(content["normalizer"])
    return SavedPolicy(bundle.eval(), normalizer)
