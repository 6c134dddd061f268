#!/usr/bin/env python3
"""The attacks of what was published about container runtimes (runc, crun, youki, containerd, podman,
buildah, cri-o), each tried on wirt-oci. docs/threat-model.md has the table.

timeout: 420
"""
import hashlib
import os
import shutil
import stat
import subprocess
import time

from bundle import (BASE, BUILD, OCI, PREFIX, ROOT, ROOTLESS, SIZE, TOP, Bundle, Skip, check,
                    contains, equal, is_dynamic, main, need_rights, root_only)

need_rights("container/advisories")

PROGRAMS = BUILD / "programs/container"
UP = "../" * 12
OUTSIDE = os.path.join(TOP, "outside")  # of every root file system
EVERY = ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_KILL",
         "CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_CHOWN", "CAP_SETUID", "CAP_SETGID"]


def give(b, caps):
    b.process["capabilities"] = {k: caps for k in ("bounding", "effective", "permitted")}


def without_mount(b, *destinations):
    b.config["mounts"] = [m for m in b.config["mounts"] if m["destination"] not in destinations]


def bring(b, *programs):
    for name in programs:
        shutil.copy(PROGRAMS / name, os.path.join(b.rootfs, "bin", name))


def make_outside():
    """A folder that nothing may be made in, nor taken out of, nor changed."""
    shutil.rmtree(OUTSIDE, ignore_errors=True)
    os.mkdir(OUTSIDE)
    for name in ("ptmx", "console", "null", "file"):
        with open(os.path.join(OUTSIDE, name), "w") as f:
            f.write("host\n")


def outside_untouched():
    equal(sorted(os.listdir(OUTSIDE)), ["console", "file", "null", "ptmx"])
    for name in os.listdir(OUTSIDE):
        path = os.path.join(OUTSIDE, name)
        st = os.lstat(path)
        check(stat.S_ISREG(st.st_mode) and st.st_uid == 0, f"{name}: {st}")
        with open(path) as f:
            equal(f.read(), "host\n")
    with open("/proc/self/mountinfo") as f:
        check(OUTSIDE not in f.read(), "mounted over")


def links_out():
    """Ways to say OUTSIDE from inside a root file system."""
    return [OUTSIDE, UP + OUTSIDE[1:], f"/proc/self/root/{OUTSIDE}", f"/proc/1/root/{OUTSIDE}",
            f"/proc/self/cwd/{UP}{OUTSIDE[1:]}"]


def link(b, name, target):
    """In b's root file system name becomes a link."""
    path = os.path.join(b.rootfs, name)
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
    os.symlink(target, path)


# ---- descriptors and processes on their way in ----

def test_cwd():
    """CVE-2024-21626: process.cwd and exec --cwd through /proc/self/fd lead nowhere"""
    for n in range(16):
        b = Bundle(shell="cat /etc/hostname; pwd -P; ls")
        b.process["cwd"] = f"/proc/self/fd/{n}"
        status, out, err = b.run()
        check(status != 0 and not out, f"{n}: {status} {out} {err}")
    b = Bundle(["/bin/sleep", "1000"])
    for n in range(16):
        os.symlink(f"/proc/self/fd/{n}", os.path.join(b.rootfs, f"tmp/{n}"))
    b.create()
    b.start()
    for n in range(16):
        for cwd in (f"/proc/self/fd/{n}", f"/tmp/{n}", f"/proc/self/fd/{n}/../.."):
            status, out, err = b.oci("exec", "--cwd", cwd, b.id, "/bin/sh", "-c", "pwd -P; ls")
            check(status != 0 and not out, f"{cwd}: {status} {out} {err}")
    b.delete()


def peeped(caps, change):
    """What a process in the container got of those that exec brought in."""
    b = Bundle(["/bin/peep", "4", "true"])
    bring(b, "peep")
    give(b, caps)
    change(b)
    b.create()
    b.start()
    tries = 0
    while b.state()["status"] == "running":
        b.oci("exec", b.id, "/bin/true")
        tries += 1
    out = b.printed().split("\n")
    b.delete()
    seen = int(next(x for x in out if x.startswith("seen")).split()[1])
    check(tries > 5 and seen > 5, f"{tries} times, {seen} seen")
    return {x for x in out if x and not x.startswith("seen")}


