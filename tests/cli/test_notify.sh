#!/bin/sh
# test_notify.sh: watches by notification: what is told, to whom, and what
# becomes of those who do not read; how reads may be asked for.
#
#	SLOW=1 sh tests/cli/test_notify.sh	with the one that takes its time
. "$(dirname "$0")/lib.sh"

python=$(find_python msgpack)
if [ -z "$python" ]; then
	skip "all of it" "python3-msgpack is missing"
	end
fi
notify=$top/tests/cli/notify.py

lab -n 3 -- --lease-drift 10000
one=$(leader)
other=$(follower)

ok "what a watch of the leader is told" "$python" "$notify" \
    "$(client_of "$one")" events
ok "and of another server" "$python" "$notify" "$(client_of "$other")" events
ok "who does not read costs little, and gets all when it reads" \
    "$python" "$notify" "$(client_of "$one")" unread "$(pid_of "$one")"
if [ -n "${SLOW:-}" ]; then
	ok "who never reads is told where it stands" "$python" "$notify" \
	    "$(client_of "$one")" slow
else
	skip "who never reads is told where it stands" "SLOW is not set"
fi

# ---- how a read may be asked for ---------------------------------------------

raftctl put k v1
rev=$(raftctl get -j k | jq .mod_rev)
for server in "$one" "$other"; do
	at=$(client_of "$server")
	for mode in linearizable lease stale; do
		wait_for 5 sh -c 'test "$(raftctl -s "$1" get --read=stale k)" = v1' \
		    _ "$at"
		is "$mode, server $server" \
		    "$(raftctl -s "$at" get --read=$mode k)" v1
		is "$mode listing, server $server" \
		    "$(raftctl -s "$at" ls --read=$mode k)" k
	done
	is "a stale one tells its revision, server $server" \
	    "$(raftctl -s "$at" get --read=stale -j k | jq ".rev >= $rev")" true
	is "and may have a bound, server $server" \
	    "$(raftctl -s "$at" get --max-stale 1s k)" v1
	is "or be as fresh as can be, server $server" \
	    "$(raftctl -s "$at" get --max-stale 0s k)" v1
done
must_fail "an absent key, stale" 1 raftctl get --read=stale none
must_fail "a bound that does not go with the mode" 64 \
    raftctl get --read=lease --max-stale 1s k
must_fail "no mode" 64 raftctl get --read=maybe k
must_fail "no time" 64 raftctl get --max-stale 5 k

# Without a majority only a stale read is answered, and it says of when.
raftlab kill "$one"
third=$((6 - one - other))
raftlab kill $third
at=$(client_of "$other")
is "alone, a stale read" "$(raftctl -s "$at" get --read=stale k)" v1
must_fail "alone, a lease read" 69 raftctl -s "$at" -t 3s get --read=lease k
must_fail "alone, one that must be fresh" 69 \
    raftctl -s "$at" -t 3s get --max-stale 1ms k
must_fail "alone, a watch" 69 raftctl -s "$at" -t 3s watch k
raftlab start "$one"
raftlab start $third
ok "all are back" wait_for 20 raftctl -t 10s wait healthy

# ---- what is no longer kept, and the end -------------------------------------

raftctl compact >/dev/null
at=$(client_of "$(leader)")
server=$(leader)
raftctl -s "$at" compact >/dev/null
raftlab stop "$server"
raftlab start "$server"
ok "it is back" wait_for 20 raftctl -s "$at" -t 2s wait ready
must_fail "events that a restart has forgotten" 75 \
    raftctl -s "$at" watch -j --since 1 --prefix n/
is "are told as such" "$(head -n 1 "$T/out" | jq -r .type)" compacted
raftctl -s "$at" watch -j --since 1 --on-compacted resync --count 1 k >"$T/w"
is "or all that is there comes instead" \
    "$(jq -r '[.type, .value] | map(. // "-") | join(" ")' "$T/w" |
	tr '\n' ';')" 'compacted -;put v1;'
raftctl watch -j --progress 100ms --stall 900ms --since "$rev" none \
    >"$T/w" 2>/dev/null
ok "progress lines are there when asked for" grep -q progress "$T/w"
ok "a server that stops says where its watchers stand" "$python" "$notify" \
    "$at" stop "$(pid_of "$server")"

# ---- what a server does that does not lead -----------------------------------

raftlab down
lab -n 3 -- --follower-reads refuse
raftctl put k v2
at=$(client_of "$(follower)")
must_fail "a follower that refuses" 69 raftctl -s "$at" -t 2s get k
is "but for stale reads" "$(wait_for 5 raftctl -s "$at" get --read=stale k &&
    raftctl -s "$at" get --read=stale k)" v2
raftlab down
lab -n 3 -- --follower-reads forward
raftctl put k v3
is "a follower that forwards" \
    "$(raftctl -s "$(client_of "$(follower)")" get k)" v3

end
