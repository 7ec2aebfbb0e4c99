#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `weir test` as a user meets it: a file that passes, one that fails in every way there is, with the
# output as it should be read. `test_weir_test.sh WEIR --update` writes the expected output anew.
set -eu
weir=$1
here=$(dirname "$0")/weir_test
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

check() { # name, wanted exit code, arguments …
    name=$1 want=$2
    shift 2
    got=0
    (cd "$here" && "$weir" test "$@") >"$work/$name.out" 2>&1 || got=$?
    if [ "$got" != "$want" ]; then
        echo "$name: exit code $got, should be $want" >&2
        cat "$work/$name.out" >&2
        exit 1
    fi
    if [ "${update:-}" = --update ]; then
        cp "$work/$name.out" "$here/$name.out"
    fi
    diff -u "$here/$name.out" "$work/$name.out" >&2 || exit 1
}

update=${2:-}
check pass 0 pass_test.lua
check fail 1 fail_test.lua
check only 0 pass_test.lua --only "parameters"

check missing 1 nothing_test.lua
echo "ok"
