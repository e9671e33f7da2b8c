"""The Markdown twin of a page, for programs that read it."""

from bs4 import Tag
from markdownify import ATX, MarkdownConverter

from tools.site.article import Article


class Converter(MarkdownConverter):
    """Keeps the language of a block, and replaces a listing by the name of its file."""

    def convert_details(self, element: Tag, text: str, parent_tags: set[str]) -> str:  # noqa: ARG002  as in the library
        """Leave out a listing of source code, and keep everything else that is folded."""
        if "mkdocstrings-source" in element.get_attribute_list("class"):
            summary = element.find("summary")
            return f"\n\n{self.convert_soup(summary).strip()}.\n\n" if summary else ""
        return f"\n\n{text.strip()}\n\n"


def write_twin(article: Article) -> str:
    """Write a page as Markdown."""
    converter = Converter(
        heading_style=ATX, bullets="-", wrap=False, code_language_callback=_read_language
    )
    text: str = converter.convert_soup(article.body)
    return text.strip() + "\n"


def _read_language(block: Tag) -> str:
    holder = block.find_parent("div", class_="highlight")
    names = [name or "" for name in holder.get_attribute_list("class")] if holder else []
    return next((n.removeprefix("language-") for n in names if n.startswith("language-")), "")
