"""Finish a built site: ``python -m tools.site site``."""

import os
import sys
from pathlib import Path

from tools.site.article import find_articles
from tools.site.head import describe
from tools.site.index import write_index
from tools.site.twin import write_twin


def main(site: Path) -> None:
    """Write the twins, their index, and the description of each page."""
    articles = find_articles(site)
    for article in articles:
        html = article.path.read_text("utf-8")
        article.path.write_text(describe(html, article), "utf-8")
        article.path.with_name("index.md").write_text(write_twin(article), "utf-8")
    index = write_index(articles, os.environ.get("SITE_URL", ""))
    (site / "llms.txt").write_text(index, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
