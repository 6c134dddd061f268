#!/usr/bin/env python3
"""A guest's monitor that was taken over reaches what the monitor needs and no more: tried by one that obeys orders
(monitor_probe.c), behind each wall, by root and by an ordinary user; and the real ones are jailed so. timeout: 300"""
import ctypes
import json
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import tempfile

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / name) for name in ("machine", "")]
from guest import BUILD, SOURCE, check, finish  # noqa: E402
from reach import within_reach  # noqa: E402

within_reach()

PROBE = BUILD / "tests" / "guest" / "monitor_probe"
WIRT = BUILD / "wirt"
LANDLOCK = ctypes.CDLL(None).syscall(444, None, 0, 1)

# Behind every wall these end at the filter.
CALLS = ["fork", "exec", "unix", "tcp", "ptrace", "mount", "unshare", "setuid", "executable-memory", "bpf", "keyctl",
         "limits", "io_uring", "symlink", "device"]
# And these, of files, are what each monitor is for.
OWN = [("read", "own/log"), ("write", "own/log"), ("create", "own/new"), ("unlink", "own/log"), ("list", "guests")]
MACHINE_OWN = OWN + [("read", "settings/balance.json"), ("create", "memory/abc"), ("list", "memory")]
# What is refused behind every wall: to change what is not the guest's.
CHANGES = [("write", "other/log"), ("create", "other/new"), ("unlink", "other/log"), ("create", "guests/new"),
           ("write", "settings/balance.json"), ("unlink", "settings/balance.json"), ("create", "settings/new"),
           ("create", "names/new"), ("unlink", "names/other"), ("unlink", "lock"), ("create", "new"),
           ("write", "/etc/passwd"), ("create", "/tmp/wirt-planted"), ("write", "/proc/self/oom_score_adj")]
# And behind a machine's to look at it.
LOOKS = [("read", "other/log"), ("read", "other/config.json"), ("list", "names"), ("read", "/etc/passwd"), ("list", "/"),
         ("list", "/proc"), ("read", "/proc/self/maps"), ("list", "/tmp"), ("read", "/dev/null"),
         ("write", "/sys/fs/cgroup/cgroup.procs"), ("create", "memory/../planted")]


class Who:
    def __init__(self, user, scratch):
        self.user = user
        self.kw = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=scratch))
        if user:
            os.chown(self.folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)

    def probe(self, *args):
        wall = args[1] if args[0] == "--rm" else args[0]
        at = args.index(wall) + 1
        r = subprocess.run([PROBE, *args[:at], self.folder / "probe", *args[at:]], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=30, cwd="/", **self.kw)
        shutil.rmtree(self.folder / "probe", ignore_errors=True)
        return r.stderr.strip()

    def victim(self):
        return subprocess.Popen(["sleep", "300"], **self.kw)


def tried(name, who, wall, attempts, wanted, *options):
    got = [(a, said) for a in attempts if (said := who.probe(*options, wall, *a)) not in wanted]
    check(f"{name}: {len(attempts)} attempts", not got, got)


def probes(who):
    name = who.user or "root"
    victim = who.victim()
    pid = str(victim.pid)
    filters = who.probe("machine", "fork", "0") == "killed"
    if not filters or LANDLOCK < 3:
        print(f"skip - {name}: a monitor's jail: {'no Landlock here' if filters else 'a sanitized build has no filters'}")
    else:
        for wall in ("machine", "container", "process"):
            tried(f"{name}: {wall}: filtered", who, wall, [(c, pid) for c in CALLS], {"killed", "EAFNOSUPPORT"})
            tried(f"{name}: {wall}: what is needed works", who, wall, MACHINE_OWN if wall == "machine" else OWN, {"did"})
            tried(f"{name}: {wall}: nothing else is changed", who, wall, CHANGES, {"EACCES", "EPERM"})
        tried(f"{name}: machine: nothing else is seen", who, "machine", LOOKS, {"EACCES", "EPERM", "ENOENT"})
        tried(f"{name}: machine: no other process is signalled", who, "machine", [("kill", pid), ("pidfd", pid)], {"killed"})
        tried(f"{name}: machine: nor by way of /proc", who, "machine", [("proc-folder", pid)], {"EACCES"})
        tried(f"{name}: --rm: the guest's folder and name can go", who, "machine",
              [("unlink", "names/own"), ("write", "lock"), ("unlink", "own/log")], {"did"}, "--rm")
        tried(f"{name}: --rm: another guest's folder stays", who, "machine",
              [("unlink", "other/log"), ("write", "other/log"), ("create", "names/new"), ("create", "guests/new")],
              {"EACCES"}, "--rm")
        tried(f"{name}: --rm: as long as something is in it", who, "machine", [("rmdir", "other/")], {"ENOTEMPTY"}, "--rm")
    check(f"{name}: who was to be killed lives", victim.poll() is None)
    victim.kill()
    victim.wait()
    return filters


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {k: v.strip() for k, v in (line.split(":", 1) for line in lines)}


