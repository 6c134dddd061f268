#!/bin/bash
# All 64 signals are the guest's: nothing that wirt-riscv64 is linked of may call what makes libc send or
# handle signals of its own. (The kernel's number 33 is glibc's for changing ids in all threads, 32 is for
# cancelling them and for timers that start threads.)
. "$(dirname "$0")/../lib.sh"

forbidden='set(re|res|e|fs)?[ug]id|(init|set)groups|pthread_(cancel|setcancel\w*|sigqueue)|timer_create|aio_\w+|lio_listio|mq_notify|getaddrinfo_a|alarm|setitimer'
mapfile -t objects < <(find "$build"/src/{base,isa,engine,process} "$build/wirt-riscv64.p" -name '*.o')
[ ${#objects[@]} -gt 20 ] || { not_ok "the objects of wirt-riscv64" "only ${#objects[@]} found"; finish; }
calls=$(nm -u "${objects[@]}" | awk '$1 == "U" {print $2}' | sort -u)
contains "libc's pthread_create is what it makes threads with" pthread_create "$calls"
equal "nothing that makes libc use signals" "" "$(grep -xE "($forbidden)(64)?" <<<"$calls" | xargs)"
finish
