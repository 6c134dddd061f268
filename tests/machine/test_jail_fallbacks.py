#!/usr/bin/env python3
"""A machine's jail on a kernel that has no user namespaces for us, no Landlock, or neither (tests/machine/without.c makes
it look so): what is left holds what it can, and what it cannot is said. timeout: 600"""
import ctypes
import os
import pathlib
import pwd
import re
import socket
import subprocess
import sys
import tempfile

sys.path[:0] = [str(p) for p in pathlib.Path(__file__).resolve().parents[:2]]
from guest import BUILD, SOURCE, check, finish  # noqa: E402
from reach import within_reach  # noqa: E402

within_reach()

TESTS = BUILD / "tests" / "machine"
KINDS = ["machine", "share", "network"]  # harts and disks have less than a machine's main thread
LANDLOCK = ctypes.CDLL(None).syscall(444, None, 0, 1)
CALLS = ["raw", "kill", "ptrace", "read-memory", "mount", "exec", "setuid", "bpf", "perf", "reboot", "limits", "leaked", "unshare",
         "fork", "executable-memory", "keyctl", "io_uring", "userfaultfd"]
WARNING = re.compile(r"jail_probe: warning: [^\n]*\n")
REFUSED = {"killed", "ENOENT", "EAFNOSUPPORT"}
WALLS = {"EACCES", "EPERM", "ENOENT", "EROFS", "ESRCH", "ECONNREFUSED", "ENETUNREACH", "EINVAL", "EBADF", "EXDEV"}


class Host:
    """What the attempts are after, and who makes them."""

    def __init__(self, user, folder):
        self.kw = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}
        self.folder = folder
        self.victim = subprocess.Popen(["sleep", "300"], **self.kw)
        self.name = f"wirt-fallback-{os.getpid()}-{user}"
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind("\0" + self.name)
        self.server.listen(8)
        self.tcp = socket.socket()
        self.tcp.bind(("127.0.0.1", 0))
        self.tcp.listen(8)
        self.secret = folder / "secret"
        self.secret.write_text("secret")
        self.secret.chmod(0o644)

    def end(self):
        alive = self.victim.poll() is None
        self.victim.kill()
        self.victim.wait()
        self.server.close()
        self.tcp.close()
        return alive

    def run(self, without, *command):
        r = subprocess.run([TESTS / "without", *without, "--", *command], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60, cwd="/", **self.kw)
        return r.stderr

    def probe(self, without, walls, kind, *attempt):
        """What the attempt came to, and what was said before."""
        share = ("--share", self.folder / "shared") if kind == "share" else ()
        said = self.run(without, TESTS / "jail_probe", *(["--walls"] if walls else []), *share, kind, *attempt)
        # Two processes say something, in any order.
        return WARNING.sub("", said).strip(), "".join(WARNING.findall(said))

    def paths(self, kind, without):
        # The empty root can be opened, but for Landlock.
        return [("open", str(self.secret)), ("open", "/etc/passwd"), ("open", f"/proc/{self.victim.pid}/mem"),
                ("create",)] + ([("climb",)] if kind == "share" else []) + ([("open", "/")] if "landlock" not in without else [])

    def others(self, kind, calls):
        pid, port = str(self.victim.pid), str(self.tcp.getsockname()[1])
        return [(c, pid) for c in calls] + [("unix", self.name)] + ([("tcp", port)] if kind != "network" else [])


def tried(name, host, without, walls, kind, attempts, wanted):
    got = [(a, said) for a in attempts if (said := host.probe(without, walls, kind, *a)[0]) not in wanted]
    check(f"{name}: {kind}: {len(attempts)} attempts", not got, got)


def filtered(name, host, without, opens):
    """With the filters, whatever else is missing. opens: shares and the network can open what they name."""
    for kind in KINDS:
        attempts = host.others(kind, CALLS)
        if kind not in ("share", "network"):
            attempts += host.paths(kind, without)
        tried(f"{name}: filters", host, without, False, kind, attempts, REFUSED | {"EBADF"})
        if kind in ("share", "network") and not opens:
            tried(f"{name}: filters, paths", host, without, False, kind, host.paths(kind, without), WALLS)


def unfiltered(name, host, without, left_out=()):
    """What stands behind the filters."""
    for kind in KINDS:
        calls = [c for c in CALLS[:12] if c not in left_out and not (c == "setuid" and kind == "share" and not host.kw)]
        attempts = [a for a in host.others(kind, calls) + host.paths(kind, without) if (kind, a[0]) not in left_out]
        tried(f"{name}: behind the filters", host, without, True, kind, attempts, WALLS)


def says(name, host, without, kind, wanted):
    said = host.probe(without, False, kind, "leaked")[1]
    check(f"{name}: {kind}: it says {wanted or 'nothing'}", wanted in said if wanted else not said, said)


