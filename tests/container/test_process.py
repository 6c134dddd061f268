#!/usr/bin/env python3
"""The process of a container: what it is told, what it may, and what comes back."""
import json
import os
import resource
import socket
import subprocess
import threading

from bundle import Bundle, Skip, check, contains, equal, main, need_rights

need_rights("container/process")


def status_fields(text):
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def test_hello():
    """a command runs in a root file system and its output comes back"""
    equal(Bundle(["/bin/echo", "hello"]).output(), "hello\n")


def test_exit_codes():
    """exit statuses 0, 1, 7 and 255 are wirt-oci's"""
    for code in (0, 1, 7, 255):
        equal(Bundle(shell=f"exit {code}").run()[0], code)


def test_signal_status():
    """death by signal n is status 128 + n"""
    b = Bundle(shell="kill -9 $$; true")
    b.without("pid")
    equal(b.run()[0], 137)


def test_not_found():
    """a command that is not there is refused by name, and nothing is left"""
    b = Bundle(["no-such-command"])
    status, _, err = b.run()
    check(status != 0)
    contains(err, "process.args[0]: no-such-command is not found in PATH")
    equal(b.left_behind(), [])


def test_not_executable():
    """a file without execute permission is refused by name"""
    b = Bundle(["/etc/plain"])
    with open(os.path.join(b.rootfs, "etc/plain"), "w") as f:
        f.write("x")
    status, _, err = b.run()
    check(status != 0)
    contains(err, "process.args[0]: /etc/plain: Permission denied")


def test_environment():
    """environment, PATH search and HOME out of the container's passwd"""
    b = Bundle(["env"])
    b.process["env"] = ["PATH=/nowhere:/bin", "A=b c"]
    b.process["user"] = {"uid": 7, "gid": 7}
    with open(os.path.join(b.rootfs, "etc/passwd"), "w") as f:
        f.write("root:x:0:0::/root:/bin/sh\nseven:x:7:7::/seven:/bin/sh\n")
    equal(sorted(b.output().split("\n")), ["", "A=b c", "HOME=/seven", "PATH=/nowhere:/bin"])


