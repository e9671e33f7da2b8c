"""Tools that maintain the project."""
