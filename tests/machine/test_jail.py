#!/usr/bin/env python3
"""From inside a machine's jail, and its network's, nothing of the host can be opened, connected to,
signalled, traced or mounted: tried by a program that obeys orders (jail_probe.c), by each kind of
thread, with the filters and, behind them, without. timeout: 120"""
import os
import pathlib
import pwd
import socket
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [str(p) for p in pathlib.Path(__file__).resolve().parents[:2]]
from guest import BUILD, check, finish  # noqa: E402
from reach import within_reach  # noqa: E402

within_reach()

PROBE = BUILD / "tests" / "machine" / "jail_probe"
KINDS = ["machine", "hart", "disk", "share", "network"]


def group(user):
    return pwd.getpwnam(user).pw_gid if user else None


def probe(*args, user=None):
    """What the attempt came to, and the exit status."""
    r = subprocess.run([PROBE, *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE, text=True, user=user, group=group(user),
                       extra_groups=[] if user else None, timeout=30, close_fds=False)
    return r.stderr.strip(), r.returncode


# With a filter: the process ends, or a library's attempt is answered as if there were nothing.
REFUSED = {"killed", "ENOENT", "EAFNOSUPPORT"}
# Without: what namespaces, ids, capabilities and Landlock answer.
WALLS = {"EACCES", "EPERM", "ENOENT", "EROFS", "ESRCH", "ECONNREFUSED", "ENETUNREACH", "EINVAL",
         "ENOSYS", "EBADF", "ENOKEY", "EAGAIN", "EXDEV"}


def attempts(abstract, port, victim):
    return [("open", "/etc/passwd"), ("open", "/proc/1/environ"), ("open", "/"),
            ("open", f"/proc/{victim}/mem"), ("create",), ("unix", abstract), ("raw",),
            ("kill", str(victim)), ("kill-all",), ("ptrace", str(victim)),
            ("read-memory", str(victim)), ("mount",), ("exec",), ("setuid",), ("bpf",),
            ("perf",), ("reboot",), ("limits",), ("leaked",)]


ONLY_FILTERS = [("unshare",), ("fork",), ("executable-memory",), ("keyctl",), ("io_uring",),
                ("userfaultfd",)]


def all_of(user, folder):
    name = f"wirt-jail-{os.getpid()}-{user}"
    server = socket.socket(socket.AF_UNIX)
    server.bind("\0" + name)
    server.listen(8)
    tcp = socket.socket()
    tcp.bind(("127.0.0.1", 0))
    tcp.listen(8)
    port = str(tcp.getsockname()[1])
    victim = subprocess.Popen(["sleep", "100"], user=user, group=group(user),
                              extra_groups=[] if user else None)
    leaked = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    who = user or "root"
    filters = probe("machine", "fork", user=user)[0] == "killed"
    if not filters:
        print(f"skip - {who}: filters: a sanitized build has none")
    for kind in KINDS:
        share = ("--share", folder) if kind == "share" else ()
        wanted = attempts(name, port, victim.pid)
        if kind != "network":
            wanted.append(("tcp", port))
        if share:
            wanted.append(("climb",))
        bad = []
        for a in (wanted + ONLY_FILTERS) if filters else []:
            said, status = probe(*share, kind, *a, user=user)
            if kind in ("share", "network") and a[0] in ("open", "create", "climb"):
                ok = said in WALLS  # these may ask, and find nothing
            elif kind == "network" and a[0] == "raw":
                ok = said in REFUSED | WALLS
            elif a[0] in ("limits", "leaked"):
                ok = said in REFUSED | {"EBADF"}
            else:
                ok = said in REFUSED
            if not ok or status == 1:
                bad.append((a, said, status))
        if filters:
            check(f"{who}: {kind}: {len(wanted + ONLY_FILTERS)} attempts end at the filter", not bad, bad)
        bad = []
        for a in wanted:
            if a[0] == "setuid" and share and not user:
                continue  # it keeps files for all users: it is root, of its own user namespace
            said, status = probe("--walls", *share, kind, *a, user=user)
            if said not in WALLS or status == 1:
                bad.append((a, said, status))
        check(f"{who}: {kind}: {len(wanted)} attempts find nothing behind the filters", not bad, bad)
    check(f"{who}: who was to be killed lives", victim.poll() is None)
    victim.kill()
    victim.wait()
    os.close(leaked)
    server.close()
    tcp.close()
    start = time.monotonic()
    for _ in range(20):
        probe("machine", "leaked", user=user)
    plain = (time.monotonic() - start) / 20
    print(f"# {who}: {plain * 1000:.1f} ms to start, jail, try and end")


def one_file(folder):
    """Of a folder that a shared file is in, a machine that was taken over finds that file; of a shared folder, what is
    below it, and makes no device."""
    place = pathlib.Path(folder) / "place"
    (place / "below").mkdir(parents=True)
    (place / "file").write_text("shared")
    (place / "secret").write_text("secret")
    os.symlink("secret", place / "link")
    file = ("--file", place / "file")
    for walls in ((), ("--walls",)):
        how = "behind the filters" if walls else "filtered"
        said = probe(*walls, *file, "share", "in-share", "file")[0]
        check(f"a shared file is there, {how}", said == "did", said)
        said = probe(*walls, *file, "share", "change-in-share", "file")[0]
        check(f"and can be written, {how}", said == "did", said)
        bad = [(a, said) for a in (("in-share", "secret"), ("in-share", "link"), ("in-share", "below"), ("in-share", "../secret"),
                                   ("change-in-share", "secret"), ("change-in-share", "new"), ("in-share", "../../etc/passwd"),
                                   ("list-share", "secret"), ("in-share", "../place/secret"))
               if (said := probe(*walls, *file, "share", *a)[0]) not in WALLS]
        check(f"and nothing else of its folder, {how}", not bad, bad)
    share = ("--share", place)
    said = [probe(*share, "share", *a)[0] for a in (("in-share", "below"), ("change-in-share", "new"), ("pipe",))]
    check("in a shared folder everything is", said == ["did"] * 3, said)
    said = [probe(*walls, *share, "share", "device")[0] for walls in ((), ("--walls",))]
    check("no device is made in one", said[0] in ("killed", "") and said[1] in WALLS, said)
    (place / "gone").mkdir()
    said, status = probe("--removed", "--share", place / "gone", "share", "in-share", ".")
    check("a folder that is gone makes no lesser jail", status == 3 and "a mount of its own" in said, (said, status))


if not PROBE.exists():
    print(f"skip - jail: missing {PROBE}")
    sys.exit(0)
with tempfile.TemporaryDirectory() as name:
    os.chmod(name, 0o755)
    (pathlib.Path(name) / "inside").write_text("inside")
    said, status = probe("--walls", "--share", name, "share", "open", "/proc/2")
    check("the share's thread sees nobody else in /proc", said == "ENOENT", (said, status))
    one_file(name)
    all_of(None, name)
    if os.geteuid() == 0:
        all_of("nobody", name)
finish()
