#!/usr/bin/env python3
"""Control groups: limits hold for real work, on cgroup v1, hybrid or v2, whichever the host has."""
import json
import os
import subprocess
import time

from bundle import ROOTLESS, Bundle, Skip, cgroup_v2, check, contains, equal, main, need_rights, root_only

need_rights("container/limits")
V2 = cgroup_v2()


def group(b, controller, name):
    path = (f"/sys/fs/cgroup/wirt-{b.id}/{name}" if V2
            else f"/sys/fs/cgroup/{controller}/wirt-{b.id}/{name}")
    if not os.path.exists(path):
        raise Skip(f"the host has no {path}")
    with open(path) as f:
        return f.read().strip()


def need(controller):
    root_only("make control groups")
    if V2:
        with open("/sys/fs/cgroup/cgroup.controllers") as f:
            there = controller in f.read().split()
    else:
        there = os.path.isdir(f"/sys/fs/cgroup/{controller}")
    if not there:
        raise Skip(f"the host has no {controller} controller")


HOG = "dd if=/dev/zero of=/dev/null bs=64M count=4"


def test_memory():
    """a memory hog is killed at its limit; below the limit it is not"""
    need("memory")
    for limit, want in ((16 << 20, 137), (256 << 20, 0)):
        b = Bundle(shell=HOG)
        b.linux["resources"]["memory"] = {"limit": limit}
        status, _, err = b.run()
        equal(status, want)
        equal(b.left_behind(), [])
        check(want or "records" in err, err)


def test_memory_read_back():
    """memory limit, swap and reservation are in the control files"""
    need("memory")
    b = Bundle(["/bin/sleep", "100"])
    b.linux["resources"]["memory"] = {"limit": 64 << 20, "swap": 96 << 20,
                                      "reservation": 32 << 20}
    b.create()
    if V2:
        equal(group(b, "memory", "memory.max"), str(64 << 20))
        equal(group(b, "memory", "memory.low"), str(32 << 20))
        equal(group(b, "memory", "memory.swap.max"), str(32 << 20))
    else:
        equal(group(b, "memory", "memory.limit_in_bytes"), str(64 << 20))
        equal(group(b, "memory", "memory.soft_limit_in_bytes"), str(32 << 20))
        equal(group(b, "memory", "memory.memsw.limit_in_bytes"), str(96 << 20))
    b.delete()


def test_memory_too_small():
    """a limit that not even the start fits in is said to be one"""
    need("memory")
    b = Bundle()
    b.linux["resources"]["memory"] = {"limit": 4096}
    status, _, err = b.run()
    check(status != 0)
    equal(b.left_behind(), [])
    contains(err.lower(), "memory")


def cpu_seconds(b):
    status, out, err = b.oci("events", "--stats", b.id)
    check(status == 0, err)
    return json.loads(out)["data"]["cpu"]["usage"]["total"] / 1e9


def host_time():
    """Ticks of all processors since the host's start: idle, and all."""
    with open("/proc/stat") as f:
        ticks = [int(n) for n in f.readline().split()[1:9]]
    return ticks[3], sum(ticks)


def test_cpu():
    """a busy loop held to a fifth of a CPU gets that, and no more"""
    need("cpu")
    b = Bundle(shell="while :; do :; done")
    b.linux["resources"]["cpu"] = {"quota": 20000, "period": 100000}
    b.create()
    b.start()
    share, idle = 0, 0
    for _ in range(3):
        used, then, (idle_then, all_then) = cpu_seconds(b), time.monotonic(), host_time()
        time.sleep(3)
        share = (cpu_seconds(b) - used) / (time.monotonic() - then)
        idle = (host_time()[0] - idle_then) / (host_time()[1] - all_then)
        check(share < 0.23, f"share {share:.3f} of a CPU")
        if share > 0.17:
            break
    b.delete()
    if idle < 0.3 and share <= 0.17:
        raise Skip(f"the host is busy: {share:.3f} of a CPU is what was left")
    check(share > 0.17, f"share {share:.3f} of a CPU on a host that has nothing else to do")


def test_cpu_weight():
    """CPU shares become a weight"""
    need("cpu")
    b = Bundle(["/bin/sleep", "100"])
    b.linux["resources"]["cpu"] = {"shares": 512}
    b.create()
    if V2:
        equal(group(b, "cpu", "cpu.weight"), "20")
    else:
        equal(group(b, "cpu", "cpu.shares"), "512")
    b.delete()


