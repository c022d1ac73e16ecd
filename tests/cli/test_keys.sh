#!/bin/sh
# test_keys.sh: get, put, del and ls with keys and values of every kind.
. "$(dirname "$0")/lib.sh"

lab -n 1

# same FILE KEY: the value of KEY is this file's content, byte for byte.
same() {
	raftctl get -- "$2" >"$T/got" && cmp "$1" "$T/got"
}

# ---- values -----------------------------------------------------------------

ok "put says nothing" sh -c 'test -z "$(raftctl put k v 2>&1)"'
is "get prints the value and nothing else" "$(raftctl get k | xxd -p)" 76
printf 'a\0b' >"$T/nul"
ok "put reads standard input" sh -c 'raftctl put k - <"$1"' _ "$T/nul"
ok "a NUL byte comes back" same "$T/nul" k
i=0
while [ $i -lt 256 ]; do
	printf "\\$(printf %03o $i)"
	i=$((i + 1))
done >"$T/all"
ok "put reads a file" raftctl put k "@$T/all"
ok "every byte comes back" same "$T/all" k
: >"$T/empty"
ok "put of an empty value" raftctl put k ""
ok "an empty value comes back" same "$T/empty" k
ok "an empty file is a value" raftctl put k2 "@$T/empty"
ok "and is not absent" same "$T/empty" k2
printf -- '-' >"$T/dash"
ok "--raw-value takes '-' literally" raftctl put --raw-value k -
ok "it comes back" same "$T/dash" k
printf '@x' >"$T/at"
ok "--raw-value takes '@x' literally" raftctl put --raw-value k @x
ok "it comes back, too" same "$T/at" k
printf 'line\n\n' >"$T/lines"
ok "newlines at the end stay" sh -c 'raftctl put k - <"$1"' _ "$T/lines"
ok "they come back" same "$T/lines" k
head -c 1048576 /dev/urandom >"$T/mib"
ok "a value of 1 MiB" raftctl put big "@$T/mib"
ok "it comes back whole" same "$T/mib" big
{ cat "$T/mib" && printf x; } >"$T/over"
must_fail "a value one byte longer is refused" 64 raftctl put big "@$T/over"
like "the reason names the limit" "$(cat "$T/err")" '*1048576*'
ok "what was there is still there" same "$T/mib" big
must_fail "so it is from standard input" 64 \
    sh -c 'raftctl put other - <"$1"' _ "$T/over"
must_fail "and nothing was stored" 1 raftctl get other
must_fail "a file that is missing" 66 raftctl put k "@$T/none"

# ---- keys -------------------------------------------------------------------

n=0
long=$(head -c 4096 /dev/zero | tr '\0' k)
for key in 'a b' ' ' '-x' '--help' '-' '@k' "$(printf 'two\nlines')" \
    "$(printf 'tab\tbell\a')" 'ä€𝄞' '"quoted\"' 'a=b,c' '*' "$long"; do
	n=$((n + 1))
	name=$(printf '%s' "$key" | head -c 20 | tr -c ' -~' .)
	printf 'value %d' $n >"$T/v"
	ok "put key '$name'" raftctl put -- "$key" "value $n"
	ok "get key '$name'" same "$T/v" "$key"
	ok "ls finds key '$name'" sh -c \
	    'test "$(raftctl ls -- "$1")" = "$1"' _ "$key"
	ok "del key '$name'" raftctl del -- "$key"
	must_fail "then '$name' is absent" 1 raftctl get -- "$key"
done
key=$(printf '\377\376x')
ok "a key that is not UTF-8" raftctl put "$key" v
is "is printed as it is" "$(raftctl get "$key")" v
is "and in JSON as base64" "$(raftctl get -j "$key" | jq -r .key_b64)" \
    "$(printf '\377\376x' | base64)"
raftctl del "$key"
must_fail "a key of 4097 bytes is refused" 64 raftctl put "${long}k" v
like "the reason names the limit" "$(cat "$T/err")" '*4096*'
must_fail "so is an empty one" 64 raftctl put "" v

# ---- del --------------------------------------------------------------------

for k in p/1 p/2 p/3 q/1; do
	raftctl put $k v
done
must_fail "del of an absent key" 1 raftctl del none
is "del with -j counts" "$(raftctl del -j p/1 | jq -c '[.succeeded,.deleted]')" \
    '[true,1]'
is "--dry-run counts" \
    "$(raftctl del --dry-run -j --prefix p/ | jq .deleted)" 2
is "and deletes nothing" "$(raftctl ls p/ | wc -l)" 2
ok "del --prefix" raftctl del --prefix p/
is "took them all" "$(raftctl ls p/ | wc -l)" 0
ok "nothing else went" raftctl get q/1
must_fail "del of an empty prefix" 64 raftctl del --prefix ""
must_fail "del of several keys, none there" 1 raftctl del n1 n2
for k in r1 r2 r3; do
	raftctl put $k v
done
ok "del --range" raftctl del --range r1 r3
is "the end of a range is not in it" "$(raftctl ls r)" r3
ok "del --all with an empty prefix" raftctl del --all --prefix ""
is "nothing is left" "$(raftctl ls | wc -l)" 0

# ---- ls ---------------------------------------------------------------------

for k in b a c a/1 a/2; do
	raftctl put $k "v-$k"
done
is "ls is in order" "$(raftctl ls | tr '\n' ' ')" 'a a/1 a/2 b c '
is "ls of a prefix" "$(raftctl ls a/ | tr '\n' ' ')" 'a/1 a/2 '
is "ls --reverse" "$(raftctl ls --reverse | tr '\n' ' ')" 'c b a/2 a/1 a '
is "ls --limit" "$(raftctl ls --limit 2 | tr '\n' ' ')" 'a a/1 '
is "ls --after" "$(raftctl ls --after a/2 | tr '\n' ' ')" 'b c '
is "ls --count" "$(raftctl ls --count a)" 3
is "ls --count of nothing" "$(raftctl ls --count zz)" 0
ok "ls of nothing is no failure" raftctl ls zz
is "ls -0 separates with NUL" "$(raftctl ls -0 a/ | xxd -p)" 612f3100612f3200
is "ls -j has records" \
    "$(raftctl ls -j a/ | jq -c '[.key,.value,.version]' | tr '\n' ' ')" \
    '["a/1","v-a/1",1] ["a/2","v-a/2",1] '

# More than one page, all of one revision.
python=$(find_python msgpack)
if [ -n "$python" ]; then
	"$python" "$top/tests/cli/rpc.py" "$(client_of 1)" many page/ 2500
	raftctl ls page/ >"$T/pages"
	is "2500 keys come in pages" "$(wc -l <"$T/pages")" 2500
	ok "in order and once each" sort -c -u "$T/pages"
	is "--count counts over pages" "$(raftctl ls --count page/)" 2500
	is "--limit stops within the second page" \
	    "$(raftctl ls --limit 1500 page/ | tail -n 1)" page/001499
	is "--reverse over pages" \
	    "$(raftctl ls --reverse page/ | tail -n 1)" page/000000
	ok "a closed pipe is no error" \
	    sh -c 'raftctl ls page/ | head -n 1; exit 0'
else
	skip "2500 keys come in pages" "python3-msgpack is missing"
fi

end
