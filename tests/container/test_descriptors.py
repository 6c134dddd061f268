#!/usr/bin/env python3
"""No descriptor of the host is there when something is looked up for a container's process: seen from
outside, stopped in its execve by a seccomp listener, and from inside, by commands and first lines of
scripts that lead through /proc/self/fd.

timeout: 420
"""
import fcntl
import os
import pty
import shutil
import socket
import stat
import struct
import subprocess
import threading

from bundle import BASE, OCI, ROOT, ROOTLESS, TOP, Bundle, busybox_copy, check, contains, equal, main
from bundle import need_rights

need_rights("container/descriptors")

UP = "../" * 12
# A program of the host: a busybox whose name is that of its applet. It says "OUTSIDE" in any container.
os.mkdir(os.path.join(TOP, "outside"))
ECHO = os.path.join(TOP, "outside", "echo")
shutil.copy(busybox_copy(), ECHO)
MOST = 16  # descriptors that are tried


class Agent:
    """Answers the listeners of a container's seccomp filter: an execve goes on, but of the first one
    of each filter, which is the runtime's, the process's descriptors are kept."""

    def __init__(self, b):
        self.seen = []
        path = os.path.join(b.dir, "agent")
        b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path, "syscalls": [
            {"names": ["execve"], "action": "SCMP_ACT_NOTIFY"}]}
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen(8)
        self.failure = None
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            c, _ = self.socket.accept()
            _, ancillary, _, _ = c.recvmsg(65536, socket.CMSG_LEN(4))
            listener = int.from_bytes(ancillary[0][2][:4], "little")
            threading.Thread(target=self.answer, args=(listener,), daemon=True).start()

    def answer(self, listener):
        first = True
        try:
            while True:
                notice = bytearray(80)
                fcntl.ioctl(listener, 0xc0502100, notice)  # SECCOMP_IOCTL_NOTIF_RECV
                key, pid = struct.unpack_from("=QI", notice)
                if first:
                    self.seen.append((descriptors(pid), same_root(pid)))
                first = False
                fcntl.ioctl(listener, 0xc0182101, struct.pack("=QqiI", key, 0, 0, 1))  # goes on
        except OSError:
            os.close(listener)  # the last process with this filter is gone


def descriptors(pid):
    """What a process has open beside its standard streams: number and kind, or target."""
    found = {}
    for n in os.listdir(f"/proc/{pid}/fd"):
        if int(n) > 2:
            mode = os.stat(f"/proc/{pid}/fd/{n}").st_mode
            target = os.readlink(f"/proc/{pid}/fd/{n}")
            found[int(n)] = "socket" if stat.S_ISSOCK(mode) else target
    return found


def same_root(pid):
    return os.path.samestat(os.stat(f"/proc/{pid}/root"), os.stat("/"))


def only_sockets(found):
    check(all(kind == "socket" for kind in found.values()), f"open: {found}")


def user_namespace(b):
    b.user_namespace()
    os.chown(b.rootfs, BASE, BASE)


def terminal(b):
    b.process["terminal"] = True


def no_pid_namespace(b):
    b.without("pid")
    b.config["mounts"] = [m for m in b.config["mounts"] if m["destination"] != "/proc"]
    b.config["mounts"].insert(0, {"destination": "/proc", "type": "bind", "source": "/proc",
                                  "options": ["rbind"]})


def in_terminal(args):
    """Runs wirt-oci with a terminal of its own; status and output."""
    master, slave = pty.openpty()
    p = subprocess.Popen([OCI, "--root", ROOT, *args], stdin=slave, stdout=slave, stderr=slave,
                         start_new_session=True)
    os.close(slave)
    out = b""
    try:
        while chunk := os.read(master, 4096):
            out += chunk
    except OSError:  # the end of a terminal
        pass
    os.close(master)
    return p.wait(60), out.decode(errors="replace")


