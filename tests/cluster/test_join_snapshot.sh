#!/bin/sh
# test_join_snapshot.sh: a server joins a cluster whose log is cut, under load;
# whoever sends it the snapshot and the server itself are killed on the way.
#
# JOIN_ROUNDS=50 JOIN_KEYS=1000000 JOIN_RATE=0 is what is promised.  Each round
# is a new server.
# shellcheck disable=SC2034 # labs is for lib.sh
. "$(dirname "$0")/lib.sh"

rounds=${JOIN_ROUNDS:-2}
keys=${JOIN_KEYS:-80000}
rate=${JOIN_RATE:-8M}

# Values that do not compress.
"$python" -c 'import base64, random, sys
r = random.Random(7)
for i in range(int(sys.argv[1])):
    print("{\"key\":\"%08d\",\"value\":\"%s\"}" %
        (i, base64.b64encode(r.randbytes(192)).decode()))' "$keys" |
    raftsnap import - "$T/start.snap"
is "a snapshot of $keys keys" "$?" 0

raftlab -d "$T/lab" up -n 3 -- --snapshot-rate "$rate" >"$T/up" 2>&1
eval "$(cat "$T/up")"
labs=$T/lab
members=$(awk -F '\t' '{ printf " -m %s=%s", $1, $2 }' "$T/lab/addresses")
peers=$(awk -F '\t' '{ printf "%s%s", s, $2; s = "," }' "$T/lab/addresses")
raftlab down --keep
rm -rf "$T/lab/1" "$T/lab/2" "$T/lab/3"
# shellcheck disable=SC2086
raftsnap restore "$T/start.snap" "$T/r" $members >/dev/null
mv "$T/r"/* "$T/lab/"
total=$(cat "$T/lab/1"/snap/*.snap | wc -c)
ok "a cluster begins with it" raftlab -d "$T/lab" up
first=$(raftctl status -j | jq .first)
ok "and has no log before it" test "$first" -gt 1

# Bytes of snapshots that all servers have sent, with those of lives that
# ended: a server is asked right before it is killed.
gone_bytes=0
sent_of() { # ID
	raftctl -t 5s -s "$(client_of "$1")" status -j 2>/dev/null |
	    jq '.snapshots.sent_bytes'
}
sent() {
	sent_sum=$gone_bytes
	for sent_id in 1 2 3; do
		sent_one=$(sent_of $sent_id)
		sent_sum=$((sent_sum + ${sent_one:-0}))
	done
	echo "$sent_sum"
}

joiner() { # starts it
	raftd -n "$id" -d "$T/j" -p "unix:$T/j$id.p" -c "unix:$T/j$id.s" \
	    --join "$peers" 2>>"$T/j.log" &
	pid=$!
	child $pid
}

# Has it so much of the snapshot, or all of it and more?
has() { # PERCENT
	has_part=$(cat "$T/j/snap"/*.part 2>/dev/null | wc -c)
	[ "$has_part" -ge $((total * $1 / 100)) ] ||
	    ls "$T/j/snap"/*.snap
}
caught_up() {
	raftctl -t 2s -s "unix:$T/j$id.s" status -j >"$T/st" 2>/dev/null &&
	    jq -e --argjson i "$goal" '.applied >= $i' "$T/st"
}
percent() {
	shuf -i "$1-$2" -n 1
}

writers 2 a
id=3
round=0
failed=0
worst=0
: >"$T/seen"
while [ $round -lt "$rounds" ] && [ $failed -eq 0 ]; do
	round=$((round + 1))
	id=$((id + 1))
	rm -rf "$T/j" "$T/j.log"
	wait_for 30 leader >/dev/null
	before=$(sent)
	joiner
	raftctl -t 30s add --learner "$id=unix:$T/j$id.p" >"$T/add" 2>&1 || failed=1
	p1=$(percent 1 45) p2=$(percent 46 90)
	order='sender receiver'
	[ $((round % 2)) -eq 0 ] || order='receiver sender'
	for who in $order; do
		wait_for 120 has "$p1" || failed=2
		if [ "$who" = receiver ]; then
			kill -s KILL $pid
			wait $pid 2>/dev/null
			joiner
		else
			who_leads=$(leader)
			bytes=$(sent_of "$who_leads")
			raftlab kill "$who_leads"
			gone_bytes=$((gone_bytes + ${bytes:-0}))
			raftlab start "$who_leads"
		fi
		p1=$p2
	done
	goal=$(raftctl -t 30s status -j | jq .commit)
	wait_for 120 caught_up || failed=3
	# Or it was killed between the last byte and this.
	grep -qE 'event=snapshot_(install .*used=1|open)' "$T/j.log" ||
	    failed=4
	bytes=$(($(sent) - before))
	[ $bytes -le $worst ] || worst=$bytes
	note "round $round: $bytes of $total bytes, failed $failed"
	[ $failed -ne 0 ] || [ $round -eq "$rounds" ] || {
		raftctl -t 30s remove "$id" >"$T/rm" 2>&1 || failed=5
		kill -s KILL $pid
		wait $pid 2>/dev/null
	}
done
[ $failed -eq 0 ] || {
	show "$T/add" "$T/rm"
	tail -n 12 "$T/j.log" "$T/lab"/?.log | sed 's/^/#   /'
}
is "$rounds servers caught up from the snapshot, $((2 * rounds)) kills" \
    $failed 0
# Two transfers were cut, each with at most 1 MiB on its way.
is "at most 1.2 times the snapshot was sent for one: $worst of $total" \
    "$([ $((worst * 10)) -le $((total * 12)) ] && echo yes)" yes
end_writers
same_as_joiner() {
	raftctl -t 5s hash --all -j | jq -se 'length == 4 and
	    all(.[]; .ok) and (map(.digest) | unique | length) == 1'
}
ok "it holds the same state as the others" wait_for 30 same_as_joiner
nothing_lost "after $rounds joins"
end
