"""`LSTMPolicyModule` where RLlib runs in several processes, and on several nodes of a cluster."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import ray
from ray.cluster_utils import Cluster
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

from tests.field.rllib_training import make_config, one_machine, running

pytestmark = [pytest.mark.field, pytest.mark.filterwarnings("ignore:::ray")]

