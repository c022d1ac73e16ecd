#!/bin/sh
# test_raftwal_tools.sh: what raftwal does with more than one log, or with a
# server: diff, export, compact, repair --from-peer.
. "$(dirname "$0")/lib.sh"

lab -n 3
a=$RAFT_LAB/1 b=$RAFT_LAB/2
raftctl put apple red
raftctl put --if-value red apple green
raftctl put pear yellow
raftctl put --append pear ' and soft'
raftctl incr counter 3
raftctl del apple
printf 'a\377b' | raftctl put blob -
wait_for 10 same_digest

# ---- export -----------------------------------------------------------------

raftwal export --type entry "$a" >"$T/export"
is "export: what was done, in order" \
    "$(jq -r '[.op.method, (.op | .key // .key_b64 // .params[0])] |
	join(" ")' "$T/export" | tr '\n' ',')" \
    "put apple,put apple,put pear,put pear,incr counter,delete apple,put blob,"
is "export: the first is committed" "$(head -n 1 "$T/export" |
    jq .committed)" true
is "export: the same on all servers" "$(raftwal export "$a" | jq -c .op |
    cksum)" "$(raftwal export "$b" | jq -c .op | cksum)"
is "export: a range" "$(raftwal export --from 3 --to 4 "$a" |
    jq .index | tr '\n' ' ')" "3 4 "
raftwal export --history "$a" >"$T/history"
is "export --history: writes as they were, keys that were counted left out" \
    "$(jq -r 'select(.type != "invoke" and .key != "blob") | [.f, .key // .key_b64, .type] |
	@csv' "$T/history" | tr -d '"' | tr '\n' ' ')" \
    "put,apple,ok put,apple,info put,pear,ok append,pear,ok delete,apple,ok "
ok "loadgen check takes it" loadgen check "$T/history"
ok "and through a pipe" sh -c 'raftwal export --history "$1" |
    loadgen check -' _ "$a"

# ---- diff -------------------------------------------------------------------

ok "diff: three servers of one cluster, no difference" raftwal diff "$a" "$b"
is "diff: says how far" "$(raftwal diff "$a" "$b" |
    jq -c '[.group, .ok, .from, .index, .committed]')" '[1,true,1,0,false]'
raftlab stop 1 2 3
cp -r "$a" "$T/other"
# Another history, which agrees up to some entry: of a server that is alone.
python3 - "$T/other" <<'EOF'
import glob, struct, sys
table = []
for n in range(256):
    c = n
    for _ in range(8):
        c = c >> 1 ^ (0x82F63B78 if c & 1 else 0)
    table.append(c)
def crc(data):
    c = 0xffffffff
    for x in data:
        c = table[(c ^ x) & 255] ^ c >> 8
    return c ^ 0xffffffff
name = sorted(glob.glob(sys.argv[1] + "/wal/*.wal"))[0]
f = open(name, "r+b")
f.seek(0)
d = bytearray(f.read(1 << 20))
# The record with "pear", "yellow": changed, with all checksums over it.
at = d.index(b"yellow")
batch = at // 4096 * 4096
while d[batch:batch + 4] != b"RAWB":
    batch -= 4096
heads, = struct.unpack_from("<I", d, batch + 4)
count, length = struct.unpack_from("<II", d, batch + 40)
assert heads == 1
d[at:at + 6] = b"purple"
pos = batch + 512
for i in range(count):
    n, = struct.unpack_from("<I", d, pos + 4)
    c = crc(d[pos + 4:pos + 40 + n])
    struct.pack_into("<I", d, pos, c)
    struct.pack_into("<I", d, batch + 64 + 32 * i + 12, c)
    pos += (40 + n + 7) // 8 * 8
