"""What the head of a page says of it to search engines, and to whoever gets its link."""

import re
from html import escape

from website.article import Article

DESCRIPTION = re.compile(
    r'(?P<tag><meta (?:name="description"|property="og:description") content=")[^"]*"'
)
TWIN = '<link rel="alternate" type="text/markdown" href="index.md">\n  </head>'


def describe(html: str, article: Article) -> str:
    """Write the page's own description where the generator wrote the site's, and name its twin."""
    description = escape(article.description)
    html = DESCRIPTION.sub(lambda match: f'{match["tag"]}{description}"', html)
    return html.replace("</head>", TWIN, 1)
