#!/bin/sh
# test_loadgen_steps.sh: loadgen bench snapshot and reconfigure do what they
# say to a cluster of their own, and leave nothing behind.
. "$(dirname "$0")/lib.sh"

mkdir "$T/tmp"
TMPDIR=$T/tmp
export TMPDIR

nothing_left() {
	[ -z "$(ls -A "$T/tmp")" ] && ! grep -lsz "$T/tmp" /proc/[0-9]*/cmdline
}

for bench in snapshot reconfigure; do
	must_fail "$bench: its servers are its own" 64 \
	    loadgen bench $bench -s /none
	must_fail "$bench: no history" 64 \
	    loadgen bench $bench --history "$T/h"
	must_fail "$bench: no servers" 64 loadgen bench $bench --servers 0
	must_fail "$bench: an option that is none" 64 \
	    loadgen bench $bench --kills 3
	must_fail "$bench: an option of raftd that is none" 69 \
	    loadgen bench $bench -- --no-such-option
done
ok "nothing is left of them" nothing_left

loadgen bench snapshot --servers 1 --keys 2000 --clients 4 --rate 200 \
    --time 300ms --warmup 50ms --progress none -- --log-level warn \
    >"$T/snapshot" 2>"$T/err"
is "snapshot ends with 0" $? 0 || show "$T/err"
is "its steps" "$(jq -c '[.bench, (.steps[] | .what)]' "$T/snapshot")" \
    '["snapshot","snapshot","add"]'
ok "its figures fit together" jq -e '.steps[0].bytes > 0 and
    .steps[0].index > 2000 and
    (.steps[1] | .sent_bytes >= .snapshot_bytes and .snapshot_bytes > 0) and
    (.steps | all(.ms > 0))' "$T/snapshot" || show "$T/snapshot"
ok "two loads were measured" jq -e '.quiet.ops > 0 and .during.ops > 0 and
    .during.errors == {} and .during.latency_ms.p50 > 0 and
    .conditions.server_count == 1 and .conditions.keys == 2000 and
    .conditions.raftd_options == ["--log-level", "warn"]' "$T/snapshot"

loadgen bench reconfigure --keys 100 --clients 2 --time 300ms \
    --warmup 50ms --progress none >"$T/reconfigure" 2>"$T/err"
is "reconfigure ends with 0" $? 0 || show "$T/err"
is "its steps" "$(jq -c '[.bench, (.steps[] | .what)]' "$T/reconfigure")" \
    '["reconfigure","add","transfer","demote","promote","remove"]'
ok "two loads were measured, without an error" jq -e '.quiet.ops > 0 and
    .during.ops > 0 and .during.errors == {} and .during.unknown == 0 and
    .conditions.server_count == 3' "$T/reconfigure" || show "$T/reconfigure"
ok "nothing is left of them" nothing_left

for how in TERM KILL; do
	setsid loadgen bench reconfigure --servers 1 --time 1m \
	    >"$T/out" 2>"$T/err" &
	pid=$!
	child $pid
	wait_for 20 grep -q ops/s "$T/err"
	kill -s $how $pid
	wait $pid
	ok "nothing is left after SIG$how" wait_for 20 nothing_left
done
end
