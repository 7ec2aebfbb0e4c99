#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# weir topic and weir broker from the shell: the same commands on a data directory that nobody has
# open and on a live broker, and kcat against the broker. Usage: test_topic_cli.sh PROGRAM
set -u
weir=$1
dir=$(mktemp -d "${TMPDIR:-/tmp}/weir-cli-XXXXXX")
broker=
cleanup() {
    [ -n "$broker" ] && kill "$broker" 2>/dev/null && wait "$broker"
    rm -rf "$dir"
}
trap cleanup EXIT
data=$dir/data
failed=0

# expect NAME PATTERN COMMAND…: the command succeeds and its output matches (empty: anything).
expect() {
    name=$1 pattern=$2
    shift 2
    if ! "$@" >"$dir/out" 2>&1 || { [ -n "$pattern" ] && ! grep -q -e "$pattern" "$dir/out"; }; then
        echo "FAILED: $name: wanted /$pattern/ from: $*"
        sed 's/^/    /' "$dir/out"
        failed=1
    fi
}

# refuse NAME PATTERN COMMAND…: the command fails and says so.
refuse() {
    name=$1 pattern=$2
    shift 2
    if "$@" >"$dir/out" 2>&1 || ! grep -q -e "$pattern" "$dir/out"; then
        echo "FAILED: $name: wanted a refusal with /$pattern/ from: $*"
        sed 's/^/    /' "$dir/out"
        failed=1
    fi
}

# Everything below runs twice: $1 names the topics of the round.
round() {
    t=$1
    expect "create" "Topic $t created with 2 partitions" \
        "$weir" topic create "$t" --partitions 2 --retention 30d --data "$data"
    refuse "create twice" "exists" "$weir" topic create "$t" --data "$data"
    expect "create if missing" "" "$weir" topic create "$t" --if-missing --data "$data"
    refuse "bad config" "no.such" "$weir" topic create x --config no.such=1 --data "$data"
    printf 'ann|{"n":1}\nbob|plain text\nann|{"n":2}\n' >"$dir/in"
    expect "produce" "3 records written to $t" \
        "$weir" topic produce "$t" "$dir/in" -k '|' --header src=test --time 2024-05-01T12:00:00Z \
        --data "$data"
    expect "consume" '2024-05-01T12:00:00.000Z  ann  {"n":2}  \[src=test\]' \
        "$weir" topic consume "$t" --data "$data"
    expect "consume json" '"key":"ann","headers":{"src":"test"},"value":{"n":1}}' \
        "$weir" topic consume "$t" --json --data "$data"
    expect "consume text" '"value":"plain text"' "$weir" topic consume "$t" --json --data "$data"
    "$weir" topic consume "$t" --limit 2 --data "$data" >"$dir/two"
    expect "limit" "^2$" sh -c "wc -l <'$dir/two' | tr -d ' '"
    printf '\001\002\377' >"$dir/binary"
    "$weir" topic produce "$t" "$dir/binary" -q --partition 1 --data "$data"
    expect "binary as hex" "0x0102ff" "$weir" topic consume "$t" --partition 1 --data "$data"
    printf '\000\000\000\000\000\000\000\052' >"$dir/long"
    echo '{"type":"record","name":"r","fields":[{"name":"n","type":"long"}]}' >"$dir/r.avsc"
    printf 'T' >"$dir/avro" # 42, zigzag
    "$weir" topic create "$t-long" -p 1 --data "$data" >/dev/null
    "$weir" topic create "$t-avro" -p 1 --data "$data" >/dev/null
    "$weir" topic produce "$t-long" "$dir/long" -q --data "$data"
    "$weir" topic produce "$t-avro" "$dir/avro" -q --data "$data"
    expect "long" '"value":42}' \
        "$weir" topic consume "$t-long" --json --value-format long --data "$data"
    expect "avro" '"value":{"n":42}}' \
        "$weir" topic consume "$t-avro" --json --value-format avro --schema "$dir/r.avsc" \
        --data "$data"
    refuse "avro without schema" "needs --schema" \
        "$weir" topic consume "$t-avro" --value-format avro --data "$data"
    expect "not an int" "not decoded" \
        "$weir" topic consume "$t-long" --value-format int --data "$data"
    expect "from a time" "0x0102ff" "$weir" topic consume "$t" --from 2025-01-01 --data "$data"
    "$weir" topic consume "$t" --from end --data "$data" >"$dir/none"
    expect "from the end" "^0$" sh -c "wc -c <'$dir/none' | tr -d ' '"
    expect "describe" "retention.ms  2592000000  set" "$weir" topic describe "$t" --data "$data"
    expect "describe json" '"retention.ms":"2592000000"' \
        "$weir" topic describe "$t" --json --data "$data"
    expect "list" "^$t *2 *4 *delete" "$weir" topic list --data "$data"
    "$weir" topic create "app-$t-changelog" --compact --data "$data" >/dev/null
    expect "list hides internal" "1 internal topic not shown" "$weir" topic list --data "$data"
    expect "list internal" "app-$t-changelog" "$weir" topic list --internal --data "$data"
    "$weir" topic delete "app-$t-changelog" --data "$data" >/dev/null
    refuse "nearest name" "did you mean \"$t\"" "$weir" topic consume "${t}x" --data "$data"
    refuse "bad partition" "partitions 0 to 1" "$weir" topic consume "$t" -p 7 --data "$data"
    refuse "no separator" 'line 1 has no "|"' \
        sh -c "echo nothing | '$weir' topic produce $t -k '|' --data '$data'"
}

