#!/usr/bin/env python3
"""Namespaces: each cuts what it should, can be joined, and nests."""
import ctypes
import os
import shutil
import socket
import subprocess
import tempfile
import time

from bundle import (BASE, BUILD, OCI, ROOT, ROOTLESS, SIZE, Bundle, Skip, check, contains, equal, is_dynamic,
                    main, need_rights, root_only)

need_rights("container/namespaces")
KINDS = {"pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts", "mount": "mnt",
         "cgroup": "cgroup"}


def link(kind, pid="self"):
    return os.readlink(f"/proc/{pid}/ns/{kind}")


def test_all_new():
    """every namespace of the default spec differs from the host's"""
    b = Bundle(shell="for n in %s; do readlink /proc/self/ns/$n; done" % " ".join(KINDS.values()))
    inside = b.output().split()
    for name, seen in zip(KINDS.values(), inside):
        check(seen.startswith(name) and seen != link(name), f"{name}: {seen}")


def test_left_out():
    """a namespace that is not asked for is the host's"""
    # A user namespace's root may mount no proc, mqueue or sysfs of namespaces that are not its own.
    for kind in ("cgroup",) if ROOTLESS else ("network", "ipc", "cgroup", "pid"):
        b = Bundle(["/bin/readlink", f"/proc/self/ns/{KINDS[kind]}"])
        b.without(kind)
        equal(b.output().strip(), link(KINDS[kind]))


def test_uts():
    """UTS: equal and different host names side by side, the host's unchanged"""
    before = socket.gethostname()
    for name in ("same", "same", "other"):
        b = Bundle(["/bin/hostname"], hostname=name)
        equal(b.output(), name + "\n")
    b = Bundle(shell="hostname; cat /proc/sys/kernel/domainname", hostname="h", domainname="d.org")
    equal(b.output(), "h\nd.org\n")
    equal(socket.gethostname(), before)


def test_pid():
    """PID: the command is process 1 and sees only its own"""
    out = Bundle(shell="echo $$; ls -d /proc/[0-9]* | wc -l").output().split()
    equal(out[0], "1")
    check(int(out[1]) <= 4, out)


def nested(b):
    """Gives a bundle what a runtime inside needs: itself, rights, control groups, mounts."""
    shutil.copy(BUILD / "wirt-oci", os.path.join(b.rootfs, "bin/wirt-oci"))
    every = [f"CAP_{n}" for n in (
        "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP "
        "NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE SYS_ADMIN NET_ADMIN SYS_PTRACE").split()]
    b.process["capabilities"] = {k: every for k in ("bounding", "effective", "permitted")}
    b.process["noNewPrivileges"] = False
    b.linux["resources"] = {"devices": [{"allow": True, "access": "rwm"}]}
    b.linux["maskedPaths"] = b.linux["readonlyPaths"] = []
    for m in b.config["mounts"]:
        if m["destination"] in ("/sys", "/sys/fs/cgroup"):
            m["options"] = ["nosuid", "noexec", "nodev"]
    b.config["mounts"].append({"destination": "/run", "type": "tmpfs", "source": "tmpfs"})


def chains_of_innermost():
    """The pids, one a namespace, of each "sleep 3" that the host sees."""
    chains = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as c, open(f"/proc/{pid}/status") as s:
                if c.read() == "sleep\x003\x00":
                    chains += [x.split()[1:] for x in s if x.startswith("NSpid")]
        except OSError:
            continue
    return chains


