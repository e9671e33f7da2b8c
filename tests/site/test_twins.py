"""The Markdown twin of a page says what the page says."""

import re
from collections import Counter
from pathlib import Path
from zlib import decompress

import pytest
from bs4 import BeautifulSoup, Tag

FENCE = re.compile(r"^ *```(\w+)\n(.*?)\n? *```$", re.MULTILINE | re.DOTALL)
# A listing stands in the file that the twin names in its place.
LEFT_OUT = "a.headerlink, .md-content__button, .mkdocstrings-source .highlight, style, script"


def read_article(path: Path) -> Tag:
    article = BeautifulSoup(path.read_text("utf-8"), "html.parser").select_one("article")
    assert article is not None
    for element in article.select(LEFT_OUT):
        element.decompose()
    return article


def find_lost(page: Path) -> list[str]:
    """Find the words and blocks of a page that its twin lacks."""
    article, twin = read_article(page), page.with_name("index.md").read_text("utf-8")
    words = Counter(re.findall(r"\w+", article.get_text(" ")))
    lost = words - Counter(re.findall(r"\w+", twin.replace("\\", "")))
    blocks = [(name, strip(text)) for name, text in FENCE.findall(twin)]
    shown = [(read_language(block), strip(block.get_text())) for block in article.select("pre")]
    return [*lost, *(text for _, text in set(shown) - set(blocks))]


def strip(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().split("\n"))


def read_language(block: Tag) -> str:
    holder = block.find_parent("div", class_="highlight")
    names = " ".join(holder.get_attribute_list("class")) if holder else ""
    return names.partition("language-")[2].partition(" ")[0]


def test_every_page_has_a_twin_that_loses_nothing(site: Path) -> None:
    pages = sorted(site.rglob("index.html"))
    assert {str(page): lost for page in pages if (lost := find_lost(page))} == {}


@pytest.mark.parametrize("word", ["crossing", "is_inference", "hidden_dim=16"])
def test_lost_word_is_found(copy_of_site: Path, word: str) -> None:
    twin = copy_of_site / "contract/index.md"
    twin.write_text(twin.read_text("utf-8").replace(word, "", 1), "utf-8")
    assert find_lost(twin.with_name("index.html"))


def test_reference_is_in_its_twin(site: Path) -> None:
    twin = (site / "reference/policy/index.md").read_text("utf-8")
    assert "```python\nLSTMPolicyBundle(\n    feature_dim: int,\n" in twin
    assert "- **`hidden_dim`** (`int`, default: `128`" in twin
    assert "Source code in `src/tamiyo_rl/policy/bundle.py`." in twin


def test_index_lists_every_twin(site: Path) -> None:
    index = (site / "llms.txt").read_text("utf-8")
    assert index.startswith("# tamiyo-rl\n\n> Recurrent PPO for PyTorch")
    listed = re.findall(r"^- \[.+?\]\((.+?)\): .+$", index, re.MULTILINE)
    twins = [path.relative_to(site).as_posix() for path in site.rglob("index.md")]
    assert sorted(listed) == sorted(twins)


def test_index_has_the_groups_of_the_menu(site: Path, root: Path) -> None:
    index = (site / "llms.txt").read_text("utf-8")
    menu = re.findall(r"^  - (.+):$", (root / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert re.findall(r"^## (.+)$", index, re.MULTILINE) == menu[menu.index("Start") :]


def test_page_is_described_by_its_own_words(site: Path) -> None:
    page = BeautifulSoup((site / "contract/index.html").read_text("utf-8"), "html.parser")
    own = '[content^="A recurrent policy has two sides."]'
    for selector in (f'meta[name="description"]{own}', f'meta[property="og:description"]{own}'):
        assert len(page.select(selector)) == 1
    assert page.select('meta[property="og:title"][content="The contract"]')


def test_inventory_names_the_public_objects(site: Path) -> None:
    _, _, body = (site / "objects.inv").read_bytes().partition(b"zlib.\n")
    assert b"tamiyo_rl.policy.LSTMPolicyBundle.evaluate_actions py:" in decompress(body)
