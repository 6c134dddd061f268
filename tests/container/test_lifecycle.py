#!/usr/bin/env python3
"""create, start, state, kill, delete, exec, hooks, terminals: the runtime-spec's life of a container."""
import array
import json
import os
import pty
import select
import signal
import socket
import subprocess
import threading
import time

from bundle import (BASE, SIZE, OCI, ROOT, Bundle, Skip, cgroup_v2, check, contains, equal, main, need_rights,
                    root_only)

need_rights("container/lifecycle")


def test_life():
    """creating, created, running, stopped, gone; each verb only where it may be"""
    b = Bundle(shell="echo started; trap 'exit 3' TERM; while :; do sleep 0.05; done",
               annotations={"org.example": "yes"})
    b.create("--pid-file", os.path.join(b.dir, "pid"))
    s = b.state()
    equal((s["status"], s["id"], s["bundle"], s["annotations"]),
          ("created", b.id, b.dir, {"org.example": "yes"}))
    with open(os.path.join(b.dir, "pid")) as f:
        equal(int(f.read()), s["pid"])
    equal(b.printed(), "")
    check(b.oci("delete", b.id)[0] != 0, "delete of a created container")
    equal(b.state()["status"], "created")
    b.start()
    b.wait_status("running")
    check(b.oci("start", b.id)[0] != 0, "second start")
    check(b.oci("delete", b.id)[0] != 0, "delete of a running container")
    check(b.create(fails=True) != 0, "second create")
    equal(b.state()["status"], "running")
    time.sleep(0.2)
    equal(b.oci("kill", b.id, "SIGTERM")[0], 0)
    b.wait_status("stopped")
    check(b.oci("kill", b.id, "KILL")[0] != 0, "kill of a stopped container")
    check(b.oci("exec", b.id, "true")[0] != 0, "exec in a stopped container")
    equal(b.oci("delete", b.id)[0], 0)
    check(b.oci("state", b.id)[0] != 0, "state of none")
    check(b.oci("delete", b.id)[0] != 0, "delete of none")
    equal(b.oci("delete", "--force", b.id)[0], 0)
    equal(b.left_behind(), [])


def test_config_is_kept():
    """a change of config.json after create has no effect"""
    b = Bundle(["/bin/echo", "before"])
    b.create()
    b.process["args"] = ["/bin/echo", "after"]
    b.write()
    b.start()
    b.wait_status("stopped")
    equal(b.printed(), "before\n")
    b.delete()


def test_start_without_process():
    """a container without a process can be created; start says what it is missing"""
    b = Bundle()
    del b.config["process"]
    b.create()
    equal(b.state()["status"], "created")
    status, _, err = b.oci("start", b.id)
    equal(status, 1)
    contains(err, "process: missing")
    b.wait_status("stopped")
    equal(b.oci("delete", b.id)[0], 0)
    equal(b.left_behind(), [])
    contains(b.run()[2], "process: missing")


