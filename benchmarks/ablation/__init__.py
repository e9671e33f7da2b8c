"""What makes recurrent PPO learn in few steps: one difference from a base at a time."""