KINDS = [
    ("plain", lambda b: None, []),
    ("user namespace", user_namespace, []),
    ("no pivot", lambda b: None, ["--no-pivot"]),
    ("terminal", terminal, []),
    ("no pid namespace", no_pid_namespace, []),
]


def start(b, options):
    """run in the foreground: status and output together."""
    b.write()
    args = ["run", *options, "--bundle", b.dir, b.id]
    if b.process["terminal"]:
        return in_terminal(args)
    status, out, err = b.oci(*args)
    return status, out + err


def test_at_execve():
    """at execve, behind a seccomp filter, only sockets are open, and the root is the container's"""
    for name, change, options in KINDS:
        for command in ("run", "create"):
            b = Bundle(["/bin/echo", "inside"])
            change(b)
            agent = Agent(b)
            if command == "create" and name == "terminal":
                continue
            if command == "run":
                status, out = start(b, options)
                equal(status, 0)
                contains(out, "inside")
            else:
                b.create(*options)
                only_sockets(descriptors(b.state()["pid"]))
                b.start()
                b.wait_status("stopped")
                b.delete()
            equal(len(agent.seen), 1)
            found, host = agent.seen[0]
            only_sockets(found)
            check(not host, f"{name}: the root is the host's at execve")


def test_exec_at_execve():
    """the same in exec, with a terminal, in a user namespace, with a pid namespace that is joined"""
    other = Bundle(["/bin/sleep", "1000"])
    other.create()
    other.start()
    joined = f"/proc/{other.state()['pid']}/ns/pid"

    def joins(b):
        b.namespace("pid")["path"] = joined

    for name, change, options in [k for k in KINDS if k[0] != "terminal"] + [("joined", joins, [])]:
        b = Bundle(["/bin/sleep", "1000"])
        change(b)
        agent = Agent(b)
        b.create(*options)
        b.start()
        status, out, err = b.oci("exec", b.id, "/bin/echo", "inside")
        equal((name, status, out), (name, 0, "inside\n"))
        status, out = in_terminal(["exec", "--tty", b.id, "/bin/echo", "inside"])
        equal((name, status, out), (name, 0, "inside\r\n"))
        equal(len(agent.seen), 3)
        for found, host in agent.seen:
            only_sockets(found)
            check(not host, f"{name}: the root is the host's at execve")
        b.delete()
    other.delete()


def traps(b):
    """In the container's /t: commands, scripts and folders that lead through each descriptor."""
    folder = os.path.join(b.rootfs, "t")
    os.mkdir(folder)
    for n in range(MOST):
        out = f"/proc/self/fd/{n}/{UP}{ECHO[1:]}"
        os.symlink(out, os.path.join(folder, f"link{n}"))
        script = os.path.join(folder, f"script{n}")
        with open(script, "w") as f:
            f.write(f"#!{out} OUTSIDE\n")
        os.chmod(script, 0o755)


def check_inside(what, status, out):
    check("OUTSIDE" not in out, f"{what}: ran a program of the host: {out}")
    check(status != 0, f"{what}: status 0: {out}")


def test_traps_by_run():
    """a command or script that leads through /proc/self/fd/N does not reach the host: run, start"""
    for name, change, options in KINDS:
        b = Bundle()
        change(b)
        traps(b)
        for n in range(MOST):
            # Of scripts it is the kernel that looks the trap up; of links, the runtime first.
            for args in ([f"/t/script{n}"], [f"/t/link{n}", "OUTSIDE"])[:2 if name == "plain" else 1]:
                b.process["args"] = args
                status, out = start(b, options)
                check_inside(f"{name} {args}", status, out)
    b = Bundle()
    traps(b)
    for n in range(MOST):
        b.process["args"] = [f"/t/script{n}"]
        if b.create(fails=True) == 0:
            status, out, err = b.oci("start", b.id)
            check_inside(f"start script{n}", status, out + err + b.printed())
            b.delete()


