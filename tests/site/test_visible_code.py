"""Planted escapes: code that a reader of the built site would see, and that no test ran."""

from pathlib import Path

import pytest
from sybil import Document

from tests.doctests.examples import LANGUAGES, ExampleParser
from tests.site.conftest import build_site
from tests.site.plugin import show
from tests.site.visible_code import find_faults

EXAMPLE = "```python\nprint(1)\n```\n\n```text\n1\n```\n"
NESTED = "- Item:\n\n    ```python\n    print(1)\n    ```\n\n    ```text\n    1\n    ```\n"
HTML = '<div class="language-python highlight"><pre><code>{}</code></pre></div>\n'

PROVEN = {
    "example": EXAMPLE,
    "example in a list": NESTED,
    "example in an admonition": "!!! note\n\n" + NESTED.partition("\n\n")[2],
    "session": "```pycon\n>>> 1\n1\n```\n",
    "inline": "# The `x`\n\nText with `x`.\n\n- `x`\n\n| `x` |\n|---|\n| `x` |\n",
    "reference": "::: package.proven\n",
}

ESCAPES = {
    "indented block": ("Text\n\n    x = 1\n", "expected output below a python block: x = 1"),
    "indented block below code": (f"{EXAMPLE}\nText\n\n    x = 1\n", "expected output below"),
    "bare fence": ("```\nx = 1\n```\n", "expected output below a python block: x = 1"),
    "unknown language": ("```py\nx = 1\n```\n", "expected an example that passed"),
    "title": ("```python title='a'\nx = 1\n```\n", "expected an example that passed"),
    "attributes": ("```{.python}\nx = 1\n```\n", "expected an example that passed"),
    "tildes": ("~~~python\nx = 1\n~~~\n", "expected an example that passed"),
    "quotation": ("> ```python\n> x = 1\n> ```\n", "expected an example that passed"),
    "raw pre": ("<pre>x = 1</pre>\n", "expected code in a fence; came <pre>: x = 1"),
    "raw pre and code": ("<pre><code>x = 1</code></pre>\n", "expected code in a fence"),
    "raw highlight": (HTML.format("x = 1"), "expected an example that passed"),
    "raw textarea": ("<textarea>x = 1</textarea>\n", "came <textarea>: x = 1"),
    "raw samp": ("Text <samp>x = 1</samp>\n", "came <samp>: x = 1"),
    "raw code in lines": ("Text <code>x = 1<br>y = 2</code>\n", "expected code in a fence; came"),
    "details": (
        "<details><summary>More</summary><pre>x = 1</pre></details>\n",
        "expected code in a fence; came <pre>: x = 1",
    ),
    "fence in details": (
        '<details markdown="1"><summary>More</summary>\n\n```python\nx = 1\n```\n\n</details>\n',
        "x = 1",
    ),
    "paragraph of code": ("Text\n\n`x = 1`\n", "came a paragraph of it: x = 1"),
    "prompt": ("Text\n\n\\>>> x = 1\n", "expected a prompt only in a fence; came: >>> x = 1"),
    "shell prompt": ("$ pip install x\n", "came: $ pip install x"),
    "another output": (EXAMPLE.replace("\n1\n", "\n2\n"), "expected an example that passed"),
    "no output": ("```python\nprint(1)\n```\n", "expected an example that passed"),
    "output of nothing": ("```text\n1\n```\n", "expected output below a python block: 1"),
    "attribute": ("::: package.attribute\n", "came '>>>' as quotations: 1 + 1 3"),
    "section of examples": ("::: package.section\n", "expected an example that passed"),
    "listing of another file": (
        '<details class="mkdocstrings-source"><summary><code>src/package/proven.py</code></summary>'
        + HTML.format("x = 2")
        + "</details>\n",
        "expected lines of proven.py; came others: x = 2",
    ),
    "signature with a body": (
        HTML.format("import os").replace("highlight", "doc-signature highlight"),
        "expected a signature; came other code: import os",
    ),
}

MODULES = {
    "__init__": '"""Do."""\n',
    "proven": (
        '"""Do."""\n\nx: int = 1\n"""Do."""\n\n\ndef f(a: int = 1) -> int:\n'
        '    """Do.\n\n    ```python\n    print(1)\n    ```\n\n'
        '    ```text\n    1\n    ```\n    """\n'
        "    return a\n\n\nclass A:\n"
        '    """Do.\n\n    ```pycon\n    >>> 1\n    1\n    ```\n    """\n\n'
        '    @property\n    def b(self) -> int:\n        """Do."""\n        return 1\n'
    ),
    "attribute": '"""Do."""\n\nx = 1\n"""Do.\n\n>>> 1 + 1\n3\n"""\n',
    "section": '"""Do.\n\nExamples:\n    >>> 1 + 1\n    3\n"""\n',
}


@pytest.fixture(scope="module")
def site(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build one site with a page for each text."""
    escapes = {name: text for name, (text, _) in ESCAPES.items()}
    pages = {f"docs/{name}.md": text for name, text in {**PROVEN, **escapes}.items()}
    modules = {f"src/package/{name}.py": text for name, text in MODULES.items()}
    return build_site(tmp_path_factory.mktemp("planted"), root, {**pages, **modules})


def look(site: Path, name: str) -> list[str]:
    """Look at a page; what passed is the examples of the pages that are proven."""
    texts = (PROVEN["example"], PROVEN["session"])
    parse = ExampleParser(dict.fromkeys(LANGUAGES, lambda _: None), "cpu")
    passed = {show(region.parsed) for text in texts for region in parse(Document(text, "page.md"))}
    html = (site / name / "index.html").read_text("utf-8")
    return find_faults(html, passed.__contains__, site.parent)


@pytest.mark.parametrize("name", PROVEN)
def test_page_of_examples_is_proven(site: Path, name: str) -> None:
    assert look(site, name) == []


@pytest.mark.parametrize("name", ESCAPES)
def test_escape_is_caught(site: Path, name: str) -> None:
    faults = look(site, name)
    assert len(faults) == 1, faults
    assert ESCAPES[name][1] in faults[0]
