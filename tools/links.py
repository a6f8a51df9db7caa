#!/usr/bin/env python3
"""Every relative link of the Markdown pages leads to a file, and to a heading of it where it names one.

Works without a network: links to other sites are not checked.
"""

import functools
import re

from common import ROOT, files

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


def main():
    pages = [ROOT / name for name in files("*.md")]
    links = [(page, link) for page in pages for link in LINK.findall(prose(page)) if "://" not in link]
    dead = [f"{page.relative_to(ROOT)}: {link}" for page, link in links if not leads_somewhere(page, link)]
    print(f"{len(links)} links of {len(pages)} pages")
    if dead or not links:
        raise SystemExit("\n".join(["dead links:", *dead]))


def prose(page):
    """The page without its code."""
    return re.sub(r"`[^`\n]*`(?!\])", "", without_blocks(page))


def without_blocks(page):
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def leads_somewhere(page, link):
    path, _, anchor = link.partition("#")
    if link.startswith("mailto:"):
        return True
    target = (page.parent / path).resolve() if path else page
    if not target.is_relative_to(ROOT) or not target.exists():
        return False
    return not anchor or target.suffix != ".md" or anchor in anchors(target)


@functools.cache
def anchors(page):
    """The anchors of the headings of a page, as GitHub and mdBook derive them."""
    names = (
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(without_blocks(page))
    )
    return set(names)


main()
