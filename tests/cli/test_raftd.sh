#!/bin/sh
# test_raftd.sh: raftd's command line, configuration, start and end.
. "$(dirname "$0")/lib.sh"

peer=unix:$T/p
client=unix:$T/c
me="-n 1 -d $T/d -p $peer -c $client --bootstrap 1=$peer"

# server OPTION...: one in the background, up when this returns.
server() {
	: >"$T/ready"
	raftd "$@" --ready-fd 3 3>"$T/ready" 2>"$T/log" >"$T/stdout" \
	    </dev/null &
	server=$!
	child $server
	wait_for 10 test -s "$T/ready" || { show "$T/log" && return 1; }
}

# ---- configuration: 64 and 78 -----------------------------------------------

must_fail "no options" 78 raftd
must_fail "an unknown option" 64 raftd --frobnicate
must_fail "an operand" 64 raftd -n 1 -d "$T/d" -p "$peer" x
must_fail "a bootstrap with an id twice" 64 raftd -n 1 -d "$T/d" -p "$peer" \
    --bootstrap "1=$peer,1=unix:$T/q"
must_fail "an id of zero" 64 raftd -n 0 -d "$T/d" -p "$peer"
must_fail "a duration without its unit" 64 raftd -n 1 -d "$T/d" \
    --heartbeat 50
must_fail "an address that is none" 64 raftd -n 1 -d "$T/d" -p host:port:x
for word in --help --version; do
	ok "$word is status 0" raftd $word
	is "$word writes to stdout" "$(raftd $word 2>&1 >/dev/null | wc -c)" 0
done
# shellcheck disable=SC2086 # a list of options
ok "--check-config of a good one" raftd $me --check-config
ok "creates nothing" sh -c '! test -e "$1"' _ "$T/d"
bad_config() { # NAME OPTION...
	bad_name=$1
	shift
	must_fail "$bad_name" 78 raftd "$@" --check-config
	must_fail "$bad_name, and no server" 78 timeout 10 raftd "$@"
}
bad_config "a bootstrap without this server" -n 1 -d "$T/d" -p "$peer" \
    --bootstrap "2=unix:$T/q"
# shellcheck disable=SC2086
bad_config "an election no longer than the heartbeat" $me \
    --heartbeat 500ms --election 100ms
ok "none of them made a directory" sh -c '! test -e "$1"' _ "$T/d"
# shellcheck disable=SC2086
must_fail "a file that is missing" 78 raftd $me -f "$T/none" --check-config
echo 'no-such-thing = 1' >"$T/bad.conf"
# shellcheck disable=SC2086
must_fail "a file with an unknown name" 78 raftd $me -f "$T/bad.conf" \
    --check-config
like "the reason names file and line" "$(cat "$T/err")" '*bad.conf*1*'
echo 'heartbeat = often' >"$T/bad.conf"
# shellcheck disable=SC2086
must_fail "a file with a bad value" 78 raftd $me -f "$T/bad.conf" \
    --check-config
echo 'value-max = 2048' >"$T/good.conf"

# ---- a lone server ----------------------------------------------------------

# shellcheck disable=SC2086
ok "a server starts" server $me
ok "and serves" raftctl -t 10s -s "$client" put k v
is "its socket is private" "$(stat -c %a "$T/c")" 600
like "it logs key=value" "$(head -n 1 "$T/log")" '*ts=*level=*event=*'
# shellcheck disable=SC2086
must_fail "a second one on the directory" 73 timeout 10 raftd $me
is "disturbs nothing" "$(raftctl -s "$client" get k)" v
must_fail "so does one with other addresses" 73 timeout 10 raftd -n 1 \
    -d "$T/d" -p "unix:$T/p2" -c "unix:$T/c2" --bootstrap "1=unix:$T/p2"
kill -s USR1 $server
state_logged() {
	grep -F '{' "$T/log" | grep -qF '"term"'
}
ok "SIGUSR1 logs its state" wait_for 5 state_logged
kill -s HUP $server
ok "SIGHUP ends nothing" raftctl -t 10s -s "$client" get k
kill -s TERM $server
wait $server
is "SIGTERM: status 0" $? 0
is "stdout stayed empty" "$(cat "$T/stdout")" ""
is "and its sockets are gone" "$(find "$T" -type s)" ""
# The same command line restarts it.
# shellcheck disable=SC2086
ok "the same command line again" server $me
is "what was put is there" "$(raftctl -t 10s -s "$client" get k)" v
kill -s KILL $server
wait $server 2>/dev/null
# shellcheck disable=SC2086
ok "after kill -9 as well" server $me
is "and what was put is there" "$(raftctl -t 10s -s "$client" get k)" v
kill -s TERM $server
wait $server
must_fail "the directory is of another server" 78 timeout 10 raftd -n 2 \
    -d "$T/d" -p "$peer" -c "$client" --bootstrap "2=$peer"
# shellcheck disable=SC2086
ok "a server with a file" server $me -f "$T/good.conf"
head -c 2049 /dev/zero >"$T/over"
head -c 2048 /dev/zero >"$T/full"
ok "what the file allows" raftctl -t 10s -s "$client" put k "@$T/full"
must_fail "and no more" 64 raftctl -t 10s -s "$client" put k "@$T/over"
kill -s TERM $server
wait $server
export RAFT_VALUE_MAX=4K
# shellcheck disable=SC2086
ok "the environment beats the file" server $me -f "$T/good.conf"
ok "and its limit is larger" raftctl -t 10s -s "$client" put k "@$T/over"
kill -s TERM $server
wait $server
unset RAFT_VALUE_MAX
# shellcheck disable=SC2086
ok "--unsafe-no-fsync" server $me --unsafe-no-fsync
like "says so in its log" "$(cat "$T/log")" '*unsafe*'
is "and in status" "$(raftctl -t 10s -s "$client" status | jq -c \
    '.unsafe | length > 0')" true
kill -s TERM $server
wait $server

# ---- damage -----------------------------------------------------------------

cp -r "$T/d" "$T/d2"
head -c 4096 /dev/urandom | dd of="$T/d2/identity" conv=notrunc bs=4096 \
    seek=0 2>/dev/null
head -c 4096 /dev/urandom | dd of="$T/d2/identity" conv=notrunc bs=4096 \
    seek=1 2>/dev/null
must_fail "an identity of which nothing is left" 65 timeout 10 raftd -n 1 \
    -d "$T/d2" -p "$peer" -c "$client" --bootstrap "1=$peer"
mkdir "$T/ro"
echo x >"$T/file"
must_fail "a directory that is a file" 73 timeout 10 raftd -n 1 \
    -d "$T/file" -p "$peer" -c "$client" --bootstrap "1=$peer"
must_fail "an address that cannot be" 73 timeout 10 raftd -n 1 -d "$T/d3" \
    -p "unix:$T/none/p" -c "$client" --bootstrap "1=unix:$T/none/p"

end