def test_nested_three_deep():
    """PID: containers in containers, three deep; the host sees all, each level only what is below"""
    if is_dynamic(str(BUILD / "wirt-oci")):
        raise Skip("wirt-oci is linked dynamically here: it cannot run in a container")
    outer = Bundle(shell="cd /b/1 && wirt-oci --root /run/w run one")
    nested(outer)
    at = outer
    # Level n's bundle lies in level n-1's root file system.
    for level in (1, 2):
        inner = Bundle(shell="cd /b/1 && wirt-oci --root /run/w run two" if level == 1 else
                       "grep NSpid /proc/self/status; readlink /proc/self/ns/pid; sleep 3")
        nested(inner)
        if level == 2:
            at.inner_config = None
        inner.config["root"]["path"] = "rootfs"
        place = os.path.join(at.rootfs, "b/1")
        os.makedirs(os.path.dirname(place))
        inner.place = place
        inner.parent = at
        at = inner
    for b in (at, at.parent):
        b.write()
        shutil.move(b.dir, b.place)
    outer.write()
    p = subprocess.Popen([str(BUILD / "wirt-oci"), "--root", ROOT, "run", "--bundle", outer.dir,
                          outer.id], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    chains, end = [], time.monotonic() + 20
    # Others may sleep for three seconds too.
    while not any(len(c) == 4 for c in chains) and time.monotonic() < end:
        time.sleep(0.05)
        chains = chains_of_innermost()
    out, err = p.communicate(timeout=30)
    equal((p.returncode, err.decode()), (0, ""))
    # The innermost shell is process 1 of its namespace and sees no number but its own.
    contains(out.decode(), "NSpid:")
    check(any(len(c) == 4 and len(set(c)) >= 2 for c in chains), f"{chains} {out}")


def test_ipc():
    """IPC: one key in two containers and on the host is three different objects"""
    libc = ctypes.CDLL(None, use_errno=True)
    key = 0x77697274
    mine = libc.shmget(key, 4096, 0o1600)
    check(mine >= 0, "shmget on the host")
    try:
        for _ in range(2):
            equal(Bundle(shell="grep -c '^ *2003399284 ' /proc/sysvipc/shm; true").output(), "0\n")
        b = Bundle(shell="grep -c '^ *2003399284 ' /proc/sysvipc/shm; true")
        b.without("ipc")
        b.config["mounts"] = [m for m in b.config["mounts"] if m["type"] != "mqueue"]
        equal(b.output(), "1\n")
    finally:
        libc.shmctl(mine, 0, None)
    # Two containers at once, each with its own value in the same kernel variable.
    for value in ("111", "222"):
        b = Bundle(["/bin/cat", "/proc/sys/kernel/msgmni"])
        b.linux["sysctl"] = {"kernel.msgmni": value}
        equal(b.output(), value + "\n")


def test_mount():
    """mount: what is mounted inside is not seen outside, and the host's tree is gone inside"""
    b = Bundle(shell="mount -t tmpfs inside /tmp && echo ok; grep -c ' / / ' /proc/self/mountinfo; "
                     "ls /oldroot 2>/dev/null; true")
    b.process["capabilities"]["bounding"].append("CAP_SYS_ADMIN")
    b.process["capabilities"]["effective"].append("CAP_SYS_ADMIN")
    b.process["capabilities"]["permitted"].append("CAP_SYS_ADMIN")
    contains(b.output(), "ok")
    with open("/proc/self/mountinfo") as f:
        check("tmpfs inside" not in f.read())


SHARED = """
mount --make-rshared /
mkdir -p "$1/shared" && mount -t tmpfs shared "$1/shared" && mkdir -p "$1/shared/sub"
mount --make-shared "$1/shared"
shift
"$@"
echo; echo left on the host: $(grep -cE "inside|/device[.]" /proc/self/mountinfo)
"""


def seen_by_host(b):
    """What a container prints whose host has every mount shared, as systemd has, and how many of its
    mounts that host sees."""
    b.write()
    p = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", SHARED, "sh",
                        b.dir, OCI, "--root", ROOT, "run", "--bundle", b.dir, b.id],
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       timeout=60, check=False)
    out = p.stdout.decode(errors="replace")
    shutil.rmtree(os.path.join(b.dir, "shared"), ignore_errors=True)
    return out


def may_mount(b):
    os.makedirs(os.path.join(b.rootfs, "mnt"))
    for s in ("bounding", "effective", "permitted"):
        b.process["capabilities"][s].append("CAP_SYS_ADMIN")
    b.config["mounts"] = [m for m in b.config["mounts"] if m["type"] != "cgroup"]
    return b


def test_shared_host():
    """a mount made inside, on a bind, an idmapped one or a device, is not seen by a host that shares"""
    def look(what, b):
        out = seen_by_host(may_mount(b))
        check("mounted" in out and "left on the host: 0" in out, f"{what}: {out}")

    for options in (["rbind"], ["bind", "rw"], ["rbind", "rshared"], ["rbind", "rslave"]):
        b = Bundle(shell="mount -t tmpfs inside /mnt/sub && echo mounted")
        b.config["mounts"].append({"destination": "/mnt", "type": "bind", "options": options,
                                   "source": os.path.join(b.dir, "shared")})
        look(options, b)
    if ROOTLESS:
        return
    for own in (False, True):
        b = Bundle(shell="mount -t tmpfs inside /mnt/sub && echo mounted")
        b.user_namespace()
        mount = {"destination": "/mnt", "type": "bind", "options": ["rbind", "idmap"],
                 "source": os.path.join(b.dir, "shared")}
        if own:
            mount["uidMappings"] = mount["gidMappings"] = b.linux["uidMappings"]
        b.config["mounts"].append(mount)
        look("idmap", b)
    b = Bundle(shell="touch /tmp/x; mount --bind /tmp/x /dev/fuse && echo mounted; "
                     "grep -c fuse /proc/1/mountinfo")
    b.user_namespace()
    os.chmod(os.path.join(b.rootfs, "tmp"), 0o777)
    b.linux["devices"] = [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229,
                           "fileMode": 0o666, "uid": 0, "gid": 0}]
    look("device", b)


