"""What an import costs is what PyTorch's own import costs."""

import subprocess
import sys


def test_the_compiler_is_loaded_where_something_is_compiled_alone() -> None:
    code = "import sys, tamiyo_rl; sys.exit('torch._dynamo' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], check=False)  # noqa: S603 - our own code
    assert finished.returncode == 0
