"""Tools that make files of the site."""
