#!/bin/sh
# test_repro.sh: an unsafe cluster breaks and a safe one does not, each time.
# REPRO_ROUNDS=20 for more than one round.
. "$(dirname "$0")/../cli/lib.sh"

rounds=${REPRO_ROUNDS:-1}
TMPDIR=$T/scratch
export TMPDIR
mkdir "$TMPDIR"
for name in early-vote no-joint; do
	{
		faults repro "$name" -j --rounds "$rounds" >"$T/$name" \
		    2>"$T/$name.err"
		echo $? >"$T/$name.status"
	} &
done
wait
for name in early-vote no-joint; do
	is "$name: as it should be: $(tail -n 1 "$T/$name")" \
	    "$(cat "$T/$name.status")" 0 || show "$T/$name.err"
	is "$name: both ways, $rounds times" "$(jq -s -c \
	    '[.[:-1] | group_by(.mode)[] | length]' "$T/$name")" \
	    "[$rounds,$rounds]"
	is "$name: what was acknowledged is lost" "$(jq -s -c \
	    '[.[] | select(.mode == "unsafe").verdict] | unique' \
	    "$T/$name")" '["violation"]'
	is "$name: but not in the safe way, which ends in one state" \
	    "$(jq -s -c '[.[] | select(.mode == "safe") |
		[.verdict, .states, .two_leaders]] | unique' "$T/$name")" \
	    '[["ok",1,null]]'
done
note "$(jq -s -c 'map(select(.two_leaders != null)) | length' \
    "$T/no-joint") of $rounds times one term had two leaders"
is "nothing is left behind" "$(ls "$TMPDIR")" ""

# Killed in the middle, it leaves nothing either.
faults repro early-vote >/dev/null 2>&1 &
pid=$!
child $pid
wait_for 10 sh -c 'ls "$1"/*/lab/1.pid' _ "$TMPDIR"
kill -s KILL $pid
is_empty() {
	[ -z "$(ls "$TMPDIR")" ]
}
ok "nor after kill -9 in the middle" wait_for 20 is_empty
must_fail "an unknown repro" 64 faults repro something
must_fail "an option that has no use here" 64 faults repro --for 1s no-joint
end
