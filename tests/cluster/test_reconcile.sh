#!/bin/sh
# test_reconcile.sh: the declared members, also when whoever brings them about
# is killed again and again.
#
# Three servers become five and three of others again; raftctl reconcile
# --watch is killed with -9 at random moments, KILLS times (12), and JOINTS
# times (1) while the cluster is in a joint configuration that cannot be
# committed, two servers of its new half being paused.
. "$(dirname "$0")/lib.sh"

kills=${KILLS:-12}
joints=${JOINTS:-1}

policy='{}'
declare_members() { # ID...
	list=
	for id; do
		list="$list${list:+,}{\"id\":$id,\"address\":\"$(peer_of "$id")\"}"
	done
	printf '{"members":[%s],"policy":%s}\n' "$list" "$policy" \
	    >"$T/file.new"
	mv "$T/file.new" "$T/file"
}

members_are() { # IDS: voters, and nobody else
	[ "$(raftctl -t 5s members -j | jq -c -s '[.[] | .id, .voter]')" = \
	    "$1" ]
}

# Servers that wait to be joined: those of a lab of their own would be in
# another cluster, so they are started as raftlab add does.
joiner() { # ID...
	mkdir -p "$T/j"
	joined=$(raftlab ps -j | jq -s -r '[.[].peer] | join(",")')
	for one in 4 5 6 7 8 9 "$@"; do
		joined=$joined,unix:$T/j/$one.peer
	done
	for one; do
		raftd -n "$one" -d "$T/j/$one" -p "unix:$T/j/$one.peer" \
		    -c "unix:$T/j/$one.sock" --election 2s --join "$joined" \
		    2>"$T/j/$one.log" &
		child $!
		eval "pid_$one=$!"
		RAFT_ENDPOINTS=$RAFT_ENDPOINTS,unix:$T/j/$one.sock
	done
	export RAFT_ENDPOINTS
}
peer_of() { # ID
	if [ "$1" -le 3 ]; then
		raftlab ps -j | jq -r "select(.id == $1).peer"
	else
		echo "unix:$T/j/$1.peer"
	fi
}

phases() { # FILE: its phases and steps, in order, none twice in a row
	jq -r '.phase + ":" + .step' "$1" | uniq | tr '\n' ' '
}

lab -n 3 -- --election 2s
joiner 4 5 6 7 8 9

# ---- what is declared ----------------------------------------------------

declare_members 1 2 3
ok "a cluster that is as declared" raftctl -t 10s reconcile "$T/file"
is "says so in one line" "$(phases "$T/tap.out")" "converged:done "
for bad in '{"members":[{"id":1}]}' '{"members":[]}' '[]' '{' \
    '{"members":[{"id":1,"address":"a"}],"policy":{"mode":"fast"}}' \
    '{"members":[{"id":1,"address":"a"}],"policy":{"rate":{"changes":1}}}' \
    '{"members":[{"id":1,"address":"a","roll":"voter"}]}' \
    '{"members":[{"id":1,"address":"a"},{"id":1,"address":"b"}]}'; do
	echo "$bad" >"$T/bad"
	must_fail "not a declaration: $bad" 65 raftctl reconcile "$T/bad"
done
declare_members 1 2 3 4 5
ok "the first step alone" raftctl -t 10s reconcile -n "$T/file"
is "is to add a learner" "$(phases "$T/tap.out")" "add-learner:begin "
is "and was not taken" "$(raftctl members -j | wc -l)" 3
sed 's/unix:[^"]*1.peer/unix:\/elsewhere/' "$T/file" >"$T/moved"
must_fail "a member that has moved" 1 raftctl -t 10s reconcile "$T/moved"

# ---- the six steps ---------------------------------------------------------

ok "three become five" raftctl -t 20s reconcile "$T/file"
like "by these steps" "$(phases "$T/tap.out")" \
    "add-learner:begin*add-learner:done*enter-joint:begin enter-joint:done *\
commit-new:done leave-joint:done converged:done "
raftctl -t 10s transfer 1 >/dev/null
ok "server 1 leads" [ "$(leader)" = 1 ]
policy='{"cooldown_ms":2000}'
declare_members 3 4 5
ok "five become three without the leader" raftctl -t 20s reconcile "$T/file"
like "which hands over first, and not before the time of rest is over" \
    "$(phases "$T/tap.out")" \
    "cooldown:wait*transfer-leadership:begin transfer-leadership:done \
enter-joint:begin*leave-joint:done converged:done "

# ---- policy ----------------------------------------------------------------

policy='{"catch_up_entries":10}'
ok "a learner" raftctl -t 10s add --learner "8=$(peer_of 8)"
kill -s STOP "$pid_8"
i=0
while [ $i -lt 20 ]; do
	i=$((i + 1))
	raftctl put "lag$i" x
done
declare_members 3 4 5 8
ok "20 entries behind, 10 may be" raftctl -t 5s reconcile -n "$T/file"
is "has to catch up" "$(phases "$T/tap.out")" "catch-up:wait "
must_fail "which takes too long" 124 raftctl -t 1s reconcile "$T/file"
kill -s CONT "$pid_8"
ok "and does in the end" raftctl -t 10s reconcile "$T/file"
like "by these steps" "$(phases "$T/tap.out")" "*enter-joint:begin*converged:done "