def test_cpuset():
    """the processors allowed are those of cpu.cpus"""
    need("cpuset")
    b = Bundle(["/bin/grep", "Cpus_allowed_list", "/proc/self/status"])
    b.linux["resources"]["cpu"] = {"cpus": "0", "mems": "0"}
    equal(b.output().split()[1], "0")


def test_pids():
    """no more processes than the limit"""
    need("pids")
    b = Bundle(shell="for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; wait")
    b.linux["resources"]["pids"] = {"limit": 5}
    status, _, err = b.run()
    check(status != 0)
    contains(err, "fork")


def test_container_freezes_itself():
    """a container that froze itself in a group of its own making is killed and deleted"""
    need("freezer")
    if cgroup_v2():
        raise Skip("on cgroup v2 what is frozen can be killed")
    for verb in (("delete", "--force"), ("kill", "--all"), ("kill",)):
        b = Bundle(shell="cd /sys/fs/cgroup/freezer; mkdir a a/b; for p in 0 $$; do "
                         "echo $p > a/b/cgroup.procs; done; echo FROZEN > a/freezer.state; sleep 100")
        for m in b.config["mounts"]:
            if m["type"] == "cgroup":
                m["options"] = [o for o in m["options"] if o != "ro"]
        b.create()
        b.start()
        state = f"/sys/fs/cgroup/freezer/wirt-{b.id}/a/freezer.state"
        end = time.monotonic() + 10
        while not os.path.exists(state) or "FROZEN" not in open(state).read():
            check(time.monotonic() < end, "not frozen")
            time.sleep(0.01)
        begin = time.monotonic()
        status, _, err = b.oci(*verb, b.id, *(["KILL"] if verb[0] == "kill" else []))
        equal((status, err), (0, ""))
        if verb[0] == "kill":
            b.wait_status("stopped")
            equal(b.oci("delete", b.id)[0], 0)
        check(time.monotonic() - begin < 5, "it took long")
        equal(b.left_behind(), [])


def test_pids_zero():
    """a limit of 0 is none before version 1.3.0 of the specification, and 0 since"""
    need("pids")
    for version, want in (("1.0.2", "max"), ("1.2.1", "max"), ("1.3.0", "0")):
        b = Bundle(["/bin/sleep", "100"], ociVersion=version)
        b.linux["resources"]["pids"] = {"limit": 0}
        b.create()
        equal(group(b, "pids", "pids.max"), want)
        b.delete()


def test_devices():
    """only allowed devices can be opened"""
    root_only("make control groups and devices")
    mknod = ["CAP_MKNOD"]

    def attempt(rules):
        b = Bundle(shell="mknod /dev/mem2 c 1 1; head -c1 /dev/mem2 >/dev/null; "
                         "head -c1 /dev/zero | wc -c")
        for s in ("bounding", "effective", "permitted"):
            b.process["capabilities"][s] += mknod + ["CAP_SYS_RAWIO"]
        b.linux["resources"]["devices"] = rules
        status, out, err = b.run()
        equal((status, out), (0, "1\n"))
        return err

    deny = {"allow": False, "access": "rwm"}
    contains(attempt([deny]), "Operation not permitted")
    err = attempt([deny, {"allow": True, "type": "c", "major": 1, "minor": 1, "access": "r"}])
    check("Operation not permitted" not in err, err)
    # Allowed to be written is not allowed to be read.
    contains(attempt([deny, {"allow": True, "type": "c", "major": 1, "minor": 1, "access": "w"}]),
             "Operation not permitted")


def test_device_access():
    """a device of linux.devices can be used as far as the config's rules allow, and no further"""
    root_only("make control groups and devices")

    def attempt(*rules):
        b = Bundle(shell="(exec 3</dev/kmsg) 2>/dev/null && echo read; "
                         "(exec 3>/dev/kmsg) 2>/dev/null && echo write; true")
        for s in ("bounding", "effective", "permitted"):
            b.process["capabilities"][s] += ["CAP_SYSLOG"]
        b.linux["devices"] = [{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11,
                               "fileMode": 0o666, "uid": 0, "gid": 0}]
        b.linux["resources"]["devices"] = list(rules)
        return b.output().split()

    deny = {"allow": False, "access": "rwm"}
    kmsg = {"allow": True, "type": "c", "major": 1, "minor": 11}
    equal(attempt(deny, {**kmsg, "access": "r"}), ["read"])
    equal(attempt(deny, {**kmsg, "access": "w"}), ["write"])
    equal(attempt(deny, {**kmsg, "access": "rwm"}), ["read", "write"])
    equal(attempt(deny), [])
    # A config without a word of who may do what: what it asked for is there to be used.
    equal(attempt(), ["read", "write"])


