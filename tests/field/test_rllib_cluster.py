"""`LSTMPolicyModule` in several processes, and on two nodes of a cluster of which one dies."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from tests.field.rllib_training import make_config, one_machine, running

pytestmark = [pytest.mark.field, pytest.mark.filterwarnings("ignore:::ray")]

HEAD, NODE = "127.0.0.2", "127.0.0.3"  # of the loopback network; Ray takes 127.0.0.1 for its host


@contextmanager
def two_nodes() -> Iterator[tuple[Cluster, Any]]:
    """Start a cluster of two nodes, and end it."""
    head = {"num_cpus": 1, "node_ip_address": HEAD, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        node = cluster.add_node(num_cpus=1, node_ip_address=NODE)
        with one_machine(address=cluster.address, _node_ip_address=HEAD, include_dashboard=None):
            yield cluster, node
    finally:
        cluster.shutdown()


def learners_of(algorithm: Any) -> list[dict[str, Any]]:
    """Return the state of the module of each learner."""
    results = algorithm.learner_group.foreach_learner(
        lambda learner: learner.module["default_policy"].get_state()
    )
    return [result.get() for result in results]


def steps_of(results: dict[str, Any]) -> int:
    return int(results["env_runners"]["num_env_steps_sampled_lifetime"])


def nodes_of(algorithm: Any) -> set[str]:
    """Return the nodes on which environments run."""
    return set(
        algorithm.env_runner_group.foreach_env_runner(
            lambda _: ray.get_runtime_context().get_node_id(), local_env_runner=False
        )
    )


def test_a_remote_runner_and_a_remote_learner_train() -> None:
    config = make_config().env_runners(num_env_runners=1).learners(num_learners=1)
    with one_machine(num_cpus=2), running(config) as algorithm:
        (before,) = learners_of(algorithm)
        for _ in range(2):
            results = algorithm.train()
        (after,) = learners_of(algorithm)
        acting = algorithm.env_runner_group.foreach_env_runner(
            lambda runner: runner.module.get_state(), local_env_runner=False
        )
    assert steps_of(results) >= 512
    assert all((after[name] != before[name]).any() for name in before)
    assert all((acting[0][name] == after[name]).all() for name in after)


def test_two_learners_keep_the_same_parameters() -> None:
    with one_machine(num_cpus=2), running(make_config().learners(num_learners=2)) as algorithm:
        before, _ = learners_of(algorithm)
        for _ in range(2):
            algorithm.train()
        one, other = learners_of(algorithm)
    assert all((one[name] == other[name]).all() for name in one)
    assert all((one[name] != before[name]).any() for name in one)


def test_the_training_goes_on_where_a_node_dies() -> None:
    config = make_config().env_runners(num_env_runners=2)
    config.fault_tolerance(
        restart_failed_env_runners=True,
        env_runner_health_probe_timeout_s=5,
        env_runner_restore_timeout_s=5,
    )
    with two_nodes() as (cluster, node), running(config) as algorithm:
        assert len(nodes_of(algorithm)) == 2
        before = steps_of(algorithm.train())
        cluster.remove_node(node)
        after = [steps_of(algorithm.train()) for _ in range(2)]
        assert algorithm.env_runner_group.num_healthy_remote_workers() == 1
        assert before < after[0] < after[1]
        cluster.add_node(num_cpus=1, node_ip_address=NODE)
        for _ in range(100):  # Ray starts it beside the training
            if algorithm.env_runner_group.num_healthy_remote_workers() == 2:
                break
            algorithm.train()
        assert len(nodes_of(algorithm)) == 2
