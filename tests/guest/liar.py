#!/usr/bin/python3
"""In the place of wirt-machine, for test_lying_agent.py: says that it runs, and lies from then on, as the
agent in its guest and as the machine itself, to whatever it is asked. The seed is in the environment of
nobody: it stands in a file beside this one."""
import json
import os
import pathlib
import random
import select
import socket
import struct
import sys
import time

HELLO, RUN, INPUT, SIGNAL, RESIZE, POWEROFF, OUTPUT, ERROR, ROOM, EXIT = range(1, 11)
MAGIC = 0xA7
NUMBERS = [0, 1, 7, 255, 4096, 65535, 65536, 1 << 20, (1 << 31) - 1, (1 << 32) - 1]


def frame(kind, session, payload, length=None, magic=MAGIC):
    return struct.pack("<IHBB", len(payload) if length is None else length & 0xFFFFFFFF,
                       session, kind, magic) + payload


class Liar:
    def __init__(self, control, agent, seed):
        self.rng = random.Random(seed)
        self.control, self.agent = control, agent
        self.sessions = [0, 1, 2, 65535]
        self.heard = b""
        self.reads = self.rng.randrange(4) > 0  # an agent that never reads
        self.floods = self.rng.randrange(3) == 0
        self.rate = self.rng.choice([0.0005, 0.005, 0.05])

    def odd_frame(self):
        rng = self.rng
        kind = rng.choice([HELLO, OUTPUT, OUTPUT, ERROR, ROOM, ROOM, ROOM, EXIT, RUN, INPUT,
                           rng.randrange(256)])
        session = rng.choice(self.sessions)
        match kind:
            case 1: payload = bytes(rng.randrange(0, 40))
            case 9: payload = struct.pack("<IB3x", rng.choice(NUMBERS) & 0xFFFFFFFF,
                                          rng.choice([INPUT, OUTPUT, ERROR, rng.randrange(256)]))
            case 10: payload = bytes([rng.randrange(256)])
            case _: payload = rng.randbytes(rng.choice([0, 1, 100, 4000, 30000]))
        if rng.randrange(12) == 0:
            payload = rng.randbytes(rng.randrange(20))
        length = rng.choice(NUMBERS) if rng.randrange(60) == 0 else None
        magic = rng.randrange(256) if rng.randrange(60) == 0 else MAGIC
        return frame(kind, session, payload, length, magic)

    def greet(self):
        self.send(frame(HELLO, 0, self.rng.randbytes(16)))

    def send(self, data):
        try:
            self.agent.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass

    def hear(self):
        """Learns the numbers of sessions from what it is told, and greets anew at times."""
        data = self.agent.recv(65536, socket.MSG_DONTWAIT)
        if not data:
            return False
        self.heard = (self.heard + data)[-200000:]
        while len(self.heard) >= 8:
            length, session, kind, magic = struct.unpack_from("<IHBB", self.heard)
            if magic != MAGIC or length > 1 << 20:
                self.heard = b""
            if len(self.heard) < 8 + length:
                break
            self.heard = self.heard[8 + length:]
            self.sessions = (self.sessions + [session] * 3)[-12:]
        return True

    def answer(self):
        data = self.control.recv(65536, socket.MSG_DONTWAIT)
        if not data:
            return False
        rng = self.rng
        for _ in data.splitlines():
            huge = rng.choice([0, 1, -1, 1 << 50, (1 << 63) - 1, 1.5, "much", None, [], {}])
            said = {"ok": rng.choice([True, True, True, False, "yes", 3]), "error": huge,
                    "memory": rng.choice([{"ram_bytes": huge, "resident_bytes": huge}, huge]),
                    "balloon": rng.choice([{"running": True, "available": huge, "free": huge,
                                            "total": huge, "actual": huge, "target": huge}, huge]),
                    "harts": huge, "engine": huge, "hart_counters": {"traps": huge}}
            text = json.dumps(said).encode() + b"\n"
            match rng.randrange(10):
                case 0: continue  # no answer
                case 1: text = rng.randbytes(500) + b"\n"
                case 2: text = b"{" * 5000 + b"\n"
                case 3: text = text * 3
                case 4: text = text[:20]
                case 5: text = b"x" * 700000 + b"\n"
            try:
                self.control.send(text, socket.MSG_DONTWAIT)
            except BlockingIOError:
                pass
        return True

    def live(self):
        self.control.sendall(b'{"ok": true}\n')
        if self.rng.randrange(8):
            self.greet()
        end = time.monotonic() + 60
        while time.monotonic() < end:
            ready = [self.control] + ([self.agent] if self.reads else [])
            for s in select.select(ready, [], [], self.rate)[0]:
                if not (self.answer() if s is self.control else self.hear()):
                    return  # the monitor is gone
            for _ in range(self.rng.randrange(1, 60 if self.floods else 4)):
                self.send(self.odd_frame())
            if self.rng.randrange(200) == 0:
                self.greet()
            if self.rng.randrange(3000) == 0:
                self.agent.shutdown(socket.SHUT_RDWR)
            if self.rng.randrange(20) == 0:
                os.write(1, self.rng.randbytes(self.rng.randrange(1, 3000)))


def main():
    arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    control, agent = (socket.socket(fileno=int(arguments[f"--{n}"])) for n in ("control", "agent"))
    seed = int((pathlib.Path(__file__).resolve().parent / "seed").read_text())
    try:
        Liar(control, agent, seed).live()
    except OSError:
        pass


main()
