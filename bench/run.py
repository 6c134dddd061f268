#!/usr/bin/env python3
"""Speed as ratios to peers, measured side by side in one run (make bench).

usage: bench/run.py [--rounds N] [--quick] [--plots FOLDER] [SECTION ...]

Sections: kernels    our C kernels: native, qemu-riscv64, wirt-riscv64
          programs   Debian's riscv64 programs: qemu-riscv64, wirt-riscv64
          boot       the same kernel and initramfs to power-off: qemu-system-riscv64, wirt
          container  run of /bin/true with the default spec: crun, wirt-oci
          start      a static riscv64 program that only exits: qemu-riscv64, wirt-riscv64

wirt-riscv64 keeps no translations (--cache off), so that all is cold, as with qemu; only a row that says "warm"
begins with those that an earlier run has kept, in a folder of its own.

Times are CPU seconds, user and system, of the whole process tree; rounds are interleaved (A B C A
B C); the median counts. WIRT_QEMU names another qemu-riscv64, WIRT_QEMU_SYSTEM another
qemu-system-riscv64: then the better of the two counts, benchmark by benchmark.
"""
import argparse
import json
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("WIRT_BUILD", SOURCE / "build")).resolve()
GUEST = BUILD / "guest"
WIRT = BUILD / "wirt"
WIRT_RISCV64 = BUILD / "wirt-riscv64"
WIRT_OCI = BUILD / "wirt-oci"
COLD = [str(WIRT_RISCV64), "--cache", "off"]

# How much of each kernel: so that native code takes about a tenth of a second.
SCALE = {"atomics": 80, "bits": 100, "chase": 30, "copy": 40, "crc32": 40, "divide": 60, "fib": 200,
         "fir": 80, "hashmap": 70, "interp_goto": 60, "interp_switch": 70, "longjmp": 150,
         "mandelbrot": 30, "matmul": 50, "mixed": 140, "nbody": 60, "qsort": 70, "quicksort": 35,
         "sha256": 16, "sieve": 40, "spectral": 100, "strings": 70, "virtual": 20}

# What Debian's programs do: name, arguments below the root file system, standard input. WARM: with translations
# of the run before.
WARM = ", warm"
LOOP = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; echo $i"
C_FILE = "\n".join(f"int f{i}(int *a, int n) {{ int s = {i}; for (int k = 0; k < n; k++) s += a[k] * "
                   f"(k ^ {i}); return s; }}" for i in range(80))
SQL = ("create table t(a integer primary key, b text); with recursive c(x) as (select 1 union all "
       "select x+1 from c where x<40000) insert into t select x, hex(x*7919) from c; "
       "select count(*), sum(length(b)) from t where b like '%3A%';")
PROGRAMS = [
    ("bash loop", ["usr/bin/bash", "-c", LOOP], ""),
    ("python loop", ["usr/bin/python3", "-c", "s = 0\nfor i in range(600000): s += i ^ 5\nprint(s)"],
     ""),
    ("python start", ["usr/bin/python3", "-S", "-c", "pass"], ""),
    ("python start" + WARM, ["usr/bin/python3", "-S", "-c", "pass"], ""),
    ("python json", ["usr/bin/python3", "-c", "import json; d = json.dumps({str(i): [i, i / 7, "
                     "'x' * (i % 9)] for i in range(9000)}); print(len(json.dumps(json.loads(d))))"],
     ""),
    ("perl", ["usr/bin/perl", "-e", "for $i (1..300000) { $h{$i % 1000} .= chr($i % 26 + 65) if $i =~ "
              "/7/ } print length(join '', map { $h{$_} } sort keys %h)"], ""),
    ("sqlite", ["usr/bin/sqlite3", ":memory:", SQL], ""),
    ("xz", ["usr/bin/xz", "-6", "-T1", "-c"], C_FILE * 30),
    ("gzip", ["usr/bin/gzip", "-9", "-n", "-c"], C_FILE * 400),
    ("sha256sum", ["usr/bin/sha256sum"], C_FILE * 900),
    ("sort", ["usr/bin/sort"], C_FILE * 40),
    ("cc1 -O2", ["usr/libexec/gcc/riscv64-linux-gnu/14/cc1", "-O2", "-quiet", "-o", "/dev/stdout", "-"],
     C_FILE),
]