def test_traps_by_exec():
    """the same by exec, with and without a terminal"""
    for name, change, options in [k for k in KINDS if k[0] != "terminal"]:
        b = Bundle(["/bin/sleep", "1000"])
        change(b)
        traps(b)
        b.create(*options)
        b.start()
        for n in range(MOST):
            for args in ([f"/t/link{n}", "OUTSIDE"], [f"/t/script{n}"]):
                status, out, err = b.oci("exec", b.id, *args)
                check_inside(f"{name} exec {args}", status, out + err)
            status, out = in_terminal(["exec", "--tty", b.id, f"/t/script{n}"])
            check_inside(f"{name} exec --tty script{n}", status, out)
        b.delete()


def test_traps_by_hook():
    """the same by a startContainer hook, which the container's root names"""
    b = Bundle()
    traps(b)
    for n in range(MOST):
        for name in (f"/t/link{n}", f"/t/script{n}"):
            b.config["hooks"] = {"startContainer": [{"path": name, "args": ["echo", "OUTSIDE"]}]}
            status, out, err = b.run()
            check_inside(f"hook {name}", status, out + err)


def test_hooks():
    """hooks hold their standard streams alone, whatever the caller of the runtime holds"""
    for kind in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart",
                 "poststop"):
        b = Bundle()
        says = os.path.join(b.dir if kind != "startContainer" else b.rootfs, "says")
        to = says if kind != "startContainer" else "/says"
        # Of busybox's own descriptors one is the folder that ls reads.
        b.config["hooks"] = {kind: [{"path": "/bin/sh", "args": [
            "sh", "-c", f"for f in /proc/self/fd/*; do readlink $f; done > {to}; true"]}]}
        folder = os.open("/", os.O_RDONLY)
        try:
            b.output(pass_fds=(folder,))
        finally:
            os.close(folder)
        with open(says) as f:
            found = f.read().split()
        check("/" not in found and len(found) >= 3, f"{kind}: {found}")


def test_caller_leaks():
    """what the caller of the runtime left open does not reach the container, nor its lookups"""
    b = Bundle()
    traps(b)
    leaks = " ".join(f"{n}</" for n in range(3, 10))
    for n in range(3, 10):
        b.process["args"] = [f"/t/script{n}"]
        b.write()
        p = subprocess.run(["/bin/sh", "-c", f'exec {leaks}; exec "$@"', "sh", OCI, "--root", ROOT,
                            "run", "--bundle", b.dir, b.id], stdin=subprocess.DEVNULL, check=False,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        check_inside(f"caller's descriptor {n}", p.returncode, p.stdout.decode())


def test_preserved_are_open():
    """a descriptor to be passed that is not open is refused, so that none of the runtime's is"""
    b = Bundle()
    status, _, err = b.run("--preserve-fds", "2")
    equal(status, 1)
    contains(err, "descriptor 3 is to be passed to the container and is not open")
    # A log that takes the number of a descriptor to be passed is the runtime's own.
    b.write()
    log = os.path.join(b.dir, "log")
    p = subprocess.run([OCI, "--root", ROOT, "--log", log, "run", "--preserve-fds", "1", "--bundle",
                        b.dir, b.id], check=False, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    equal(p.returncode, 1)
    equal(b.left_behind(), [])


def test_closed_streams():
    """a standard stream that the caller closed becomes /dev/null, not a descriptor of the runtime"""
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        b = Bundle(shell="for f in 0 1 2; do readlink /proc/self/fd/$f; done > /says")
        b.write()
        p = subprocess.run(["/bin/sh", "-c", f'exec "$@" {closed}', "sh", OCI, "--root", ROOT, "run",
                            "--bundle", b.dir, b.id], stdin=subprocess.DEVNULL, check=False,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        equal(p.returncode, 0)
        with open(os.path.join(b.rootfs, "says")) as f:
            for line in f.read().split():
                check(line == "/dev/null" or line.startswith("pipe:") or line == "/says",
                      f"{closed}: {line}")


if __name__ == "__main__":
    main(globals())