refuse "no directory" "there is no data directory" "$weir" topic list --data "$data"
refuse "unknown command" 'did you mean "consume"' "$weir" topic consme
refuse "unknown option" "did you mean --follow" "$weir" topic consume x --folow
expect "help" "weir topic consume payments --limit 10" "$weir" topic consume --help

round offline

: >"$dir/broker.out"
"$weir" broker --data "$data" --listen 127.0.0.1:0 >"$dir/broker.out" 2>&1 &
broker=$!
i=0
while ! grep -q "listening on" "$dir/broker.out" && [ $i -lt 300 ]; do
    sleep 0.1
    i=$((i + 1))
done
address=$(cat "$data/broker.addr")
expect "banner" "weir broker is listening on $address" cat "$dir/broker.out"
expect "sees what was written offline" "plain text" \
    "$weir" topic consume offline --data "$data"
round live
expect "by address" "plain text" "$weir" topic consume live --broker "$address"

# --follow shows what comes later and ends with a signal.
"$weir" topic consume live --follow --from end --data "$data" >"$dir/follow" 2>&1 &
follow=$!
i=0
while ! grep -q "later" "$dir/follow" && [ $i -lt 300 ]; do
    echo later | "$weir" topic produce live -q --data "$data"
    sleep 0.1
    i=$((i + 1))
done
kill "$follow"
expect "follow ends cleanly" "later" sh -c "cat '$dir/follow'"
wait "$follow" || { echo "FAILED: --follow did not end with 0"; failed=1; }

if command -v kcat >/dev/null; then
    seq 1 100 >"$dir/numbers"
    for codec in none gzip snappy lz4 zstd; do
        expect "kcat -P $codec" "" kcat -q -b "$address" -P -t kcat -p 1 -z $codec -l "$dir/numbers"
    done
    expect "kcat -C" "^500$" sh -c "kcat -q -b $address -C -t kcat -p 1 -e | wc -l | tr -d ' '"
    expect "kcat -C from" "^98$" sh -c "kcat -q -b $address -C -t kcat -p 1 -o 97 -c 1"
    expect "kcat -L" 'topic "kcat" with 4 partitions' kcat -b "$address" -L
    expect "kcat -Q" "offset 0" kcat -b "$address" -Q -t kcat:1:1000
    expect "kcat's records" "100" "$weir" topic consume kcat --from 499 -p 1 --data "$data"
else
    echo "SKIPPED: kcat is not installed; its part of this test did not run" >&2
fi

kill "$broker"
wait "$broker" || { echo "FAILED: the broker did not end with 0"; failed=1; }
broker=
[ ! -e "$data/broker.addr" ] || { echo "FAILED: broker.addr is left behind"; failed=1; }
expect "goodbye" "weir broker stopped" cat "$dir/broker.out"
expect "offline again" "100" "$weir" topic consume kcat --from 499 -p 1 --data "$data"
expect "delete" "Topic live deleted" "$weir" topic delete live --data "$data"
refuse "it is gone" "there is no topic" "$weir" topic describe live --data "$data"
[ $failed -eq 0 ] && echo "all passed"
exit $failed
