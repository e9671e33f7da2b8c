"""A watch around any training loop, which needs no names of terms."""

from tamiyo_rl.contract.watch.report import RULES, Finding, Rule, WatchReport
from tamiyo_rl.contract.watch.watch import Watch, watch_training

__all__ = ["RULES", "Finding", "Rule", "Watch", "WatchReport", "watch_training"]
