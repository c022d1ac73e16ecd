#!/bin/sh
# test_verbs.sh: each command of raftctl: what it prints with -j goes through
# jq, an object a line; and the statuses that any of them may end with.
. "$(dirname "$0")/lib.sh"

lab -n 3
raftctl put a 1
raftctl put n 5
raftctl put p/1 x
raftctl put p/2 y
lease=$(raftctl -o raw lease grant 60s 2>/dev/null | head -n 1)
[ -n "$lease" ] || lease=$(raftctl -j lease grant 60s | jq -r .lease)
echo '{"if":[{"key":"a","value":"1"}],
    "then":[{"range":{"prefix":"p/"}},{"get":{"key":"a"}},
	{"put":{"key":"t","value":"1"}},{"del":{"key":"none"}}],
    "else":[{"range":{"prefix":"p/","limit":1}}]}' >"$T/txn"
raftctl members -j | jq -s '{members: map({id, address})}' >"$T/wanted"
members=$(raftctl members -j | jq -r '"\(.id)=\(.address)"' | paste -sd ,)
printf '#!/bin/sh\necho edited >"$1"\n' >"$T/editor"
chmod +x "$T/editor"
EDITOR=$T/editor
export EDITOR

# Each line: the status, and a command line that ends with it.  A verb may
# stand there more than once, and each must stand there.
cat >"$T/verbs" <<END
0 get a
1 get none
0 get --read=stale a
0 put b 1
1 put --if-absent a 2
1 put --if-value 9 a 2
0 put --append --if-changed a ""
0 put --ttl 60s short-lived 1
0 put --lease $lease leased 1
0 del b
1 del b
0 del --dry-run --prefix p/
0 del --range p/ p/2
1 del --if-rev 99 a
64 del --if-rev 1 a n
0 ls
0 ls --count p/
0 ls --limit 1 --reverse
0 ls --after a
0 incr n
0 incr n -7
0 txn $T/txn
0 edit a
0 watch --since 0 --once n
0 watch --initial --prefix --count 2 ""
0 lease ls
0 lease show $lease
0 lease renew $lease
0 lease revoke $lease
1 lease show $lease
0 status
0 status --all
0 members
0 tune --zone z 1
0 wait leader
0 wait ready
0 wait healthy
0 wait applied 1
0 wait member 1 voter
0 wait key a
124 -t 300ms wait key none
0 health
0 doctor
0 hash
0 hash --all
0 snapshot
0 compact
0 transfer
0 add --dry-run 9=unix:$T/9
0 demote --dry-run 3
0 remove --dry-run 3
1 promote --dry-run 9
0 set --dry-run $members
1 replace --dry-run 9 8=unix:$T/8
0 reconcile --dry-run $T/wanted
0 complete ge
0 del --all
END
# Not for -j: they run something, or ask somebody.
elsewhere='shell lock elect recover top'

n=0
while read -r want line; do
	n=$((n + 1))
	sh -c "exec raftctl -t 10s -j $line" >"$T/out" 2>"$T/err" </dev/null
	got=$?
	# -t given twice: the later one counts.
	is "raftctl $line" "$got" "$want" || show "$T/err"
	case $line in
	complete*) continue ;;
	esac
	is "what it says are objects: $line" \
	    "$(cat "$T/out" "$T/err" | jq -c type 2>&1 | sort -u)" '"object"' ||
	    show "$T/out" "$T/err"
done <"$T/verbs"
for verb in $(raftctl --help |
    sed -n 's/^  \([a-z][a-z]*\)\( .*\)\{0,1\}$/\1/p' | sort -u); do
	case " $elsewhere " in *" $verb "*) continue ;; esac
	ok "$verb was tried" grep -qE "^[0-9]+ (-t [a-z0-9]+ )?$verb( |\$)" \
	    "$T/verbs"
done
is "a transaction takes ranges in its branches" \
    "$(raftctl put a 1 && raftctl put p/1 x && raftctl put p/2 y &&
	raftctl txn -j "$T/txn" |
	jq -c '[.succeeded, (.results[0].records | map(.key)),
	    .results[1].value]')" '[true,["p/1","p/2"],"1"]'
is "in both" "$(raftctl put a 2 && raftctl txn -j "$T/txn" |
    jq -c '[.succeeded, (.results[0].records | length),
	.results[0].more]')" '[false,1,true]'

# ---- statuses that any may end with ------------------------------------------

RAFT_ENDPOINTS=unix:$T/nobody
export RAFT_ENDPOINTS
for verb in 'get a' 'put a 1' 'del a' 'ls' 'incr a' "txn $T/txn" 'watch a' \
    'lease ls' 'status' 'members' 'transfer' 'hash' 'snapshot' 'compact' \
    'remove 3' 'edit a'; do
	must_fail "nobody there: $verb" 69 sh -c \
	    "exec raftctl -t 300ms -j $verb </dev/null"
	is "said in JSON: $verb" "$(jq -c '[.error.exit, .error.retry |
	    type]' "$T/err" 2>&1)" '["number","boolean"]'
done
for verb in get put del ls incr txn watch lease status members wait transfer \
    add promote remove set tune replace reconcile health doctor hash \
    snapshot compact edit shell; do
	must_fail "an option that $verb has not" 64 raftctl $verb --no-such
done
must_fail "a transaction that is none" 65 sh -c 'echo "{" | raftctl txn'
must_fail "a file that is not there" 66 raftctl txn "$T/none"

end
