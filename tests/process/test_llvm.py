#!/usr/bin/env python3
# timeout: 1800
"""LLVM's compilers for riscv64 (clang, llc and rustc, Debian's), translated: their objects are those that they make
under qemu, and the programs do what they should. Its code allocates registers and orders instructions as gcc's
does not. The first time the packages are fetched (scripts/guest-root.sh)."""
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WIRT_BUILD", SOURCE / "build")).resolve()
ROOT = BUILD / "guest-llvm" / "rootfs"
KERNELS = SOURCE / "tests" / "programs" / "kernels"
RUST = pathlib.Path(__file__).parent / "llvm" / "sums.rs"
WIRT = [str(BUILD / "wirt-riscv64"), "-L", str(ROOT)]
QEMU = ["qemu-riscv64", "-L", str(ROOT)]
SLOW = 200


def run(command):
    """What it wrote; raises with what it said when it fails."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, timeout=SLOW)
    if done.returncode:
        raise RuntimeError(f"{pathlib.Path(str(command[3])).name} ended with {done.returncode}: "
                           f"{done.stdout.decode(errors='replace')[-300:]!r}")
    return done.stdout


def tool(name):
    return ROOT / "usr" / "bin" / name


def compiled(how, folder, *command):
    """The object that a compiler writes to the file that its command ends with."""
    folder.mkdir(exist_ok=True)
    to = folder / command[-1]
    run([*how, *command[:-1], "-o", to])
    return to.read_bytes()


def same_objects(folder):
    """(name, command) of what is compiled by both."""
    cases = []
    for level, kernel in (("-O1", "divide"), ("-O2", "hashmap"), ("-O3", "nbody")):
        cases.append((f"clang {level} {kernel}", [tool("clang"), level, "-c", KERNELS / f"{kernel}.c", f"{kernel}.o"]))
    bitcode = folder / "strings.bc"
    run([*WIRT, tool("clang"), "-O1", "-emit-llvm", "-c", KERNELS / "strings.c", "-o", bitcode])
    cases.append(("llc -O2 strings", [tool("llc"), "-O2", "-filetype=obj", "-relocation-model=pic", bitcode, "strings.o"]))
    return cases


def compare(folder, name, command):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        wirt = pool.submit(compiled, WIRT, folder / "wirt", *command)
        qemu = pool.submit(compiled, QEMU, folder / "qemu", *command)
        if wirt.result() != qemu.result():
            raise RuntimeError("the object is not qemu's")


def clang_runs(folder):
    program = folder / "hashmap"
    run([*WIRT, tool("clang"), "-O2", "-ffp-contract=off", KERNELS / "hashmap.c", "-o", program, "-lm"])
    if run([*WIRT, program]) != run([BUILD / "programs" / "native" / "hashmap"]):
        raise RuntimeError("it does not write what it writes natively")


def rust_runs(folder):
    program = folder / "sums"
    run([*WIRT, tool("rustc"), "-O", RUST, "-o", program])
    got, wanted = run([*WIRT, program]).decode(), RUST.with_suffix(".txt").read_text()
    if got != wanted:
        raise RuntimeError(f"it writes {got!r}, not {wanted!r}")


def check(name, what, *arguments):
    try:
        what(*arguments)
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as e:
        print(f"not ok - {name}: {e}")
        return 1
    print(f"ok - {name}", flush=True)
    return 0


def main():
    fetched = subprocess.run([SOURCE / "scripts" / "guest-root.sh", "llvm", BUILD / "guest-llvm"],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if fetched.returncode:
        print(f"skip - LLVM's compilers: the packages cannot be had: {fetched.stdout.strip().splitlines()[-1]}")
        return 0
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for name, command in same_objects(folder):
            failed += check(f"{name}: the object is qemu's", compare, folder, name, command)
        failed += check("a program by clang -O2 runs as natively", clang_runs, folder)
        failed += check("a program by rustc -O computes what it should", rust_runs, folder)
    return failed != 0


sys.exit(main())