def test_two_starts():
    """of two starts at once one wins"""
    b = Bundle(["/bin/sleep", "100"])
    b.create()
    results = []
    threads = [threading.Thread(target=lambda: results.append(b.oci("start", b.id)[0]))
               for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(sorted(results), [0, 1, 1, 1])
    b.delete()


def test_run_forwards_signals():
    """run hands signals to the command and its status back"""
    b = Bundle(shell="trap 'echo got; exit 9' USR1; echo ready; while :; do sleep 0.05; done")
    b.write()
    p = subprocess.Popen([OCI, "--root", ROOT, "run", "--bundle", b.dir, b.id],
                         stdout=subprocess.PIPE)
    equal(p.stdout.readline(), b"ready\n")
    p.send_signal(signal.SIGUSR1)
    equal(p.communicate(timeout=20)[0], b"got\n")
    equal(p.returncode, 9)
    equal(b.left_behind(), [])


def test_run_detached():
    """run --detach returns, the container goes on; list and ps know it"""
    b = Bundle(["/bin/sleep", "100"])
    b.write()
    with open(os.devnull, "r+b") as null:
        equal(subprocess.run([OCI, "--root", ROOT, "run", "--detach", "--bundle", b.dir, b.id],
                             stdin=null, stdout=null, timeout=20, check=False).returncode, 0)
    equal(b.state()["status"], "running")
    contains(b.oci("list", "-q")[1].split(), b.id)
    contains([c["id"] for c in json.loads(b.oci("list", "-f", "json")[1])], b.id)
    contains(b.oci("ps", b.id)[1], "sleep 100")
    b.delete()


def test_hooks():
    """hooks of all kinds run in order, in their namespaces, with the state on standard input"""
    b = Bundle(shell="echo command >> /log")
    log = os.path.join(b.rootfs, "log")

    def hook(name, host=True):
        script = (f'read s; echo {name} $(echo $s | tr -d " " | grep -o \'"status":"[a-z]*"\') '
                  f'$(hostname) >> ' + (log if host else "/log"))
        return [{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}]

    b.config["hostname"] = "inside"
    b.config["hooks"] = {k: hook(k, k != "startContainer") for k in (
        "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")}
    b.create()
    with open(log) as f:
        before = f.read().split("\n")
    host = socket.gethostname()
    equal(before, [f'prestart "status":"created" {host}',
                   f'createRuntime "status":"created" {host}',
                   'createContainer "status":"created" inside', ""])
    b.start()
    b.wait_status("stopped")
    equal(b.oci("delete", b.id)[0], 0)
    with open(log) as f:
        after = f.read().split("\n")[3:-1]
    equal(after[0], 'startContainer "status":"created" inside')
    equal(sorted(after[1:3]), sorted(["command", f'poststart "status":"running" {host}']))
    equal(after[3:], [f'poststop "status":"stopped" {host}'])


def test_hook_fails():
    """a hook that fails stops the container, and poststop hooks still run"""
    for kind in ("prestart", "createRuntime", "createContainer"):
        b = Bundle()
        mark = os.path.join(b.dir, "mark")
        b.config["hooks"] = {kind: [{"path": "/bin/false"}],
                             "poststop": [{"path": "/bin/touch", "args": ["touch", mark]}]}
        status, _, err = b.run()
        check(status != 0)
        contains(err, f"hooks.{kind}[0] (/bin/false): ended with status 1")
        equal(b.left_behind(), [])
        check(os.path.exists(mark), f"{kind}: no poststop")


def test_start_hook_fails():
    """a startContainer or poststart hook that fails makes start fail, and the container is gone"""
    for kind in ("startContainer", "poststart"):
        b = Bundle(shell="sleep 100")
        mark = os.path.join(b.dir, "mark")
        b.config["hooks"] = {kind: [{"path": "/bin/false"}],
                             "poststop": [{"path": "/bin/touch", "args": ["touch", mark]}]}
        b.create()
        status, _, err = b.oci("start", b.id)
        equal(status, 1)
        contains(err, f"hooks.{kind}[0] (/bin/false): ended with status 1")
        equal(b.left_behind(), [])
        check(os.path.exists(mark), f"{kind}: no poststop")


def test_poststop_hook_fails():
    """a poststop hook that fails is a warning, and the others run"""
    b = Bundle()
    mark = os.path.join(b.dir, "mark")
    b.config["hooks"] = {"poststop": [{"path": "/bin/false"}, {"path": "/no/such"},
                                      {"path": "/bin/touch", "args": ["touch", mark]}]}
    b.create()
    status, _, err = b.oci("delete", "--force", b.id)
    equal(status, 0)
    contains(err, "hooks.poststop[0] (/bin/false): ended with status 1")
    contains(err, "hooks.poststop[1] (/no/such): ended with status 127")
    check(os.path.exists(mark), "the third hook did not run")
    equal(b.left_behind(), [])


def test_hook_timeout():
    """a hook that takes too long is killed"""
    b = Bundle(hooks={"prestart": [{"path": "/bin/sleep", "args": ["sleep", "50"], "timeout": 1}]})
    then = time.monotonic()
    status, _, err = b.run()
    check(status != 0 and time.monotonic() - then < 10)
    contains(err, "no end after 1 s")


def test_hook_does_not_read():
    """a hook that leaves its state unread is killed in time, and one that ends without it is fine"""
    big = {"a": "x" * 400000}
    b = Bundle(annotations=big, hooks={"createRuntime": [
        {"path": "/bin/sleep", "args": ["sleep", "50"], "timeout": 1}]})
    then = time.monotonic()
    status, _, err = b.run()
    check(status != 0 and time.monotonic() - then < 10)
    contains(err, "no end after 1 s")
    equal(b.left_behind(), [])
    out = Bundle(shell="echo went", annotations=big, hooks={"createRuntime": [
        {"path": "/bin/true", "timeout": 5}, {"path": "/bin/true"}]}).output()
    equal(out, "went\n")
    b = Bundle(annotations=big)
    copy = os.path.join(b.dir, "copy")
    b.config["hooks"] = {"createRuntime": [{"path": "/bin/dd", "args": ["dd", f"of={copy}"]}]}
    b.output()
    with open(copy) as f:
        equal(json.load(f)["annotations"], big)


def test_hook_environment():
    """a hook in the container's namespaces has no variable that the config does not give it"""
    b = Bundle(shell="cat /log")
    script = "for f in /proc/self/environ; do tr '\\0' ' ' < $f; done >> {}; echo >> {}"
    b.config["hooks"] = {
        kind: [{"path": "/bin/sh", "args": ["sh", "-c", script.format(log, log)], **env}
               for env in ({}, {"env": ["A=1"]}, {"env": []})]
        for kind, log in (("createContainer", os.path.join(b.rootfs, "log")),
                          ("startContainer", "/log"))}
    b.write()
    status, out, err = b.run(env={"PATH": os.environ["PATH"], "SECRET": "token"})
    equal(status, 0)
    check("SECRET" not in out, out)
    equal(out.count("A=1"), 2)


def running(**kw):
    b = Bundle(["/bin/sleep", "100"], **kw)
    return b


def test_exec():
    """exec: status, environment, directory, user, capabilities, the container's namespaces and group"""
    b = running(hostname="there")
    b.process["env"] = ["PATH=/bin", "OWN=1"]
    b.create()
    b.start()
    equal(b.oci("exec", b.id, "sh", "-c", "hostname; exit 5")[:2], (5, "there\n"))
    equal(b.oci("exec", "--env", "X=2", "--env", "OWN=3", "--cwd", "/tmp", "--user", "7:8", b.id,
                "sh", "-c", "pwd; id -u; id -g; echo $X$OWN")[1], "/tmp\n7\n8\n23\n")
    contains(b.oci("exec", b.id, "ps")[1], "sleep 100")
    out = b.oci("exec", b.id, "cat", "/proc/self/cgroup")[1]
    check(all(line.endswith(":/") for line in out.split()), out)
    equal(b.oci("exec", "--cap", "CAP_SYS_ADMIN", b.id, "mount", "-t", "tmpfs", "x", "/tmp")[0], 0)
    equal(b.oci("exec", "--user", "7", "-g", "11", "--additional-gids", "12", b.id, "id", "-G")[1],
          "0 11 12\n")
    equal(b.oci("exec", "-g", "x", b.id, "true")[0], 255)
    r = b.oci("exec", b.id, "nothing")
    equal(r[0], 127)
    contains(r[2], "nothing is not found in PATH")
    equal(b.oci("exec", b.id, "sh", "-c", "kill -9 $$")[0], 137)
    r = b.oci("exec", "--cap", "CAP_X", b.id, "true")
    check(r[0] != 0 and "CAP_X" in r[2], r)
    b.delete()


def test_exec_paused():
    """exec is refused in a paused container, or waits for it to be resumed"""
    root_only("make control groups")
    if not cgroup_v2() and not os.path.isdir("/sys/fs/cgroup/freezer"):
        raise Skip("the host has no freezer")
    b = running()
    b.create()
    b.start()
    equal(b.oci("pause", b.id)[0], 0)
    status, _, err = b.oci("exec", b.id, "true")
    equal(status, 255)
    contains(err, "is paused")
    p = subprocess.Popen([OCI, "--root", ROOT, "exec", "--ignore-paused", b.id, "echo", "resumed"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    time.sleep(0.3)
    check(p.poll() is None, "it did not wait")
    equal(b.oci("resume", b.id)[0], 0)
    equal((p.communicate(timeout=20)[0], p.returncode), (b"resumed\n", 0))
    b.delete()


def test_exec_process():
    """exec --process takes a process as config.json has it; --detach and --pid-file"""
    b = running()
    b.create()
    b.start()
    path = os.path.join(b.dir, "process.json")
    p = {"args": ["sleep", "77"], "cwd": "/", "env": ["PATH=/bin"],
         "user": {"uid": 1, "gid": 1}, "noNewPrivileges": True}
    with open(path, "w") as f:
        json.dump(p, f)
    pid_file = os.path.join(b.dir, "exec-pid")
    equal(subprocess.run([OCI, "--root", ROOT, "exec", "--process", path, "--detach", "--pid-file",
                          pid_file, b.id], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                         timeout=20, check=False).returncode, 0)
    with open(pid_file) as f, open(f"/proc/{f.read()}/status") as s:
        contains(s.read(), "NoNewPrivs:\t1")
    contains(b.oci("exec", b.id, "ps")[1], "sleep 77")
    b.delete()


def test_exec_user_namespace():
    """exec in a container with a user namespace"""
    b = running()
    b.user_namespace()
    b.create()
    b.start()
    out = b.oci("exec", b.id, "sh", "-c", "id -u; cat /proc/self/uid_map; echo $$")[1].split()
    equal(out[:4], ["0", "0", str(BASE), str(SIZE)])
    check(int(out[4]) < 100, out)
    for user in ("0", "1000"):
        pid, fd = pty.fork()
        if pid == 0:
            os.execv(OCI, [OCI, "--root", ROOT, "exec", "--tty", "--user", user, b.id, "sh", "-c",
                           "exec 3<>$(tty); ls -ln $(tty)"])
        contains(read_until(fd, b"/dev/pts/").decode(), user)
        equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
    b.delete()


def test_exec_seccomp():
    """the container's system call filter holds for exec too"""
    b = running()
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}
    b.create()
    b.start()
    contains(b.oci("exec", b.id, "mkdir", "/tmp/x")[2], "No space left")
    b.delete()


def receive(path, answers):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(1)
    s.settimeout(20)
    c, _ = s.accept()
    fds = array.array("i")
    _, anc, _, _ = c.recvmsg(4096, socket.CMSG_LEN(4))
    for _, _, data in anc:
        fds.frombytes(data[:4])
    answers += fds.tolist()
    s.close()


def read_until(fd, mark):
    data = b""
    end = time.monotonic() + 20
    while mark not in data and time.monotonic() < end:
        if select.select([fd], [], [], 0.2)[0]:
            try:
                data += os.read(fd, 4096)
            except OSError:
                break
    check(mark in data, data)
    return data


def test_console_socket():
    """a terminal goes to the console socket, of the size asked for, and is /dev/console"""
    b = Bundle(shell="tty; stty size; test -c /dev/console && echo console; read x; echo $x$x")
    b.process["terminal"] = True
    b.process["consoleSize"] = {"height": 31, "width": 97}
    check(b.create(fails=True) != 0, "create without a console socket")
    contains(b.printed(), "--console-socket")
    path, fds = os.path.join(b.dir, "s"), []
    t = threading.Thread(target=receive, args=(path, fds))
    t.start()
    time.sleep(0.2)
    b.create("--console-socket", path)
    t.join()
    b.start()
    text = read_until(fds[0], b"console\r\n")
    contains(text, b"/dev/pts/0\r\n31 97\r\n")
    os.write(fds[0], b"ab\n")
    read_until(fds[0], b"abab")
    os.close(fds[0])
    b.wait_status("stopped")
    b.delete()


def test_terminal_in_foreground():
    """run connects the caller's terminal; ^C reaches the command"""
    b = Bundle(shell="trap 'echo caught; exit 4' INT; tty; echo ready; while :; do sleep 0.1; done")
    b.process["terminal"] = True
    b.write()
    pid, fd = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell's background jobs have it
        os.execv(OCI, [OCI, "--root", ROOT, "run", "--bundle", b.dir, b.id])
    read_until(fd, b"ready")
    os.write(fd, b"\x03")
    read_until(fd, b"caught")
    equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 4)


def test_exec_terminal():
    """exec --tty has a terminal of its own"""
    b = running()
    b.create()
    b.start()
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(OCI, [OCI, "--root", ROOT, "exec", "--tty", b.id, "sh", "-c", "tty; exit 6"])
    read_until(fd, b"/dev/pts/0")
    equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 6)
    b.delete()


