"""The host's side of the agent's protocol (src/agent/protocol.h), as the tests speak it."""
import os
import pathlib
import select
import socket
import struct
import subprocess
import time

BUILD = pathlib.Path(os.environ.get("WIRT_BUILD", "build")).resolve()
AGENT = BUILD / "tests/agent/wirt-agent"
HELLO, RUN, INPUT, SIGNAL, RESIZE, POWEROFF, OUTPUT, ERROR, ROOM, EXIT = range(1, 11)
MAGIC, WINDOW, DATA_MAX, CONSOLE = 0xa7, 256 << 10, 16 << 10, 0xffff
NAMES = dict(enumerate("HELLO RUN INPUT SIGNAL RESIZE POWEROFF OUTPUT ERROR ROOM EXIT".split(), 1))
USER = "" if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}"


def frame(kind, session, payload=b""):
    return struct.pack("<IHBB", len(payload), session, kind, MAGIC) + payload


class Gone(Exception):
    """The agent has ended."""


class Command:
    """What the host knows of a session."""

    def __init__(self, agent, number):
        self.agent, self.number = agent, number
        self.stream = {OUTPUT: bytearray(), ERROR: bytearray()}
        self.owed = {OUTPUT: 0, ERROR: 0}  # room that was not given back
        self.room = WINDOW                 # for input
        self.status = None
        self.slow = False                  # gives no room
        self.ended_at = None

    out = property(lambda self: bytes(self.stream[OUTPUT]))
    err = property(lambda self: bytes(self.stream[ERROR]))

    def send(self, kind, payload=b""):
        self.agent.send(kind, self.number, payload)

    def input(self, data, seconds=20):
        """All of it, as there is room; the end is end_input()."""
        while data:
            self.agent.until(lambda: self.room > 0 or self.status is not None, seconds)
            n = min(len(data), self.room, 64 << 10)
            if not n:
                return
            self.room -= n
            self.send(INPUT, data[:n])
            data = data[n:]

    def end_input(self):
        self.send(INPUT)

    def signal(self, number):
        self.send(SIGNAL, bytes([number]))

    def give_room(self, kind):
        if self.owed[kind]:
            self.send(ROOM, struct.pack("<IB3x", self.owed[kind], kind))
            self.owed[kind] = 0

    def hurry(self):
        self.slow = False
        self.give_room(OUTPUT)
        self.give_room(ERROR)

    def says(self, text, seconds=10):
        self.agent.until(lambda: text in self.stream[OUTPUT] or self.status is not None, seconds)
        return text in self.out

    def wait(self, seconds=20):
        self.agent.until(lambda: self.status is not None, seconds)
        return self.status

    def __str__(self):
        return f"status {self.status}, output {self.out[-200:]!r}, error {self.err[-200:]!r}"


class Agent:
    def __init__(self, *options, command=(AGENT, "--port", "/dev/fd/{}"), greet=True, **more):
        """command: with {} where the descriptor of our end's other end goes."""
        self.socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [*(str(w).format(theirs.fileno()) for w in command), *options],
                stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], **more)
        self.buffer = b""
        self.commands, self.broken = {}, []  # broken: what the agent must not have sent
        self.nonce = None
        if greet:
            self.shake_hands()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def raw(self, data):
        self.socket.sendall(data)

    def send(self, kind, session, payload=b""):
        self.raw(frame(kind, session, payload))

    def frame(self, seconds):
        """(type, session, payload), or None when none comes in time."""
        end = time.monotonic() + seconds
        while True:
            if len(self.buffer) >= 8:
                length, session, kind, magic = struct.unpack("<IHBB", self.buffer[:8])
                if magic != MAGIC or length > DATA_MAX:
                    raise ValueError(f"no frame: {self.buffer[:16]!r}")
                if len(self.buffer) >= 8 + length:
                    payload, self.buffer = self.buffer[8:8 + length], self.buffer[8 + length:]
                    return kind, session, payload
            left = end - time.monotonic()
            if left < 0 or not select.select([self.socket], [], [], left)[0]:
                return None
            more = self.socket.recv(1 << 16)
            if not more:
                raise Gone
            self.buffer += more

    def shake_hands(self, seconds=5):
        """Waits for a HELLO with a nonce that is new, and answers."""
        while True:
            f = self.frame(seconds)
            if f is None:
                raise TimeoutError("the agent says no HELLO")
            if f[0] == HELLO and f[2] != self.nonce:
                break
        self.nonce = f[2]
        self.commands = {}
        self.send(HELLO, 0, self.nonce)

    def pump(self, seconds):
        """Takes one frame in; False when there is none."""
        f = self.frame(seconds)
        if f is None:
            return False
        kind, number, payload = f
        command = self.commands.get(number)
        if kind == HELLO:
            return True
        if command is None or command.status is not None:
            self.broken.append(f"{NAMES.get(kind, kind)} for session {number}, which is not")
        elif kind in command.stream:
            command.stream[kind] += payload
            command.owed[kind] += len(payload)
            if command.owed[kind] > WINDOW:
                self.broken.append(f"more {NAMES[kind]} than there is room for")
            if not command.slow and command.owed[kind] >= WINDOW // 2:
                command.give_room(kind)
        elif kind == ROOM:
            given, stream = struct.unpack("<IB3x", payload)
            command.room += given
            if stream != INPUT or not given or command.room > WINDOW:
                self.broken.append(f"room of {given} for stream {stream}")
        elif kind == EXIT and len(payload) == 1:
            command.status, command.ended_at = payload[0], time.monotonic()
        else:
            self.broken.append(f"{kind} {payload!r}")
        return True

    def until(self, condition, seconds):
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            self.pump(max(0, end - time.monotonic()))
        return condition()

    def run(self, *args, number=None, env=(), user=USER, workdir="", tty=0, size=(24, 80)):
        if number is None:
            number = next(n for n in range(1, 1 << 16)
                          if n not in self.commands or self.commands[n].status is not None)
        command = self.commands[number] = Command(self, number)
        strings = [user, workdir, *args, *env]
        command.send(RUN, struct.pack("<5H", tty, *size, len(args), len(env))
                     + b"".join(s.encode() + b"\0" for s in strings))
        return command

    def sh(self, script, **more):
        return self.run("/bin/sh", "-c", script, env=["PATH=/usr/bin:/bin"], **more)

    def cpu(self):
        """CPU time that the agent has taken, in ticks."""
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = stat.rsplit(") ")[1].split()
        return int(fields[11]) + int(fields[12])
