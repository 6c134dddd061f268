#!/usr/bin/env python3
# timeout: 600
"""Programs compiled twice, by gcc and by clang, do the same natively, under qemu and under wirt;
riscv64's own programs do the same under qemu and under wirt."""
import os
import pathlib
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WIRT_BUILD", SOURCE / "build")).resolve()
WIRT = str(BUILD / "wirt-riscv64")
# qemu counts time where these count instructions (mission/test_isa runs them).
TIME_TO_QEMU = {"instret"}
SLOW = 60


def output(command):
    """What the command wrote and how it ended."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, timeout=SLOW)
    except subprocess.TimeoutExpired:
        return f"still running after {SLOW} s"
    return (done.returncode, done.stdout)


def difference(a, b):
    """The first line that differs."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        for x, y in zip(a[1].splitlines(), b[1].splitlines()):
            if x != y:
                return f"{x!r} but {y!r}"
    return f"{a!r:.200} but {b!r:.200}"


def compare(name, oracle_name, oracle, wirt):
    if oracle == wirt and isinstance(wirt, tuple) and wirt[0] == 0:
        print(f"ok - {name} as {oracle_name}")
        return 0
    print(f"not ok - {name} as {oracle_name}: {difference(oracle, wirt)}")
    return 1


def main():
    subprocess.run([SOURCE / "scripts" / "programs.sh"], check=True)
    folder = BUILD / "programs"
    failed = 0
    for source in sorted((SOURCE / "tests" / "programs" / "kernels").glob("*.c")):
        program = str(folder / "riscv64" / source.stem)
        wirt = output([WIRT, program])
        failed += compare(source.stem, "native", output([str(folder / "native" / source.stem)]), wirt)
        failed += compare(source.stem, "qemu", output(["qemu-riscv64", program]), wirt)
        native = output([str(folder / "clang" / f"{source.stem}-native")])
        for level in ("O1", "O2", "O3"):
            wirt = output([WIRT, str(folder / "clang" / f"{source.stem}-{level}")])
            failed += compare(f"{source.stem} by clang -{level}", "native", native, wirt)
    for source in sorted((SOURCE / "tests" / "programs" / "riscv").glob("*.c")):
        if source.stem in TIME_TO_QEMU:
            continue
        program = str(folder / "riscv64" / source.stem)
        failed += compare(source.stem, "qemu", output(["qemu-riscv64", program]),
                          output([WIRT, program]))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
