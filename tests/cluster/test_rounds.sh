#!/bin/sh
# test_rounds.sh: rounds of kill -9, of one server or of all, under writers.
#
# ROUNDS is how many (20).  SEED picks the victims.
. "$(dirname "$0")/lib.sh"

rounds=${ROUNDS:-20}
seed=${SEED:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
note "SEED=$seed ROUNDS=$rounds"

lab -n 3
writers 3 r
i=0
good=0
while [ $i -lt "$rounds" ]; do
	i=$((i + 1))
	# A linear congruence is random enough for a choice of four.
	seed=$(((seed * 1103515245 + 12345) % 2147483648))
	more 15 30 || break
	case $((seed / 65536 % 4)) in
	0) victims="1 2 3" ;;
	*) victims=$((seed / 262144 % 3 + 1)) ;;
	esac
	# shellcheck disable=SC2086 # ids
	raftlab kill $victims && {
		[ $((seed / 1048576 % 2)) -eq 0 ] || more 5 5
		raftlab start $victims
	} && raftctl -t 20s wait leader && good=$((good + 1))
done >"$T/rounds" 2>&1
is "$rounds rounds of kill -9 under writers" "$good" "$rounds" ||
    show "$T/rounds"
end_writers
nothing_lost "after all rounds"
ok "each log is sound" sh -c 'raftlab stop 1 2 3 &&
    for id in 1 2 3; do raftwal check "$RAFT_LAB/$id" || exit; done'

end
