"""The code that a reader sees on a built page: each piece is an example, or no code to run."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bs4 import BeautifulSoup, Tag
from bs4.element import NavigableString

# What browsers show as code; <kbd> names keys.
CODE = ("pre", "code", "samp", "textarea", "xmp", "listing", "plaintext", "tt")
# A paragraph that holds a piece of inline code alone shows it as a block does.
PARAGRAPHS = ("p", "div", "dd", "blockquote", "figure", "details")
UNSEEN = ("script", "style", "title", "template")
PROMPT = re.compile(r"^\s*(>>>|\$)\s", re.MULTILINE)
SUMMARY_LENGTH = 120


class Shown(NamedTuple):
    """An example as a page shows it: its language, its code, and the output below it."""

    language: str
    source: str
    output: str


def trim(text: str) -> str:
    """Drop the blank lines around a block, which pages do not show."""
    return text.strip("\n")


def find_faults(html: str, is_example: Callable[[Shown], bool], root: Path) -> list[str]:
    """Find each piece of code on a page that is neither an example nor known to be none."""
    page = BeautifulSoup(html, "html.parser")
    faults = [_judge(element, is_example, root) for element in _find_code(page)]
    return [fault for fault in (*faults, *_find_prompts(page)) if fault]


def find_examples(page: BeautifulSoup) -> Iterator[Shown]:
    """Find the examples of a page: what claims to be code that runs, with its output."""
    for element in _find_code(page):
        holder = _find_holder(element)
        if holder and not _is_reference(holder) and _language(holder) != "text":
            yield _read_example(holder)


def _find_code(page: BeautifulSoup) -> Iterator[Tag]:
    for element in page.find_all(CODE):
        if not element.find_parent(CODE):
            yield element


def _judge(element: Tag, is_example: Callable[[Shown], bool], root: Path) -> str:
    if element.name == "code":
        return _judge_inline(element)
    holder = _find_holder(element)
    if element.name != "pre" or holder is None:
        return _blame(element, f"expected code in a fence; came <{element.name}>")
    if _has_class(element.parent, "linenodiv"):
        return "" if re.fullmatch(r"[\s\d]*", element.get_text()) else _blame(element, "no numbers")
    if listing := element.find_parent("details", class_="mkdocstrings-source"):
        return _judge_listing(element, listing, root)
    if _has_class(holder, "doc-signature"):
        return _judge_signature(element)
    return _judge_block(element, holder, is_example)


def _judge_inline(element: Tag) -> str:
    block = element.find_parent(PARAGRAPHS)
    is_alone = block is not None and trim(block.get_text()).strip() == element.get_text().strip()
    if is_alone and not element.find_parent(("li", "td", "th", "summary", "dt")):
        return _blame(element, "expected code in a fence; came a paragraph of it")
    return _blame(element, "expected code in a fence; came <br>") if element.find("br") else ""


def _judge_listing(element: Tag, listing: Tag, root: Path) -> str:
    """Accept what stands in the named file, line after line."""
    name = listing.select_one("summary code")
    path = root / (name.get_text() if name else "")
    written = path.read_text("utf-8") if path.is_file() else ""
    if _strip_lines(trim(element.get_text())) in _strip_lines(written):
        return ""
    return _blame(element, f"expected lines of {path.name}; came others")


def _judge_signature(element: Tag) -> str:
    """Accept a definition without a body, or the declaration of one name."""
    text = element.get_text().strip()
    for attempt in (f"def {text}: ...", text):
        try:
            statements = ast.parse(attempt).body
        except SyntaxError:
            continue
        if len(statements) == 1 and isinstance(
            statements[0], ast.FunctionDef | ast.AnnAssign | ast.Assign
        ):
            return ""
    return _blame(element, "expected a signature; came other code")


def _judge_block(element: Tag, holder: Tag, is_example: Callable[[Shown], bool]) -> str:
    if _language(holder) == "text":
        above = holder.find_previous_sibling()
        is_output = above is not None and _language(above) == "python"
        return "" if is_output else _blame(element, "expected output below a python block")
    if is_example(_read_example(holder)):
        return ""
    return _blame(element, "expected an example that passed on every device asked for")


def _read_example(holder: Tag) -> Shown:
    below = holder.find_next_sibling()
    is_output = _language(holder) == "python" and below is not None and _language(below) == "text"
    output = below.get_text() if below is not None and is_output else ""
    return Shown(_language(holder), trim(holder.get_text()), trim(output))


def _find_prompts(page: BeautifulSoup) -> Iterator[str]:
    for text in page.find_all(string=PROMPT):
        if isinstance(text, NavigableString) and not text.find_parent((*CODE, *UNSEEN)):
            yield f"expected a prompt only in a fence; came: {text.strip()[:SUMMARY_LENGTH]}"
    for quotation in page.select(" ".join(["blockquote"] * 3)):
        yield _blame(quotation, "expected a prompt only in a fence; came '>>>' as quotations")


def _find_holder(element: Tag) -> Tag | None:
    return element.find_parent("div", class_="highlight")


def _is_reference(holder: Tag) -> bool:
    is_listing = holder.find_parent("details", class_="mkdocstrings-source") is not None
    return is_listing or _has_class(holder, "doc-signature")


def _has_class(element: Tag | None, name: str) -> bool:
    return element is not None and name in element.get_attribute_list("class")


def _language(holder: Tag) -> str:
    names = [name or "" for name in holder.get_attribute_list("class")]
    if "highlight" not in names:
        return ""
    return next((n.removeprefix("language-") for n in names if n.startswith("language-")), "")


def _strip_lines(text: str) -> str:
    return "\n".join(line.strip() for line in text.split("\n"))


def _blame(element: Tag, fault: str) -> str:
    return f"{fault}: {' '.join(element.get_text().split())[:SUMMARY_LENGTH]}"
