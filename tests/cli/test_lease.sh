#!/bin/sh
# test_lease.sh: leases: keys that go away in time, and not before.
. "$(dirname "$0")/lib.sh"

lab -n 3

now_ms() {
	date +%s%3N
}

# ---- the verbs --------------------------------------------------------------

id=$(raftctl lease grant 60s)
like "grant prints a number" "$id" '[1-9]*'
ok "put --lease" raftctl put --lease "$id" l/a 1
ok "another key" raftctl put --lease "$id" l/b 2
is "the record names its lease" "$(raftctl get -j l/a | jq -r .lease)" "$id"
is "show" "$(raftctl lease -j show "$id" |
    jq -c '[.lease, .ttl_ms, .keys]')" '["'"$id"'",60000,["l/a","l/b"]]'
is "options behind the verb" "$(raftctl lease show -j "$id" | jq .ttl_ms)" 60000
other=$(raftctl lease grant -j 90s | jq -r .lease)
is "ls" "$(raftctl lease ls -j | jq -c '[.lease, .keys]' | tr '\n' ';')" \
    '["'"$id"'",["l/a","l/b"]];["'"$other"'",[]];'
is "its keys" "$(raftctl lease ls -j | head -n 1 | jq -c keys)" \
    '["keys","lease","remaining_ms","ttl_ms"]'
like "a table" "$(raftctl lease ls -o text | head -n 1)" 'LEASE*TTL_MS*KEYS*'
is "renew gives all the time again" "$(raftctl lease renew -j "$id" |
    jq .remaining_ms)" 60000
ok "renew says nothing" sh -c 'test -z "$(raftctl lease renew '"$id"')"'
is "revoke" "$(raftctl lease revoke -j "$id" | jq .deleted)" 2
must_fail "and its keys are gone" 1 raftctl get l/a
must_fail "show what is not there" 1 raftctl lease show "$id"
must_fail "renew what is not there" 1 raftctl lease renew "$id"
must_fail "revoke what is not there" 1 raftctl lease revoke "$id"
must_fail "put with what is not there" 1 raftctl put --lease "$id" l/a 1
is "the error is JSON" "$(raftctl -j lease show "$id" 2>&1 |
    jq -r .error.code)" ABSENT
must_fail "no verb" 64 raftctl lease
must_fail "another verb" 64 raftctl lease keep 1
must_fail "a bare number is no time" 64 raftctl lease grant 10
must_fail "no time at all" 64 raftctl lease grant 0s
must_fail "too long a time" 64 raftctl lease grant 400d
must_fail "not a number" 64 raftctl lease show x
must_fail "too much" 64 raftctl lease ls 1
must_fail "both" 64 raftctl put --ttl 1s --lease 1 k v
must_fail "a bare --ttl" 64 raftctl put --ttl 5 k v
must_fail "a bad --if-lock" 64 raftctl put --if-lock name k v
must_fail "nobody to ask" 69 \
    raftctl -s "unix:$T/none" -t 300ms lease grant 1s
first=$(raftctl lease grant --request-id once 60s)
is "--request-id" "$(raftctl lease grant --request-id once -j 60s |
    jq -c '[.lease, .duplicate]')" '["'"$first"'",true]'

# ---- in time ----------------------------------------------------------------


before=$(now_ms)
raftctl put --ttl 400ms t 1
wait_for 20 sh -c '! raftctl get t'
after=$(now_ms)
ok "a key is there for its time" test $((after - before)) -ge 400
note "400 ms took $((after - before))"
raftctl watch -j --since 0 --count 2 t >"$T/w"
is "watchers are told" "$(jq -r 'select(.type != "sync").type' "$T/w" |
    tr '\n' ' ')" 'put expire '
raftctl put --ttl 300ms t 2
raftctl put t 3
raftctl put --ttl 300ms u 1
wait_for 20 sh -c '! raftctl get u'
is "a plain put takes the key out of its lease" "$(raftctl get t)" 3
raftctl put --ttl 1h n 1
is "append and incr keep it" "$(raftctl incr n >"$T/o" && raftctl get -j n |
    jq '.lease != null')" true

# ---- changes of the leader and restarts of all ------------------------------

before=$(now_ms)
id=$(raftctl lease grant 6s)
raftctl put --lease "$id" s 1
for i in 1 2; do
	victim=$(leader)
	raftlab kill "$victim"
	raftctl -t 20s wait leader
	raftlab start "$victim"
done
for i in 1 2 3; do
	raftlab kill $i
done
for i in 1 2 3; do
	raftlab start $i
done
raftctl -t 20s wait leader
left=$(raftctl -t 20s lease show -j "$id" | jq .remaining_ms)
ok "some of its time has passed" test "${left:-6000}" -lt 6000
wait_for 30 sh -c '! raftctl -t 20s get s'
after=$(now_ms)
ok "not before its time" test $((after - before)) -ge 6000
note "6 s, two changes of leaders and a restart of all took" \
    "$((after - before)) ms"
ok "all servers have one digest" wait_for 30 same_digest

end