def test_peep():
    """CVE-2016-9962: who is in a container gets hold of nothing of a process that exec brings in"""
    equal(peeped([], lambda b: None), set())


def test_peep_ptrace():
    """the same with CAP_SYS_PTRACE in a user namespace; without one, nothing of the host is there"""
    def user_namespace(b):
        b.user_namespace()
        os.chown(b.rootfs, BASE, BASE)
    got = peeped(["CAP_SYS_PTRACE"], user_namespace)
    equal(got, set())
    got = peeped(["CAP_SYS_PTRACE"], lambda b: None)
    check("ptrace TRACED" in got or ROOTLESS, "the test would see a process that can be traced")
    check(not any("HOST" in x or "FOLDER" in x for x in got), got)


def test_peep_joined():
    """the same of the first process of a container that joins another's namespaces, as in a pod"""
    for joined in (("pid",), ("user", "pid")):
        pod = Bundle(["/bin/peep", "5", "true"])
        bring(pod, "peep")
        if "user" in joined:
            pod.user_namespace()
            os.chown(pod.rootfs, BASE, BASE)
        give(pod, ["CAP_SYS_PTRACE"] if "user" in joined else [])
        pod.create()
        pod.start()
        pid = pod.state()["pid"]
        tries = 0
        while pod.state()["status"] == "running":
            b = Bundle(["/bin/true"])
            if "user" in joined:
                b.linux["namespaces"].append({"type": "user"})
                os.chown(b.rootfs, BASE, BASE)
                without_mount(b, "/sys", "/sys/fs/cgroup")
            for kind in joined:
                b.namespace(kind)["path"] = f"/proc/{pid}/ns/{kind}"
            status, _, err = b.run()
            check(status == 0 or pod.state()["status"] == "stopped", err)
            tries += 1
        out = pod.printed().split("\n")
        pod.delete()
        check(tries > 2 and "seen 0" not in out, f"{tries} tries: {out}")
        equal({x for x in out if x and not x.startswith("seen")}, set())


def test_own_file():
    """CVE-2019-5736: the runtime's file stays, whatever is tried with /proc/PID/exe and all rights"""
    if is_dynamic(OCI):
        raise Skip("wirt-oci is linked dynamically here: it cannot be executed in the container")
    with open(OCI, "rb") as f:
        before = hashlib.sha256(f.read()).digest()
    b = Bundle(shell="mkfifo /fifo; while :; do for p in /proc/[0-9]*; do "
                     "case $(tr '\\0' ' ' <$p/cmdline) in /proc/self/exe*) exec /bin/reopen ${p#/proc/};; "
                     "esac; done; done 2>/dev/null")
    bring(b, "reopen")
    give(b, EVERY)
    b.create()
    b.start()
    # wirt-oci, executed inside, and held: it opens a fifo that nobody reads.
    status, _, _ = b.oci("exec", b.id, "/proc/self/exe", "--log", "/fifo", "list")
    equal(status, 128 + 9)
    b.wait_status("stopped", 40)
    out = b.printed()
    b.delete()
    for way in ("reopened", "after mount_setattr", "after remounts"):
        contains(out, f"{way}: Read-only file system" if not ROOTLESS else way)
    contains(out, "control: WRITABLE")
    check("WRITABLE" not in out.replace("control: WRITABLE", "") and "WORKED" not in out, out)
    with open(OCI, "rb") as f:
        equal(hashlib.sha256(f.read()).digest(), before)


def test_static():
    """CVE-2019-14271: nothing of a container is loaded into the runtime: it loads nothing at all"""
    if is_dynamic(OCI):
        raise Skip("wirt-oci is linked dynamically here")
    check(b"\x7fELF" == open(OCI, "rb").read(4))


