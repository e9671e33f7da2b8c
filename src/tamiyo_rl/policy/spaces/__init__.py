"""Gymnasium spaces for a policy."""

from tamiyo_rl.policy.spaces.adapter import SpaceAdapter
from tamiyo_rl.policy.spaces.observations import make_image_encoder

__all__ = ["SpaceAdapter", "make_image_encoder"]
