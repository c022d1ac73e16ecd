#!/bin/sh
# test_watchers.sh: many watchers while leaders die: each is told what the log
# has for it, in order, without a gap, once; a handler with a cursor is killed
# and run again and sees everything at least once, none of it out of order.
#
#	WATCHERS=1000 KILLS=10 RESTARTS=50 sh tests/cluster/test_watchers.sh
. "$(dirname "$0")/lib.sh"

watchers=${WATCHERS:-100}
kills=${KILLS:-3}
restarts=${RESTARTS:-6}

lab -n 3
"$python" "$top/tests/cluster/watchers.py" watch "$RAFT_ENDPOINTS" \
    "$watchers" 20 "$T/goal" "$T/told" 2>"$T/watch.err" &
watching=$!
child $watching
churning=
for i in 1 2 3 4; do
	"$python" "$top/tests/cluster/watchers.py" churn "$RAFT_ENDPOINTS" \
	    $i "$T/enough" 2>>"$T/churn.err" &
	child $!
	churning="$churning $!"
done

# ---- a handler that is killed -----------------------------------------------

cat >"$T/handler" <<'END'
#!/bin/sh
cat >>"$1"
END
chmod +x "$T/handler"
echo 0 >"$T/cursor"
: >"$T/seen"
seen() {
	wc -l <"$T/seen"
}
grew() {
	[ "$(seen)" -gt "$before" ]
}
handle() {
	raftctl -t 20s watch --cursor "$T/cursor" --prefix w/7 -- \
	    "$T/handler" "$T/seen" 2>>"$T/handler.err" &
	handler=$!
	child $handler
}

n=0
killed=0
while [ $n -lt "$restarts" ]; do
	n=$((n + 1))
	before=$(seen)
	handle
	wait_for 20 grew
	kill -s KILL $handler
	wait $handler 2>/dev/null
	# Leaders die all along.
	if [ $((killed * restarts)) -lt $((n * kills)) ]; then
		victim=$(leader)
		if [ -n "$victim" ]; then
			raftlab kill "$victim"
			raftlab start "$victim"
			killed=$((killed + 1))
		fi
	fi
done
touch "$T/enough"
for i in $churning; do
	wait "$i" 2>/dev/null
done
ok "the cluster is well" wait_for 30 raftctl -t 10s wait healthy
raftctl -t 10s put w/7 last
goal=$(raftctl -t 10s get -j w/7 | jq .mod_rev)
echo "$goal" >"$T/goal.new"
mv "$T/goal.new" "$T/goal"
ok "all watchers have been told all" wait_for 120 gone $watching ||
    show "$T/watch.err"
wait $watching
is "without a complaint" "$(cat "$T/watch.err")" ""
handle
ok "so has the handler" wait_for 60 grep -q "\"rev\":$goal," "$T/seen"
kill -s KILL $handler
wait $handler 2>/dev/null

# ---- against the log --------------------------------------------------------

ok "all servers have one state" wait_for 30 same_digest
server=$(leader)
for i in 1 2 3; do
	raftlab stop $i
done
raftwal dump "$RAFT_LAB/$server" >"$T/dump" 2>"$T/dump.err"
ok "each of $watchers watchers was told what the log has for it" \
    sh -c '"$1" "$2" judge "$3" <"$4"' _ "$python" \
    "$top/tests/cluster/watchers.py" "$T/told" "$T/dump"
note "$(cat "$T/tap.out"), $killed leaders killed"

# At least once: no revision of the log is missing; none out of order: once
# repetitions at the places of the kills are left out, they ascend.
jq -c '[.rev, .key, .value]' "$T/seen" | awk '!seen[$0]++' >"$T/once"
is "the handler sees none out of order" \
    "$(sed 's/^\[\([0-9]*\).*/\1/' "$T/once" | sort -n -c 2>&1)" ""
"$python" - "$T/dump" "$top" "$goal" >"$T/want" <<'END'
import json, sys
sys.path.insert(0, sys.argv[2] + "/tests/cluster")
import watchers
for c in watchers.replay(open(sys.argv[1])):
    if c[2].startswith("w/7") and c[0] <= int(sys.argv[3]):
        print(json.dumps([c[0], c[2], c[3] if c[1] == "put" else None],
                         separators=(",", ":")))
END
ok "and every event, after $restarts kills" cmp "$T/want" "$T/once"
note "$(wc -l <"$T/once") events, $(seen) times handled"

end
