#!/bin/sh
# test_loadgen_bench.sh: loadgen bench starts its own cluster, measures and
# leaves nothing behind, however it ends; loadgen report draws what came of it.
. "$(dirname "$0")/lib.sh"

mkdir "$T/tmp"
TMPDIR=$T/tmp
export TMPDIR

nothing_left() {
	[ -z "$(ls -A "$T/tmp")" ] && ! grep -lsz "$T/tmp" /proc/[0-9]*/cmdline
}

must_fail "a bench needs its name" 64 loadgen bench
must_fail "a bench that is none" 64 loadgen bench soon
must_fail "its servers are its own" 64 loadgen bench steady -s /none
must_fail "no servers are not a cluster" 64 \
    loadgen bench steady --servers 0
must_fail "two servers cannot lose one" 64 \
    loadgen bench failover --servers 2
must_fail "options without effect are refused" 64 \
    loadgen bench failover --rate 5
must_fail "an option of raftd that is none" 69 \
    loadgen bench steady -- --no-such-option
ok "nothing is left of it" nothing_left
must_fail "a directory that is not there" 69 \
    loadgen bench steady --dir "$T/none"

loadgen bench steady --clients 4 --time 600ms --warmup 50ms --mix put=1 \
    --progress none -- --log-level warn >"$T/steady" 2>"$T/err"
is "steady ends with 0" $? 0 || show "$T/err"
is "it says under which conditions" "$(jq -c '.bench, (.conditions |
    [.clients, .value_size, .server_count, .cores > 0, .fsync_ms.count > 0,
    .fsync_ms.p50 <= .fsync_ms.p99, .raftd_options, (.servers | length)])' \
    "$T/steady" | tr '\n' ' ')" \
    '"steady" [4,256,3,true,true,true,["--log-level","warn"],3] '
ok "it measured, servers too" \
    jq -e '.ops > 0 and .errors == {} and .server_cpu_us >= 0' "$T/steady"
ok "nothing is left of it" nothing_left

loadgen bench failover --kills 2 --clients 2 --value-size 40 \
    >"$T/failover" 2>"$T/err"
is "failover ends with 0" $? 0 || show "$T/err"
is "no write is lost in two kills" "$(jq -c '[.bench, .kills, .lost,
    (.failover_ms.list | length), .interrupted]' "$T/failover")" \
    '["failover",2,0,2,false]'
ok "its figures fit together" jq -e '.acknowledged > 0 and
    (.failover_ms | .median <= .worst and .worst == (.list | max)) and
    .failover_ms.median <= .all_clients_ms.median' "$T/failover"
is "it tells of each kill" "$(grep -c '^kill' "$T/err")" 2
ok "nothing is left of it" nothing_left

must_fail "a fault that is none" 64 loadgen bench failover --fault flood
loadgen bench failover --fault pause --kills 1 --clients 2 >"$T/paused" \
    2>"$T/err"
is "failover by a pause ends with 0" $? 0 || show "$T/err"
ok "it tells how long nothing was written, and loses nothing" jq -e '
    .fault == "pause" and .lost == 0 and .outage_ms.worst > 100 and
    .outage_ms.worst <= .all_clients_ms.worst' "$T/paused"
ok "nothing is left of it" nothing_left

# ^C, SIGTERM and what cannot be caught, in a cluster that runs.
for how in INT TERM KILL; do
	setsid loadgen bench steady --servers 1 --time 1m \
	    >"$T/out" 2>"$T/err" &
	pid=$!
	child $pid
	wait_for 20 grep -q ops/s "$T/err"
	kill -s $how $pid
	wait $pid
	ok "nothing is left after SIG$how" wait_for 20 nothing_left
done
setsid loadgen bench steady --time 1m >"$T/out" 2>"$T/err" &
pid=$!
child $pid
wait_for 20 sh -c 'ls "$1"/*/lab/lab' _ "$T/tmp"
kill -s INT $pid
wait $pid
ok "nothing is left if it ends while starting" wait_for 20 nothing_left

must_fail "a report needs a place" 64 loadgen report "$T/steady"
must_fail "a run that is not there" 66 loadgen report -o - "$T/none"
echo '{"ops":1}' >"$T/no-run"
must_fail "what is no result" 65 loadgen report -o - "$T/no-run"
must_fail "a place that is none" 73 \
    loadgen report -o "$T/none/page" "$T/steady"
must_fail "a full disk" 74 loadgen report -o /dev/full "$T/steady"
echo '{"kind":"pause"}' >"$T/no-fault"
must_fail "a fault without time" 65 \
    loadgen report --faults "$T/no-fault" -o - "$T/steady"

# What others named goes into the page as text only.
began=$(jq .began_ms "$T/steady")
jq -nc --argjson t "$began" '{kind: "<script>alert(1)</script>",
    detail: "\"onload=\"x", since: ($t + 100), until: ($t + 300)},
    {kind: "late", since: ($t + 100000), until: null}' >"$T/faults"
cat "$T/steady" "$T/failover" >"$T/two <b>&.json"
ok "a page is drawn" loadgen report --faults "$T/faults" -o "$T/page" \
    "$T/two <b>&.json" "$T/steady"
is "three results stand in it" "$(grep -c '<section' "$T/page")" 3
is "one drawing each of what was measured" \
    "$(grep -c '^<svg' "$T/page")" 7
is "faults of its time are shaded" "$(grep -c 'class="fault"' "$T/page")" 4
ok "nothing of it is markup" sh -c '! grep -qE "<script|<b>|\"onload" "$1"' \
    _ "$T/page"
# The two lines that faults(8) prints of one fault are one window.
jq -nc --argjson t "$began" '{id: "1", kind: "kill", since: ($t + 100),
    until: null}, {id: "1", kind: "kill", since: ($t + 100),
    until: ($t + 200)}' >"$T/faults"
loadgen report --faults "$T/faults" -o "$T/page2" "$T/steady"
is "beginning and end are one fault" \
    "$(grep -c 'class="fault"' "$T/page2")" 2
jq -c '.outages = [{t: 0.05, ms: 100}, {t: 0.19, ms: 300}]' "$T/steady" \
    >"$T/outages"
jq -nc --argjson t "$began" '{kind: "kill", detail: "1", since: ($t + 100),
    until: ($t + 200)}' >"$T/faults"
loadgen report --faults "$T/faults" -o "$T/page2" "$T/outages"
like "how long nothing was written in the window, and around it" \
    "$(grep '<td>kill' "$T/page2")" \
    '<tr><td>kill</td><td>1</td><td>0.1</td><td>0.1</td>*>60</td><td>300</td></tr>'
ok "it fetches nothing" sh -c '! grep -qE "src=|href=|url\(" "$1"' \
    _ "$T/page"
ok "all of it is closed" sh -c '
	for t in svg table section g text title rect; do
		a=$(grep -o "<$t[ >]" "$1" | wc -l)
		b=$(grep -oE "</$t>|<$t [^>]*/>" "$1" | wc -l)
		[ "$a" = "$b" ] || exit 1
	done' _ "$T/page"
# Numbers that no run prints must not end anything else than well.
jq -c '.intervals[0].t = -5 | .intervals[0].p50 = 1e300 |
    .histogram[0] = ["x", null] | .conditions = 3' "$T/steady" >"$T/odd"
ok "numbers that make no sense" loadgen report -o - "$T/odd"

end
