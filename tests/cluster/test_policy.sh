#!/bin/sh
# test_policy.sh: who leads, how many must keep up, and the unsafe ways, loud
# and by request only.
. "$(dirname "$0")/lib.sh"

phases() { # FILE
	jq -r '.phase + ":" + .step' "$1" | uniq | tr '\n' ' '
}

# Servers that wait to be joined, as raftlab add starts them.
joiner() { # ID [RAFTD-OPTION...]
	one=$1
	shift
	raftd -n "$one" -d "$T/$one" -p "unix:$T/$one.peer" \
	    -c "unix:$T/$one.sock" --join "$(raftlab ps -j |
	    jq -s -r '[.[].peer] | join(",")')" "$@" 2>"$T/$one.log" &
	child $!
	RAFT_ENDPOINTS=$RAFT_ENDPOINTS,unix:$T/$one.sock
	export RAFT_ENDPOINTS
}

lab -n 3 -- --min-insync 3

# ---- min-insync -----

ok "a write while all keep up" raftctl -t 10s put a 1
down=$(follower)
raftlab kill "$down"
refused() {
	raftctl -t 2s put b 2 2>"$T/refused"
	[ $? = 75 ]
}
ok "two are fewer than three: it may be repeated, status 75" \
    wait_for 10 refused
like "and says why" "$(cat "$T/refused")" '*fewer than 3 voters are in sync*'
is "reads are served" "$(raftctl -t 10s get a)" 1
raftlab start "$down"
ok "with the third one back it is taken" wait_for 20 raftctl -t 2s put a 3

# ---- a joiner behind a compacted log, and who leads -----

i=0
while [ $i -lt 20 ]; do
	i=$((i + 1))
	raftctl put "key$i" "$i" || break
done
for id in 1 2 3; do
	ok "server $id cuts its log" raftctl -t 20s -s "$(client_of $id)" \
	    compact -j
done
joiner 4 --priority 7
ok "a new server whose entries are in no log any more" \
    raftctl -t 30s add --wait --zone south 4="unix:$T/4.peer"
is "has all of it" "$(raftctl -s "unix:$T/4.sock" get --read=stale key20)" 20
leads() { # ID
	[ "$(leader)" = "$1" ]
}
ok "it has the highest priority, and leads" wait_for 20 leads 4
is "as the members know" "$(raftctl members -j |
    jq -c 'select(.id == 4) | [.priority, .zone, .voter]')" '[7,"south",true]'
ok "what the configuration says counts more" \
    raftctl -t 10s tune --priority 9 --zone north --name best 2
ok "so another one leads" wait_for 20 leads 2
is "its zone and its name are known" "$(raftctl members -j |
    jq -c 'select(.id == 2) | [.priority, .zone, .name]')" '[9,"north","best"]'

# ---- what a refusal and a plan say -----

ok "a plan" raftctl remove -n 3
is "has the quorum before, during and after" "$(jq -c '.plan |
    [.before.quorum, (.during | map(.quorum)), .after.quorum]' "$T/tap.out")" \
    '[3,[3,2],2]'
is "and nothing has changed" "$(raftctl members -j | wc -l)" 4

# ---- unsafe, by request only -----

safe=$RAFT_LAB
raftlab up -n 3 -- --unsafe-early-vote --unsafe-no-joint >"$T/up2" ||
    tap 1 "unsafe servers start"
eval "$(cat "$T/up2")"
labs="$labs $RAFT_LAB"
for id in 1 2 3; do
	ok "server $id says so in its log" grep -q \
	    'level=warn event=unsafe early_vote=1 no_joint=1' "$RAFT_LAB/$id.log"
done
is "and in its status" "$(raftctl status -j | jq -c .unsafe)" \
    '["early-vote","no-joint"]'
must_fail "so does the doctor" 1 raftctl -t 10s doctor
like "by name" "$(cat "$T/out")" '*--unsafe-early-vote*'
raftlab add -- --learner
raftlab add -- --learner
declare_members() { # MODE ID...
	mode=$1
	shift
	list=
	for id; do
		list="$list${list:+,}$(raftlab ps -j | jq -c \
		    "select(.id == $id) | {id, address: .peer}")"
	done
	printf '{"members":[%s],"policy":{"mode":"%s"}}\n' "$list" "$mode" \
	    >"$T/file"
}
declare_members unsafe-no-joint 1 2 3 4 5
ok "all at once" raftctl -t 20s reconcile "$T/file"
like "without a joint configuration" "$(phases "$T/tap.out")" \
    'no-joint:begin no-joint:done converged:done '
ok "each time in the log" grep -h -q \
    'event=unsafe group=1 text="voters change' "$RAFT_LAB"/*.log
declare_members safe 1 2 3
ok "and by joint consensus when that is asked for" \
    raftctl -t 20s reconcile "$T/file"
like "on the same servers" "$(phases "$T/tap.out")" \
    '*enter-joint:done commit-new:done leave-joint:done converged:done '
ok "each is as it was asked for" [ "$(raftctl members -j | wc -l)" = 3 ]
raftlab down
RAFT_LAB=$safe
export RAFT_LAB

end
