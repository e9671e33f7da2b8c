"""What `make docs` adds to the built site: a Markdown twin of each page, an index, descriptions."""
