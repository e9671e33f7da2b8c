"""An import costs only what the import of PyTorch costs."""

import subprocess
import sys


def test_importing_the_package_does_not_load_the_compiler() -> None:
    code = "import sys, tamiyo_rl; sys.exit('torch._dynamo' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], check=False)  # noqa: S603 - our own code
    assert finished.returncode == 0


def test_the_adapter_of_a_library_that_is_missing_says_what_to_install() -> None:
    code = "import sys; sys.modules['ray'] = None; import tamiyo_rl.integrations.rllib"
    command = [sys.executable, "-c", code]
    finished = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - our own code
    assert "Install 'tamiyo-rl[rllib]'." in finished.stderr.splitlines()[-1]
