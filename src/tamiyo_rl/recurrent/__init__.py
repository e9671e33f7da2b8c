"""An LSTM and a GRU with exact episode resets in the fused kernel, usable without the rest."""

from tamiyo_rl.recurrent.episode_plan import EpisodePlan
from tamiyo_rl.recurrent.episodic_gru import EpisodicGRU
from tamiyo_rl.recurrent.episodic_lstm import EpisodicLSTM
from tamiyo_rl.recurrent.hidden_state import HiddenState

__all__ = ["EpisodePlan", "EpisodicGRU", "EpisodicLSTM", "HiddenState"]
