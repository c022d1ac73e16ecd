#compdef raftctl
# completion.zsh - raftctl's words, for zsh.
_raftctl() {
	local -a found
	found=(${(f)"$("${words[1]}" complete "${(@)words[2,CURRENT]}" 2>/dev/null)"})
	(( ${#found} )) && compadd -Q -- "${found[@]}"
}
if [ "$funcstack[1]" = "_raftctl" ]; then
	_raftctl "$@"
else
	compdef _raftctl raftctl
fi