def real(who, wall, options, what, filters):
    """A guest's monitor as it is when the guest runs."""
    name = f"{who.user or 'root'}: {wall}"

    def wirt(*args):
        return subprocess.run([WIRT, "--root", who.folder / "state", *args], stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, cwd="/", **who.kw)
    if not pathlib.Path(what[0]).exists():
        print(f"skip - {name}: its monitor is jailed: missing {what[0]}")
        return
    r = wirt("run", "-d", "--name", "a", "--as", wall, *options, *what)
    if r.returncode:
        check(f"{name}: runs", False, r.stdout)
        return
    monitor = json.loads(wirt("inspect", "a").stdout)[0]["monitorPid"]
    s = status_of(monitor)
    limits = pathlib.Path(f"/proc/{monitor}/limits").read_text()
    caps = int(s["CapEff"], 16) | int(s["CapPrm"], 16) | int(s["CapInh"], 16) | int(s["CapAmb"], 16)
    few = caps == 0 if wall == "machine" or who.user else caps & ~0x80002E == 0
    check(f"{name}: the real monitor has few capabilities or none", few, s["CapEff"])
    check(f"{name}: none comes back", not filters or s["NoNewPrivs"] == "1", s["NoNewPrivs"])
    check(f"{name}: it is filtered", not filters or s["Seccomp"] == "2", s["Seccomp"])
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size")).split()[4:6]
    files = next(line for line in limits.splitlines() if line.startswith("Max open files")).split()[3:5]
    check(f"{name}: it is limited", core == ["0", "0"] and int(files[1]) <= 1024, (core, files))
    open_files = [os.readlink(f) for f in pathlib.Path(f"/proc/{monitor}/fd").iterdir() if f.is_symlink()]
    stray = [f for f in open_files if f.startswith("/") and not f.startswith((str(who.folder / "state"), "/dev/null",
                                                                              "/proc/"))]
    check(f"{name}: nothing of its caller's is open", not stray, stray)
    for verb in (("pause", "a"), ("resume", "a"), ("stats", "--no-stream", "a"), ("logs", "a")):
        r = wirt(*verb)
        check(f"{name}: {verb[0]} works", r.returncode == 0, r.stdout)
    r = wirt("kill", "a")
    check(f"{name}: kill works", r.returncode == 0, r.stdout)
    r = wirt("rm", "-f", "a")
    check(f"{name}: and nothing is left", r.returncode == 0 and not list((who.folder / "state/guests").iterdir()), r.stdout)


if not PROBE.exists():
    print(f"skip - a monitor's jail: missing {PROBE}")
    sys.exit(0)
subprocess.run([SOURCE / "scripts/programs.sh"], check=True)
with tempfile.TemporaryDirectory() as scratch:
    os.chmod(scratch, 0o755)
    for user in [None, "nobody"] if os.geteuid() == 0 else [None]:
        who = Who(user, scratch)
        filters = probes(who)
        real(who, "machine", ["--memory", "64m", "--firmware"], [BUILD / "programs/machine/spin"], filters)
        real(who, "process", [], [BUILD / "guest/rootfs", "sleep", "100"], filters)
        real(who, "container", [], [BUILD / "guest/rootfs-native", "sleep", "100"], filters)
finish()