def test_abstract_sockets():
    """CVE-2020-15257: in the host's network namespace no socket of the runtime's can be reached"""
    def abstract():
        with open("/proc/net/unix") as f:
            return {line.split()[-1] for line in f if line.split()[-1].startswith("@")}
    before = abstract()
    b = Bundle(["/bin/sleep", "1000"])
    b.without("network")
    b.create()
    waiting = abstract()
    b.start()
    running = abstract()
    b.delete()
    mine = {x for x in (waiting | running) - before if "wirt" in x or b.id in x}
    equal(mine, set())


def test_state_is_private():
    """CVE-2021-41103: other users enter no folder of the runtime's state"""
    b = Bundle(["/bin/sleep", "1000"])
    b.create()
    for path in (ROOT, os.path.join(ROOT, b.id)):
        equal(os.stat(path).st_mode & 0o077, 0)
    b.delete()


def test_default_masks():
    """CVE-2018-10892, 2020-8694: what of procfs and sysfs concerns the host is masked by default"""
    b = Bundle(shell="for f in acpi asound keys kcore latency_stats scsi sched_debug timer_list "
                     "timer_stats interrupts; do [ -d /proc/$f ] && find /proc/$f -mindepth 1; "
                     "[ -f /proc/$f ] && echo $f; done; find /sys/firmware "
                     "/sys/devices/virtual/powercap -mindepth 1 2>/dev/null; "
                     "for f in bus fs irq sys sysrq-trigger; do [ ! -e /proc/$f ] || grep -q "
                     "\" /proc/$f ro\" /proc/self/mountinfo || echo $f; done; true")
    equal(b.output(), "")


# ---- links and races in the root file system ----

def test_proc_links():
    """CVE-2019-19921, 2023-27561, 2023-28642, 2025-54867: no procfs or sysfs at a link"""
    for name in ("proc", "sys"):
        for target in ("tmp", "/tmp/x", "/", *links_out()):
            b = Bundle()
            os.mkdir(os.path.join(b.rootfs, "tmp/x"))
            link(b, name, target)
            status, _, err = b.run()
            check(status != 0, f"/{name} -> {target}")
            contains(err, "must not be a symbolic link")
            equal(b.left_behind(), [])
    # A link above it.
    b = Bundle()
    os.mkdir(os.path.join(b.rootfs, "real"))
    os.symlink("real", os.path.join(b.rootfs, "a"))
    b.config["mounts"].append({"destination": "/a/proc", "type": "proc", "source": "proc"})
    status, _, err = b.run()
    check(status != 0)
    contains(err, "must not be a symbolic link")


def fake_proc(folder):
    """Files of the names that a runtime writes to in procfs."""
    for path in ("self/attr/exec", "self/attr/apparmor/exec", "thread-self/attr/exec",
                 "thread-self/attr/apparmor/exec", "self/timens_offsets", "self/oom_score_adj",
                 "self/uid_map", "sys/net/ipv4/ip_unprivileged_port_start", "1/oom_score_adj"):
        os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
        open(os.path.join(folder, path), "w").close()


def written(folder):
    return [os.path.join(top, n) for top, _, names in os.walk(folder) for n in names
            if os.path.getsize(os.path.join(top, n))]