policy='{"rate":{"changes":1,"window_ms":700}}'
declare_members 3 4 5 9
at=$(date +%s%N)
ok "one change in so long" raftctl -t 20s reconcile "$T/file"
took=$((($(date +%s%N) - at) / 1000000))
like "is one, and then a pause" "$(phases "$T/tap.out")" \
    "add-learner:begin add-learner:done*rate-limit:wait*enter-joint:begin*"
ok "of $took ms" [ $took -ge 700 ]

policy='{"mode":"unsafe-no-joint"}'
declare_members 3 4 5
must_fail "an unsafe way that the servers are not started for" 1 \
    raftctl -t 10s reconcile "$T/file"
like "names the option" "$(cat "$T/err")" '*--unsafe-no-joint*'
policy='{"mode":"safe"}'
declare_members 3 4 5
ok "and without it" raftctl -t 20s reconcile "$T/file"

# ---- a quorum at risk --------------------------------------------------------

kill -s STOP "$pid_5"
sleep 2.2
declare_members 3 5 # of which one does not answer
must_fail "no majority of what is declared is in reach" 1 \
    raftctl -t 10s reconcile "$T/file"
like "it names the majorities" "$(cat "$T/err")" \
    '*quorum before 2 of 3*after 2 of 2 (in reach 1)*'
kill -s CONT "$pid_5"
ok "nothing has changed" wait_for 10 members_are '[3,true,4,true,5,true]'

# ---- killed -----------------------------------------------------------------

policy="{\"cooldown_ms\":$((kills * 10))}"
writers 1 r
declare_members 3 4 5 6 7
i=0
while [ $i -lt "$kills" ]; do
	i=$((i + 1))
	[ $i -ne $((kills / 2 + 1)) ] || declare_members 5 6 7
	raftctl reconcile --watch "$T/file" >>"$T/lines" 2>>"$T/lines.err" &
	pid=$!
	# A step takes some 5 ms: most are killed in the middle of one.
	sleep "0.0$(od -An -N1 -tu1 /dev/urandom | awk '{
	    printf "%02d", $1 % 40 }')"
	kill -s KILL $pid
	wait $pid 2>/dev/null
done
declare_members 5 6 7
ok "after $kills kills it converges" raftctl -t 30s reconcile "$T/file"
ok "to what is declared" members_are '[5,true,6,true,7,true]'

# Now and then a learner is late; what is to come must be the joint change.
is_next() { # PHASE
	raftctl -t 5s reconcile -n "$T/file" | jq -e "select(.phase == \"$1\")"
}
said() { # PHASE:STEP
	phases "$T/joint" | grep -q "$1"
}
is_joint() {
	raftctl -t 1s -s "unix:$T/j/5.sock" members -j |
	    jq -e -s 'any(.[]; .joint)'
}
id=9
i=0
while [ $i -lt "$joints" ]; do
	i=$((i + 1))
	new=$((id + 1)) id=$((id + 2))
	joiner $new $id
	declare_members 5 $new $id
	# The learners are added and catch up, and that is all.
	for n in $new $id; do
		ok "joint $i: learner $n" raftctl -t 20s add --learner --wait \
		    "$n=$(peer_of "$n")"
	done
	ok "joint $i: server 5 leads" raftctl -t 10s transfer 5
	ok "joint $i: the joint change is next" wait_for 10 is_next enter-joint
	# The leader takes them for alive for an election timeout.
	tries=0 entered=1
	until [ $entered = 0 ] || [ $tries -eq 5 ]; do
		tries=$((tries + 1))
		wait_for 10 is_next enter-joint
		eval "kill -s STOP \$pid_$new \$pid_$id"
		raftctl reconcile --watch "$T/file" >"$T/joint" \
		    2>>"$T/lines.err" &
		pid=$!
		wait_for 2 said enter-joint:done && is_joint >/dev/null
		entered=$?
		kill -s KILL $pid
		wait $pid 2>/dev/null
		[ $entered != 0 ] || said_joint=$(is_joint)
		eval "kill -s CONT \$pid_$new \$pid_$id"
	done
	tap $entered "joint $i: its maker is killed inside a joint configuration"
	is "joint $i: which is still in force then" "$said_joint" true
	cat "$T/joint" >>"$T/lines"
	ok "joint $i: the next one brings it to its end" \
	    raftctl -t 30s reconcile "$T/file"
	ok "joint $i: which is what was declared" \
	    members_are "[5,true,$new,true,$id,true]"
	declare_members 5 $new $id
	[ $i -lt "$joints" ] || break
done
ok "each line is JSON with its keys" jq -e -s 'all(.[]; has("phase") and
    has("step") and has("members") and has("joint") and has("reason"))' \
    "$T/lines"
note "$(jq -r '.phase + ":" + .step' "$T/lines" | sort | uniq -c | tr -s ' \n' ' ')"
note "lines that saw a joint configuration: $(jq -s 'map(select(.joint)) |
    length' "$T/lines")"
end_writers
ok "no acknowledged write is lost" "$python" "$rpc" "unix:$T/j/5.sock" \
    check "$T"/acked.*

end
