"""The index of a site for readers that are programs: llms.txt, as https://llmstxt.org has it."""

from itertools import groupby
from operator import attrgetter

from website.article import Article


def write_index(articles: list[Article], address: str) -> str:
    """List the twin of each page by the section it stands in, with what it is about."""
    home, *others = articles
    lines = [f"# {home.title}", "", f"> {home.description}", ""]
    lines += [_write_line(home, address)]
    for section, pages in groupby(others, attrgetter("section")):
        lines += ["", f"## {section}", "", *(_write_line(page, address) for page in pages)]
    return "\n".join(lines) + "\n"


def _write_line(article: Article, address: str) -> str:
    return f"- [{article.title}]({address}{article.address}index.md): {article.description}"
