#!/bin/sh
# test_loadgen_run.sh: loadgen run from outside: the members of its result,
# what it writes where, statuses, a history that holds while a leader dies.
. "$(dirname "$0")/lib.sh"

must_fail "a run needs servers" 64 env -u RAFT_ENDPOINTS loadgen run
must_fail "a mix that is none" 64 loadgen run -s /none --mix put
must_fail "a bare number is no duration" 64 loadgen run -s /none --time 5
must_fail "an address that is none" 64 loadgen run -s 'host:port:x' --ops 1
must_fail "no server there" 69 \
    loadgen run -s "unix:$T/none" --ops 1 --timeout 200ms
like "the cause names the address" "$(cat "$T/err")" "*$T/none*"

lab -n 3

loadgen run --clients 20 --ops 3000 --keys 50 --value-size 100 \
    --mix put=5,get=5,cas=2,append=1,delete=1,insert=1,scan=1,rmw=1 \
    >"$T/out" 2>"$T/err"
is "a run ends with 0" $? 0
is "one object is printed" "$(wc -l <"$T/out")" 1
is "it has the members of its page" "$(jq -c 'keys' "$T/out")" \
    "$(printf %s '["absent","began_ms","by_op","conditions","errors",' \
	'"histogram","interrupted","intervals","late","latency_ms",' \
	'"not_swapped","ops","ops_per_s","outages","seconds","unknown"]')"
is "what was asked was done" \
    "$(jq -c '[.ops,.errors,.unknown,.late,.interrupted]' "$T/out")" \
    '[3000,{},0,0,false]'
is "latencies are ordered" "$(jq '.latency_ms |
    .p50 <= .p90 and .p90 <= .p99 and .p99 <= .p999 and .p999 <= .max and
    .p50 > 0 and .mean <= .max' "$T/out")" true
is "operations add up" \
    "$(jq '([.by_op[].ops] | add) == .ops' "$T/out")" true
is "all kinds were done" "$(jq -r '.by_op | keys | join(" ")' "$T/out")" \
    "append cas delete get insert put rmw scan"
is "intervals add up" \
    "$(jq '([.intervals[].ops] | add) == .ops' "$T/out")" true
is "so does the histogram" \
    "$(jq '([.histogram[][2]] | add) == .ops' "$T/out")" true
is "conditions name each server" \
    "$(jq '[.conditions.servers[] | select(.ok)] | length' "$T/out")" 3
is "conditions have the options" \
    "$(jq -c '.conditions | [.clients,.keys,.value_size,.rate]' "$T/out")" \
    '[20,50,100,null]'

loadgen run --time 1s --warmup 0ms --rate 200 --mix put=1 --progress json \
    >"$T/out" 2>"$T/err"
is "an open loop ends with 0" $? 0
is "it keeps its rate" \
    "$(jq '.ops + .unknown + .late + ([.errors[]] | add // 0) |
	. >= 199 and . <= 201' "$T/out")" true
ok "progress is JSON if asked for" jq -e .ops "$T/err"

loadgen run --load --keys 500 --ops 1000 --mix get=1 --target leader \
    --read stale --progress none >"$T/out" 2>"$T/err"
is "every key was loaded" "$(jq .absent "$T/out")" 0
is "no progress if not asked for" "$(wc -c <"$T/err")" 0

loadgen run --time 1m --warmup 0ms --mix put=1 >"$T/out" 2>"$T/err" &
pid=$!
child $pid
wait_for 20 test -s "$T/err" # the line of the first second
kill -INT $pid
wait $pid
is "an interrupted run ends with 0" $? 0
is "and prints what it measured" \
    "$(jq '.interrupted and .ops > 0 and .seconds < 50' "$T/out")" true

must_fail "a history that cannot be created" 73 \
    loadgen run --ops 1 --history "$T/none/file"
must_fail "a history on a full disk" 74 \
    loadgen run --ops 1 --history /dev/full

loadgen run --clients 20 --time 4s --keys 200 --prefix h. \
    --mix put=3,get=4,cas=2,delete=1 --history "$T/history" \
    --progress none >"$T/out" &
pid=$!
child $pid
wait_for 20 test -s "$T/history" # it is written in pieces of 1 MiB
raftlab kill "$(leader)"
wait $pid
is "a run outlives the leader" $? 0
ok "it went on after the leader's death" \
    jq -e '.ops > 100 and .intervals[-1].ops > 0' "$T/out"
ok "what its clients saw is linearizable" loadgen check "$T/history"
ok "or so do the revisions say, as far as they do" sh -c \
    'loadgen check --order "$1"; test $? -eq 0 -o $? -eq 75' _ "$T/history"

end