def test_fake_proc():
    """CVE-2019-16884, 2025-52881, 2025-62596: with a volume over /proc nothing is written to it"""
    b = Bundle(shell="sleep 1000")
    fake = os.path.join(b.dir, "fake")
    fake_proc(fake)
    without_mount(b, "/proc")
    b.config["mounts"].insert(0, {"destination": "/proc", "type": "bind", "source": fake,
                                  "options": ["bind"]})
    b.linux["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "777"}
    b.process["oomScoreAdj"] = 600
    b.linux["maskedPaths"] = b.linux["readonlyPaths"] = []
    b.create()
    b.start()
    b.oci("exec", b.id, "/bin/true")
    pid = b.state()["pid"]
    with open(f"/proc/{pid}/oom_score_adj") as f:
        equal(f.read(), "600\n")
    port = subprocess.run(["nsenter", "-t", str(pid), "-n", "cat",
                           "/proc/sys/net/ipv4/ip_unprivileged_port_start"],
                          stdout=subprocess.PIPE, check=True).stdout
    equal(port, b"777\n")
    b.delete()
    equal(written(fake), [])


def test_fake_proc_of_joined():
    """the same with a mount namespace that is joined, whose /proc is not one"""
    other = Bundle(["/bin/sleep", "1000"])
    other.create()
    other.start()
    pid = other.state()["pid"]
    fake = os.path.join(other.rootfs, "tmp/fake")
    fake_proc(fake)
    r = subprocess.run(["nsenter", "-t", str(pid), "-m", "/bin/busybox", "mount", "--bind",
                        "/tmp/fake", "/proc"], check=False, stderr=subprocess.PIPE)
    equal((r.returncode, r.stderr), (0, b""))
    os.makedirs(os.path.join(other.rootfs, "inner"))
    b = Bundle(["/bin/true"])
    b.namespace("mount")["path"] = f"/proc/{pid}/ns/mnt"
    b.linux["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "777"}
    b.config["root"]["path"] = other.rootfs
    b.run()  # its root may not be there; what counts is what was written
    b.oci("delete", "--force", b.id)
    other.delete()
    equal(written(fake), [])


def test_dev_link():
    """CVE-2026-41579, 2026-47766: with /dev a link nothing is made or removed outside"""
    for target in links_out():
        for terminal in (False, True):
            make_outside()
            b = Bundle()
            without_mount(b, "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
            b.process["terminal"] = terminal
            link(b, "dev", target)
            b.run()
            outside_untouched()


def test_console_link():
    """CVE-2025-52565, 2026-88264: /dev/console, a link, and /dev/pts/ptmx that is none: refused"""
    for target in ("/etc/x", "/proc/sysrq-trigger", *links_out()):
        make_outside()
        b = Bundle(["/bin/true"])
        without_mount(b, "/dev", "/dev/shm", "/dev/mqueue")
        b.process["terminal"] = True
        os.symlink(os.path.join(target, "console"), os.path.join(b.rootfs, "dev/console"))
        status, _, err = b.run()
        check(status != 0, f"{target}: {err}")
        contains(err, "/dev/console is a symbolic link")
        outside_untouched()
    for kind in ("fifo", "file", "device"):
        b = Bundle(["/bin/true"])
        without_mount(b, "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
        b.process["terminal"] = True
        os.mkdir(os.path.join(b.rootfs, "dev/pts"))
        at = os.path.join(b.rootfs, "dev/pts/ptmx")
        if kind == "fifo":
            os.mkfifo(at)
        elif kind == "file":
            open(at, "w").close()
        elif ROOTLESS:
            continue
        else:
            os.mknod(at, stat.S_IFCHR | 0o666, os.makedev(5, 2))
        status, _, err = b.run(timeout=20)
        check(status != 0, kind)
        contains(err, "a devpts mount at /dev/pts is needed")


def test_null_link():
    """CVE-2025-31133, 2025-62161, 2026-88265: what masks a file is the host's null device"""
    for fake in ("link", "file"):
        make_outside()
        b = Bundle(shell="stat -c '%t:%T %F' /proc/keys; wc -c </proc/keys; echo x >/proc/keys; "
                         "grep -c ' /proc/keys ro' /proc/self/mountinfo")
        volume = os.path.join(b.dir, "dev")
        os.mkdir(volume)
        os.chmod(volume, 0o777)
        if fake == "link":
            os.symlink("/proc/sysrq-trigger", os.path.join(volume, "null"))
        else:
            open(os.path.join(volume, "null"), "w").write("not null\n")
        # A volume at /dev is not the runtime's to fill: what is there stays.
        without_mount(b, "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
        b.config["mounts"].append({"destination": "/dev", "type": "bind", "source": volume,
                                   "options": ["bind"]})
        b.linux["maskedPaths"] = ["/proc/keys"]
        b.linux["readonlyPaths"] = []
        b.process["user"] = {"uid": 1, "gid": 1}
        status, out, err = b.run()
        equal((status, out.split("\n")[:2]), (0, ["1:3 character special file", "0"]))
        contains(out, "\n1\n")
        # Where a node is made, and where one is bound, as in a user namespace.
        for bound in (False, True):
            b = Bundle()
            if bound:
                b.user_namespace()
                os.chown(b.rootfs, BASE, BASE)
                os.chown(f"{b.rootfs}/dev", BASE, BASE)
            without_mount(b, "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
            os.symlink(OUTSIDE + "/null", os.path.join(b.rootfs, "dev/null"))
            status, out, err = b.run()
            check(status != 0, out)
            contains(err, "/dev/null is there already and is not the device asked for")
            outside_untouched()


def test_cwd_link():
    """CVE-2026-55686: process.cwd through a link makes no folder outside"""
    for target in links_out():
        make_outside()
        b = Bundle()
        link(b, "place", target)
        b.process["cwd"] = "/place/new/folder"
        b.run()
        outside_untouched()


def test_passwd():
    """CVE-2022-1708, 2024-9676, 2026-47262: an endless /etc/passwd, or a link out, costs nothing"""
    make_outside()
    b = Bundle(shell="echo $HOME")
    b.process["env"] = ["PATH=/bin"]
    path = os.path.join(b.rootfs, "etc/passwd")
    open(path, "w").close()
    os.truncate(path, 1 << 40)
    equal(b.output(timeout=20), "/\n")
    os.unlink(path)
    os.symlink(f"{UP}{OUTSIDE}/file", path)
    equal(b.output(timeout=20), "/\n")


RACES = [("tmpfs", {"type": "tmpfs", "source": "tmpfs"}), ("bind", {"type": "bind"}),
         ("file", {"type": "bind"})]


def race(name, mount, seconds):
    """Containers with a mount below a name that is a folder one moment and a link out the next; how
    often it was which. mount: what the config says of it, without destination."""
    make_outside()
    b = Bundle(shell="grep -o ' /[^ ]* rw' /proc/self/mountinfo | grep ' /\\(vol\\|tmp\\)'; ls /vol")
    vol = os.path.join(b.rootfs, "vol")
    # As the link is taken inside the root, and the folder that it leads to there.
    shadow = os.path.join(b.rootfs, OUTSIDE[1:])
    os.makedirs(os.path.join(vol, "a"))
    os.makedirs(shadow)
    os.symlink(OUTSIDE, os.path.join(vol, "b"))
    source = os.path.join(b.dir, "source")
    if name == "file":
        open(source, "w").close()
    elif name == "bind":
        os.mkdir(source)
    if mount.get("type") == "bind":
        mount = {**mount, "source": source, "options": ["bind"]}
    b.config["mounts"].append({"destination": "/vol/a/deep/er", **mount})
    swap = subprocess.Popen([str(PROGRAMS / "swap"), os.path.join(vol, "a"),
                             os.path.join(vol, "b")])
    count = {"folder": 0, "link": 0, "refused": 0}
    end = time.monotonic() + seconds
    b.write()
    while time.monotonic() < end:
        status, out, err = b.run(write=False)
        if status != 0 and not out:
            count["refused"] += 1
        check("console\nfile" not in out, f"the host's folder is seen inside: {out}")
        for place, key in ((os.path.join(vol, "a"), "folder"), (os.path.join(vol, "b"), "folder"),
                           (shadow, "link")):
            deep = os.path.join(place, "deep")
            if not os.path.islink(place) and os.path.isdir(deep):
                shutil.rmtree(deep, ignore_errors=True)
                count[key] += 1
        outside_untouched()
    swap.kill()
    swap.wait()
    return count


def test_races():
    """CVE-2021-30465, 2024-45310: folders exchanged for links while it mounts lead nowhere outside"""
    total = {}
    for name, mount in RACES:
        count = race(name, mount, 6)
        for k, n in count.items():
            total[k] = total.get(k, 0) + n
    # The race was run: both of the names were met.
    check(total["folder"] > 0 and total["link"] > 0, total)
    print(f"# {total}")


def test_race_of_proc():
    """CVE-2025-52881, 2025-62161: the folder of procfs exchanged while it is mounted: masked, or none"""
    for bound in (False, True):
        b = Bundle(shell="for p in /proc /other; do [ -e $p/keys ] && stat -c \"$p %t:%T\" $p/keys; "
                         "done; true")
        os.mkdir(os.path.join(b.rootfs, "other"))
        b.linux["maskedPaths"] = ["/proc/keys"]
        if bound:
            b.without("pid")
            without_mount(b, "/proc")
            b.config["mounts"].insert(0, {"destination": "/proc", "type": "bind", "source": "/proc",
                                          "options": ["rbind"]})
        b.write()
        swap = subprocess.Popen([str(PROGRAMS / "swap"), os.path.join(b.rootfs, "proc"),
                                 os.path.join(b.rootfs, "other")])
        end, masked = time.monotonic() + 6, 0
        try:
            while time.monotonic() < end:
                status, out, err = b.run(write=False)
                for line in out.splitlines():
                    contains(line, " 1:3")
                    masked += 1
        finally:
            swap.kill()
            swap.wait()
        check(masked > 0, "never ran")


# ---- what the configuration and the command line say ----

def test_capabilities():
    """CVE-2022-24769, 2022-27650, 2022-29162: no inheritable capabilities; none at all if none given"""
    show = ["grep", "Cap", "/proc/self/status"]
    b = Bundle(["/bin/sleep", "1000"])
    b.create()
    b.start()
    for args in ([], ["--cap", "CAP_SYS_TIME"], ["--user", "5:5", "--cap", "CAP_SYS_TIME"]):
        status, out, err = b.oci("exec", *args, b.id, *show)
        equal(status, 0)
        contains(out, "CapInh:\t0000000000000000")
        contains(out, "CapAmb:\t0000000000000000")
    b.delete()
    b = Bundle(show)
    del b.process["capabilities"]
    equal({line.split()[1] for line in b.output().splitlines()}, {"0" * 16})


def test_users():
    """CVE-2016-3697, 2026-30892: a user is a number, and nothing that looks nearly like one"""
    b = Bundle(["/bin/sleep", "1000"])
    # Names that are numbers, and belong to root.
    with open(os.path.join(b.rootfs, "etc/passwd"), "w") as f:
        f.write("1000:x:0:0:root:/root:/bin/sh\nbob:x:0:0:root:/root:/bin/sh\n")
    b.create()
    b.start()
    for spec, want in (("1000", "1000 0"), ("1000:7", "1000 7"), ("0:7", "0 7"), ("010:011", "10 11")):
        equal(b.oci("exec", "--user", spec, b.id, "sh", "-c", "echo $(id -u) $(id -g)")[:2],
              (0, want + "\n"))
    for spec in ("", ":", "1000:", ":5", "bob", "+1000", "-1", " 1000", "1000 ", "0x10", "1e3",
                 "4294967295", "4294967296", "18446744073709551616", "99999999999999999999999", "1000:-1", "1000:4294967296",
                 "1000:5:0", "1000,0", "1000.0"):
        status, out, _ = b.oci("exec", "--user", spec, b.id, "id", "-u")
        check(status != 0 and not out, f"--user '{spec}': {out}")
    b.delete()


def test_sysctl():
    """CVE-2022-0811: no sysctl of the host is set, by no name that leads to one"""
    names = ("kernel/core_pattern", "fs/file-max", "vm/overcommit_memory")

    def host():
        values = []
        for name in names:
            with open(f"/proc/sys/{name}") as f:
                values.append(f.read())
        return values

    def put_back():
        changed = host() != before
        for name, value in zip(names, before):
            if changed:
                with open(f"/proc/sys/{name}", "w") as f:
                    f.write(value)
        check(not changed, f"the host's sysctls are others: {names}")
    before = host()
    for key in ("kernel.core_pattern", "kernel/core_pattern", "fs.file-max", "net",
                "net.//.kernel.core_pattern", "net/../kernel/core_pattern", "net...kernel.core_pattern",
                "net.//", "net./.", "fs.mqueue.//.file-max", "fs.mqueue.//.//.kernel.core_pattern",
                "net.ipv4.//.//.kernel.core_pattern", "user.//.vm.overcommit_memory", "net.",
                "net.ipv4.", "./net.x", "/net.x", "kernel.shm_rmid_forced.//.core_pattern"):
        b = Bundle()
        b.linux["sysctl"] = {key: "1"}
        status, _, err = b.run()
        put_back()
        check(status != 0, f"sysctl {key}: {status}")
        contains(err, "linux.sysctl")
    # Not one value that ends and another that begins.
    for value in ("1+kernel.core_pattern=x", "1\nkernel.core_pattern=x"):
        b = Bundle(shell="cat /proc/sys/kernel/shm_rmid_forced")
        b.linux["sysctl"] = {"kernel.shm_rmid_forced": value}
        b.run()
        put_back()


def test_paths_of_groups():
    """no control group is made or joined outside of the container's place: cgroupsPath, exec --cgroup"""
    b = Bundle(["/bin/sleep", "1000"])
    b.create()
    b.start()
    for below in ("..", "../..", "/../..", "x/../../..", "../" + PREFIX + "evil"):
        status, out, _ = b.oci("exec", "--cgroup", below, b.id, "/bin/echo", "inside")
        check(status != 0 and "inside" not in out, f"--cgroup {below}: {out}")
    b.delete()
    for path in ("/wirt-x/../../..", "../../..", f"/{UP}{TOP}/group"):
        b = Bundle()
        b.linux["cgroupsPath"] = path
        status, _, err = b.run()
        check(status != 0, f"cgroupsPath {path}")
        contains(err, "linux.cgroupsPath")


def test_many_ids():
    """CVE-2021-43784: more ids mapped than a length has room for are refused, not cut off"""
    b = Bundle(shell="wc -l </proc/self/uid_map; cat /proc/self/uid_map | tail -1")
    b.user_namespace()
    os.chown(b.rootfs, BASE, BASE)

    def maps(n):
        return [{"containerID": i, "hostID": BASE + i, "size": 1} for i in range(n)]
    b.linux["uidMappings"] = b.linux["gidMappings"] = maps(300)
    status, out, err = b.run()
    equal((status, out.split()), (0, ["300", "299", str(BASE + 299), "1"]))
    for n in (341, 1000, 20000):
        if n > SIZE:
            continue
        b.linux["uidMappings"] = b.linux["gidMappings"] = maps(n)
        status, out, err = b.run()
        check(status != 0, f"{n} ids: {out}")
        contains(err, "linux.uidMappings")


def test_groups_in_sysfs():
    """CVE-2023-25809: in a user namespace that gets the host's /sys no control group can be written to"""
    root_only("make a control group for another user")
    top = next(p for p in ("/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")
               if os.path.exists(f"{p}/cgroup.procs"))
    group = f"{top}/wirt-{PREFIX}delegated"
    os.mkdir(group)
    try:
        os.chown(group, BASE, BASE)
        os.chown(f"{group}/cgroup.procs", BASE, BASE)
        b = Bundle(shell=f"ls -d {group}; mkdir {group}/evil && echo MADE; touch {group}/cgroup.procs "
                         "&& echo TOUCHED; true")
        b.user_namespace()
        os.chown(b.rootfs, BASE, BASE)
        b.without("network")
        without_mount(b, "/sys/fs/cgroup")
        for m in b.config["mounts"]:
            if m["destination"] == "/sys":
                m["options"] = ["nosuid", "noexec", "nodev"]
        out = b.output()
        contains(out, group + "\n")  # it is to be seen
        check("MADE" not in out and "TOUCHED" not in out, out)
    finally:
        for name in ("evil", ""):
            if os.path.isdir(os.path.join(group, name)):
                os.rmdir(os.path.join(group, name))


if __name__ == "__main__":
    main(globals())
