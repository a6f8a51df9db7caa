#!/usr/bin/env python3
"""Every relative link of the Markdown pages leads to a file, and to a heading of it where it names one.

    links.py

No network: addresses of other sites are not looked up.
"""

import functools
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


def main():
    pages = [ROOT / name for name in listed("*.md")]
    links = [(page, link) for page in pages for link in LINK.findall(prose(page)) if "://" not in link]
    dead = [f"{page.relative_to(ROOT)}: {link}" for page, link in links if not leads_somewhere(page, link)]
    print(f"{len(links)} links of {len(pages)} pages")
    if dead or not links:
        raise SystemExit("\n".join(["dead links:", *dead]))


def listed(pattern):
    # Also what is new and not yet added.
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", pattern]
    listed_names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in listed_names.split("\0") if name and (ROOT / name).exists()]


def prose(page):
    """The page without its code."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`(?!\])", "", text)


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
    """What GitHub and mdBook call the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    names = (re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text))
    return set(names)


main()
