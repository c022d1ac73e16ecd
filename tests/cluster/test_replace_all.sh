#!/bin/sh
# test_replace_all.sh: every member of a serving cluster is replaced, the
# leader among them.
#
# A steady load of 1000 puts a second, and some gets, runs while three servers
# become five and three again, ROUNDS times (1), each time with none left of
# those before.  No request fails but those that say that they may be tried
# again, no outcome is unknown, nothing acknowledged is lost, the history is
# linearizable.  The p99 while members change is compared with that before, in
# the same run; of several rounds the median counts.  CALM is how many seconds
# of load go before each round (2), RATIO how many times the p99 before the
# p99 during may be (3).
#
# A machine that also runs other tests says nothing about latencies: what is
# judged is RATIO in a run of its own, as make check gives it ten.
. "$(dirname "$0")/lib.sh"

rounds=${ROUNDS:-1}
calm=${CALM:-2}
ratio=${RATIO:-10}
rate=1000

everybody() { # COUNT
	first=$(client_of 1)
	i=1
	sep=
	while [ $i -le "$1" ]; do
		printf '%s%s' "$sep" "${first%1.sock}$i.sock"
		sep=,
		i=$((i + 1))
	done
}

peer_of() { # ID
	raftlab ps -j | jq -r "select(.id == $1).peer"
}

voters() {
	raftctl -t 10s members -j | jq -r -s '[.[] | select(.voter).id] |
	    map(tostring) | join(" ")'
}

now() {
	date +%s%N
}

# Seconds since the load began, as the history counts.
since() {
	echo $((($(now) - began) / 1000000)) | awk '{ printf "%.3f", $1 / 1000 }'
}

load() { # PREFIX
	loadgen run --rate $((rate * 5 / 4)) --mix put=80,get=20 \
	    --time 10m --warmup 0s --clients 16 --keys 500 --prefix "$1" \
	    --progress none --history "$T/history" \
	    >"$T/load" 2>"$T/load.err" &
	load=$!
	child $load
	wait_for 10 test -e "$T/history"
	began=$(now)
}

# What may be tried again was certainly not applied.
judge() { # NAME
	kill -s INT $load
	wait $load
	is "$1: no request fails but those to be tried again" \
	    "$(jq -c '.errors | del(.NO_LEADER, .STOPPING, .BUSY, .NOT_APPLIED)' \
	    "$T/load")" '{}'
	is "$1: no outcome is unknown" "$(jq .unknown "$T/load")" 0
	ok "$1: the history is linearizable" loadgen check "$T/history"
	"$python" "$top/tests/cluster/latency.py" "$T/history" "$before" \
	    "$begin" "$over" >"$T/p99"
	note "$(jq -c '[.ops, .unknown, .errors]' "$T/load") $(cat "$T/p99")"
	jq '.during.p99 / .before.p99' "$T/p99" >>"$T/ratios"
	jq '.during.p99' "$T/p99" >>"$T/during"
}

# Those of the start go one by one, the leader as the second of them.
replace_all() { # ID ID ID
	ok "round $round: a fourth server" raftlab add -- --wait
	ok "round $round: a fifth" raftlab add -- --wait
	is "round $round: five vote" "$(voters | wc -w)" 5
	followers=
	lead=$(leader)
	for id; do
		[ "$id" = "$lead" ] || followers="$followers $id"
	done
	# shellcheck disable=SC2086 # a list of numbers
	set -- $followers
	ok "round $round: one of the first leaves" raftctl -t 20s remove "$1"
	lead=$(leader)
	ok "round $round: the leader leaves" raftctl -t 20s remove "$lead"
	is "round $round: three vote" "$(voters | wc -w)" 3
	ok "round $round: a sixth learns" raftlab add -- --learner
	for id in $followers; do
		[ "$id" != "$1" ] && [ "$id" != "$lead" ] || continue
		last=$id
	done
	new=$(raftlab ps -j | jq -s 'map(.id) | max')
	ok "round $round: it takes the place of the last of the first" \
	    raftctl -t 20s replace "$last" "$new=$(peer_of "$new")"
}

lab -n 3
[ "$rounds" -le 4 ] || rounds=4
RAFT_ENDPOINTS=$(everybody $((3 + rounds * 3)))
export RAFT_ENDPOINTS
writers 1 w
more 10

round=0
while [ $round -lt "$rounds" ]; do
	round=$((round + 1))
	old=$(voters)
	# Whoever leads is one of the first: five become three without it.
	load "r$round-"
	sleep "$calm"
	before=$(since) begin=$(since)
	# shellcheck disable=SC2086 # a list of numbers
	replace_all $old
	over=$(since)
	judge "round $round"
	for id in $old; do
		case " $(voters) " in
		*" $id "*) tap 1 "round $round: $id is gone" ;;
		esac
	done
	note "round $round: changes took $(echo "$over $begin" |
	    awk '{ print $1 - $2 }') s"
done
end_writers
nothing_lost "all rounds"
note "$(sort -n "$T/ratios" | awk -v r="$(uptime | sed 's/.*load/load/')" '
    { t[NR] = $1 } END { printf "p99 during / before: median %.2f, worst %.2f of %d; %s\n",
    t[int((NR + 1) / 2)], t[NR], NR, r }')"
within() { # the median, or a p99 that nobody would notice
	sort -n "$T/ratios" | awk -v max="$ratio" '{ t[NR] = $1 }
	    END { exit !(t[int((NR + 1) / 2)] <= max) }'
}
ok "the p99 while members change is within $ratio times of that before" within

end
