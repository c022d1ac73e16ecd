#!/bin/sh
# test_once.sh: writes are carried out once each, whatever happens to the
# servers and the connections meanwhile: appends of distinct tokens while
# leaders are killed.
#
#	TOKENS=20000 EACH=500 sh tests/cluster/test_once.sh
#
# TOKENS: by clients in sessions over connections that are cut; EACH: by each
# of four workers that run raftctl, every other one twice.
. "$(dirname "$0")/lib.sh"

tokens=${TOKENS:-1600}
each=${EACH:-60}

lab -n 3

# Kills a leader every now and then until there is a file.
kill_leaders() { # FILE
	while [ ! -e "$1" ]; do
		sleep 1
		victim=$(leader)
		[ -n "$victim" ] || continue
		raftlab kill "$victim"
		raftlab start "$victim"
		echo "$victim" >>"$1.kills"
	done
}

# ---- clients in sessions, over connections that break -----------------------

once=$top/tests/cluster/once.py
through=
pairs=
for i in 1 2 3; do
	through=${through:+$through,}unix:$T/$i.flaky
	address=$(client_of $i)
	pairs="$pairs $T/$i.flaky=${address#unix:}"
done
# shellcheck disable=SC2086 # words are wanted
"$python" "$once" proxy 1 $pairs >"$T/proxy.out" 2>"$T/proxy.err" &
child $!
wait_for 10 grep -q ready "$T/proxy.out"
kill_leaders "$T/appended" &
killer=$!
child $killer
ok "16 clients append $tokens tokens, each has its answer" "$python" "$once" \
    append "$through" 16 "$tokens" 64 "$T/history"
note "$(cat "$T/tap.out")"
touch "$T/appended"
wait $killer
note "$(wc -l <"$T/appended.kills") leaders killed"
ok "each token is there once, those of a client in order" \
    "$python" "$once" judge "$RAFT_ENDPOINTS" 16 "$tokens" 64
note "$(cat "$T/tap.out")"
ok "the history is linearizable" loadgen check "$T/history"

# ---- raftctl, over the same connections --------------------------------------

# A worker appends its tokens; every other one under a request id, twice, as
# a script would that was started again.
work() { # WORKER
	w_i=0
	while [ $w_i -lt $each ]; do
		if [ $((w_i % 2)) -eq 0 ]; then
			raftctl -s "$through" -t 30s put --append log \
			    "$1.$w_i;" || break
		else
			raftctl -s "$through" -t 30s put --append \
			    --request-id "$1.$w_i" log "$1.$w_i;" || break
			raftctl -s "$through" -t 30s put --append -j \
			    --request-id "$1.$w_i" log "$1.$w_i;" \
			    >>"$T/again.$1" || break
		fi
		w_i=$((w_i + 1))
	done
	echo "$w_i" >"$T/done.$1"
}

for w in a b c d; do
	work $w 2>"$T/err.$w" &
	child $!
done
kill_leaders "$T/worked" &
killer=$!
child $killer
all_done() {
	[ -e "$T/done.a" ] && [ -e "$T/done.b" ] && [ -e "$T/done.c" ] &&
	    [ -e "$T/done.d" ]
}
ok "all workers end" wait_for 600 all_done
touch "$T/worked"
wait $killer
note "$(wc -l <"$T/worked.kills") leaders killed"
is "the second answer to a request id is told as such" \
    "$(cat "$T"/again.* | jq -c .duplicate | sort -u)" true
for w in a b c d; do
	is "worker $w has no unknown outcome" "$(cat "$T/done.$w")" $each ||
	    show "$T/err.$w"
	i=0
	while [ $i -lt $each ]; do
		echo "$w.$i"
		i=$((i + 1))
	done
done >"$T/want.all"
grep '^[a-d]\.' "$T/want.all" | sort >"$T/want"
grep -v '^[a-d]\.' "$T/want.all"
raftctl -t 30s get log | tr ';' '\n' | sort >"$T/got"
ok "every token is there exactly once" cmp "$T/want" "$T/got"
# One worker's tokens stand in the order in which it wrote them.
for w in a b c d; do
	is "those of $w in order" \
	    "$(raftctl -t 30s get log | tr ';' '\n' | sed -n "s/^$w\.//p" |
		sort -n -c 2>&1)" ""
done
ok "all servers have one digest" wait_for 30 same_digest

end
