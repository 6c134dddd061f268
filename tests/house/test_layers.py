#!/usr/bin/env python3
"""A file includes only what is below it, and no wall another wall (docs/architecture.md)."""
import pathlib
import re
import sys

SRC = pathlib.Path(__file__).resolve().parents[2] / "src"
RANK = {"base": 0, "isa": 1, "jail": 1, "net": 1, "engine": 2, "image": 3, "agent": 4, "container": 5, "process": 5,
        "machine": 5, "guest": 6, "cli": 7}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def wrong(path):
    """What the file includes and may not."""
    own = path.relative_to(SRC).parts[0]
    for name in INCLUDE.findall(path.read_text()):
        layer = name.split("/")[0] if "/" in name else own
        if not (SRC / name).exists() and not (path.parent / name).exists():
            continue  # made by the build, or a system header
        if layer not in RANK:
            yield f"{name} is in no layer"
        elif layer != own and RANK[layer] >= RANK[own]:
            yield f"{own} may not include {name}"


def main():
    files = [p for p in sorted(SRC.rglob("*")) if p.suffix in (".c", ".h")]
    stray = [d.name for d in SRC.iterdir() if d.is_dir() and d.name not in RANK]
    bad = [f"{p.relative_to(SRC)}: {w}" for p in files for w in wrong(p)]
    bad += [f"src/{name} is no layer" for name in stray]
    if not files:
        bad = ["no file found"]
    name = "includes point down only"
    print(f"not ok - {name}: " + "; ".join(bad) if bad else f"ok - {name} ({len(files)} files)")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
