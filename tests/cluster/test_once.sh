#!/bin/sh
# test_once.sh: writes are carried out once each, whatever happens to the
# servers meanwhile: appends of distinct tokens while leaders are killed.
. "$(dirname "$0")/../cli/lib.sh"

lab -n 3

each=120

# A worker appends its tokens; every other one under a request id, twice, as
# a script would that was started again.
work() { # WORKER
	w_i=0
	while [ $w_i -lt $each ]; do
		if [ $((w_i % 2)) -eq 0 ]; then
			raftctl -t 30s put --append log "$1.$w_i;" || break
		else
			raftctl -t 30s put --append --request-id "$1.$w_i" \
			    log "$1.$w_i;" || break
			raftctl -t 30s put --append --request-id "$1.$w_i" \
			    log "$1.$w_i;" || break
		fi
		w_i=$((w_i + 1))
	done
	echo "$w_i" >"$T/done.$1"
}

for w in a b c d; do
	work $w 2>"$T/err.$w" &
	child $!
done
kills=0
while [ $kills -lt 5 ]; do
	sleep 1
	victim=$(leader)
	[ -n "$victim" ] || continue
	raftlab kill "$victim"
	raftlab start "$victim"
	kills=$((kills + 1))
done
all_done() {
	[ -e "$T/done.a" ] && [ -e "$T/done.b" ] && [ -e "$T/done.c" ] &&
	    [ -e "$T/done.d" ]
}
ok "all workers end" wait_for 120 all_done
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
