#!/bin/sh
# test_lock.sh: mutual exclusion, while leaders are killed, holders paused
# beyond their lease, and raftctl killed with SIGKILL.
#
#	LOCK_CONTENDERS=50 LOCK_SECTIONS=2000 LOCK_REST=6 \
#	    tests/cluster/test_lock.sh
#
# LOCK_REST is how many seconds there are between one fault and the next.
#
# A critical section adds one to a counter in two steps, and holds a flock(2)
# while it lives, which shows any overlap and any orphan.  Only who was
# stopped whole may be met there: nothing can kill it in time, so that its
# token must be refused.
. "$(dirname "$0")/../cli/lib.sh"

contenders=${LOCK_CONTENDERS:-5}
sections=${LOCK_SECTIONS:-20}
ttl=${LOCK_TTL_MS:-1500}
lab -n 3
export T

cat >"$T/section" <<'END'
#!/bin/sh
exec 9>>"$T/excl"
if flock -n 9; then
	echo "$RAFT_LOCK_TOKEN" >"$T/owner"
else
	echo "$RAFT_LOCK_TOKEN $(cat "$T/owner")" >>"$T/overlap"
fi
old=$(raftctl -t 30s get count) || old='0 0'
[ ! -e "$T/slow" ] || sleep 1
raftctl -t 30s put --if-lock "m=$RAFT_LOCK_TOKEN" count \
    "$((${old% *} + 1)) $RAFT_LOCK_TOKEN" 2>>"$T/put.err"
status=$?
case $status in
0) echo "$RAFT_LOCK_TOKEN" >>"$T/done" ;;
1) echo "$RAFT_LOCK_TOKEN" >>"$T/refused" ;;
*) echo "$status" >>"$T/odd" ;;
esac
END
chmod +x "$T/section"
: >"$T/done"
: >"$T/paused"
: >"$T/statuses"

finished() {
	[ "$(wc -l <"$T/done")" -ge "$sections" ] && [ -e "$T/enough" ]
}

contend() {
	until finished; do
		raftctl -t 30s lock --ttl ${ttl}ms m -- "$T/section" \
		    2>>"$T/lock.err"
		echo $? >>"$T/statuses"
	done
}

begin=$(date +%s)
running=
i=0
while [ $i -lt "$contenders" ]; do
	contend &
	child $!
	running="$running $!"
	i=$((i + 1))
done

# What is done to it. Each sets `victim`, its raftctl, and `token`.
holder() {
	raftctl -t 10s lock --list -j m >"$T/list" 2>/dev/null &&
	    victim=$(jq -r '.pid // empty' "$T/list") &&
	    token=$(jq -r '.token // empty' "$T/list") &&
	    [ -n "$victim" ] &&
	    [ "$(cat "/proc/$victim/comm" 2>/dev/null)" = raftctl ]
}

passed_on() {
	raftctl -t 10s lock --list -j m >"$T/list2" 2>/dev/null &&
	    [ "$(jq -r .token "$T/list2" | head -n 1)" != "$token" ]
}

# The next sections take their time, so that there is somebody to meet.
slow() {
	: >"$T/slow"
	sleep 0.3
}

now_ms() {
	date +%s%3N
}

longest=0
kill_holder() {
	slow
	holder && since=$(now_ms) && kill -s KILL "$victim" 2>/dev/null && {
		echo "$token" >>"$T/killed"
		wait_for 30 passed_on
		spent=$(($(now_ms) - since))
		[ $spent -le $longest ] || longest=$spent
	}
	rm -f "$T/slow"
}

# raftctl alone: its guard ends the section before the lease does.
pause_raftctl() {
	slow
	holder && kill -s STOP "$victim" 2>/dev/null && {
		echo "$token" >>"$T/stopped"
		wait_for 30 passed_on
		kill -s CONT "$victim" 2>/dev/null
	}
	rm -f "$T/slow"
}

# All of it: nobody is left who could.
pause_whole() {
	slow
	holder && guard=$(pgrep -P "$victim") && group=$(pgrep -P "$guard") && {
		echo "$token" >>"$T/paused"
		kill -s STOP -- "$victim" "$guard" "-$group" 2>/dev/null
		wait_for 30 passed_on
		# It does what it was about to do, were it not for the token.
		kill -s CONT -- "-$group" 2>/dev/null
		wait_for 5 gone "$group"
		kill -s CONT "$guard" "$victim" 2>/dev/null
	}
	rm -f "$T/slow"
}

kill_leader() {
	raftlab kill "$1" 2>/dev/null
	raftlab start "$1" 2>/dev/null
}

: >"$T/killed"
: >"$T/stopped"
rounds=0
until finished || [ $(($(date +%s) - begin)) -gt 2400 ]; do
	case $((rounds % 4)) in
	0) kill_holder ;;
	1) pause_raftctl ;;
	2) kill_leader "$(leader)" ;;
	3) pause_whole ;;
	esac
	rounds=$((rounds + 1))
	[ $((rounds % 20)) -ne 0 ] || note "$rounds rounds," \
	    "$(wc -l <"$T/done") sections, $(($(date +%s) - begin)) s"
	[ $rounds -lt 4 ] || : >"$T/enough"
	sleep "${LOCK_REST:-1}"
done
all_ended() {
	# shellcheck disable=SC2086 # several
	gone $running
}
ok "$sections critical sections of $contenders contenders" finished
ok "all contenders end" wait_for 60 all_ended
note "$(($(date +%s) - begin)) s, $rounds rounds:" \
    "$(wc -l <"$T/killed") killed, $(wc -l <"$T/stopped") stopped," \
    "$(wc -l <"$T/paused") paused whole," \
    "$(cat "$T/refused" 2>/dev/null | wc -l) refused;" \
    "statuses $(sort "$T/statuses" | uniq -c | tr '\n' ' ')"

# ---- the verdict ------------------------------------------------------------

# An overlap: "mine other", other being whoever came last before.
awk 'NR == FNR { paused[$1] = 1; next } !($2 in paused) { print }' \
    "$T/paused" "$T/overlap" >"$T/wrong" 2>/dev/null
is "nobody met another but one that was stopped whole" "$(cat "$T/wrong")" ""
raftctl -t 30s watch -j --since 0 --stall 2s count 2>/dev/null |
    jq -r 'select(.type == "put").value' >"$T/history"
is "the counter goes up by one, with ascending tokens" \
    "$(awk '$1 != NR || $2 <= last { print NR ": " $0 } { last = $2 }' \
	"$T/history" | head -n 5)" ""
ok "each section that ended well is in it" \
    test "$(wc -l <"$T/history")" -ge "$(wc -l <"$T/done")"
is "every outcome was known" "$(cat "$T/odd" 2>/dev/null)" ""
nobody_left() {
	! pgrep -f "$T/section" && flock -n "$T/excl" true
}
ok "no orphan is left" wait_for 10 nobody_left
is "raftctl ended in no other way than documented" \
    "$(grep -vxE '0|1|125|137' "$T/statuses" | sort | uniq -c)" ""
ok "a dead holder keeps the lock for its time to live at most" \
    test $longest -le $((ttl + 1500))
note "the longest was $longest ms of $ttl"
wait_for 30 raftctl -t 10s wait healthy
is "nobody holds the lock" "$(raftctl lock --list m)" ""
ok "all servers have one digest" wait_for 30 same_digest

end
