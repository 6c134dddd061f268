#!/bin/bash
# ABI: Debian's unmodified riscv64 programs on the host's kernel, static and dynamic.
# timeout: 400
. "$(dirname "$0")/../lib.sh"
root=$guest/rootfs
run() { timeout 120 "$riscv64" -L "$root" "$root$1" "${@:2}" </dev/null 2>&1; }

equal "static program" "riscv64" "$(timeout 60 "$riscv64" "$root/usr/bin/busybox" uname -m 2>&1)"
equal "dynamic program" "riscv64" "$(run /usr/bin/uname -m)"
equal "bash: pipes, subshells, traps" "6 caught 55" "$(run /usr/bin/bash -c \
    'trap "echo -n \" caught \"" USR1; echo -n $(echo a b c d e f | wc -w); kill -USR1 $$; s=0; for i in {1..10}; do ((s+=i)); done; echo $s')"
echo "some text to digest" >"$scratch/text"
equal "sha256sum as the native one" "$(sha256sum <"$scratch/text")" \
    "$(timeout 60 "$riscv64" -L "$root" "$root/usr/bin/sha256sum" <"$scratch/text" 2>&1)"
seq 1 30000 | rev >"$scratch/lines"
equal "sort as the native one" "$(LC_ALL=C sort "$scratch/lines" | cksum)" \
    "$(LC_ALL=C run /usr/bin/sort "$scratch/lines" | cksum)"
equal "openssl digests" "$(sha512sum "$scratch/lines" | cut -d' ' -f1)" \
    "$(run /usr/bin/openssl dgst -sha512 -r "$scratch/lines" | cut -d' ' -f1)"
run /usr/bin/xz -k "$scratch/lines" >/dev/null
equal "xz packs what the native one unpacks" "$(cksum <"$scratch/lines")" "$(xz -dc "$scratch/lines.xz" 2>&1 | cksum)"
equal "sqlite" "20000|200010000" "$(run /usr/bin/sqlite3 :memory: \
    'with recursive c(x) as (select 1 union all select x+1 from c where x<20000) select count(*), sum(x) from c;')"
equal "perl" "3628800 dlrow" "$(run /usr/bin/perl -e '$f=1; $f*=$_ for 1..10; print "$f ", scalar reverse "world"')"
cat >"$scratch/t.py" <<'P'
import hashlib, json, os, subprocess, threading, tempfile, mmap, socket, math
total = []
threads = [threading.Thread(target=lambda k=k: total.append(sum(range(k * 1000)))) for k in range(5)]
[t.start() for t in threads]
[t.join() for t in threads]
a, b = socket.socketpair()
a.sendall(b"through a socket")
pid = os.fork()
if pid == 0:
    os._exit(7)
with tempfile.TemporaryFile() as f:
    f.write(b"x" * 4096)
    f.flush()
    m = mmap.mmap(f.fileno(), 4096)
    m[0:5] = b"hello"
    f.seek(0)
    head = f.read(5)
print(sum(total), b.recv(99).decode(), os.waitpid(pid, 0)[1] >> 8, head.decode(),
      hashlib.sha256(json.dumps({"a": [1, 2.5]}).encode()).hexdigest()[:8], round(math.sin(1), 12),
      subprocess.run(["/usr/bin/uname", "-m"], stdout=subprocess.PIPE).stdout.decode().strip())
P
equal "python: threads, sockets, fork, mmap, subprocess" \
    "14995000 through a socket 7 hello $(printf '{"a": [1, 2.5]}' | sha256sum | cut -c1-8) 0.841470984808 riscv64" \
    "$(run /usr/bin/python3 "$scratch/t.py")"
cat >"$scratch/t.c" <<'P'
#include <stdio.h>
#include <math.h>
int main(int argc, char **argv) { printf("compiled %d %.3f %s\n", argc, sqrt(2.0 * argc), argv[1]); return 3; }
P
run /usr/bin/gcc -O2 "$scratch/t.c" -o "$scratch/t" -lm >"$scratch/gcc.log"
equal "gcc compiles, assembles and links" "" "$(cat "$scratch/gcc.log")"
equal "what gcc made runs" "compiled 2 2.000 x; status 3" "$(timeout 20 "$riscv64" -L "$root" "$scratch/t" x 2>&1 | tr '\n' ';'; echo " status ${PIPESTATUS[0]}")"
timeout 20 "$riscv64" "$root/usr/bin/busybox" sh -c 'kill -SEGV $$' 2>/dev/null
equal "a signal ends it as it does a native program" 139 $?
finish
