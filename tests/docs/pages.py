"""The pages of the documentation: where they are, their fenced blocks, headings and links."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
COMPONENTS = ROOT / "components" / "README.md"
RUN = [*PAGES, COMPONENTS]  # their commands and Python blocks run
NEIGHBOURS = [ROOT / "CONTRIBUTING.md", *ROOT.glob("*/README.md")]  # which link to the pages
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


FILE = re.compile(r"`([\w./]+\.(?:toml|py))`[.:]\n\n$")  # named at the end of the paragraph before


class Block(NamedTuple):
    """A fenced block: its language (empty: output), its text, where it stands, and the file that it is saved as."""

    page: Path
    line: int
    language: str
    text: str
    file: str = ""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path, *languages: str) -> Iterator[Block]:
    """The fenced blocks of a page in these languages, in order."""
    text = page.read_text()
    for found in FENCE.finditer(text):
        if found[1] in languages:
            named = FILE.search(text, 0, found.start())
            line = text.count("\n", 0, found.start()) + 1
            yield Block(page, line, found[1], found[2], named[1] if named else "")


def commands(block: Block) -> list[str]:
    """The command lines of a shell block, continued lines joined, comments and empty lines left out."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def without_redirection(line: str) -> str:
    """A command line without the file that it writes its output to."""
    return re.sub(r" >>? [\w./]+", "", line)


def prose(page: Path) -> str:
    """The text of a page without its fenced blocks."""
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """The targets of the links and images of a page."""
    return LINK.findall(prose(page))
