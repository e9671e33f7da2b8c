"""Finish a built site: ``python -m website site``."""

import os
import sys
from pathlib import Path

from website.article import find_articles
from website.head import describe
from website.index import write_index
from website.twin import write_twin


def main(site: Path) -> None:
    """Write the twins, their index, and what each page says of itself."""
    articles = find_articles(site)
    for article in articles:
        html = article.path.read_text("utf-8")
        article.path.write_text(describe(html, article), "utf-8")
        article.path.with_name("index.md").write_text(write_twin(article), "utf-8")
    index = write_index(articles, os.environ.get("SITE_URL", ""))
    (site / "llms.txt").write_text(index, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