def test_user():
    """user, group, additional groups and umask"""
    b = Bundle(shell="id -u; id -g; id -G; umask")
    b.process["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 0o27}
    equal(b.output(), "1000\n1001\n1001 5 6\n0027\n")


def test_caller_groups():
    """the caller's groups are kept on request, for the command and for exec"""
    for note, want in ((None, "0"), ("1", "0 4321"), ("0", "0")):
        b = Bundle(["/bin/sleep", "100"])
        b.process["user"] = {"uid": 0, "gid": 0}
        if note:
            b.config["annotations"] = {"run.oci.keep_original_groups": note}
        own = os.getgroups()
        os.setgroups([4321])
        try:
            b.create()
            b.start()
            groups = b.oci("exec", b.id, "id", "-G")[1].strip()
        finally:
            os.setgroups(own)
        equal(groups, want)
        with open(f"/proc/{b.state()['pid']}/status") as f:
            equal(status_fields(f.read())["Groups"].strip(), want[2:])
        b.delete()


def test_cwd():
    """the working directory; made if missing"""
    b = Bundle(["/bin/pwd"])
    b.process["cwd"] = "/made/for/it"
    equal(b.output(), "/made/for/it\n")


def test_cwd_outside():
    """a working directory that is a link to a host folder held open is refused"""
    b = Bundle(["/bin/pwd"])
    b.process["cwd"] = "/proc/self/fd/3"
    for fd in range(3, 20):
        b.process["cwd"] = f"/proc/self/fd/{fd}"
        status, out, _ = b.run()
        check(status != 0 or (out.startswith("/") and not out.startswith("/sys/fs")), out)


def test_rlimits():
    """resource limits, soft and hard"""
    b = Bundle(shell="ulimit -n; ulimit -Hn; ulimit -c")
    b.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
                            {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]
    equal(b.output(), "100\n200\n0\n")


def test_few_descriptors():
    """a limit of open files holds for the command, not for what is done before it"""
    for n in (3, 4, 16):
        b = Bundle(shell="ulimit -Sn; ulimit -Hn")
        b.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": n, "hard": n + 1}]
        equal(b.output(), f"{n}\n{n + 1}\n")
    b.process["args"] = ["/bin/sleep", "1000"]
    b.create()
    b.start()
    equal(b.oci("exec", b.id, "sh", "-c", "ulimit -Sn; ulimit -Hn")[:2], (0, "16\n17\n"))
    b.delete()


def test_rlimit_too_high():
    """a limit above the runtime's own says so when it may not be raised"""
    b = Bundle()
    top = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    with open("/proc/self/status") as f:
        may = int(status_fields(f.read())["CapEff"], 16) >> 24 & 1
    if may or top == resource.RLIM_INFINITY:
        return
    b.process["rlimits"] = [{"type": "RLIMIT_NPROC", "soft": top + 1, "hard": top + 1}]
    status, _, err = b.run()
    check(status != 0)
    contains(err, "CAP_SYS_RESOURCE")
    equal(b.left_behind(), [])


def test_capabilities():
    """the five capability sets are exactly those asked for"""
    b = Bundle(["/bin/cat", "/proc/self/status"])
    kill, chown = 1 << 5, 1 << 0
    b.process["capabilities"] = {"bounding": ["CAP_KILL", "CAP_CHOWN"],
                                 "permitted": ["CAP_KILL", "CAP_CHOWN"],
                                 "effective": ["CAP_KILL"], "inheritable": ["CAP_KILL"],
                                 "ambient": ["CAP_KILL"]}
    b.process["user"] = {"uid": 1000, "gid": 1000}
    b.process["noNewPrivileges"] = True
    s = status_fields(b.output())
    equal(int(s["CapBnd"], 16), kill | chown)
    equal(int(s["CapInh"], 16), kill)
    equal(int(s["CapAmb"], 16), kill)
    # The command is executed by a user other than root: ambient is what it has.
    equal(int(s["CapPrm"], 16), kill)
    equal(int(s["CapEff"], 16), kill)
    equal(s["NoNewPrivs"], "1")


def test_capability_is_missed():
    """without CAP_SYS_ADMIN root cannot mount, without CAP_MKNOD not make a device"""
    b = Bundle(shell="mount -t tmpfs x /tmp && echo mounted; mknod /tmp/n c 1 3 && echo made; true")
    equal(b.output(), "")


def test_mount_label_without_selinux():
    """a label for mounts is left out with a warning where there is no SELinux"""
    if os.path.exists("/sys/fs/selinux/enforce"):
        raise Skip("the host has SELinux")
    b = Bundle(["/bin/true"])
    b.linux["mountLabel"] = "system_u:object_r:svirt_sandbox_file_t:s0:c715,c811"
    status, _, err = b.run()
    equal(status, 0)
    contains(err, "linux.mountLabel: the host has no SELinux")


def test_unknown_capability_warns():
    """an unknown capability is a warning, not an error"""
    b = Bundle()
    b.process["capabilities"]["bounding"].append("CAP_OF_TOMORROW")
    status, _, err = b.run()
    equal(status, 0)
    contains(err, "process.capabilities.bounding[12]: 'CAP_OF_TOMORROW'")


def seccomp(action, names, args=None, **more):
    rule = {"names": names, "action": action, **more}
    if args:
        rule["args"] = args
    return {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [rule]}


def test_seccomp_errno():
    """seccomp denies a call with the errno asked for, twice (the second filter out of the cache)"""
    for _ in range(2):
        b = Bundle(shell="mkdir /tmp/x; echo done")
        b.linux["seccomp"] = seccomp("SCMP_ACT_ERRNO", ["mkdir", "mkdirat"], errnoRet=122)
        status, out, err = b.run()
        equal((status, out), (0, "done\n"))
        contains(err, "quota exceeded")


def test_seccomp_kill():
    """seccomp kills the process that makes a forbidden call"""
    b = Bundle(["/bin/mkdir", "/tmp/x"])
    b.without("pid")
    b.linux["seccomp"] = seccomp("SCMP_ACT_KILL_PROCESS", ["mkdir", "mkdirat"])
    equal(b.run()[0], 128 + 31)


def test_seccomp_args():
    """seccomp looks at arguments"""
    b = Bundle(shell="kill -0 1 && echo zero; kill -10 1; echo ten $?")
    b.linux["seccomp"] = seccomp("SCMP_ACT_ERRNO", ["kill"],
                                 [{"index": 1, "value": 10, "op": "SCMP_CMP_EQ"}])
    _, out, _ = b.run()
    equal(out, "zero\nten 1\n")


def test_seccomp_without_nnp():
    """seccomp also works without noNewPrivileges"""
    b = Bundle(shell="grep -E 'Seccomp:|NoNewPrivs' /proc/self/status")
    b.process["noNewPrivileges"] = False
    b.process["user"] = {"uid": 3, "gid": 3}
    b.linux["seccomp"] = seccomp("SCMP_ACT_ERRNO", ["mkdir"])
    equal(b.output().split(), ["NoNewPrivs:", "0", "Seccomp:", "2"])


def test_seccomp_allows_little():
    """what the runtime itself does last need not be allowed by the container's filter"""
    for nnp in (True, False):
        b = Bundle(["/bin/true"])
        b.process["noNewPrivileges"] = nnp
        b.process["user"] = {"uid": 3, "gid": 3}
        b.linux["seccomp"] = seccomp("SCMP_ACT_KILL_PROCESS", [
            "close_range", "rt_sigaction", "fchown", "open", "openat", "write", "sendmsg", "clone"])
        status, _, err = b.run()
        equal((status, err), (0, ""))


def notified(b):
    """Runs b with an agent at a socket that only the caller of the runtime can reach."""
    folder = os.path.join(b.dir, "agent")
    os.mkdir(folder, 0o700)
    path = os.path.join(folder, "socket")
    b.linux["seccomp"] = seccomp("SCMP_ACT_NOTIFY", ["mkdir", "mkdirat"])
    b.linux["seccomp"]["listenerPath"] = path
    b.linux["seccomp"]["listenerMetadata"] = "meta"
    agent = socket.socket(socket.AF_UNIX)
    agent.bind(path)
    agent.listen(1)
    agent.settimeout(20)
    said = []

    def serve():
        c, _ = agent.accept()
        data, anc, _, _ = c.recvmsg(65536, socket.CMSG_LEN(4))
        said.append(json.loads(data))
        for _, _, fds in anc:
            os.close(int.from_bytes(fds[:4], "little"))  # nobody listens: calls fail with ENOSYS

    t = threading.Thread(target=serve)
    t.start()
    status, out, err = b.run()
    t.join()
    equal((status, out), (0, "done\n"))
    contains(err, "not implemented")
    return said[0]


def test_seccomp_notify():
    """seccomp hands its listener and the state to the agent's socket"""
    for user_namespace in (False, True):
        b = Bundle(shell="mkdir /tmp/x; echo done")
        if user_namespace:
            b.user_namespace()
        said = notified(b)
        equal((said["fds"], said["metadata"], said["state"]["id"]), (["seccompFd"], "meta", b.id))
        check(said["pid"] > 1)


def test_preserved_descriptors():
    """descriptors are closed, except those to be preserved"""
    b = Bundle(shell="ls /proc/self/fd | sort -n | tr '\\n' ' '")
    r, w = os.pipe()
    os.dup2(r, 3)
    os.set_inheritable(3, True)
    # ls's own folder is one more.
    equal(b.run(pass_fds=[3])[1].split(), ["0", "1", "2", "3"])
    equal(b.run("--preserve-fds", "1", pass_fds=[3])[1].split(), ["0", "1", "2", "3", "4"])
    os.close(3)
    os.close(w)


def test_personality_and_scheduling():
    """personality, I/O priority and scheduler are set"""
    # Field 41 of stat is the policy (proc(5)): 3 is SCHED_BATCH.
    b = Bundle(shell="uname -m; cut -d' ' -f41 /proc/self/stat; ionice -p $$")
    b.linux["personality"] = {"domain": "LINUX32"}
    b.process["scheduler"] = {"policy": "SCHED_BATCH", "nice": 19}
    b.process["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 7}
    out = b.output()
    contains(out, "i686")
    equal(out.split()[1], "3")
    contains(out, "best-effort: prio 7")


def test_oom_score():
    """oom_score_adj is set"""
    b = Bundle(["/bin/cat", "/proc/self/oom_score_adj"])
    b.process["oomScoreAdj"] = 321
    equal(b.output(), "321\n")


def test_streams_belong_to_user():
    """a user other than root can open its standard streams by name"""
    b = Bundle(shell="echo named > /dev/stdout")
    b.process["user"] = {"uid": 1000, "gid": 1000}
    equal(b.output(), "named\n")


def test_features():
    """features is JSON that lists time namespaces and both cgroup versions"""
    status, out, _ = Bundle().oci("features")
    f = json.loads(out)
    equal(status, 0)
    contains(f["linux"]["namespaces"], "time")
    check(f["linux"]["cgroup"]["v1"] and f["linux"]["cgroup"]["v2"])


main(globals())
