#!/bin/sh
# test_clients.sh: MessagePack-RPC clients that we did not write.
. "$(dirname "$0")/../cli/lib.sh"

lab -n 1
path=$(client_of 1 | sed 's/^unix://')

python=$(find_python msgpack)
if [ -n "$python" ]; then
	is "python3-msgpack puts and gets" \
	    "$("$python" "$top/tests/interop/put_get.py" "$path")" \
	    "b'ten\\x00lines'"
	is "raftctl reads what it put" \
	    "$(raftctl get 'from python' | xxd -p)" 74656e006c696e6573
	rpc=$top/tests/cli/rpc.py
	methods=$("$python" "$rpc" "unix:$path" call rpc.discover)
	for method in get put delete list status members hello; do
		like "rpc.discover names $method" "$methods" "*\"$method\"*"
	done
	like "an error is [0, \"CODE: text\"]" \
	    "$("$python" "$rpc" "unix:$path" call no.such.method)" \
	    '\[\[0, "METHOD: *'
	like "hello tells the protocol" \
	    "$("$python" "$rpc" "unix:$path" call hello)" '*"protocol": 1*'
	like "a trailing map of options" \
	    "$("$python" "$rpc" "unix:$path" call put \
	    '["k", "v", {"if_absent": true}]')" '\[null, *'
else
	skip "python3-msgpack puts and gets" "python3-msgpack is missing"
fi

python=$(find_python pynvim)
if [ -n "$python" ]; then
	"$python" "$top/tests/interop/session.py" "$path" >"$T/session" 2>&1
	is "pynvim's session" $? 0 || show "$T/session"
	like "gets what it put" "$(head -n 1 "$T/session")" '*a session*'
	is "nil when absent" "$(sed -n 2p "$T/session")" None
	like "an error is an exception" "$(tail -n 1 "$T/session")" \
	    'refused: *USAGE*'
else
	skip "pynvim's session" "python3-pynvim is missing"
fi

if command -v nvim >/dev/null; then
	cat >"$T/nvim.vim" <<'END'
let c = sockconnect('pipe', $RAFTD_SOCKET, {'rpc': v:true})
call rpcrequest(c, 'put', 'from nvim', 'an editor')
let r = rpcrequest(c, 'get', 'from nvim')
call writefile([r['value']], $RAFTD_ANSWER)
try
  call rpcrequest(c, 'put', 'no value')
catch
  call writefile([v:exception], $RAFTD_ANSWER, 'a')
endtry
qall!
END
	RAFTD_SOCKET=$path RAFTD_ANSWER=$T/nvim.out timeout 30 nvim --clean \
	    --headless -S "$T/nvim.vim" </dev/null >"$T/nvim.err" 2>&1
	is "nvim's rpcrequest" $? 0 || show "$T/nvim.err"
	is "gets what it put" "$(head -n 1 "$T/nvim.out")" 'an editor'
	like "an error is an exception" "$(tail -n 1 "$T/nvim.out")" '*USAGE*'
	is "raftctl reads it" "$(raftctl get 'from nvim')" 'an editor'
else
	skip "nvim's rpcrequest" "neovim is missing"
fi

end
