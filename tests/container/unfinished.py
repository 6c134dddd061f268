"""What a container that was not taken away wholly leaves, looked for by its name."""
import os


def processes(mark):
    """Command lines of processes with this in them."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                line = f.read().replace(b"\0", b" ").decode(errors="replace")
            with open(f"/proc/{pid}/stat") as f:
                gone = f.read().rpartition(")")[2].split()[0] in "ZX"
        except OSError:
            continue
        if mark in line and not gone and int(pid) != os.getpid():
            found.append(f"{pid}: {line}")
    return found


def groups(name):
    """Every group folder of this name, in all hierarchies."""
    return [os.path.join(top, n) for top, names, _ in os.walk("/sys/fs/cgroup")
            for n in names if name in n]
