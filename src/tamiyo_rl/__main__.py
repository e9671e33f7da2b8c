"""`python -m tamiyo_rl` is the command `tamiyo-rl`."""

from tamiyo_rl.cli import main

main()
