# completion.fish - raftctl's words, for fish.
function __raftctl_complete
	set -l words (commandline -opc)
	set -l current (commandline -ct)
	command $words[1] complete $words[2..-1] "$current" 2>/dev/null
end
complete -c raftctl -f -a '(__raftctl_complete)'
