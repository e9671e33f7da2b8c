"""The crossings, a module for each family."""
