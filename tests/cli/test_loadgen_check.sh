#!/bin/sh
# test_loadgen_check.sh: loadgen check from outside: verdicts, statuses,
# JSON, the page it writes.
. "$(dirname "$0")/lib.sh"

# Lines of a history: call PROCESS F VALUE, done PROCESS TYPE [MEMBERS].
call() {
	printf '{"process":%s,"type":"invoke","f":"%s","key":"k","value":%s}\n' \
	    "$1" "$2" "$3"
}
completed() {
	printf '{"process":%s,"type":"%s"%s}\n' "$1" "$2" "${3-}"
}
put() {
	call 1 put "$1"
	completed 1 ok "${2-}"
}
get() {
	call 1 get null
	completed 1 ok ",\"value\":$1${2-}"
}

{
	put '"a"'
	get '"a"'
	call 2 cas '["a","b"]'
	completed 2 info
	get '"b"'
} >"$T/good"
{
	cat "$T/good"
	get '"a"'
} >"$T/bad"

ok "a good history passes" loadgen check "$T/good"
is "its verdict is ok" "$(loadgen check "$T/good" | jq -c \
    '[.verdict,.mode,.ops,.keys,.keys_undecided,.limit,.detail]')" \
    '["ok","search",4,1,0,null,null]'
is "standard input is read" \
    "$(loadgen check - <"$T/good" | jq -r .verdict)" ok

must_fail "a bad history has status 1" 1 loadgen check "$T/bad"
loadgen check "$T/bad" >"$T/json"
is "one object on one line" "$(wc -l <"$T/json" | tr -d ' ')" 1
is "the verdict, the key and the line" \
    "$(jq -c '[.verdict,.detail.key,.detail.line]' "$T/json")" \
    '["violation","k",10]'
is "the window is what cannot be explained" \
    "$(jq -c '[.detail.window[]|[.f,.value,.type]]' "$T/json")" \
    '[["cas",["a","b"],"info"],["get","b","ok"],["get","a","ok"]]'
is "members of a window's operation" \
    "$(jq -c '.detail.window[0]|keys' "$T/json")" \
    '["complete_line","complete_time","f","invoke_line","invoke_time","process","rev","swapped","type","value"]'
like "text for people" "$(loadgen check -o text "$T/bad")" \
    'violation: 5 operations, 1 keys*key "k": *'
is "RAFT_OUTPUT chooses" \
    "$(RAFT_OUTPUT=text loadgen check "$T/good" | cut -d: -f1)" ok
is "-j beats it" \
    "$(RAFT_OUTPUT=text loadgen check -j "$T/good" | jq -r .verdict)" ok

# Bytes that are not UTF-8.
{
	printf '{"process":1,"type":"invoke","f":"get","key_b64":"/w=="}\n'
	printf '{"process":1,"type":"ok","value_b64":"/g=="}\n'
} >"$T/bytes"
is "bytes stay bytes" "$(loadgen check "$T/bytes" |
    jq -c '[.detail.key_b64,.detail.window[0].value_b64]')" '["/w==","/g=="]'

# What was there before.
get '"old"' >"$T/old"
must_fail "nothing stood there before" 1 loadgen check "$T/old"
ok "unless it may" loadgen check --initial any "$T/old"
ok "lines without key are a register" sh -c \
    'sed "s/\"key\":\"k\",//" "$1" | loadgen check --model register -' _ \
    "$T/good"

# The order that servers claim.
{
	put '"a"' ',"rev":3'
	put '"b"' ',"rev":4'
	get '"b"' ',"rev":4'
} >"$T/claimed"
{
	put '"a"' ',"rev":3'
	put '"b"' ',"rev":3'
} >"$T/twice"
ok "a legal order passes" loadgen check --order "$T/claimed"
must_fail "one revision for two writes" 1 loadgen check --order "$T/twice"
is "and why" "$(loadgen check --order "$T/twice" | jq -r .detail.why)" \
    "two writes claim the same revision"
must_fail "no revisions, no verdict" 75 loadgen check --order "$T/good"

# The page.
{
	put '"<script>alert(1)</script>"'
	get '"&\u0007\u20ac"'
} >"$T/markup"
must_fail "a page beside the verdict" 1 \
    loadgen check --html "$T/page.html" "$T/markup"
ok "has a drawing" grep -q '<svg' "$T/page.html"
ok "escapes what clients wrote" grep -q '&#60;script&#62;' "$T/page.html"
ok "has no script and fetches nothing" sh -c \
    '! grep -qiE "<script|src=|@import|url\(" "$1"' _ "$T/page.html"
is "is plain ASCII" "$(LC_ALL=C tr -d '\n\040-\176' <"$T/page.html")" ""
ok "and of a good history says so" sh -c \
    'loadgen check --html "$1" "$2" && grep -q ">ok<" "$1"' _ \
    "$T/good.html" "$T/good"
must_fail "a page that cannot be made" 73 \
    loadgen check --html "$T/no/page.html" "$T/good"

# What is wrong is told.
echo nonsense >>"$T/bad"
must_fail "a malformed history" 65 loadgen check -o text "$T/bad"
like "names the line" "$(cat "$T/err")" "loadgen: '*': line 11: *"
loadgen check -j "$T/bad" 2>"$T/err"
is "as JSON too" "$(jq -c '[.error.code,.error.exit]' "$T/err")" \
    '["BAD_DATA",65]'
must_fail "a history that is not there" 66 loadgen check "$T/none"
must_fail "a directory" 66 loadgen check "$T"
must_fail "no history" 64 loadgen check
must_fail "two histories" 64 loadgen check "$T/good" "$T/good"
must_fail "an unknown option" 64 loadgen check --frob "$T/good"
must_fail "a time without unit" 64 loadgen check --max-time 5 "$T/good"
must_fail "an unknown model" 64 loadgen check --model queue "$T/good"

# A history beyond hope: sixty cas at once, from each of seven values to the
# next three, all told that they met their value.  That is a walk over all
# edges of a graph; one edge more from "a" makes sure that there is none.
awk 'BEGIN {
	v = "abcdefg"
	for (i = 0; i < 63; i++)
		edge[i] = substr(v, i % 7 + 1, 1) "\",\"" \
		    substr(v, (i % 7 + 1 + int(i / 7) % 3) % 7 + 1, 1)
	edge[63] = "a\",\"d"
	edge[64] = "a\",\"c"
	print "{\"process\":99,\"type\":\"invoke\",\"key\":\"k\"," \
	    "\"f\":\"put\",\"value\":\"a\"}"
	print "{\"process\":99,\"type\":\"ok\"}"
	for (i = 0; i < 65; i++)
		printf "{\"process\":%d,\"type\":\"invoke\",\"key\":\"k\"," \
		    "\"f\":\"cas\",\"value\":[\"%s\"]}\n", i, edge[i]
	for (i = 0; i < 65; i++)
		printf "{\"process\":%d,\"type\":\"ok\"}\n", i
}' >"$T/hopeless"
must_fail "no more time than allowed" 75 \
    loadgen check --max-time 300ms "$T/hopeless"
is "and it says so" "$(jq -c '[.verdict,.limit,.keys_undecided]' "$T/out")" \
    '["undecided","max-time",1]'
must_fail "no more memory than allowed" 75 \
    loadgen check --max-mem 16M "$T/hopeless"
is "and it says so of memory" \
    "$(jq -c '[.verdict,.limit,.keys_undecided]' "$T/out")" \
    '["undecided","max-mem",1]'
must_fail "not even for reading" 75 loadgen check --max-mem 1K "$T/good"

end
