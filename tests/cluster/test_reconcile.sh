#!/bin/sh
# test_reconcile.sh: the declared members, also when whoever brings them about
# is killed again and again.
#
# Three servers become five and three of others again; raftctl reconcile is
# killed with -9 at random moments, KILLS times (12).
. "$(dirname "$0")/lib.sh"

kills=${KILLS:-12}

declare_members() { # ID...
	list=
	for id; do
		list="$list${list:+,}{\"id\":$id,\"address\":\"$(peer_of "$id")\"}"
	done
	printf '{"members":[%s],"policy":{"cooldown_ms":5}}\n' "$list" \
	    >"$T/file.new"
	mv "$T/file.new" "$T/file"
}

members_are() { # IDS: voters, and nobody else
	[ "$(raftctl -t 5s members -j | jq -c -s '[.[] | .id, .voter]')" = \
	    "$1" ]
}

# Servers that wait to be joined: those of a lab of their own would be in
# another cluster, so they are started as raftlab add does.
joiner() { # ID
	mkdir -p "$T/j"
	raftd -n "$1" -d "$T/j/$1" -p "unix:$T/j/$1.peer" \
	    -c "unix:$T/j/$1.sock" --join "$(raftlab ps -j | jq -s -r \
	    '[.[].peer] | join(",")'),unix:$T/j/4.peer,unix:$T/j/5.peer" \
	    2>"$T/j/$1.log" &
	child $!
}
peer_of() { # ID
	if [ "$1" -le 3 ]; then
		raftlab ps -j | jq -r "select(.id == $1).peer"
	else
		echo "unix:$T/j/$1.peer"
	fi
}

lab -n 3
joiner 4
joiner 5
RAFT_ENDPOINTS=$RAFT_ENDPOINTS,unix:$T/j/4.sock,unix:$T/j/5.sock
export RAFT_ENDPOINTS

declare_members 1 2 3
ok "a cluster that is as declared" raftctl -t 10s reconcile "$T/file"
is "says so in one line" "$(jq -r .phase "$T/tap.out")" converged
declare_members 1 2 3 4 5
ok "the first step alone" raftctl -t 10s reconcile -n "$T/file"
is "is to add a learner" "$(jq -r .phase "$T/tap.out")" add-learner
is "and was not taken" "$(raftctl members -j | wc -l)" 3
echo '{"members":[{"id":1}]}' >"$T/bad"
must_fail "a file that declares nothing" 65 raftctl reconcile "$T/bad"

writers 1 r
i=0
while [ $i -lt "$kills" ]; do
	i=$((i + 1))
	[ $((i * 2)) -lt "$kills" ] || declare_members 3 4 5
	raftctl reconcile --watch "$T/file" >>"$T/lines" 2>>"$T/lines.err" &
	pid=$!
	# A step takes some 5 ms: most are killed in the middle of one.
	sleep "0.0$(od -An -N1 -tu1 /dev/urandom | awk '{
	    printf "%02d", $1 % 40 }')"
	kill -s KILL $pid
	wait $pid 2>/dev/null
done
declare_members 3 4 5
ok "after $kills kills it converges" raftctl -t 30s reconcile "$T/file"
ok "to what is declared" members_are '[3,true,4,true,5,true]'
ok "each line is JSON with its keys" jq -e -s 'all(.[]; has("phase") and
    has("step") and has("members") and has("joint") and has("reason"))' \
    "$T/lines"
note "$(jq -r '.phase + ":" + .step' "$T/lines" | sort | uniq -c | tr -s ' \n' ' ')"
end_writers
ok "no acknowledged write is lost" "$python" "$rpc" "unix:$T/j/4.sock" \
    check "$T"/acked.*

end
