"""Find links between the pages of a built site that lead nowhere.

python docs/check_links.py docs/_build/html
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The targets and the anchors of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = set(), set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.links.add(value)
            elif name in ("id", "name"):
                self.anchors.add(value)


def dead_links(site):
    """Pairs of a page and a link on it without a target."""
    pages = {
        path.resolve(): Page(path)
        for path in sorted(site.rglob("*.html"))
        if "_static" not in path.parts
    }
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path
            if parts.path:
                target = (path.parent / unquote(parts.path)).resolve()
            anchors = pages[target].anchors if target in pages else set()
            if not target.is_file() or (
                parts.fragment
                and target in pages
                and unquote(parts.fragment) not in anchors
            ):
                yield path.relative_to(site.resolve()), link


if __name__ == "__main__":
    site = Path(sys.argv[1])
    found = list(dead_links(site))
    for page, link in found:
        print(f"{page}: {link}")
    sys.exit(f"{len(found)} dead links." if found else 0)
