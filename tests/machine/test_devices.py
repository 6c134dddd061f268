#!/usr/bin/env python3
"""Disks, network, console and entropy under Debian's kernel and its drivers. timeout: 300"""
import hashlib
import http.server
import os
import pathlib
import socket
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from guest import FILES, Guest, check, finish, need_files  # noqa: E402

MIB = 1 << 20
need_files("vmlinux", "initramfs.cpio.gz", "disk.img")


def serve(data):
    """An HTTP server on the host's loopback; its port."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def disks(folder):
    a, b = folder / "first.img", folder / "second.img"
    content = os.urandom(8 * MIB)
    a.write_bytes(bytes(16 * MIB))
    b.write_bytes(content)
    with Guest("--disk", a, "--disk", f"{b},ro") as g:
        out, _ = g.run("cat /sys/block/vda/size /sys/block/vda/serial; echo; "
                       "cat /sys/block/vdb/ro")
        check("two disks, their sizes, names and modes", out.split() == ["32768", "first.img", "1"],
              out)
        out, _ = g.run("sha256sum </dev/vdb")
        check("a disk is read as it is", out.split()[0] == hashlib.sha256(content).hexdigest(), out)
        out, status = g.run("dd if=/dev/zero of=/dev/vdb bs=4096 count=1")
        check("a read-only disk is not written", status != 0 and b.read_bytes() == content, out)
        out, status = g.run("dd if=/dev/vdb of=/dev/vda bs=1M seek=4 && sync")
        check("what the guest writes and syncs is in the file",
              a.read_bytes() == bytes(4 * MIB) + content + bytes(4 * MIB), out)
        out, status = g.run("blkdiscard -o 4194304 -l 1048576 /dev/vda; blkdiscard -z -o 0 "
                            "-l 1048576 /dev/vda; head -c 1048576 /dev/vda | cmp -n 1048576 - "
                            "/dev/zero")
        check("discarded blocks leave the file", os.stat(a).st_blocks * 512 <= 16 * MIB and
              a.read_bytes()[5 * MIB:12 * MIB] == content[MIB:], out)
        out, _ = g.run("head -c 4096 /dev/hwrng | sha256sum; head -c 4096 /dev/hwrng | sha256sum;"
                       " cat /sys/class/misc/hw_random/rng_current")
        lines = out.split()
        check("entropy comes from the host", lines[-1].startswith("virtio_rng") and
              lines[0] != lines[2], out)
        text = "".join(chr(33 + i % 90) for i in range(3000))
        out, _ = g.run(f"echo '{text.replace(chr(39), '_')}' | wc -c")
        check("a long line comes in whole", out == "3001", out)
        out, _ = g.run("seq 1 20000", 60)
        check("a long output goes out whole", out.split() == [str(i) for i in range(1, 20001)],
              out[-100:])
        check("the machine ends well", g.poweroff() == 0)


def root_disk(folder):
    image = folder / "root.img"
    os.system(f"cp --sparse=always '{FILES / 'disk.img'}' '{image}'")
    for turn in range(2):
        with Guest(root=image) as g:
            out, _ = g.run("grep ' / ' /proc/mounts; cat /var/kept")
            check(["the root is on the disk", "what was written is there after a restart"][turn],
                  "/dev/vda / ext4" in out and (turn == 0 or "until next time" in out), out)
            g.run("echo until next time >/var/kept")
            g.poweroff()


def network(folder):
    data = os.urandom(20 * MIB)
    port = serve(data)
    image = folder / "root.img"
    free = socket.socket()
    free.bind(("127.0.0.1", 0))
    forwarded = free.getsockname()[1]
    free.close()
    with Guest("--network", "--forward", f"127.0.0.1:{forwarded}:7000", root=image) as g:
        out, _ = g.run("ip -4 -o addr show eth0; cat /etc/resolv.conf")
        check("DHCP gives the guest its address and name server",
              "10.0.2.15/24" in out and "10.0.2.3" in out, out)
        out, status = g.run(f"busybox wget -q -O - http://10.0.2.2:{port}/file | sha256sum", 60)
        check("20 MiB over HTTP come whole",
              status == 0 and out.split()[0] == hashlib.sha256(data).hexdigest(), out)
        g.run("busybox nc -l -p 7000 </etc/hostname >/tmp/heard & "
              "until grep -q :1B58 /proc/net/tcp /proc/net/tcp6; do sleep 0.1; done")  # 7000: it listens
        with socket.create_connection(("127.0.0.1", forwarded), 10) as s:
            s.sendall(b"hello guest\n")
            s.shutdown(socket.SHUT_WR)
            s.settimeout(20)
            answer = s.recv(100)
        out, _ = g.run("cat /tmp/heard; cat /etc/hostname")
        check("a forwarded port leads into the guest", "hello guest" in out, out)
        check("and the guest's answer comes back", answer.decode().strip() in out and answer,
              answer)


def reboot(folder):
    image = folder / "root.img"
    with Guest("--network", "--harts", "2", root=image) as g:
        # A disk that is busy, and a network with a lease, at the moment of the reset.
        g.run("dd if=/dev/vda of=/dev/null bs=1M &")
        g.reboot()
        out, _ = g.run("nproc; ip -4 -o addr show eth0")
        check("a reset starts the guest and its devices anew",
              out.startswith("2") and "10.0.2.15" in out, out)
        check("and it ends well", g.poweroff() == 0)


with tempfile.TemporaryDirectory() as name:
    disks(pathlib.Path(name))
    root_disk(pathlib.Path(name))
    network(pathlib.Path(name))
    reboot(pathlib.Path(name))
finish()