def test_no_pivot_hides_proc():
    """--no-pivot: who makes a user namespace inside cannot mount a procfs without what is masked"""
    b = Bundle(["/bin/unshare", "-Urmpf", "sh", "-c",
                "mount -t proc none /proc && echo bare; mount -t sysfs none /sys && echo bare; true"])
    b.without("network")
    for options in (["--no-pivot"], []):
        status, out, err = b.run(*options)
        equal(status, 0)
        check("bare" not in out, f"{options}: {out}")
        equal(err.count("denied"), 2)


def test_network():
    """network: loopback alone, and up"""
    out = Bundle(shell="ip -o link | cut -d: -f2; ping -c1 -w2 127.0.0.1 >/dev/null && echo up")
    out.process["capabilities"]["bounding"].append("CAP_NET_RAW")
    out.process["capabilities"]["effective"].append("CAP_NET_RAW")
    out.process["capabilities"]["permitted"].append("CAP_NET_RAW")
    got = out.output().split()
    contains(got, "lo")
    contains(got, "up")
    check("eth0" not in got, got)


def test_user():
    """user: root inside is an ordinary user outside, with files mapped"""
    b = Bundle(shell="id -u; cat /proc/self/uid_map; touch /tmp/f; echo x > /proc/sys/kernel/panic")
    b.user_namespace()
    os.chmod(os.path.join(b.rootfs, "tmp"), 0o1777)
    _, out, _ = b.run()
    equal(out.split(), ["0", "0", str(BASE), str(SIZE)])
    equal(os.stat(os.path.join(b.rootfs, "tmp/f")).st_uid, BASE)


def test_user_devices():
    """user: a device the host has under no such name, with the owner and mode asked for"""
    root_only("make devices")
    b = Bundle(shell="stat -c '%u %g %a' /dev/nought; head -c3 /dev/nought | wc -c; wc -c </dev/null")
    b.user_namespace()
    b.linux["devices"] = [{"path": "/dev/nought", "type": "c", "major": 1, "minor": 5,
                           "fileMode": 0o640, "uid": 3, "gid": 4}]
    equal(b.output().split(), ["3", "4", "640", "3", "0"])


def test_cgroup():
    """cgroup: the container's own group is the root of what it sees"""
    out = Bundle(["/bin/cat", "/proc/self/cgroup"]).output()
    check(all(line.endswith(":/") for line in out.split()), out)


def test_time():
    """time: monotonic and boot time start where asked"""
    b = Bundle(["/bin/cut", "-d.", "-f1", "/proc/uptime"])
    b.linux["namespaces"].append({"type": "time"})
    b.linux["timeOffsets"] = {"boottime": {"secs": 1000000, "nanosecs": 5}}
    check(int(b.output()) > 1000000)


def test_join():
    """namespaces given by path are joined, also pid and user"""
    for user in (False, True):
        first = Bundle(["/bin/sleep", "100"], hostname="first")
        if user:
            first.user_namespace()
        first.create()
        first.start()
        pid = first.state()["pid"]
        b = Bundle(shell="hostname; readlink /proc/self/ns/net; ps | grep -c 'sleep 100'")
        del b.config["hostname"]
        kinds = ["uts", "network", "ipc", "pid"] + (["user"] if user else [])
        if user:
            b.linux["namespaces"].append({"type": "user"})
        for kind in kinds:
            b.namespace(kind)["path"] = f"/proc/{pid}/ns/{KINDS.get(kind, kind)}"
        status, out, err = b.run()
        check(status == 0, f"user {user}: {err}")
        equal(out.split()[:2], ["first", link("net", pid)])
        check(int(out.split()[2]) >= 1, out)
        first.delete()


def test_join_wrong_type():
    """a path of another type of namespace is refused"""
    b = Bundle()
    b.namespace("uts")["path"] = "/proc/self/ns/ipc"
    status, _, err = b.run()
    check(status != 0)
    contains(err, "/proc/self/ns/ipc is not a namespace of type uts")
    equal(b.left_behind(), [])


def test_rootless():
    """an ordinary user runs a container in a user namespace"""
    b = Bundle(shell="id -u; hostname")
    subprocess.run(["chown", "-R", "65534:65534", b.dir], check=True)
    os.unlink(os.path.join(b.dir, "config.json"))
    run = tempfile.mkdtemp(dir=os.path.dirname(b.dir))
    os.chown(run, 65534, 65534)
    binary = os.path.join(run, "oci")
    shutil.copy(BUILD / "wirt-oci", binary)
    script = (f"cd {b.dir} && export XDG_RUNTIME_DIR={run} && {binary} spec --rootless && "
              "sed -i 's/\"terminal\": *true/\"terminal\": false/; "
              "s/^      \"sh\"$/      \"sh\", \"-c\", \"id -u; hostname; cat \\/proc\\/self\\/uid_map\"/'"
              f" config.json && {binary} run {b.id}")
    p = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                        "sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       check=False, timeout=60)
    if b"Operation not permitted" in p.stderr and b"user namespace" in p.stderr:
        raise Skip("the host forbids user namespaces to ordinary users")
    equal((p.returncode, p.stdout.decode().split(), p.stderr),
          (0, ["0", "wirt", "0", "65534", "1"], b""))


