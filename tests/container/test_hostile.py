#!/usr/bin/env python3
"""Configs that are wrong, and images that lay traps: refused by name, nothing left, nothing outside."""
import json
import os
import shutil
import stat
import subprocess

from bundle import ROOTLESS, Bundle, check, contains, equal, main, need_rights, root_only

need_rights("container/hostile")

# The field, what is wrong with it (a value, or a function of the bundle), and what the message says.
DELETE = object()
TABLE = [
    ("ociVersion", DELETE, "ociVersion: missing"),
    ("ociVersion", 1, "ociVersion: expected a string"),
    ("ociVersion", "one", "ociVersion: 'one' is not a version"),
    ("ociVersion", "2.0.0", "ociVersion: version 2.0.0 is not supported"),
    ("root", DELETE, "root: missing"),
    ("root", [], "root: expected an object"),
    ("root.path", DELETE, "root.path: missing"),
    ("root.path", "/no/where", "root.path: /no/where: No such file"),
    ("root.path", "/etc/passwd", "root.path: /etc/passwd is not a folder"),
    ("root.path", "a\0b", "root.path: contains a NUL"),
    ("root.readonly", "yes", "root.readonly: expected true or false"),
    ("process", DELETE, "process: missing"),
    ("process", 5, "process: expected an object"),
    ("process.args", DELETE, "process.args: missing"),
    ("process.args", [], "process.args: empty"),
    ("process.args", [""], "process.args[0]: empty"),
    ("process.args", ["a", 5], "process.args[1]: expected a string"),
    ("process.args", "sh", "process.args: expected an array"),
    ("process.cwd", DELETE, "process.cwd: missing"),
    ("process.cwd", "tmp", "process.cwd: 'tmp' is not an absolute path"),
    ("process.env", ["A"], "process.env[0]: 'A' is not NAME=VALUE"),
    ("process.env", ["=A"], "process.env[0]"),
    ("process.user.uid", -1, "process.user.uid: -1 is not between"),
    ("process.user.uid", 4294967295, "process.user.uid: 4294967295 is not a user id"),
    ("process.user.gid", 1 << 40, "process.user.gid: 1099511627776 is not between"),
    ("process.user.umask", 0o10000, "process.user.umask"),
    ("process.user.additionalGids", [1.5], "process.user.additionalGids[0]: expected an integer"),
    ("process.rlimits", [{"type": "RLIMIT_X", "soft": 1, "hard": 1}],
     "process.rlimits[0].type: 'RLIMIT_X'"),
    ("process.rlimits", [{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}],
     "process.rlimits[0].soft: 2 is above the hard limit"),
    ("process.rlimits", [{"type": "RLIMIT_CORE", "soft": 0}], "process.rlimits[0].hard: missing"),
    ("process.rlimits", [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}] * 2,
     "process.rlimits[1].type: 'RLIMIT_CORE' is there twice"),
    ("process.oomScoreAdj", 1001, "process.oomScoreAdj: 1001 is not between -1000 and 1000"),
    ("process.terminal", 1, "process.terminal: expected true or false"),
    ("process.consoleSize", {"height": 1}, "process.consoleSize.width: missing"),
    ("process.capabilities", [], "process.capabilities: expected an object"),
    ("process.scheduler", {"policy": "SCHED_X"}, "process.scheduler.policy: 'SCHED_X'"),
    ("process.scheduler", {"policy": "SCHED_FIFO"}, "process.scheduler.priority: 0"),
    ("process.scheduler", {"policy": "SCHED_OTHER", "priority": 5}, "process.scheduler.priority"),
    ("process.scheduler", {"policy": "SCHED_DEADLINE"}, "process.scheduler.runtime: 0"),
    ("process.scheduler", {"policy": "SCHED_DEADLINE", "runtime": 5000, "deadline": 2000},
     "process.scheduler.deadline: 2000 is below runtime, 5000"),
    ("process.scheduler", {"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 5000,
                           "period": 4000}, "process.scheduler.period: 4000"),
    ("process.ioPriority", {"class": "IOPRIO_CLASS_BE", "priority": 8},
     "process.ioPriority.priority"),
    ("process.apparmorProfile", "no-such-profile", "process.apparmorProfile"),
    ("process.selinuxLabel", "no:such:label", "process.selinuxLabel"),
    ("hostname", "x" * 65, "hostname: longer than 64"),
    ("mounts", {}, "mounts: expected an array"),
    ("mounts", [{"type": "tmpfs"}], "mounts[0].destination: missing"),
    ("mounts", [{"destination": "", "type": "tmpfs"}], "mounts[0].destination: empty"),
    ("mounts", [{"destination": "/x"}], "mounts[0].type: missing"),
    ("mounts", [{"destination": "/x", "type": "bind"}], "mounts[0].source: missing"),
    ("mounts", [{"destination": "/x", "type": "bind", "source": "/no/where"}],
     "mounts[0] (destination /x): source /no/where: No such file"),
    ("mounts", [{"destination": "/x", "type": "nofs"}], "mounts[0] (destination /x): mount nofs"),
    ("mounts", [{"destination": "/x", "type": "tmpfs", "options": ["nooption"]}],
     "mounts[0] (destination /x): mount tmpfs with options 'nooption'"),
    ("mounts", [{"destination": "/x", "type": "tmpfs", "options": ["x" * 5000]}],
     "mounts[0].options: file system options longer"),
    ("mounts", [{"destination": "/x", "type": "tmpfs", "uidMappings": [
        {"containerID": 0, "hostID": 0, "size": 1}]}], "mounts[0].gidMappings"),
    ("mounts", [{"destination": "/x", "type": "bind", "source": "/tmp", "options": ["idmap"]}],
     "mounts[0].options: idmap needs"),
    ("hooks", [], "hooks: expected an object"),
    ("hooks", {"prestart": [{"path": "x"}]}, "hooks.prestart[0].path: 'x' is not an absolute path"),
    ("hooks", {"poststop": [{"path": "/x", "timeout": 0}]}, "hooks.poststop[0].timeout"),
    ("hooks", {"prestart": [{"path": "/no/hook"}]}, "hooks.prestart[0] (/no/hook)"),
    ("annotations", {"a": 1}, "annotations.a: expected a string"),
    ("annotations", {"": "x"}, "annotations: an empty key"),
    ("linux.namespaces", [{"type": "dream"}], "linux.namespaces[0].type: 'dream'"),
    ("linux.namespaces", [{"type": "mount"}] * 2, "linux.namespaces[1].type: 'mount' is there twice"),
    ("linux.namespaces", [{"type": "mount"}, {"type": "uts", "path": "x"}],
     "linux.namespaces[1].path: 'x' is not an absolute path"),
    ("linux.namespaces", [{"type": "mount"}, {"type": "uts", "path": "/no/ns"}],
     "linux.namespaces: uts: open /no/ns: No such file"),
    ("linux.namespaces", [{"type": "user", "path": "/proc/self/ns/user"}, {"type": "uts"}],
     "linux.namespaces: a mount namespace is required with a user namespace"),
    ("linux.namespaces", [{"type": "mount"}], "hostname: needs a uts namespace"),
    ("linux.uidMappings", [{"containerID": 0, "hostID": 0, "size": 1}],
     "linux.uidMappings: needs a user namespace"),
    ("linux.timeOffsets", {"monotonic": {"secs": 1}}, "linux.timeOffsets: needs a new time"),
    ("linux.devices", [{"path": "/dev/x", "type": "x"}], "linux.devices[0].type: 'x'"),
    ("linux.devices", [{"path": "dev/x", "type": "p"}], "linux.devices[0].path: 'dev/x'"),
    ("linux.devices", [{"path": "/dev/x", "type": "c"}], "linux.devices[0].major: missing"),
    ("linux.devices", [{"path": "/bin/sh", "type": "c", "major": 1, "minor": 3}],
     "linux.devices[0]: the host's /bin/sh is another device" if ROOTLESS else
     "linux.devices[0]: /bin/sh is there already"),
    ("linux.cgroupsPath", "/a/../../b", "linux.cgroupsPath: '/a/../../b' leaves"),
    ("linux.cgroupsPath", "/", "linux.cgroupsPath: '/' is the root"),
    ("linux.resources.memory", {"limit": "1g"}, "linux.resources.memory.limit: expected an integer"),
    ("linux.resources.memory", {"limit": 1 << 20, "swap": 1 << 10},
     "linux.resources.memory.swap: 1024 is below"),
    ("linux.resources.memory", {"swappiness": 101}, "linux.resources.memory.swappiness"),
    ("linux.resources.cpu", {"cpus": "0;1"}, "linux.resources.cpu.cpus: '0;1' is not a list"),
    ("linux.resources.cpu", {"cpus": "4000"}, "cpu.cpus"),
    ("linux.resources.cpu", {"quota": 5}, "cpu.quota"),
    ("linux.resources.cpu", {"quota": 20000, "burst": 30000}, "linux.resources.cpu.burst"),
    ("linux.resources.pids", {"limit": -2}, "linux.resources.pids.limit: -2 is not between"),
    ("linux.resources.devices", [{"access": "r"}], "linux.resources.devices[0].allow: missing"),
    ("linux.resources.devices", [{"allow": True, "access": "x"}],
     "linux.resources.devices[0].access: 'x' is none of"),
    ("linux.resources.hugepageLimits", [{"pageSize": "2", "limit": 0}],
     "linux.resources.hugepageLimits[0].pageSize: '2'"),
    ("linux.resources.unified", {"../x": "1"}, "linux.resources.unified.../x: not a control file"),
    ("linux.resources.unified", {"nosuch.file": "1"}, "unified.nosuch.file"),
    ("linux.sysctl", {"kernel.panic": "1"}, "linux.sysctl.kernel.panic: belongs to no namespace"),
    ("linux.sysctl", {"net/../../etc/passwd": "x"}, "linux.sysctl.net/../../etc/passwd"),
    ("linux.sysctl", {"kernel.shmmax": "lots"}, "linux.sysctl.kernel.shmmax"),
    ("linux.sysctl", {"net.no.such": "1"}, "linux.sysctl.net.no.such"),
    ("linux.maskedPaths", ["proc"], "linux.maskedPaths[0]: 'proc' is not an absolute path"),
    ("linux.rootfsPropagation", "up", "linux.rootfsPropagation: 'up'"),
    ("linux.personality", {"domain": "WINDOWS"}, "linux.personality.domain: 'WINDOWS'"),
    ("linux.intelRdt", {"closID": "x"}, "linux.intelRdt: not supported"),
    ("linux.netDevices", {"eth0": {}}, "linux.netDevices: not supported"),
    ("linux.memoryPolicy", {"mode": "MPOL_X"}, "linux.memoryPolicy.mode: 'MPOL_X'"),
    ("linux.seccomp", {}, "linux.seccomp.defaultAction: missing"),
    ("linux.seccomp", {"defaultAction": "SCMP_ACT_X"}, "linux.seccomp.defaultAction: 'SCMP_ACT_X'"),
    ("linux.seccomp", {"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1},
     "linux.seccomp.defaultErrnoRet: the action takes no errno"),
    ("linux.seccomp", {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X"]},
     "linux.seccomp.architectures[0]: 'SCMP_ARCH_X'"),
    ("linux.seccomp", {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": [], "action": "SCMP_ACT_ERRNO"}]}, "linux.seccomp.syscalls[0].names: empty"),
    ("linux.seccomp", {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["kill"], "action": "SCMP_ACT_ERRNO",
         "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]},
     "linux.seccomp.syscalls[0].args[0].index: 6 is not between 0 and 5"),
    ("linux.seccomp", {"defaultAction": "SCMP_ACT_ALLOW", "flags": ["X"]},
     "linux.seccomp.flags[0]: 'X'"),
    ("linux.seccomp", {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["kill"], "action": "SCMP_ACT_NOTIFY"}]}, "linux.seccomp.listenerPath: missing"),
]


def test_table():
    """each of the wrong configs is refused with its field's name, and nothing is left behind"""
    wrong = []
    b = Bundle()
    good = json.dumps(b.config)
    for field, value, message in TABLE:
        b.config = json.loads(good)
        at, *names = b.config, *field.split(".")
        for name in names[:-1]:
            at = at.setdefault(name, {})
        if value is DELETE:
            del at[names[-1]]
        else:
            at[names[-1]] = value
        status, out, err = b.run()
        left = b.left_behind()
        if status == 0 or message not in err or left or len(err.strip().split("\n")) > 2:
            wrong.append(f"{field}={value!r}: status {status}, {err.strip()} {out} {left}")
    b.config = json.loads(good)
    equal(b.run()[0], 0)
    equal(wrong, [])
    print(f"# {len(TABLE)} configs")


def test_not_json():
    """files that are not JSON, empty, cut off or too deep are refused with the place"""
    b = Bundle()
    path = os.path.join(b.dir, "config.json")
    b.write()
    with open(path) as f:
        good = f.read()
    for text in ("", "{", good[:len(good) // 2], good + "x", "[" * 5000, "\xff\xfe", "null", "[]",
                 "\0" * 100):
        with open(path, "w", encoding="latin-1") as f:
            f.write(text)
        status, _, err = b.run(write=False)
        check(status == 1, f"{text[:20]!r}: {status}")
        contains(err, "config.json")
        equal(b.left_behind(), [])
    os.unlink(path)
    contains(b.run(write=False)[2], "config.json: No such file")


def test_ids():
    """container ids that are paths or empty are refused"""
    b = Bundle()
    b.write()
    for bad in ("", ".", "..", "a/b", "../x", "a b", "x" * 300, "a\n"):
        for verb in ("run", "state", "delete", "start"):
            args = ["--bundle", b.dir] if verb == "run" else []
            r = b.oci(verb, *args, bad)
            check(r[0] != 0, f"{verb} {bad!r}")


def test_options():
    """unknown verbs, options and operands are refused"""
    b = Bundle()
    for args in (["no-verb"], ["run", "--no-option", "x"], ["run"], ["run", "a", "b"],
                 ["run", "--preserve-fds", "-1", "x"], ["kill", "x", "NOSIG"], ["kill", "x", "999"],
                 ["--cgroup-manager", "magic", "list"], ["--log-format", "xml", "list"],
                 ["--root"], ["exec", b.id], ["update", "--memory", "x", b.id],
                 ["list", "--format", "xml"], ["events", "--interval", "0", b.id]):
        r = b.oci(*args)
        check(r[0] != 0 and r[2], f"{args}: {r}")


def trap(b, link, target):
    path = os.path.join(b.rootfs, link)
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.symlink(target, path)


def test_mount_through_links():
    """links in the image never lead a mount, file or device outside the root"""
    outside = Bundle().dir
    depth = "../" * 30
    for target in (outside, depth + outside[1:], "/proc/self/root" + outside,
                   "/proc/1/root" + outside, "/proc/self/cwd/../../.." + outside):
        before = sorted(os.listdir(outside))
        b = Bundle(shell="true")
        trap(b, "link", target)
        b.config["mounts"] += [
            {"destination": "/link/made", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/link/bound", "type": "bind", "source": "/etc", "options": ["rbind"]},
            {"destination": "/link/file", "type": "bind", "source": "/etc/hostname",
             "options": ["bind"]}]
        b.linux["devices"] = [{"path": "/link/device", "type": "c", "major": 1, "minor": 3}]
        status, _, err = b.run()
        equal(sorted(os.listdir(outside)), before)
        check(status == 0 or err, target)
        equal(b.left_behind(), [])


def test_absolute_link_stays_inside():
    """an absolute link is followed as the container would"""
    b = Bundle(shell="test -d /inside/made && grep ' /inside/made ' /proc/self/mountinfo | wc -l")
    os.makedirs(os.path.join(b.rootfs, "inside"))
    trap(b, "link", "/inside")
    b.config["mounts"].append({"destination": "/link/made", "type": "tmpfs", "source": "tmpfs"})
    equal(b.output(), "1\n")


def test_dangling_link():
    """a link to what is missing is made inside the root"""
    b = Bundle(shell="cat /run/x/file")
    trap(b, "var/run", "/run/x")
    b.config["mounts"].append({"destination": "/var/run/file", "type": "bind",
                               "source": "/etc/hostname", "options": ["bind", "ro"]})
    with open("/etc/hostname") as f:
        equal(b.output(), f.read())
    check(not os.path.exists("/run/x"))


def test_link_loop():
    """a loop of links is an error, not a hang"""
    b = Bundle()
    trap(b, "a", "/b")
    trap(b, "b", "/a")
    b.config["mounts"].append({"destination": "/a/x", "type": "tmpfs", "source": "tmpfs"})
    status, _, err = b.run(timeout=20)
    check(status != 0)
    contains(err, "Too many levels of symbolic links")


def test_proc_is_no_link():
    """procfs is not mounted through a link"""
    b = Bundle()
    trap(b, "proc", "tmp")
    status, _, err = b.run()
    check(status != 0)
    contains(err, "must not be a symbolic link")


def test_dev_links():
    """a /dev of links in the image leaves the host's /dev alone"""
    before = sorted(os.listdir("/dev"))
    b = Bundle()
    trap(b, "dev", "/../../../../../../../dev")
    b.config["mounts"] = [m for m in b.config["mounts"] if not m["destination"].startswith("/dev")]
    b.run()
    equal(sorted(os.listdir("/dev")), before)


def test_mount_on_default_device():
    """a mount may stand in the place of a default device, as /dev/urandom in that of /dev/random"""
    for user_namespace in (False,) if ROOTLESS else (False, True):
        b = Bundle(["/bin/stat", "-c", "%t,%T", "/dev/random", "/dev/full"])
        b.config["mounts"] += [{"destination": "/dev/random", "type": "bind",
                                "source": "/dev/urandom", "options": ["bind"]},
                               {"destination": "/dev/full", "type": "bind",
                                "source": "/dev/null", "options": ["bind"]}]
        if user_namespace:
            b.user_namespace()
        equal(b.output().split(), ["1,9", "1,3"])


def test_devices_in_image():
    """a file in the way of a default device is an error"""
    root_only("make devices: a user namespace binds the host's over what is there")
    b = Bundle()
    b.config["mounts"] = [m for m in b.config["mounts"] if not m["destination"].startswith("/dev")]
    with open(os.path.join(b.rootfs, "dev/null"), "w") as f:
        f.write("trap")
    status, _, err = b.run()
    check(status != 0)
    contains(err, "/dev/null is there already and is not the device")


def test_masked():
    """masked paths show nothing, readonly paths cannot be written, also for root with all rights"""
    b = Bundle(shell="cat /etc/secret; ls /etc/hidden; echo x > /proc/sys/kernel/hostname; "
                     "echo x > /etc/kept; umount /etc/secret; mount -o remount,rw /etc/kept; "
                     "echo y > /etc/kept; cat /etc/kept")
    for name in ("secret", "kept"):
        with open(os.path.join(b.rootfs, "etc", name), "w") as f:
            f.write("content\n")
    os.makedirs(os.path.join(b.rootfs, "etc/hidden/x"))
    b.linux["maskedPaths"] += ["/etc/secret", "/etc/hidden", "/etc/none"]
    b.linux["readonlyPaths"] += ["/etc/kept", "/etc/none"]
    status, out, _ = b.run()
    equal((status, out), (0, "content\n"))


def test_masking_uses_the_host_null():
    """masked paths do not trust the image's /dev/null"""
    root_only("make devices")
    b = Bundle(shell="cat /etc/secret")
    b.config["mounts"] = [m for m in b.config["mounts"] if not m["destination"].startswith("/dev")]
    shutil.rmtree(os.path.join(b.rootfs, "dev"))
    os.makedirs(os.path.join(b.rootfs, "dev"))
    os.mknod(os.path.join(b.rootfs, "dev/null"), 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    with open(os.path.join(b.rootfs, "etc/secret"), "w") as f:
        f.write("secret")
    b.linux["maskedPaths"] = ["/etc/secret"]
    equal(b.output(), "")


def test_masking_protects_the_host_null():
    """the root of a container cannot change the host's null device by way of a masked file"""
    b = Bundle(shell="chmod 600 /etc/secret; chown 5 /etc/secret; echo x > /etc/secret && cat /etc/secret")
    with open(os.path.join(b.rootfs, "etc/secret"), "w") as f:
        f.write("secret")
    b.linux["maskedPaths"] = ["/etc/secret"]
    for caps in b.process["capabilities"].values():
        caps += ["CAP_CHOWN", "CAP_FOWNER", "CAP_DAC_OVERRIDE"]
    before = os.stat("/dev/null")
    status, out, err = b.run()
    after = os.stat("/dev/null")
    if (before.st_mode, before.st_uid) != (after.st_mode, after.st_uid):
        os.chmod("/dev/null", stat.S_IMODE(before.st_mode))
        os.chown("/dev/null", before.st_uid, before.st_gid)
    equal((status, out, before.st_mode, before.st_uid), (0, "", after.st_mode, after.st_uid))
    equal(err.count("Read-only file system"), 2)


def test_readonly_root():
    """a readonly root cannot be written, its mounts can"""
    b = Bundle(shell="echo x > /file; echo $?; echo y > /dev/shm/file; echo $?")
    b.config["root"]["readonly"] = True
    equal(b.run()[1], "1\n0\n")


def test_mount_options():
    """flags, propagation and recursive attributes of bind mounts"""
    b = Bundle(shell="for d in a b c; do grep \" /$d \" /proc/self/mountinfo | cut -d' ' -f6,7; done")
    os.makedirs(os.path.join(b.dir, "source"))
    atime = [] if ROOTLESS else ["noatime"]  # locked in a user namespace
    b.config["mounts"] += [
        {"destination": "/a", "source": "source", "type": "none",
         "options": ["bind", "ro", "nosuid", "nodev", *atime]},
        {"destination": "/b", "source": "source", "type": "bind", "options": ["rbind", "rro", "shared"]},
        {"destination": "/c", "type": "tmpfs", "source": "tmpfs",
         "options": ["noexec", "size=1m", "mode=700"]}]
    a, shared, c = b.output().split("\n")[:3]
    check(a.split()[0].startswith(",".join(["ro", "nosuid", "nodev", *atime])), a)
    check(shared.startswith("ro,") and "shared:" in shared, shared)
    check("noexec" in c, c)


def test_idmapped():
    """an idmapped mount shows files as another user's"""
    root_only("make idmapped mounts of the host's file systems")
    b = Bundle(["/bin/stat", "-c", "%u:%g", "/data/file"])
    source = os.path.join(b.dir, "source")
    os.makedirs(source)
    with open(os.path.join(source, "file"), "w"):
        os.chown(os.path.join(source, "file"), 1000, 1000)
    ids = [{"containerID": 1000, "hostID": 5000, "size": 1}]
    b.config["mounts"].append({"destination": "/data", "type": "bind", "source": source,
                               "options": ["bind", "idmap"], "uidMappings": ids,
                               "gidMappings": ids})
    status, out, err = b.run()
    if "idmap" in err and "Invalid argument" in err:
        return  # the file system of the temporary folder cannot
    equal((status, out), (0, "5000:5000\n"))


def test_tmpcopyup():
    """tmpcopyup fills a tmpfs with what it covers"""
    b = Bundle(shell="cat /etc/conf.d/x; readlink /etc/conf.d/l; stat -c %a /etc/conf.d/x; rm /etc/conf.d/x")
    os.makedirs(os.path.join(b.rootfs, "etc/conf.d"))
    path = os.path.join(b.rootfs, "etc/conf.d/x")
    with open(path, "w") as f:
        f.write("kept\n")
    os.chmod(path, 0o640)
    os.symlink("x", os.path.join(b.rootfs, "etc/conf.d/l"))
    b.config["mounts"].append({"destination": "/etc", "type": "tmpfs", "source": "tmpfs",
                               "options": ["tmpcopyup"]})
    equal(b.output(), "kept\nx\n640\n")
    check(os.path.exists(path))


def test_host_mounts():
    """all those runs have left no mount on the host"""
    with open("/proc/self/mountinfo") as f:
        equal([line for line in f if "wirt-oci-test" in line], [])


main(globals())
