"""An import costs only what the import of PyTorch costs."""

import subprocess
import sys


def test_importing_the_package_does_not_load_the_compiler() -> None:
    code = "import sys, tamiyo_rl; sys.exit('torch._dynamo' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], check=False)  # noqa: S603 - our own code
    assert finished.returncode == 0
