#!/usr/bin/env bash
# usage: leftovers.sh DIR [PROGRAMS]
# Prints a line per process that belongs to DIR (a path in its program, working
# directory, command line or environment) or runs a program under PROGRAMS, and
# fails if there still is one after ten seconds. Its own ancestors don't count.
set -uo pipefail
dir=$1 programs=${2:-$1}

declare -A ours
for ((pid = $$; pid > 1; )); do
	ours[$pid]=1
	pid=$(awk '/^PPid:/ {print $2}' "/proc/$pid/status" 2>/dev/null)
	[[ -n $pid ]] || break
done

# candidates prints the processes that belong, the searching ones included.
candidates() {
	find /proc/[0-9]*/exe /proc/[0-9]*/cwd \( -lname "$dir" -o -lname "$dir/*" \) -printf '%h\n'
	find /proc/[0-9]*/exe -lname "$programs/*" -printf '%h\n'
	grep -lsF -- "$dir" /proc/[0-9]*/cmdline /proc/[0-9]*/environ | xargs -r dirname
} 2>/dev/null

deadline=$((SECONDS + 10))
while :; do
	left=()
	for proc in $(candidates | sort -u); do
		pid=${proc#/proc/}
		# The searching ones have ended by now.
		if [[ -z ${ours[$pid]:-} && -d $proc ]]; then
			left+=("$pid")
		fi
	done
	((${#left[@]})) || exit 0
	((SECONDS < deadline)) || break
	sleep 0.1
done
echo 'processes left behind:' >&2
ps -ww -o pid=,args= -p "$(IFS=,; echo "${left[*]}")" >&2
exit 1