def cpu_seconds(command, stdin=subprocess.DEVNULL, data=None, expect=None, timeout=300):
    """(CPU seconds of the command and all its children, wall seconds, output)."""
    start = time.monotonic()
    with tempfile.TemporaryFile() as feed, tempfile.TemporaryFile() as errors:
        if data is not None:
            feed.write(data)
            feed.seek(0)
            stdin = feed
        process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=errors)
        # Read to the end first, then collect: wait4 gives this child's times and its children's.
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        errors.seek(0)
        said = errors.read().decode(errors="replace")[-300:]
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))[:200]}: exit status {process.returncode}: "
                           f"{said}")
    if expect is not None and expect not in output:
        raise RuntimeError(f"{' '.join(map(str, command))[:200]}: its output lacks {expect!r}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - start, output


def interleaved(commands, rounds, **keywords):
    """name -> median CPU seconds, name -> median wall seconds; the outputs must be the same."""
    cpu = {name: [] for name in commands}
    wall = {name: [] for name in commands}
    outputs = {}
    same = keywords.pop("same", True)
    for _ in range(rounds):
        for name, command in commands.items():
            c, w, outputs[name] = cpu_seconds(command, **keywords)
            cpu[name].append(c)
            wall[name].append(w)
    if same and len(set(outputs.values())) != 1:
        short = {n: o[-80:] for n, o in outputs.items()}
        raise RuntimeError(f"outputs differ: {short}")
    median = statistics.median
    return ({n: median(v) for n, v in cpu.items()}, {n: median(v) for n, v in wall.items()})


def geomean(values):
    return math.exp(sum(math.log(v) for v in values) / len(values)) if values else float("nan")


def qemus(default, variable):
    """The installed qemu and the one that the environment names."""
    found = {}
    if shutil.which(default):
        found["qemu"] = shutil.which(default)
    if os.environ.get(variable):
        found["qemu2"] = os.environ[variable]
    if not found:
        sys.exit(f"bench: no {default} here: make deps")
    return found


def best(times):
    return min(v for n, v in times.items() if n.startswith("qemu"))


class Table:
    """Rows of one section: printed as they come, and kept."""

    def __init__(self, title, columns, ratios):
        self.title, self.columns, self.ratios, self.rows = title, columns, ratios, []
        print(f"\n## {title}\n\n| | " + " | ".join(columns + ratios) + " |")
        print("|---" * (1 + len(columns) + len(ratios)) + "|")

    def add(self, name, values, ratios):
        self.rows.append((name, values, ratios))
        cells = [f"{v:.4g}" for v in values] + [f"**{r:.2f}**" for r in ratios]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)

    def cold(self):
        """The rows that means are made of: comparable with other emulators', and with earlier runs."""
        return [r for r in self.rows if not r[0].endswith(WARM)]

    def failed(self, name, why):
        print(f"| {name} | failed: {why} |", flush=True)

    def end(self):
        if len(self.rows) > 1:
            means = [geomean([r[2][i] for r in self.cold()]) for i in range(len(self.ratios))]
            print("| geometric mean |" + " |" * len(self.columns) +
                  " | ".join([""] + [f"**{m:.2f}**" for m in means])[2:] + " |")

    def data(self):
        return {"title": self.title, "columns": self.columns, "ratios": self.ratios,
                "rows": [{"name": n, "values": v, "ratios": r} for n, v, r in self.rows],
                "geomean": [geomean([r[2][i] for r in self.cold()]) for i in range(len(self.ratios))]}


def emulators():
    return qemus("qemu-riscv64", "WIRT_QEMU")