def as_user(host):
    name = "without user namespaces"
    if LANDLOCK >= 6:
        filtered(name, host, ["userns"], False)
        # Its own files, which Landlock keeps, are all that a user has; so has it signals and sockets.
        unfiltered(name, host, ["userns"])
        for kind in KINDS:
            says(name, host, ["userns"], kind, "no namespaces of its own: new namespaces: Operation not permitted; Landlock,")
    else:
        print(f"skip - {name}: Landlock's sixth version is not here")
    name = "without Landlock"
    filtered(name, host, ["landlock"], False)
    unfiltered(name, host, ["landlock"], [("network", "unix")])  # it is in the host's network; its filter holds that
    says(name, host, ["landlock"], "share", "")
    name = "without either"
    filtered(name, host, ["userns", "landlock"], True)
    for kind in KINDS:
        wide = kind in ("share", "network")
        opened = host.probe(["userns", "landlock"], False, kind, "open", str(host.secret))[0] == "did"
        check(f"{name}: {kind}: it opens its user's files: {wide}", opened == wide)
        says(name, host, ["userns", "landlock"], kind,
             "it can open any file of its user" if wide else "which let it open nothing")


def as_root(host):
    name = "root without user namespaces"
    filtered(name, host, ["userns"], False)
    unfiltered(name, host, ["userns"])
    says(name, host, ["userns"], "machine", "")
    says(name, host, ["userns"], "share", "it has root's capabilities over files")
    said = host.probe(["userns"], True, "share", "device")[0]
    check(f"{name}: no device is made", said in ("EPERM", "EACCES"), said)
    name = "root without either"
    filtered(name, host, ["userns", "landlock"], False)
    unfiltered(name, host, ["userns", "landlock"], [("network", "unix")])


def really_without(host):
    """A namespace whose owner may make no further one, and has spent its capabilities."""
    script = f"echo 0 >/proc/sys/user/max_user_namespaces && exec {TESTS}/jail_probe "
    for what, start in (("root of a namespace", ""),
                        ("root without capabilities", "exec setpriv --bounding-set -all --inh-caps -all -- ")):
        got = []
        for attempt in (("machine", "open", "/etc/passwd"), ("machine", "fork"), ("network", "open", "/etc/passwd")):
            run = script.replace("exec ", start or "exec ", 1) + " ".join(attempt)
            r = subprocess.run(["unshare", "--user", "--map-root-user", "sh", "-c", run], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
            said = r.stderr.strip().split("\n")[-1]
            if said not in REFUSED | WALLS:
                got.append((attempt, r.stderr))
        check(f"max_user_namespaces 0, {what}: it is jailed all the same", not got, got)


def machines(host, user):
    """A whole machine, by an ordinary user, where nothing but filters is left."""
    state = host.folder / "state"
    state.mkdir()
    os.chown(state, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    if not (BUILD / "guest/rootfs").exists():
        print("skip - a machine runs without either: no guest files")
        return
    for without in (["userns"], ["landlock"], ["userns", "landlock"]):
        r = subprocess.run([TESTS / "without", *without, "--", BUILD / "wirt", "--root", state, "run", "--rm", "--as", "machine",
                            "-v", f"{host.folder}/shared:/mnt", "-v", f"{host.secret}:/etc/issue", BUILD / "guest/rootfs", "sh",
                            "-c", "cat /mnt/inside /etc/issue; echo made >/mnt/made"],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           timeout=170, cwd="/", **host.kw)
        made = host.folder / "shared/made"
        well = r.returncode == 0 and r.stdout == "insidesecret" and made.exists()
        check(f"a machine with shares and a network runs without {' and '.join(without)}", well, (r.returncode, r.stdout, r.stderr))
        made.unlink(missing_ok=True)


if not (TESTS / "without").exists():
    print(f"skip - a jail's fallbacks: missing {TESTS}/without")
    sys.exit(0)
subprocess.run([SOURCE / "scripts/programs.sh"], check=True)
with tempfile.TemporaryDirectory() as scratch:
    os.chmod(scratch, 0o755)
    for user in ([None, "nobody"] if os.geteuid() == 0 else [None]):
        folder = pathlib.Path(scratch) / (user or "own")
        (folder / "shared").mkdir(parents=True)
        (folder / "shared/inside").write_text("inside")
        if user:
            os.chown(folder / "shared", pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        host = Host(user, folder)
        if host.probe([], False, "machine", "fork")[0] != "killed":
            print("skip - a jail's fallbacks: a sanitized build has no filters")
            host.end()
            break
        if user or os.geteuid():
            as_user(host)
            machines(host, user or pwd.getpwuid(os.geteuid()).pw_name)
        else:
            as_root(host)
            really_without(host)
        check(f"{user or 'root'}: who was to be killed lives", host.end())
finish()
