#!/bin/sh
# Keeps strace at the main process of a unit. Package lab runs it inside the host, as a transient
# unit that systemd starts again when it ends: when the process did, or when there is none yet.
# No braces around names: systemd would take them for variables of its own.
# usage: trace.sh UNIT OPTION...
set -eu
unit=$1
shift
pid=$(systemctl show --property=MainPID --value "$unit")
if [ "$pid" -eq 0 ]; then
	echo "$unit has no main process" >&2
	exit 1
fi
exec strace "$@" -p "$pid"