def kernels(options):
    subprocess.run([SOURCE / "scripts" / "programs.sh"], check=True)
    folder = BUILD / "programs"
    table = Table("kernels: CPU seconds", ["native", "qemu", "wirt"],
                  ["wirt : native", "qemu : native", "qemu : wirt"])
    names = sorted(p.stem for p in (SOURCE / "tests/programs/kernels").glob("*.c"))
    for name in names:
        scale = str(max(1, SCALE.get(name, 10) // (10 if options.quick else 1)))
        program = str(folder / "riscv64" / name)
        commands = {"native": [str(folder / "native" / name), scale]}
        commands.update({n: [q, program, scale] for n, q in emulators().items()})
        commands["wirt"] = [*COLD, program, scale]
        try:
            t, _ = interleaved(commands, options.rounds)
        except RuntimeError as e:
            table.failed(name, e)
            continue
        q = best(t)
        table.add(name, [t["native"], q, t["wirt"]],
                  [t["wirt"] / t["native"], q / t["native"], q / t["wirt"]])
    table.end()
    return table


def programs(options):
    root = GUEST / "rootfs"
    table = Table("Debian's programs: CPU seconds", ["qemu", "wirt"], ["qemu : wirt"])
    for name, command, data in PROGRAMS:
        program = [str(root / command[0]), *command[1:]]
        commands = {n: [q, "-L", str(root), *program] for n, q in emulators().items()}
        try:
            with tempfile.TemporaryDirectory() as kept:
                wirt = [str(WIRT_RISCV64), "--cache", kept] if name.endswith(WARM) else COLD
                commands["wirt"] = [*wirt, "-L", str(root), *program]
                if wirt is not COLD:
                    cpu_seconds(commands["wirt"], data=data.encode())
                t, _ = interleaved(commands, options.rounds, data=data.encode())
        except RuntimeError as e:
            table.failed(name, e)
            continue
        table.add(name, [best(t), t["wirt"]], [best(t) / t["wirt"]])
    table.end()
    return table


def start(options):
    folder = BUILD / "programs" / "riscv64"
    subprocess.run([SOURCE / "scripts" / "programs.sh"], check=True)
    program = str(folder / "hello")
    table = Table("starting a static program: CPU seconds", ["qemu", "wirt"], ["qemu : wirt"])
    commands = {n: [q, program] for n, q in emulators().items()}
    commands["wirt"] = [*COLD, program]
    try:
        t, _ = interleaved(commands, options.rounds * 10)
        table.add("hello", [best(t), t["wirt"]], [best(t) / t["wirt"]])
    except RuntimeError as e:
        table.failed("hello", e)
    return table


def boot(options):
    table = Table("machine, boot to power-off: CPU seconds", ["qemu", "wirt"], ["qemu : wirt"])
    kernel, initrd = str(GUEST / "vmlinux"), str(GUEST / "initramfs.cpio.gz")
    disk = str(GUEST / "disk.img")
    with tempfile.TemporaryDirectory() as scratch:
        copy = pathlib.Path(scratch) / "disk.img"
        cases = [("initramfs", "console=ttyS0 wirt.run='echo up $((6*7))'", False),
                 ("ext4 root", "console=ttyS0 root=/dev/vda wirt.run='echo up $((6*7))'", True)]
        for name, append, with_disk in cases:
            append = append.replace("'", '"')
            commands = {}
            for n, q in qemus("qemu-system-riscv64", "WIRT_QEMU_SYSTEM").items():
                commands[n] = [q, "-M", "virt", "-m", "1G", "-nographic", "-no-reboot", "-kernel",
                               kernel, "-initrd", initrd, "-append", append]
                if with_disk:
                    commands[n] += ["-drive", f"file={disk},format=raw,if=virtio,snapshot=on"]
            commands["wirt"] = [str(WIRT), "run", "--rm", "--as", "machine", "--memory", "1g",
                                "--kernel", kernel, "--initrd", initrd, "--append", append]
            if with_disk:
                subprocess.run(["cp", "--sparse=always", disk, str(copy)], check=True)
                commands["wirt"] += ["--disk", str(copy)]
            try:
                t, _ = interleaved(commands, options.rounds, expect=b"up 42", same=False)
            except RuntimeError as e:
                table.failed(name, e)
                continue
            table.add(name, [best(t), t["wirt"]], [best(t) / t["wirt"]])
    table.end()
    return table


# crun refuses hosts with both cgroup versions: hide the second from it, in a private mount namespace.
HIDE = ("for m in $(awk '$3 == \"cgroup2\" && $2 != \"/sys/fs/cgroup\" { print $2 }' /proc/mounts); do "
        "umount \"$m\"; done; exec \"$@\"")


def container(options):
    if os.geteuid() != 0:
        print("\n## container: left out, the default spec of both runtimes needs root")
        return None
    table = Table("container, run of /bin/true: milliseconds", ["crun", "wirt"], ["crun : wirt"])
    with tempfile.TemporaryDirectory() as scratch:
        crun = shutil.which("crun")
        subprocess.run([crun, "spec"], cwd=scratch, check=True)
        config = pathlib.Path(scratch) / "config.json"
        spec = json.loads(config.read_text())
        spec["process"].update({"terminal": False, "args": ["/bin/true"]})
        spec["process"].pop("rlimits", None)
        spec["root"] = {"path": str(GUEST / "rootfs-native"), "readonly": True}
        config.write_text(json.dumps(spec))
        # Many runs in one shell, so that the private mount namespace is not measured.
        loop = 'n=$1; shift; while [ $n -gt 0 ]; do "$@" bench-$$-$n || exit 1; n=$((n-1)); done'
        count = 10 if options.quick else 40

        def runs(runtime, state):
            return ["unshare", "-m", "sh", "-c", HIDE, "sh", "sh", "-c", loop, "sh", str(count), runtime,
                    "--root", f"{scratch}/{state}", "run", "--bundle", scratch]
        try:
            cpu, wall = interleaved({"crun": runs(crun, "crun"), "wirt": runs(str(WIRT_OCI), "wirt")},
                                    options.rounds, same=False)
        except RuntimeError as e:
            table.failed("run", e)
            return table
    for name, t in (("CPU time", cpu), ("wall time", wall)):
        each = {n: v / count * 1000 for n, v in t.items()}
        table.add(name, [each["crun"], each["wirt"]], [each["crun"] / each["wirt"]])
    return table


def plot(table, folder, file, column, ylabel, series):
    """A bar chart of some ratio columns, by gnuplot."""
    if not shutil.which("gnuplot") or not table.rows:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".dat") as data:
        for name, _, ratios in table.rows:
            data.write(f'"{name}" ' + " ".join(f"{ratios[i]:.4f}" for i in column) + "\n")
        data.write('"geometric mean" ' +
                   " ".join(f"{geomean([r[2][i] for r in table.cold()]):.4f}" for i in column) + "\n")
        data.flush()
        bars = ", ".join(f"'{data.name}' using {k + 2}:xtic(1) title \"{title}\""
                         for k, title in enumerate(series))
        script = f"""set terminal svg size 960,420 font 'sans,11' background 'white'
set output '{folder / file}'
set style data histograms
set style histogram cluster gap 1
set style fill solid 0.85 border -1
set boxwidth 0.9
set xtics rotate by -40 noenhanced
set ytics
set grid y
set logscale y 2
set ylabel '{ylabel}'
set key top left
set rmargin 6
plot {bars}
"""
        subprocess.run(["gnuplot"], input=script.encode(), check=True)
    print(f"\n(plot: {folder / file})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    sections = {"start": start, "kernels": kernels, "programs": programs, "boot": boot,
                "container": container}
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="smaller work, one round")
    parser.add_argument("--plots", type=pathlib.Path, default=SOURCE / "docs" / "plots")
    parser.add_argument("sections", nargs="*", metavar="SECTION", choices=[[], *sections],
                        help=", ".join(sections))
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
    tables = {}
    for name in options.sections or list(sections):
        table = sections[name](options)
        if table:
            tables[name] = table
    if "kernels" in tables:
        plot(tables["kernels"], options.plots, "kernels.svg", [1, 0],
             "times the CPU time of native code", ["qemu-riscv64", "wirt"])
    if "programs" in tables:
        plot(tables["programs"], options.plots, "programs.svg", [0], "qemu : wirt (CPU time)",
             ["Debian's programs"])
    out = BUILD / "bench"
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps({n: t.data() for n, t in tables.items()}, indent=1))
    return 0 if all(t.rows for t in tables.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
