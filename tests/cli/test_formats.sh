#!/bin/sh
# test_formats.sh: a directory that was written by this version of the
# formats, kept as files, is served; after a recovery too; and one of a later
# version is refused by each program with a line that says so.
. "$(dirname "$0")/lib.sh"

golden=$top/tests/unit/golden
cluster=3de3d989720a205c5bf5d2a48c58cc23

fresh() {
	rm -rf "$T/d"
	mkdir "$T/d"
	cp -r "$golden/wal" "$golden/snap" "$golden/identity" "$T/d/"
}

serve() {
	raftd -n 1 -d "$T/d" -p "unix:$T/peer" -c "unix:$T/sock" \
	    --bootstrap "1=unix:$T/peer" 2>"$T/log" </dev/null &
	server=$!
	child $server
}

stop() {
	kill $server
	wait $server 2>/dev/null
}

fresh
ok "raftwal check: whole" raftwal check "$T/d"
ok "raftsnap verify: whole" raftsnap verify "$T/d"/snap/*.snap
serve
is "raftd serves what is in it" "$(raftctl -t 10s -s "unix:$T/sock" ls -j |
    jq -r '[.key, .value] | join("=")' | tr '\n' ',')" \
    "key0=value 0 of 0,key1=value 1 of 1,key2=value 2 of 2,key3=value 3 of 3,key4=value 4 of 4,key5=value 5 of 5,"
stop

fresh
cat >"$T/plan" <<EOF
{"format":1,"cluster":"$cluster",
"new_cluster":"00112233445566778899aabbccddeeff","epoch":1,"group":1,
"term":9,"donor":{"id":1,"uuid":"0c6b04f8d3f5b3aa31aae582b804e1a0","last":8,
"last_term":2},"members":[{"id":1,"address":"unix:$T/peer"}],"removed":[]}
EOF
must_fail "recover: the confirmation is wrong" 64 raftwal recover \
    --plan "$T/plan" --write --confirm 00112233445566778899aabbccddeeff "$T/d"
ok "recover: a log that begins behind a snapshot" raftwal recover \
    --plan "$T/plan" --write --confirm $cluster "$T/d"
serve
is "what was in the snapshot and behind it is there" \
    "$(raftctl -t 10s -s "unix:$T/sock" ls | wc -l)" 6
renewed() {
	for file in "$T/d"/snap/*.snap; do
		[ "$(raftsnap info "$file" | jq -r .cluster)" = \
		    00112233445566778899aabbccddeeff ] && return
	done
	return 1
}
ok "a snapshot of the new cluster takes the old one's place" \
    wait_for 10 renewed
stop

# later FILE OFFSET-OF-FORMAT: one more, and the checksum that goes with it.
later() {
	python3 - "$@" <<'EOF'
import struct, sys
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
f = open(sys.argv[1], "r+b")
d = bytearray(f.read())
def more(at):
    struct.pack_into("<I", d, at, struct.unpack_from("<I", d, at)[0] + 7)
if sys.argv[2] == "wal":
    for at in 0, 3584:
        more(at + 8)
        struct.pack_into("<I", d, at + 508, crc(d[at:at + 508]))
elif sys.argv[2] == "identity":
    for at in 0, 4096:
        more(at + 12)
        struct.pack_into("<I", d, at + 8, crc(d[at + 12:at + 4096]))
else:
    more(8)
    n, = struct.unpack_from("<I", d, 12)
    struct.pack_into("<I", d, n - 4, crc(d[:n - 4]))
f.seek(0)
f.write(d)
EOF
}

refused() { # WHAT FILE
	fresh
	later "$T/d/$2" "$1"
	must_fail "raftd refuses a later $1" 65 raftd -n 1 -d "$T/d" \
	    -p "unix:$T/peer" -c "unix:$T/sock" \
	    --bootstrap "1=unix:$T/peer"
	like "and says that it is the format" "$(cat "$T/err")" '*format*'
}
refused wal wal/0000000000000001.wal
must_fail "raftwal refuses it" 65 raftwal dump "$T/d"
like "and says why" "$(cat "$T/err")" '*format*'
must_fail "raftwal check cannot tell" 8 raftwal check "$T/d"
refused identity identity
must_fail "recover refuses it" 65 raftwal recover --plan "$T/plan" "$T/d"
refused snapshot snap/1-2-6.snap
must_fail "raftsnap refuses it" 65 raftsnap verify "$T/d"/snap/*.snap
like "and says why" "$(cat "$T/err")" '*format*'

end
