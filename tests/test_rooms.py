"""The rooms of the package, and the direction in which they import one another."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "tamiyo_rl"
SOURCE = Path(__file__).parent.parent / "src" / PACKAGE

# What each room may import, besides itself.
ROOMS = {
    "checks": set[str](),
    "contract": {"checks"},
    "recurrent": {"checks", "contract"},
    "policy": {"checks", "contract", "recurrent"},
    "training": {"checks", "contract", "recurrent", "policy"},
    "crossings": {"contract"},
    "integrations": {"checks", "contract", "recurrent", "policy"},
    "cli": {"checks", "contract", "recurrent", "policy", "training", "crossings"},
    "__main__": {"cli"},
    "__init__": {"contract", "recurrent", "policy"},
}
# The rooms of training from left to right; the first ones are files that all others may use.
BOTTOM = ("checks", "config", "distributed")
TRAINING = ("storage", "envs", "rollout", "ppo", "runs")

MODULES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))


def find_imports(source: str) -> Iterator[tuple[str, ...]]:
    """Find the modules of the package that a file imports, each as its parts."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (tuple(name.split("."))[1:] for name in names if is_ours(name))


def is_ours(name: str) -> bool:
    return name.split(".", maxsplit=1)[0] == PACKAGE


def find_wrong_imports(module: str, source: str) -> list[str]:
    """Find what a file imports from a room that lies above its own, or right of it."""
    room, *inner = module.removesuffix(".py").split("/")
    wrong = []
    for target in find_imports(source):
        allowed = target and target[0] in {room, *ROOMS[room]}
        if not allowed or (room == target[0] == "training" and not is_left_of(target[1], inner[0])):
            wrong.append(".".join((PACKAGE, *target)))
    return wrong


def is_left_of(target: str, own: str) -> bool:
    if own == "__init__":  # the public face of the room
        return True
    if own in BOTTOM:
        return target in BOTTOM
    return target in BOTTOM or target in TRAINING[: TRAINING.index(own) + 1]


@pytest.mark.parametrize("module", MODULES)
def test_a_room_imports_only_the_rooms_below_it(module: str) -> None:
    assert find_wrong_imports(module, (SOURCE / module).read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("contract/guard.py", "from tamiyo_rl.policy.bundle import LSTMPolicyBundle"),
        ("contract/guard.py", "from tamiyo_rl import LSTMPolicyBundle"),
        ("contract/guard.py", "def f():\n    import tamiyo_rl.training"),
        ("crossings/lab.py", "from tamiyo_rl.policy import LSTMPolicyBundle"),
        ("training/envs/make.py", "from tamiyo_rl.training.rollout.buffer import RolloutBuffer"),
        ("training/envs/make.py", "from tamiyo_rl.training import RolloutBuffer"),
        ("training/config.py", "from tamiyo_rl.training.storage.files import as_path"),
    ],
)
def test_an_import_against_the_direction_is_found(module: str, source: str) -> None:
    assert find_wrong_imports(module, source)


def test_every_room_is_known() -> None:
    assert {module.split("/")[0].removesuffix(".py") for module in MODULES} == set(ROOMS)
