"""A whole PPO update, by one method a file."""
