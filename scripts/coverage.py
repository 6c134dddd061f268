#!/usr/bin/env python3
"""The share of lines that ran, file by file, as gcov's counters say.

usage: coverage.py BUILD FOLDER PERCENT [--missing]

Fails when less than PERCENT of the lines of FOLDER's files ran. --missing: says which did not."""
import collections
import json
import pathlib
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parent.parent


def counts(build, folder):
    """{file: {line: how often it ran}}; a line of a header is what all that include it make of it."""
    lines = collections.defaultdict(lambda: collections.defaultdict(int))
    for data in pathlib.Path(build).resolve().rglob("*.gcda"):
        said = subprocess.run(["gcov", "--json-format", "--stdout", str(data)], cwd=data.parent,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        for text in said.splitlines():
            report = json.loads(text)
            top = pathlib.Path(build).resolve()
            for f in report["files"]:
                path = (top / f["file"]).resolve()
                if SOURCE / folder in path.parents:
                    for line in f["lines"]:
                        lines[path][line["line_number"]] += line["count"]
    return lines


def ranges(numbers):
    """1 2 3 7 as 1-3, 7."""
    out = []
    for n in sorted(numbers):
        if out and out[-1][1] == n - 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return ", ".join(f"{a}-{b}" if b > a else str(a) for a, b in out)


def main():
    build, folder, percent = sys.argv[1:4]
    total = ran = 0
    for path, lines in sorted(counts(build, folder).items()):
        here = sum(1 for c in lines.values() if c)
        total, ran = total + len(lines), ran + here
        missing = ranges(n for n, c in lines.items() if not c) if "--missing" in sys.argv else ""
        print(f"{100 * here / len(lines):6.1f} %  {here:5d} of {len(lines):5d}  "
              f"{path.relative_to(SOURCE)}  {missing}".rstrip())
    share = 100 * ran / total if total else 0
    print(f"{share:6.1f} %  {ran:5d} of {total:5d}  {folder}, at least {percent} wanted")
    return share < float(percent)


if __name__ == "__main__":
    sys.exit(main())