def test_root_of_a_user_namespace():
    """root of a user namespace only, as podman without root calls its runtime, can run containers"""
    b = Bundle(shell="hostname; ls -l /dev/null | cut -c1; head -c2 /dev/zero | wc -c")
    b.config["mounts"] = [m for m in b.config["mounts"] if m["type"] != "cgroup"]
    pts = next(m for m in b.config["mounts"] if m["type"] == "devpts")
    pts["options"] = [o for o in pts["options"] if not o.startswith("gid")]
    b.write()
    p = subprocess.run(["unshare", "-Urm", str(BUILD / "wirt-oci"), "run", "--bundle", b.dir, b.id],
                       env=dict(os.environ, XDG_RUNTIME_DIR=b.dir), stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, check=False, timeout=60)
    equal((p.returncode, p.stdout.decode().split(), p.stderr), (0, ["wirt", "c", "2"], b""))
    equal(os.listdir(os.path.join(b.dir, "wirt-oci")), [])


def test_no_namespace():
    """without any namespace the container shares all of the caller's, in a root of its own"""
    root_only("mount what belongs to the host's namespaces")
    for kinds in ((), ("pid", "uts", "ipc", "network", "cgroup")):
        b = Bundle(["/bin/sleep", "100"])
        b.linux["namespaces"] = [{"type": k} for k in kinds]
        b.config.pop("hostname", None)
        b.linux["maskedPaths"] = ["/etc/secret"]
        b.linux["readonlyPaths"] = ["/etc/kept"]
        for name in ("secret", "kept"):
            with open(os.path.join(b.rootfs, "etc", name), "w") as f:
                f.write("content")
        host = os.stat("/").st_ino, len(open("/proc/self/mountinfo").readlines())
        b.create()
        b.start()
        pid = b.state()["pid"]
        for kind in ("mnt", "pid", "uts", "ipc", "net", "user", "cgroup"):
            own = {"net": "network"}.get(kind, kind) in kinds
            equal(os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"), own)
        status, out, err = b.oci("exec", b.id, "sh", "-c", "ls /; cat /etc/kept /etc/secret; "
                                 "echo x > /etc/kept; grep -c /proc /proc/mounts; pwd; ls -l /dev/null")
        equal(status, 0)
        check(out.startswith("bin\ndev\netc\nproc\nroot\nsys\ntmp\ncontent"), out)
        contains(err, "Read-only file system")
        check("contentcontent" not in out, "the masked path can be read")
        check(os.path.exists(os.path.join(b.rootfs, "proc/version")), "the caller sees the mounts")
        b.delete()
        equal(b.left_behind(), [])
        equal((os.stat("/").st_ino, len(open("/proc/self/mountinfo").readlines())), host)
        check(not os.path.exists(os.path.join(b.rootfs, "proc/version")), "proc is still mounted")
    b = Bundle(["/bin/nothing"], root={"path": "rootfs", "readonly": True})
    b.linux["namespaces"] = []
    b.config.pop("hostname", None)
    check(b.run()[0] != 0)
    equal(b.left_behind(), [])


def test_exec_by_root_of_a_user_namespace():
    """root of a user namespace only can run more commands in its containers, also with a terminal"""
    b = Bundle(["/bin/sleep", "100"])
    b.config["mounts"] = [m for m in b.config["mounts"] if m["type"] != "cgroup"]
    pts = next(m for m in b.config["mounts"] if m["type"] == "devpts")
    pts["options"] = [o for o in pts["options"] if not o.startswith("gid")]
    b.write()
    script = ('o=$0; "$o" create --bundle "$1" "$2" && "$o" start "$2" && "$o" exec "$2" ps -o args &&'
              ' "$o" exec --tty "$2" tty; "$o" delete --force "$2"')
    p = subprocess.run(["unshare", "-Urm", "sh", "-c", script, str(BUILD / "wirt-oci"), b.dir, b.id],
                       env=dict(os.environ, XDG_RUNTIME_DIR=b.dir), stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=60)
    out = p.stdout.decode()
    contains(out, "/bin/sleep 100")
    contains(out, "/dev/pts/0")
    equal((p.returncode, p.stderr), (0, b""))


main(globals())
