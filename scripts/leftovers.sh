#!/usr/bin/env bash
# usage: leftovers.sh DIR [PROGRAMS]
# Prints a line per process that belongs to DIR (a path in its program, working
# directory, command line or environment) or runs a program under PROGRAMS, and
# fails if there is any after ten seconds. Its own ancestors don't count.
set -uo pipefail
dir=$1 programs=${2:-$1}

declare -A ours
for ((pid = $$; pid > 1; )); do
	ours[$pid]=1
	pid=$(awk '/^PPid:/ {print $2}' "/proc/$pid/status" 2>/dev/null) || break
	[[ -n $pid ]] || break
done

# belongs PID: says whether the process counts.
belongs() {
	local exe cwd
	exe=$(readlink "/proc/$1/exe" 2>/dev/null) || return 1
	cwd=$(readlink "/proc/$1/cwd" 2>/dev/null)
	[[ $exe == "$programs"/* || $exe == "$dir"/* || $cwd == "$dir"* ]] && return 0
	grep -qsF -- "$dir" "/proc/$1/cmdline" "/proc/$1/environ"
}

# left: prints the processes that count. It runs in a subshell of its own.
left() {
	local proc pid
	ours[$BASHPID]=1
	for proc in /proc/[0-9]*; do
		pid=${proc#/proc/}
		[[ -z ${ours[$pid]:-} ]] && belongs "$pid" &&
			printf '%s %s\n' "$pid" "$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)"
	done
}

for _ in {1..40}; do
	found=$(left)
	[[ -z $found ]] && exit 0
	sleep 0.25
done
printf 'processes left behind:\n%s\n' "$found" >&2
exit 1
