"""Runs in a machine, in a shared folder, by the machine's own python: files do there what they do on
any Linux file system. Prints the test's lines.

usage: share.py FOLDER SUM-OF-LARGE root|user    who runs the machine: an ordinary user's files are all
the guest's root's"""
import errno
import fcntl
import hashlib
import mmap
import os
import socket
import stat
import subprocess
import sys
import time


def check(name, holds, why=""):
    print(f"ok - {name}" if holds else f"not ok - {name}: {why}", flush=True)


def fails(code, fn, *args, **kw):
    try:
        fn(*args, **kw)
    except OSError as e:
        return e.errno == code
    return False


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def read(path):
    with open(path, "rb") as f:
        return f.read()


os.chdir(sys.argv[1])
ours = sys.argv[3] == "root"

write("a", b"one")
os.rename("a", "b")
check("a file is made and moved", read("b") == b"one" and not os.path.exists("a"))
os.mkdir("d", 0o755)
os.rename("b", "d/c")
os.rename("d", "e")
check("a file moves with its folder", read("e/c") == b"one" and os.listdir("e") == ["c"])
check("a folder that is not empty stays", fails(errno.ENOTEMPTY, os.rmdir, "e"))
check("exclusive creation", fails(errno.EEXIST, os.open, "e/c", os.O_CREAT | os.O_EXCL | os.O_RDWR))
os.link("e/c", "hard")
with open("hard", "ab") as f:
    f.write(b" two")
check("hard links are one file", read("e/c") == b"one two" and os.stat("hard").st_nlink == 2
      and os.path.samefile("hard", "e/c"))
os.symlink("e/c", "soft")
check("symbolic links", os.readlink("soft") == "e/c" and read("soft") == b"one two")
check("a link out of the folder is followed in the guest", read("out") == read("/etc/wirt-test"))
with open("hard", "rb") as f:
    os.unlink("hard")
    os.unlink("soft")
    os.unlink("e/c")
    os.rmdir("e")
    check("a removed file is there while it is open", f.read() == b"one two"
          and os.fstat(f.fileno()).st_nlink == 0)

os.chmod("kept", 0o4750)
if ours:
    os.chown("kept", 12, 34)
else:
    check("nobody else can be given a file", fails(errno.EPERM, os.chown, "kept", 12, 34))
    os.chown("kept", 0, 0)
st = os.stat("kept")
check("owner and mode", (st.st_uid, st.st_gid) == ((12, 34) if ours else (0, 0)), oct(st.st_mode))
os.chmod("kept", 0o6750)
check("setuid", stat.S_IMODE(os.stat("kept").st_mode) == 0o6750, oct(os.stat("kept").st_mode))
os.utime("kept", ns=(10**18 + 1, 10**18 + 2))
check("times in nanoseconds", os.stat("kept").st_mtime_ns == 10**18 + 2)
user = subprocess.run([sys.executable, "-c", "open('kept')"], user=55, group=55, extra_groups=[],
                      stderr=subprocess.PIPE)
check("others' files are closed to a user", b"PermissionError" in user.stderr, user.stderr)
os.chmod(".", 0o777)
subprocess.run([sys.executable, "-c", "open('theirs', 'w').write('x')"], user=55, group=56,
               extra_groups=[])
st = os.stat("theirs")
check("a new file is its user's", (st.st_uid, st.st_gid) == ((55, 56) if ours else (0, 0)),
      f"{st.st_uid} {st.st_gid}")
os.chmod("theirs", 0o6777)
subprocess.run([sys.executable, "-c", "open('theirs', 'a').write('y')"], user=57, group=57,
               extra_groups=[])
check("writing takes setuid and setgid away", os.stat("theirs").st_mode & 0o7777 == 0o777,
      oct(os.stat("theirs").st_mode))

os.mkdir("many")
names = {f"file {i} " + "n" * (i % 200) for i in range(1000)}
for n in names:
    write("many/" + n, n.encode())
check("1000 files are listed once each", sorted(os.listdir("many")) == sorted(names))
check("and read", all(read("many/" + n) == n.encode() for n in names))
with os.scandir("many") as entries:
    check("and stated", sum(e.stat().st_size for e in entries) == sum(map(len, names)))
for n in names:
    os.unlink("many/" + n)
check("and removed", os.listdir("many") == [])
write("l" * 255, b"")
check("a name of 255 bytes, none of 256", os.path.exists("l" * 255)
      and fails(errno.ENAMETOOLONG, write, "l" * 256, b""))

os.setxattr("kept", "user.color", b"blue\0green")
check("extended attributes", os.getxattr("kept", "user.color") == b"blue\0green"
      and os.listxattr("kept") == ["user.color"])
os.removexattr("kept", "user.color")
check("and their removal", fails(errno.ENODATA, os.getxattr, "kept", "user.color"))
check("the host's attributes are not the guest's",
      fails(errno.EOPNOTSUPP, os.setxattr, "kept", "trusted.x", b"y"))

check("a large file of the host's", hashlib.sha256(read("large")).hexdigest() == sys.argv[2])
data = bytes(range(256)) * 4096 * 8
write("written", data)
with open("written", "r+b") as f:
    with mmap.mmap(f.fileno(), 0) as m:
        check("a file is mapped", m[5 << 20:6 << 20] == data[5 << 20:6 << 20])
        m[100:104] = b"mmap"
        m.flush()
    f.seek(100)
    check("writes to a mapping are in the file", f.read(4) == b"mmap")
    f.truncate(4 << 20)
    os.posix_fallocate(f.fileno(), 0, 5 << 20)
    check("truncated and allocated", os.fstat(f.fileno()).st_size == 5 << 20)
    fcntl.lockf(f, fcntl.LOCK_EX)
    locked = subprocess.run([sys.executable, "-c", "import fcntl\nf = open('written', 'r+')\n"
                             "fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)"],
                            stderr=subprocess.DEVNULL)
    check("locks", locked.returncode != 0)
    os.fsync(f)
with open("sparse", "wb") as f:
    f.truncate(8 << 20)
    os.pwrite(f.fileno(), b"x", 4 << 20)
    check("holes", os.lseek(f.fileno(), 0, os.SEEK_DATA) == 4 << 20)
source, target = os.open("large", os.O_RDONLY), os.open("copy", os.O_CREAT | os.O_WRONLY)
while os.copy_file_range(source, target, 64 << 20):
    pass
check("a file is copied", hashlib.sha256(read("copy")).hexdigest() == sys.argv[2])
with open("log", "ab") as one, open("log", "ab") as two:
    for i in range(100):
        (one if i % 2 else two).write(b"%d\n" % i)
        one.flush()
        two.flush()
check("two that append", read("log") == b"".join(b"%d\n" % i for i in range(100)))

os.mkfifo("pipe")
child = subprocess.Popen(["sh", "-c", "echo through >pipe"])
check("a named pipe", read("pipe") == b"through\n" and child.wait() == 0)
s = socket.socket(socket.AF_UNIX)
s.bind("socket")
check("a socket", stat.S_ISSOCK(os.stat("socket").st_mode))
check("a device is not made on the host",
      fails(errno.EPERM, os.mknod, "null", stat.S_IFCHR | 0o666, os.makedev(1, 3)))
check("the file system's size", os.statvfs(".").f_blocks > 0)

write("ready", b"")
end = time.monotonic() + 20
while not os.path.exists("answer") and time.monotonic() < end:
    time.sleep(0.2)
check("what the host writes appears", os.path.exists("answer") and read("answer") == b"host\n")