def test_freezer():
    """pause stops a container's work, resume goes on, delete --force works while it is paused"""
    root_only("make control groups")
    b = Bundle(shell="while :; do :; done")
    b.create()
    b.start()
    equal(b.oci("pause", b.id)[0], 0)
    equal(b.state()["status"], "paused")
    used = cpu_seconds(b)
    time.sleep(0.5)
    check(cpu_seconds(b) - used < 0.05, "it works on")
    equal(b.oci("resume", b.id)[0], 0)
    equal(b.state()["status"], "running")
    time.sleep(0.3)
    check(cpu_seconds(b) > used, "it does not go on")
    equal(b.oci("pause", b.id)[0], 0)
    b.delete()
    equal(b.left_behind(), [])


def test_update():
    """update changes limits of a running container"""
    need("memory")
    b = Bundle(["/bin/sleep", "100"])
    b.create()
    b.start()
    r = b.oci("update", "--memory", "48m", "--cpu-quota", "50000", "--pids-limit", "77", b.id)
    equal(r[0], 0)
    equal(group(b, "memory", "memory.max" if V2 else "memory.limit_in_bytes"), str(48 << 20))
    equal(group(b, "pids", "pids.max"), "77")
    equal(group(b, "cpu", "cpu.max" if V2 else "cpu.cfs_quota_us"),
          "50000 100000" if V2 else "50000")
    r = b.oci("update", "--resources", "-", b.id, stdin=None, input=b'{"pids": {"limit": -1}}')
    equal(r[0], 0)
    equal(group(b, "pids", "pids.max"), "max")
    r = b.oci("update", "--memory", "lots", b.id)
    check(r[0] != 0 and "--memory" in r[2], r)
    b.delete()


def test_events():
    """events tells of a kill for lack of memory"""
    need("memory")
    # An allocation that fails does not kill the shell, so that the container outlives it.
    b = Bundle(shell=f"sleep 1; {HOG}; sleep 3")
    b.linux["resources"]["memory"] = {"limit": 16 << 20}
    b.create()
    b.start()
    r = b.oci("events", "--interval", "1", b.id, timeout=30)
    kinds = [json.loads(line)["type"] for line in r[1].splitlines()]
    contains(kinds, "oom")
    contains(kinds, "stats")
    b.delete()


def test_path():
    """cgroupsPath is where asked, with what is missing above it, and gone afterwards"""
    root_only("make control groups")
    b = Bundle(["/bin/sleep", "100"])
    b.linux["cgroupsPath"] = f"/wirt-{b.id}/deep/er"
    b.create()
    pid = b.state()["pid"]
    with open(f"/proc/{pid}/cgroup") as f:
        text = f.read()
    check(all(line.endswith(f"/wirt-{b.id}/deep/er") for line in text.split()), text)
    b.delete()
    equal(b.left_behind(), [])


def test_occupied():
    """a control group that has processes is refused"""
    root_only("make control groups")
    first = Bundle(["/bin/sleep", "100"])
    first.create()
    b = Bundle()
    b.linux["cgroupsPath"] = f"/wirt-{first.id}"
    status, _, err = b.run()
    check(status != 0)
    contains(err, "linux.cgroupsPath")
    equal(first.state()["status"], "created")
    first.delete()


def test_kill_all():
    """kill --all reaches every process, also without a pid namespace"""
    b = Bundle(shell="sleep 100 & sleep 100 & wait")
    if not ROOTLESS:  # a user namespace's root may not mount the host's proc
        b.without("pid")
    b.create()
    b.start()
    time.sleep(0.3)
    pids = json.loads(b.oci("ps", "--format", "json", b.id)[1])
    check(len(pids) == 3, pids)
    equal(b.oci("kill", "--all", b.id, "KILL")[0], 0)
    b.wait_status("stopped")
    b.delete()
    for p in pids:
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(p)], stdout=subprocess.PIPE,
                               check=False).stdout.strip()
        check(not state or state.startswith(b"Z"), f"{p} is {state}")


main(globals())
