#!/usr/bin/env python3
"""What only the host should reach stays out of a guest's reach, whatever routes the guest makes; and
the network works as before. timeout: 300"""
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from guest import FILES, Guest, check, finish, need_files  # noqa: E402

need_files("vmlinux", "initramfs.cpio.gz", "disk.img")


class Server:
    """Answers TCP and UDP on one port of all the host's addresses, and counts who came."""

    def __init__(self):
        self.visits = []
        self.tcp = socket.socket(socket.AF_INET6)
        self.tcp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.tcp.bind(("::", 0))
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.udp.bind(("::", self.port))
        self.tcp.listen(16)
        for f in (self.serve_tcp, self.serve_udp):
            threading.Thread(target=f, daemon=True).start()

    def serve_tcp(self):
        while True:
            connection, peer = self.tcp.accept()
            self.visits.append(peer)
            connection.sendall(b"the host\n")
            connection.close()

    def serve_udp(self):
        while True:
            _, peer = self.udp.recvfrom(100)
            self.visits.append(peer)
            self.udp.sendto(b"the host\n", peer)


def own_addresses():
    out = subprocess.run(["ip", "-o", "addr", "show", "scope", "global"], capture_output=True,
                         text=True, check=True).stdout
    return [line.split()[3].split("/")[0] for line in out.splitlines()]


ROUTES = """
D=eth0; for f in all $D; do echo 1 >/proc/sys/net/ipv4/conf/$f/route_localnet; echo 0 >/proc/sys/net/ipv4/conf/$f/rp_filter; done
ip addr del 127.0.0.1/8 dev lo; ip route flush table local 127.0.0.0/8; ip route del local 127.0.0.0/8 dev lo table local
ip addr del ::1/128 dev lo; ip -6 route flush table local ::1; ip -6 rule del pref 0; ip -6 rule add pref 9 lookup local
ip route add 127.0.0.0/8 via 10.0.2.2 dev $D src 10.0.2.15
echo 1 >/proc/sys/net/ipv6/conf/$D/disable_ipv6; echo 0 >/proc/sys/net/ipv6/conf/$D/disable_ipv6
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do ip -6 addr show dev $D | grep -v tentative | grep -q fec0 && break; sleep 1; done
ip -6 route add ::1/128 via fe80::2 dev $D
"""


def reach(g, server, address):
    """How often the server was reached, of once by TCP and once by UDP."""
    server.visits.clear()
    out, _ = g.run(f"timeout 4 bash -c 'exec 3<>/dev/tcp/{address}/{server.port}; head -c 9 <&3'; "
                   f"timeout 2 bash -c 'exec 3<>/dev/udp/{address}/{server.port}; echo hi >&3; head -c 9 <&3'",
                   40)
    return len(server.visits), f"{server.visits} {out}"


def boot(folder, *args):
    image = folder / "root.img"
    subprocess.run(["cp", "--sparse=always", FILES / "disk.img", image], check=True)
    return Guest(*args, root=image)


def routes(g):
    g.run(ROUTES, 60)
    out, _ = g.run("ip -6 -o addr show dev eth0; ip route get 127.0.0.1; ip -6 route get ::1")
    check("the guest has its routes, and an IPv6 address",
          "fec0::" in out and "127.0.0.1 via 10.0.2.2" in out and "via fe80::2" in out, out)


def opened(folder, server):
    """What is closed by default is a matter of the name, not of a guest that asks wrongly."""
    with boot(folder, "--network") as g:
        routes(g)
        for address in ["127.0.0.1", "10.0.2.2", "::1", "fec0::2", *own_addresses()]:
            n, out = reach(g, server, address)
            check(f"{address} is reached when the host is open", n == 2, out)


def closed(folder, server):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        forwarded = s.getsockname()[1]
    with boot(folder, "--network=closed", "--forward", f"0.0.0.0:{forwarded}:7000") as g:
        out, _ = g.run("ip -4 -o addr show eth0")
        check("a lease comes through the filter", "10.0.2.15/24" in out, out)
        routes(g)
        for address in ["127.0.0.1", "127.1.2.3", "10.0.2.2", "::1", "fec0::2", *own_addresses()]:
            n, out = reach(g, server, address)
            check(f"{address} of the host is closed", n == 0, out)
        out, _ = g.run("busybox ping -c 1 -W 5 10.0.2.2")
        check("the router answers an echo", "1 packets received" in out, out)
        # A published port, from the host's loopback and from its own address: both ways.
        for address in ["127.0.0.1", *[a for a in own_addresses() if ":" not in a]]:
            g.run("echo from the guest | busybox nc -l -p 7000 >/dev/null 2>&1 & "
                  "until grep -q :1B58 /proc/net/tcp /proc/net/tcp6; do sleep 0.1; done")
            with socket.create_connection((address, forwarded), 10) as s:
                s.settimeout(20)
                said = s.recv(100)
                check(f"a published port works from {address}", said == b"from the guest\n", said)


with tempfile.TemporaryDirectory() as name:
    host = Server()
    opened(pathlib.Path(name), host)
    closed(pathlib.Path(name), host)
finish()
