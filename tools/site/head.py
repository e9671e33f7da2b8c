"""Description of a page in its head, for search engines and previews of links."""

import re
from html import escape

from tools.site.article import Article

DESCRIPTION = re.compile(
    r'(?P<tag><meta (?:name="description"|property="og:description") content=")[^"]*"'
)


def describe(html: str, article: Article) -> str:
    """Replace the description of the site by that of the page."""
    description = escape(article.description)
    return DESCRIPTION.sub(lambda match: f'{match["tag"]}{description}"', html)
