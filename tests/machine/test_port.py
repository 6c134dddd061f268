#!/usr/bin/env python3
"""The port to an agent in the guest, under Debian's kernel and its driver. timeout: 300"""
import hashlib
import os
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from guest import Guest, check, finish, need_files  # noqa: E402

MIB = 1 << 20
# The port's device; its agent makes room for the test.
FIND = 'while pidof agent >/dev/null; do killall -KILL agent; sleep 0.1; done; for p in /sys/class/virtio-ports/*; do [ "$(cat $p/name)" = wirt.agent ] && ' \
       'port=/dev/${p##*/}; done; echo port=$port'
need_files("vmlinux", "initramfs.cpio.gz")


def receive(g, size):
    """What the guest sends, up to that many bytes."""
    g.agent.settimeout(60)
    data = bytearray()
    while len(data) < size:
        piece = g.agent.recv(size - len(data))
        if not piece:
            break
        data += piece
    return bytes(data)


def drain(g):
    """What the guest had sent."""
    g.agent.settimeout(0.5)
    data = bytearray()
    try:
        while piece := g.agent.recv(MIB):
            data += piece
    except TimeoutError:
        pass
    return bytes(data)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def find(g, name):
    out, _ = g.run(FIND)
    check(name, out.startswith("port=/dev/vport"), out)
    return drain(g)


def speak(g):
    """A program opens the port, and has a line and its answer: whether, and what came."""
    g.agent.sendall(b"a line\n")
    out, _ = g.run("exec 3<>$port; read a <&3; echo got $a >&3; exec 3>&-; echo $a")
    answer = receive(g, 11)
    return out == "a line" and answer == b"got a line\n", (out, answer)


def streams(g):
    size = 8 * MIB
    mine = os.urandom(size)
    out, _ = g.run(f"head -c {size} /dev/urandom >/tmp/data; sha256sum </tmp/data")
    wanted = out.split()[0]
    g.send("cat /tmp/data >$port\n")
    data = receive(g, size)
    check("8 MiB from the guest", sha256(data) == wanted, len(data))
    g.send(f"head -c {size} <$port | sha256sum; echo ta''ken\n")
    g.agent.sendall(mine)
    out = g.wait_for(rb"taken\r?\n", 60)
    check("8 MiB to the guest", out.split()[0] == sha256(mine), out)
    g.send(f"exec 3<>$port; cat /tmp/data >&3 & head -c {size} <&3 | sha256sum; wait; "
           "exec 3>&-; echo ta''ken\n")
    sender = threading.Thread(target=g.agent.sendall, args=(mine,))
    sender.start()
    data = receive(g, size)
    out = g.wait_for(rb"taken\r?\n", 60)
    sender.join()
    check("both at once", sha256(data) == wanted and out.split()[0] == sha256(mine), out)


def slow_host(g):
    g.send("cat /tmp/data >$port &\n")
    time.sleep(0.5)
    out, _ = g.run("echo awake; jobs | grep -c Running")
    check("output waits for a slow host, and nothing else does", out.split() == ["awake", "1"], out)
    out, _ = g.run("sha256sum </tmp/data")
    check("and then comes whole", sha256(receive(g, 8 * MIB)) == out.split()[0])
    g.run("wait")


def open_and_close(g):
    g.agent.sendall(b"one\ntwo\n")
    time.sleep(0.3)
    out, _ = g.run("exec 3<>$port; read a <&3; read b <&3; exec 3>&-; echo $a $b")
    check("input waits until the guest opens the port", out == "one two", out)
    for i in range(3):
        check(f"closed and opened again, {i + 1}", *speak(g))


def reboot(g):
    g.run("yes >$port & sleep 1")  # output that waits at the moment of the reset
    g.reboot()
    before = find(g, "after a reboot the port is there again")
    check("what had been sent before comes", before.startswith(b"y\ny\n"), before[:100])
    check("and works", *speak(g))


def host_closes(g):
    g.send("cat <$port; echo en''ded\n")
    time.sleep(0.3)
    g.agent.sendall(b"last words\n")
    g.agent.close()
    out = g.wait_for(rb"ended\r?\n", 20)
    check("the guest sees the host's end close, after its last words",
          out.split() == ["last", "words"], out)
    out, _ = g.run("cat <$port; echo open")
    check("and finds it closed when it opens the port again", out == "open", out)
    check("the machine ends well", g.poweroff() == 0)


with Guest("--harts", "2", agent=True) as guest:
    find(guest, "the port is found by its name")
    streams(guest)
    slow_host(guest)
    open_and_close(guest)
    reboot(guest)
    host_closes(guest)
finish()
