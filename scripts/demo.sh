#!/usr/bin/env bash
# Brings up drover on this machine, runs a few containers, shows what happened,
# and takes everything down again. DROVER_DEMO_PAUSE=1 waits for Enter before it
# does, so that the Web UI can be looked at.
set -euo pipefail
cd "$(dirname "$0")/.."

pause=${DROVER_DEMO_PAUSE:-}
# The demo is about itself only: nobody's Temporal, nobody's configuration.
for name in $(compgen -e TEMPORAL_) $(compgen -e DROVER_); do
	unset "$name"
done
tmp=$(mktemp -d "${TMPDIR:-/tmp}/drover-demo.XXXXXX")
: >"$tmp/temporal.toml"
export TEMPORAL_CONFIG_FILE=$tmp/temporal.toml
mkdir "$tmp/tmp"
dev_pid=
runs=()

bold() {
	if [[ -t 1 ]]; then printf '\n\e[1m%s\e[0m\n' "$*"; else printf '\n%s\n' "$*"; fi
}

fail() {
	printf 'demo: %s\n' "$*" >&2
	exit 1
}

# stop_dev ends drover dev and fails if it had to be killed.
stop_dev() {
	local pid=$dev_pid
	[[ -n $pid ]] || return 0
	dev_pid=
	kill -TERM "$pid" 2>/dev/null || true
	for _ in {1..300}; do
		if ! kill -0 "$pid" 2>/dev/null; then
			wait "$pid"
			return $? # without it, a trap handler's return is something else
		fi
		sleep 0.1
	done
	kill -KILL "$pid" 2>/dev/null || true
	return 1
}

# tear_down runs however the demo ends.
tear_down() {
	local status=$?
	trap - EXIT
	trap '' INT TERM
	((${#runs[@]} == 0)) || kill "${runs[@]}" 2>/dev/null || true
	if ! stop_dev; then
		echo 'demo: drover dev did not end well when asked to' >&2
		((status)) || status=1
	fi
	# What outlived it has this directory in its environment or command line.
	./scripts/leftovers.sh "$tmp" || status=1
	if ((status)) && [[ -s $tmp/dev.err ]]; then
		printf 'demo: what drover dev said last:\n' >&2
		tail -n 40 "$tmp/dev.err" >&2
	fi
	rm -rf "$tmp"
	exit "$status"
}
trap tear_down EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# free_port DEFAULT: prints it, or the next free one, ten by ten.
free_port() {
	local port
	for ((port = $1; port < 32768; port += 10)); do
		if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
			echo "$port"
			return
		fi
	done
	return 1
}

# start_dev starts drover dev in the background and waits until it is ready.
start_dev() {
	local deadline=$((SECONDS + 60))
	: >"$tmp/dev.out"
	TMPDIR=$tmp/tmp bin/drover dev --temporal-port "$temporal_port" --ui-port "$ui_port" \
		>"$tmp/dev.out" 2>"$tmp/dev.err" </dev/null &
	dev_pid=$!
	until grep -qx ready "$tmp/dev.out"; do
		kill -0 "$dev_pid" 2>/dev/null || fail 'drover dev ended before it was ready'
		((SECONDS < deadline)) || fail 'drover dev was not ready within a minute'
		sleep 0.05
	done
	cat "$tmp/dev.out"
}

# drover ARGS: runs bin/drover, at most two minutes.
drover() {
	timeout --foreground 120 bin/drover "$@" </dev/null
}

# show ARGS: prints a command, quoted where a shell needs it, and runs it.
show() {
	local word line='$ drover'
	for word in "$@"; do
		[[ $word =~ ^[A-Za-z0-9_./=-]+$ ]] || word=${word@Q}
		line+=" $word"
	done
	bold "$line"
	drover "$@"
}

temporal_port=$(free_port 7233) || fail 'no free port for Temporal'
ui_port=$(free_port 8233) || fail 'no free port for the Web UI'

bold "\$ drover dev --temporal-port $temporal_port --ui-port $ui_port &"
start_dev
export TEMPORAL_ADDRESS=127.0.0.1:$temporal_port

# The first one waits for an instance to be created and to boot.
show run -- echo 'hello from a container'

# Output arrives while the container runs.
# shellcheck disable=SC2016
show run -- sh -c 'for i in 1 2 3; do echo "step $i"; sleep 0.5; done'

bold '# four at once'
for n in 1 2 3 4; do
	drover run -- sh -c "sleep 1; echo container $n of 4" &
	runs+=($!)
done
for pid in "${runs[@]}"; do
	wait "$pid" || fail 'a container that should have succeeded did not'
done
runs=()

# A command's exit code is drover's.
status=0
show run -- sh -c 'echo "this one fails on purpose"; exit 7' || status=$?
echo "exit code: $status"
((status == 7)) || fail "expected exit code 7, got $status"

show ps -a
show instance list
show fleet status
bold "Web UI: http://127.0.0.1:$ui_port"

if [[ $pause == 1 && -t 0 ]]; then
	read -r -p 'Enter takes everything down. '
fi

bold '# taking everything down'
stop_dev || fail 'drover dev did not end well when asked to'
./scripts/leftovers.sh "$tmp" || fail 'not everything is gone'
[[ -z $(ls -A "$tmp/tmp") ]] || fail "drover dev left files behind: $(ls -A "$tmp/tmp")"
echo 'Everything is gone.'