def test_exec_terminal_status():
    """exec --tty answers the status however soon the command ends"""
    b = running()
    b.create()
    b.start()
    for _ in range(40):
        pid, fd = pty.fork()
        if pid == 0:
            os.execv(OCI, [OCI, "--root", ROOT, "exec", "--tty", b.id, "sh", "-c", "exit 6"])
        equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 6)
        os.close(fd)
    b.delete()


def test_terminal_full():
    """a command with a terminal that is given more than it reads, and says more than is read"""
    b = running()
    b.create()
    b.start()
    lines = b"".join(b"%06d\n" % i for i in range(50000))
    status, out, err = b.oci("exec", "--tty", b.id, "sh", "-c",
                             "stty -echo; echo go; cat; echo end", input=lines)
    equal((status, err), (0, ""))
    contains(out, "049999\r\nend\r\n")
    # What is left behind in the background does not hold up the end.
    status, out, _ = b.oci("exec", "--tty", b.id, "sh", "-c",
                           "trap '' HUP; while :; do echo more; done & sleep 0.2; exit 3")
    equal(status, 3)
    b.delete()


def test_log():
    """errors go to --log too, as JSON if asked"""
    b = Bundle(["none-such"])
    b.write()
    log = os.path.join(b.dir, "log.json")
    status, _, _ = b.oci("--log", log, "--log-format", "json", "run", "--bundle", b.dir, b.id)
    check(status != 0)
    with open(log) as f:
        line = json.loads(f.readline())
    equal(line["level"], "error")
    contains(line["msg"], "none-such")


def test_runtime_dies():
    """a container in the making ends when its runtime is killed"""
    b = Bundle(hooks={"prestart": [{"path": "/bin/sleep", "args": ["sleep", "1.5"]}]})
    b.write()
    p = subprocess.Popen([OCI, "--root", ROOT, "create", "--bundle", b.dir, b.id],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    p.kill()
    p.wait()
    b.wait_status("stopped")
    b.delete()
    equal(b.left_behind(), [])


main(globals())
