"""The index of a site for programs: `llms.txt`, in the format of https://llmstxt.org."""

from itertools import groupby
from operator import attrgetter

from tools.site.article import Article


def write_index(articles: list[Article], address: str) -> str:
    """List the twin of each page under its section, with its description."""
    home, *others = articles
    lines = [f"# {home.title}", "", f"> {home.description}", ""]
    lines += [_write_line(home, address)]
    for section, pages in groupby(others, attrgetter("section")):
        lines += ["", f"## {section}", "", *(_write_line(page, address) for page in pages)]
    return "\n".join(lines) + "\n"


def _write_line(article: Article, address: str) -> str:
    return f"- [{article.title}]({address}{article.address}index.md): {article.description}"
