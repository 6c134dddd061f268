#!/usr/bin/env python3
"""The docs are true to the code: files they name exist, and so do functions they name.

A name in `backquotes` that looks like a path of the repository must be there; one that ends in ()
must be a word of a source file."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATH = re.compile(r"`((?:src|tests|scripts|docs|bench)/[\w./*-]+)`")
FUNCTION = re.compile(r"`(\w+)\(\)`")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)")


def main():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    sources = [p for p in (ROOT / "src").rglob("*") if p.suffix in (".c", ".h", ".S", ".inc")]
    words = set(re.findall(r"\w+", " ".join(p.read_text() for p in sources)))
    status = 0
    for page in pages:
        if not page.exists():
            continue
        text = page.read_text()
        bad = [n for n in PATH.findall(text) if not list(ROOT.glob(n.rstrip("/.")))]
        bad += [f"{n}()" for n in FUNCTION.findall(text) if n not in words]
        bad += [n for n in LINK.findall(text) if not (page.parent / n).exists()]
        title = f"{page.relative_to(ROOT)} names what exists"
        print(f"not ok - {title}: {', '.join(sorted(set(bad)))}" if bad else f"ok - {title}")
        status |= bool(bad)
    numbers = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "promises.md").read_text(), re.MULTILINE)
    twice = sorted({n for n in numbers if numbers.count(n) > 1}, key=int)
    print(f"not ok - each promise has a number of its own: {', '.join(twice)}" if twice else
          "ok - each promise has a number of its own")
    status |= bool(twice)
    if not any(p.exists() for p in pages):
        print("not ok - docs: there are none")
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
