#!/bin/sh
# test_members.sh: members and leaders change while clients are served.
#
# Three servers become five and three again until none of the first is left,
# under a steady load whose history is judged.  The latencies are printed, not
# judged: machines differ.  TRANSFERS is how often leadership is handed over
# (10), RATE how many operations start each second (500).
. "$(dirname "$0")/lib.sh"

transfers=${TRANSFERS:-10}
rate=${RATE:-500}

# All servers that there will ever be, as the lab names them.
everybody() { # COUNT
	first=$(client_of 1)
	i=1
	while [ $i -le "$1" ]; do
		printf '%s%s' "${sep-}" "${first%1.sock}$i.sock"
		sep=,
		i=$((i + 1))
	done
	sep=
}

peer_of() { # ID
	raftlab ps -j | jq -r "select(.id == $1).peer"
}

voters() {
	raftctl -t 10s members -j | jq -c -s '[.[] | select(.voter).id]'
}

load() { # SECONDS PREFIX
	loadgen run --rate "$rate" --time "$1s" --clients 8 --keys 2000 --prefix "$2" \
	    --mix put=50,get=50 --progress none --history "$T/history" \
	    >"$T/load" 2>"$T/load.err" &
	load=$!
	child $load
}

# Nothing failed but what may be tried again, or was on its way to a server
# when that ended, and nothing was lost.
judge_load() { # NAME
	wait "$load"
	is "$1: no error but those to be tried again" "$(jq -c '.errors |
	    del(.UNKNOWN, .NO_LEADER, .STOPPING, .UNREACHABLE, .BUSY, .NOT_APPLIED)' \
	    "$T/load")" '{}'
	note "$(jq -c '[.ops, .unknown, .errors, .latency_ms.p50, .latency_ms.p99]' \
	    "$T/load")"
	note "$(jq -r '[.intervals[].p99 | tostring] | "p99 each second: " +
	    join(" ")' "$T/load")"
	ok "$1: the history is linearizable" loadgen check "$T/history"
}

lab -n 3
RAFT_ENDPOINTS=$(everybody 6)
export RAFT_ENDPOINTS

# ---- what is refused ----------------------------------------------------

must_fail "an id that is a member" 1 raftctl add 2=unix:/nowhere
must_fail "a server that does not answer" 69 \
    raftctl -t 10s add 9=unix:/nowhere
must_fail "a member that is none" 1 raftctl remove 9
must_fail "the vote of a voter" 1 raftctl promote 2
ok "a plan changes nothing" raftctl remove -n 3
is "it names the majorities" "$(jq -c '.plan | [.before.quorum,
    (.during | length), .after.quorum, .after.reach]' "$T/tap.out")" \
    '[2,2,2,2]'
is "and all are still there" "$(voters)" '[1,2,3]'

# ---- another cluster's server ------------------------------------------

raftlab up -n 1 >"$T/other" || tap 1 "another cluster"
other=$(sed -n "s/^export RAFT_LAB='\(.*\)'/\1/p" "$T/other")
labs="$labs $other"
must_fail "a server of another cluster" 1 \
    raftctl -t 10s add 7="unix:$other/1.peer"
is "nothing of it was written" "$(voters)" '[1,2,3]'
raftlab -d "$other" down

# ---- under load ---------------------------------------------------------

load 12 a
sleep 2
ok "a fourth server" raftlab add -- --wait
ok "a fifth" raftlab add -- --wait
is "five vote" "$(voters)" '[1,2,3,4,5]'
first=$(leader)
# Refused while those who just came lag behind the load.
ok "the leader leaves" wait_for 20 raftctl -t 20s remove "$first"
for id in 1 2 3; do
	[ "$id" = "$first" ] || ok "server $id leaves" \
	    wait_for 20 raftctl -t 20s remove "$id"
	[ "$(voters | jq length)" -gt 3 ] || break
done
ok "a sixth learns" raftlab add -- --learner
last=$(voters | jq '[.[] | select(. < 4)][0]')
ok "and takes the place of the last of the first" \
    raftctl -t 20s replace "$last" "6=$(peer_of 6)"
is "none of the first votes" "$(voters)" '[4,5,6]'
judge_load "3 to 5 to 3"
ok "all digests are equal" wait_for 30 same_digest ||
    raftctl status --all -j | jq -c '[.id,.role,.term,.commit,.digest]'

# ---- who was removed ----------------------------------------------------

ended() {
	[ "$(raftlab ps -j | jq -s '[.[] | select(.id <= 3 and .running)] |
	    length')" = 0 ]
}
ok "those who were removed have ended" wait_for 10 ended
term=$(term)
ok "one of them comes back" raftlab start 1
ok "and ends again" wait_for 10 ended
is "it disturbed nobody" "$(term)" "$term"
must_fail "its id is not used again" 1 raftctl add 1=unix:/nowhere

# ---- what would be unsafe ------------------------------------------------

others=$(voters | jq -c "map(select(. != $(leader)))")
down=$(echo "$others" | jq '.[0]') up=$(echo "$others" | jq '.[1]')
raftlab kill "$down"
sleep 1
must_fail "no majority would be left" 1 raftctl -t 10s remove "$up"
like "the majorities are named" "$(cat "$T/err")" '*quorum before 2 of 3*'
ok "the one that is down may leave" raftctl -t 20s remove "$down"
is "two are left" "$(voters | jq length)" 2

# ---- handing over under load --------------------------------------------

ok "a seventh server" raftlab add -- --wait
load $((transfers / 4 + 4)) b
i=0 slow=0
while [ $i -lt "$transfers" ]; do
	i=$((i + 1))
	at=$(date +%s%N)
	raftctl -t 5s transfer -j >"$T/to" 2>>"$T/to.err" || slow=$((slow + 1))
	took=$((($(date +%s%N) - at) / 1000000))
	[ "$took" -lt 500 ] || slow=$((slow + 1))
	echo $took >>"$T/took"
	sleep 0.1
done
is "$transfers of $transfers transfers end within an election timeout" \
    "$slow" 0 || show "$T/to.err"
note "$(sort -n "$T/took" | awk '{ t[NR] = $1 } END {
	printf "transfer: median %d ms, worst %d ms of %d\n",
	    t[int((NR + 1) / 2)], t[NR], NR }')"
judge_load "transfers"

end
