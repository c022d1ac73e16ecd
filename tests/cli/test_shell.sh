#!/bin/sh
# test_shell.sh: raftctl shell, what words may become, and that in the shells
# that people use.
. "$(dirname "$0")/lib.sh"

python=$(find_python pty)
HOME=$T
export HOME

lab -n 3
raftctl put first/key alpha
raftctl put first/other beta
raftctl put second gamma
raftctl put 'has blank' delta

# ---- a shell's input ---------------------------------------------------------

printf '%s\n' 'put a 1' '# a comment' '' 'get a' "put 'b c' \"two words\"" \
    "get 'b c'" >"$T/script"
ok "commands from standard input" sh -c 'raftctl shell <"$1" >"$2"' _ \
    "$T/script" "$T/out.1"
is "give what they give alone" "$(cat "$T/out.1")" '1two words'
echo 'get none' >"$T/script"
must_fail "the last status is the shell's" 1 sh -c 'raftctl shell <"$1"' _ \
    "$T/script"
printf 'get none\nexit\nget a\n' >"$T/script"
is "exit ends it" "$(raftctl shell <"$T/script")" ''
printf 'put x -\nthe rest is a value\n' >"$T/script"
raftctl shell <"$T/script"
is "what follows a line is the command's" "$(raftctl get x)" \
    'the rest is a value'
echo 'get "a' >"$T/script"
must_fail "an open quote" 64 sh -c 'raftctl shell <"$1"' _ "$T/script"
is "options hold for all lines" "$(echo 'get a' | raftctl -j shell |
    jq -r .value)" 1
is "and a line's own go before" "$(echo 'get -o raw a' | raftctl -j shell)" 1
must_fail "an operand" 64 raftctl shell x
must_fail "a shell in a shell" 64 sh -c 'echo shell | raftctl shell'

# ---- what words may become ---------------------------------------------------

may() { # WORD...
	raftctl complete "$@" | tr '\n' ' '
}
is "commands" "$(may ge)" 'get '
is "options of a command" "$(may get --re)" '--read --rev '
is "options of raftctl" "$(may --enc)" '--encoding '
is "values of an option" "$(may get --read s)" 'stale '
is "behind a =" "$(may get --read=l)" '--read=linearizable --read=lease '
is "keys" "$(may get first/)" 'first/key first/other '
is "but none that would want quotes" "$(may get has)" ''
is "members" "$(may transfer '')" '1 2 3 '
is "words of wait" "$(may wait mem)" 'member '
is "and members behind it" "$(may wait member '')" '1 2 3 '
servers=$RAFT_ENDPOINTS
is "with the servers that are named there" \
    "$(RAFT_ENDPOINTS='' raftctl complete -s "$servers" get sec)" second
start=$(date +%s)
is "no server, no keys" "$(RAFT_ENDPOINTS=unix:$T/none may get f)" ''
ok "and soon" test $(($(date +%s) - start)) -le 2

# ---- at a terminal -----------------------------------------------------------

if [ -z "$python" ]; then
	skip "at a terminal" "python3 is missing"
	end
fi
terminal=$top/tests/cli/terminal.py
ok "the prompt completes commands and keys" "$python" "$terminal" \
    'raftctl> ' 'ge\tfirst/k\t\r' 'alpha' '' 'raftctl> ' 'exit\r' '' -- \
    raftctl shell
ok "shows the status of a command that failed" "$python" "$terminal" \
    'raftctl> ' 'get none\r' '1 raftctl> ' 'exit\r' '' -- raftctl shell
ok "lists what there is" "$python" "$terminal" \
    'raftctl> ' 'get first/\t\t' 'first/other' '\x15exit\r' '' -- raftctl shell
ok "and remembers its lines" grep -q 'first/key' "$T/.raftctl_history"
is "for nobody else" "$(stat -c %a "$T/.raftctl_history")" 600

ok "make install puts everything in its place" make -s -C "$top" install \
    DESTDIR="$T/root" PREFIX=/usr
share=$T/root/usr/share
for f in bash-completion/completions/raftctl zsh/site-functions/_raftctl \
    fish/vendor_completions.d/raftctl.fish man/man1/raftctl.1; do
	ok "share/$f" test -s "$share/$f"
done

if command -v bash >/dev/null; then
	{
		echo "PS1='ready '"
		cat "$share/bash-completion/completions/raftctl"
	} >"$T/bashrc"
	ok "bash completes" "$python" "$terminal" 'ready ' \
	    'raftctl get first/k\t\r' 'alpha' '' 'ready ' \
	    'raftctl get --read=st\tsecon\t\r' 'gamma' 'exit\r' '' -- \
	    bash --noprofile --rcfile "$T/bashrc" -i
else
	skip "bash completes" "bash is missing"
fi
if command -v zsh >/dev/null; then
	mkdir "$T/zsh"
	cat >"$T/zsh/.zshrc" <<END
PS1='ready '
unsetopt prompt_sp
fpath=($share/zsh/site-functions \$fpath)
autoload -Uz compinit && compinit -u -D
END
	ok "zsh completes" env ZDOTDIR="$T/zsh" "$python" "$terminal" 'ready ' \
	    'raftctl get first/k\t\r' 'alpha' '' 'ready ' \
	    'raftctl transf\t\t' '1' '\x15exit\r' '' -- zsh -i
else
	skip "zsh completes" "zsh is missing"
fi
if command -v fish >/dev/null; then
	ok "fish completes" "$python" "$terminal" 'ready ' \
	    'raftctl get first/k\t\r' 'alpha' 'exit\r' '' -- \
	    env XDG_DATA_DIRS="$share" fish -i \
	    -C 'function fish_prompt; echo "ready "; end'
else
	skip "fish completes" "fish is missing"
fi

end
