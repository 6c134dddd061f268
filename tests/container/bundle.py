"""Bundles for tests of wirt-oci: a root file system of a static busybox, a config made by
`wirt-oci spec` and changed in place, and containers that are gone when the test is."""
import atexit
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from reach import again  # noqa: E402

BUILD = pathlib.Path(os.environ.get("WIRT_BUILD", "build")).resolve()
OCI = str(BUILD / "wirt-oci")
BUSYBOX = next((p for p in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(p)), None)
failed = False


def ok(name):
    print(f"ok - {name}", flush=True)


def not_ok(name, why):
    global failed
    failed = True
    print(f"not ok - {name}: {' '.join(str(why).split())}"[:900], flush=True)


def skip_all(name, why):
    print(f"skip - {name}: {why}", flush=True)
    sys.exit(0)


class Skip(Exception):
    pass


def check(condition, why=""):
    if not condition:
        raise AssertionError(why)


def equal(got, want):
    check(got == want, f"got {got!r}, want {want!r}")


def contains(text, part):
    check(part in text, f"{part!r} is not in {text!r}")


def is_dynamic(path):
    return subprocess.run(["ldd", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          check=False).returncode == 0


def need_rights(name):
    """An ordinary user runs the tests again as root of a user namespace, the way that podman without
    root calls its runtime: one with all of the user's ids (subuid(5))."""
    if os.geteuid() != 0:
        enter = ["unshare", "--user", "--map-root-user", "--map-auto", "--mount"]
        if subprocess.run([*enter, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
            skip_all(name, "an ordinary user needs user namespaces, newuidmap (package uidmap) and "
                           "ids in /etc/subuid and /etc/subgid")
        again(*enter)
    if not BUSYBOX or is_dynamic(BUSYBOX):
        skip_all(name, "a static busybox is required (package busybox-static)")


def root_only(why):
    """Skips the rest of a test where root is not the host's."""
    if ROOTLESS:
        raise Skip(f"only the host's root may {why}")


def cgroups():
    """The control groups there are of containers named here."""
    found = []
    for top, names, _ in os.walk("/sys/fs/cgroup"):
        found += [os.path.join(top, n) for n in names if n.startswith(f"wirt-{PREFIX}")]
    return found


def cgroup_v2():
    return os.path.exists("/sys/fs/cgroup/cgroup.controllers")


def in_user_namespace():
    with open("/proc/self/uid_map") as f:
        return f.read().split() != ["0", "0", "4294967295"]


ROOTLESS = in_user_namespace()
# Ids for containers with a user namespace; ours may not have many.
BASE, SIZE = (1000, 50000) if ROOTLESS else (100000, 65536)
PREFIX = f"t{os.getpid()}-"
TOP = tempfile.mkdtemp(prefix="wirt-oci-test-")
ROOT = os.path.join(TOP, "state")
count = 0


class Bundle:
    def __init__(self, args=None, shell=None, **options):
        global count
        count += 1
        self.id = f"{PREFIX}{count}"
        self.dir = os.path.join(TOP, str(count))
        self.rootfs = os.path.join(self.dir, "rootfs")
        for d in ("bin", "proc", "sys", "dev", "tmp", "etc", "root"):
            os.makedirs(os.path.join(self.rootfs, d))
        os.chmod(self.rootfs, 0o755)
        os.chmod(TOP, 0o755)
        os.link(busybox_copy(), os.path.join(self.rootfs, "bin/busybox"))
        subprocess.run([os.path.join(self.rootfs, "bin/busybox"), "--install", "-s",
                        os.path.join(self.rootfs, "bin")], check=False)
        for name in os.listdir(os.path.join(self.rootfs, "bin")):
            link = os.path.join(self.rootfs, "bin", name)
            if os.path.islink(link):
                os.unlink(link)
                os.symlink("busybox", link)
        subprocess.run([OCI, "spec", "--bundle", self.dir], check=True)
        with open(os.path.join(self.dir, "config.json")) as f:
            self.config = json.load(f)
        self.process = self.config["process"]
        self.linux = self.config["linux"]
        self.process["terminal"] = False
        self.process["args"] = ["/bin/sh", "-c", shell] if shell else args or ["/bin/true"]
        self.config["root"]["readonly"] = False
        self.config.update(options)

    def write(self):
        with open(os.path.join(self.dir, "config.json"), "w") as f:
            json.dump(self.config, f)

    def oci(self, *args, timeout=60, **kw):
        """wirt-oci with the tests' state folder: status, standard output, standard error."""
        if "input" not in kw:
            kw.setdefault("stdin", subprocess.DEVNULL)
        p = subprocess.run([OCI, "--root", ROOT, *args], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=timeout, check=False, **kw)
        return p.returncode, p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace")

    def run(self, *options, write=True, **kw):
        if write:
            self.write()
        return self.oci("run", "--bundle", self.dir, *options, self.id, **kw)

    def output(self, **kw):
        status, out, err = self.run(**kw)
        check(status == 0, f"status {status}: {err} {out}")
        return out

    def create(self, *options, fails=False):
        """create, with the container's output in a file: a pipe would stay open in it."""
        self.write()
        self.log = os.path.join(self.dir, "log")
        with open(self.log, "wb") as f:
            r = subprocess.run([OCI, "--root", ROOT, "create", "--bundle", self.dir, *options,
                                self.id], stdin=subprocess.DEVNULL, stdout=f, stderr=f,
                               timeout=60, check=False).returncode
        check(fails or r == 0, f"create: {r} {self.printed()}")
        return r

    def printed(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def start(self):
        r = self.oci("start", self.id)
        check(r[0] == 0, f"start: {r}")

    def state(self):
        r = self.oci("state", self.id)
        check(r[0] == 0, f"state: {r}")
        return json.loads(r[1])

    def wait_status(self, want, seconds=10):
        end = time.monotonic() + seconds
        while (now := self.state()["status"]) != want:
            check(time.monotonic() < end, f"status {now}, not {want}")
            time.sleep(0.01)

    def delete(self):
        r = self.oci("delete", "--force", self.id)
        check(r[0] == 0, f"delete: {r}")

    def namespace(self, kind):
        return next((n for n in self.linux["namespaces"] if n["type"] == kind), None)

    def without(self, kind):
        self.linux["namespaces"] = [n for n in self.linux["namespaces"] if n["type"] != kind]

    def user_namespace(self, base=BASE, size=SIZE):
        self.linux["namespaces"].append({"type": "user"})
        ids = [{"containerID": 0, "hostID": base, "size": size}]
        self.linux["uidMappings"] = self.linux["gidMappings"] = ids

    def left_behind(self):
        """What a container that is gone should not have left."""
        left = [g for g in cgroups() if g.endswith("/wirt-" + self.id)]
        if os.path.exists(os.path.join(ROOT, self.id)):
            left.append("state folder")
        with open("/proc/self/mountinfo") as f:
            left += [line.split()[4] for line in f if self.rootfs in line]
        return left


def busybox_copy():
    copy = os.path.join(TOP, "busybox")
    if not os.path.exists(copy):
        shutil.copy(BUSYBOX, copy)
    return copy


def delete_all():
    if os.path.isdir(ROOT):
        for name in os.listdir(ROOT):
            subprocess.run([OCI, "--root", ROOT, "delete", "--force", name], check=False,
                           stderr=subprocess.DEVNULL)


@atexit.register
def clean_up():
    delete_all()
    shutil.rmtree(TOP, ignore_errors=True)


def main(namespace):
    """Runs every function named test_*; its first line of documentation is the test's name."""
    for name, fn in list(namespace.items()):
        if not name.startswith("test_") or (len(sys.argv) > 1 and sys.argv[1] not in name):
            continue
        title = (fn.__doc__ or name).split("\n")[0]
        try:
            fn()
        except Skip as why:
            print(f"skip - {title}: {why}", flush=True)
            continue
        except (AssertionError, OSError, KeyError, ValueError, IndexError,
                subprocess.SubprocessError) as why:
            not_ok(title, f"{type(why).__name__} {why}")
            continue
        ok(title)
    delete_all()
    left = cgroups()
    if left:
        not_ok("no control group is left", left)
    sys.exit(failed)