for k in range((length + 511) // 512):
    s = batch + 512 + 512 * k
    struct.pack_into("<I", d, batch + 64 + 32 * count + 4 * k,
                     crc(d[s:s + 512]))
def seal(b):
    struct.pack_into("<I", d, b + 508, crc(d[b:b + 508]))
    n, m = struct.unpack_from("<II", d, b + 40)
    size = (512 + (m + 511) // 512 * 512 + 512 + 4095) // 4096 * 4096
    d[b + size - 512:b + size] = d[b:b + 512]
    return size
nxt = batch + seal(batch)
while d[nxt:nxt + 4] == b"RAWB":
    d[nxt + 48:nxt + 52] = d[batch + 508:batch + 512]
    batch = nxt
    nxt += seal(nxt)
f.seek(0)
f.write(d)
EOF
ok "a log of another history is whole by itself" raftwal check "$T/other"
must_fail "diff: two histories" 1 raftwal diff "$a" "$T/other"
is "diff: names the first entry that differs, and that it is committed" \
    "$(jq -c '[.ok, .committed, .entry.op.value, .entry2.op.value]' "$T/out")" \
    '[false,true,"yellow","purple"]'
must_fail "diff: needs two" 64 raftwal diff "$a"
must_fail "diff: three are too many" 64 raftwal diff "$a" "$b" "$T"
must_fail "diff: no such directory" 66 raftwal diff "$a" "$T/none"

# ---- repair --from-peer -----------------------------------------------------

raftlab start 2 3
raftctl -t 10s wait leader
cp -r "$a" "$T/damaged"
at=$(raftwal dump --type entry "$T/damaged" | head -n 1 | jq .offset)
printf 'not what was written here' | dd of="$T/damaged/wal/0000000000000001.wal" \
    bs=1 seek=$((at + 42)) conv=notrunc 2>/dev/null
must_fail "check: damage" 4 raftwal check "$T/damaged"
must_fail "repair: not by itself" 65 raftwal repair --write "$T/damaged"
rm -rf "$T/damaged"
cp -r "$a" "$T/damaged"
printf 'not what was written here' | dd of="$T/damaged/wal/0000000000000001.wal" \
    bs=1 seek=$((at + 42)) conv=notrunc 2>/dev/null
must_fail "repair --from-peer: says that it could" 1 \
    raftwal repair --from-peer "$(client_of 2)" "$T/damaged"
is "with one entry of the peer" "$(jq -r '.action // .ok' "$T/out" |
    tr '\n' ' ')" "restore true "
ok "repair --write --from-peer" raftwal repair --write \
    --from-peer "$(client_of 2)" "$T/damaged"
ok "as it was" cmp "$T/damaged/wal/0000000000000001.wal" \
    "$a/wal/0000000000000001.wal"

# ---- log.read: what the peer is asked ---------------------------------------

python=$(find_python msgpack)
if [ -n "$python" ]; then
	rpc=$top/tests/cli/rpc.py
	read_log() { # PARAMS
		"$python" "$rpc" "$(client_of 2)" call log.read "$1" 2>&1
	}
	is "log.read: the entries asked for, and where they stand" \
	    "$(read_log '[3, 4]' | jq -c '.. | objects |
	[.group, .from, .to, .first]' | head -n 1)" \
	    "[1,3,4,1]"
	like "log.read: nothing that is not committed" \
	    "$(read_log '[1000000, 1000000]')" '*ABSENT*'
	for bad in '[]' '[3]' '[0, 3]' '[4, 3]' '[3, 4, {"more": 1}]' '["a", 4]'; do
		like "log.read $bad" "$(read_log "$bad")" '*USAGE*'
	done
else
	skip "log.read" "python3-msgpack is missing"
fi

# ---- compact ----------------------------------------------------------------

must_fail "compact: no snapshot" 66 raftwal compact "$a"
is "compact -s: asks a server" "$(raftwal compact -s "$(client_of 3)" |
    jq '.index == .first - 1')" true
must_fail "compact -s: nobody there" 69 raftwal compact -s "unix:$T/none"
must_fail "compact: a directory or a server" 64 \
    raftwal compact -s "$(client_of 3)" "$a"
c=$RAFT_LAB/3
must_fail "compact --write: a server runs there" 73 \
    raftwal compact --write "$c"
raftctl -s "$(client_of 2)" snapshot >/dev/null
raftctl put after snapshot
raftlab stop 2
raftwal stat "$b" | jq '.groups[0].first' >"$T/before"
is "compact: without --write nothing changes" "$(raftwal compact "$b" |
    jq .written) $(raftwal stat "$b" | jq '.groups[0].first')" \
    "false $(cat "$T/before")"
raftwal compact --write "$b" >"$T/compacted"
is "compact --write: the log begins behind the snapshot" \
    "$(raftwal stat "$b" | jq '.groups[0].first')" \
    "$(jq '.index + 1' "$T/compacted")"
ok "and is whole" raftwal check "$b"
raftlab start 2 1
ok "the server comes back with it" wait_for 20 same_digest
is "and has it all" "$(raftctl -s "$(client_of 2)" get --read=stale after)" \
    snapshot
for file in "$b"/snap/*.snap; do
	printf X | dd of="$file" bs=1 seek=200 conv=notrunc 2>/dev/null
done
raftlab stop 2
must_fail "compact: a snapshot that is damaged cuts nothing" 66 \
    raftwal compact --write "$b"

end
