"""`tamiyo-rl record`: a video, or an error before anything is written."""

from pathlib import Path

import pytest

from tamiyo_rl.training.runs.folder import RunFolder
from tests.cli.fork_server import ForkServer
from tests.cli.tiny import TASKS, contents, files


def test_a_run_is_recorded_with_its_return(server: ForkServer, run: RunFolder) -> None:
    finished = server.run("record", "a", folder=run.path.parent)
    assert finished.status == 0, finished.output
    assert finished.output.startswith("wrote a/episode.mp4: return ")
    assert " steps, played with the most probable actions\n" in finished.output
    assert run.video.read_bytes()[4:8] == b"ftyp"
    sampled = server.run("record", "a/policy.pt", "--stochastic", folder=run.path.parent)
    assert " steps, played with sampled actions\n" in sampled.output


REFUSED = [
    (["a", "--env", "tasks:Short-v0"], "--env: expected an environment that renders as rgb_array"),
    (["a", "--env", "tasks:Lacks-v0"], "to be installed, got paint is not installed"),
    (["a", "--env", "Acrobot-v1"], "bundle: expected feature_dim=6 for these environments, got 2"),
    (["a", "--video", "a.gif"], "--video: expected a file that ends with .mp4, got a.gif"),
    (["a", "--max-steps", "3"], "--max-steps: expected episodes of at most 3 steps"),
    (["a", "--max-steps", "0"], "--max-steps: expected an int of at least 1"),
    (["a", "--seed", "-1"], "--seed: expected an int from 0"),
    (["absent"], "absent: expected the folder of a run, got no config.json in it"),
]
RENDERING = """

class Lacks(Task):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}

    def __init__(self, render_mode=None):
        super().__init__()
        self.render_mode = render_mode

    def render(self):
        raise gymnasium.error.DependencyNotInstalled("paint is not installed")


gymnasium.register("Lacks-v0", Lacks)
"""


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_cannot_be_recorded_writes_nothing(
    arguments: list[str], message: str, server: ForkServer, run: RunFolder
) -> None:
    folder = run.path.parent
    (folder / "tasks.py").write_text(TASKS + RENDERING)
    before = contents(run.path)
    finished = server.run("record", *arguments, folder=folder)
    assert finished.status == 2, finished.output
    assert message in finished.output
    assert "Traceback" not in finished.output
    assert contents(run.path) == before
    assert not list(folder.rglob("*.mp4"))


def test_a_missing_extra_is_named(server: ForkServer, tmp_path: Path) -> None:
    (tmp_path / "moviepy.py").write_text("raise ImportError")  # found before the installed one
    finished = server.run("record", "absent", folder=tmp_path)
    assert finished.status == 2
    assert "moviepy: expected it to be installed, got no such package" in finished.output
    assert "Install the extra video" in finished.output
    assert "pip" not in finished.output
    assert files(tmp_path) == {"moviepy.py"}
