#!/bin/bash
# All C files are as clang-format with .clang-format leaves them.
cd "$(dirname "$0")/../.." || exit 1
command -v clang-format >/dev/null || { echo "skip - format: no clang-format here"; exit 0; }
mapfile -t files < <(git ls-files '*.c' '*.h')
[ ${#files[@]} -gt 0 ] || { echo "not ok - format: no file found"; exit 1; }
if wrong=$(clang-format --dry-run -Werror "${files[@]}" 2>&1); then
    echo "ok - format (${#files[@]} files)"
else
    echo "not ok - format: run make format: $(grep -o '^[^:]*:[0-9]*' <<<"$wrong" | sort -u | head -n 20 | xargs)"
    exit 1
fi
