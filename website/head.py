"""What the head of a page says of it to search engines, and to whoever gets its link."""

import re
from html import escape

from website.article import Article

DESCRIPTION = re.compile(
    r'(?P<tag><meta (?:name="description"|property="og:description") content=")[^"]*"'
)


def describe(html: str, article: Article) -> str:
    """Write the page's own description where the generator wrote the site's."""
    description = escape(article.description)
    return DESCRIPTION.sub(lambda match: f'{match["tag"]}{description}"', html)
