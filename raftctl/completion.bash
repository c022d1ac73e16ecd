# completion.bash - raftctl's words, for bash.
_raftctl() {
	local words head word cur
	# By blanks alone: bash itself cuts words at ':' and '=' as well.
	read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
	case ${COMP_LINE:0:COMP_POINT} in *[[:blank:]]) words+=("") ;; esac
	cur=${words[${#words[@]} - 1]}
	COMPREPLY=()
	while IFS= read -r word; do
		COMPREPLY+=("$word")
	done < <("${words[0]}" complete "${words[@]:1}" 2>/dev/null)
	# What bash takes for words of their own is not typed again.
	head=${cur%"${cur##*[:=]}"}
	[ -z "$head" ] || COMPREPLY=("${COMPREPLY[@]#"$head"}")
}
complete -F _raftctl raftctl
