"""Additions to the built site: a Markdown twin of each page, `llms.txt`, descriptions.

They work on the built pages, so that they depend on no plugin of MkDocs: the site must also build
with Zensical, which follows Material for MkDocs. There `mkdocs-meta-descriptions-plugin` does not
run, and `mkdocs-llmstxt` demands the address of the published site and a list of its pages.
"""
