#!/bin/sh
# demo.sh [down]: five throw-away hosts, `terraform apply` of examples/lab on them, the proof of what
# stands, and traffic that survives what may happen to it. Run it again and it goes on from what is there; `down` takes everything away.
# Called by `make demo`, which installs and builds what it needs.
set -eu
cd "$(dirname "$0")/.."

lab=.lab/demo      # zkboot.yaml, key and known_hosts of the lab
work=.lab/demo-tf  # a copy of examples/lab with Terraform's state
spec=$lab/zkboot.yaml

# Only making and removing hosts needs root; all else is what any operator may do.
root=
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null 2>&1 || {
		echo "demo.sh: making hosts needs root and there is no sudo; as root run: make demo" >&2
		exit 1
	}
	root=sudo
fi

if [ "${1-}" = down ]; then
	$root bin/zkboot lab down --name demo
	rm -rf "$lab" "$work"
	exit 0
fi

# step SECONDS HINT COMMAND...: show a command, run it for a bounded time, say where to look when it fails.
step() {
	limit=$1 hint=$2
	shift 2
	printf '\n== %s\n' "$*"
	status=0
	timeout --foreground --kill-after=30 "$limit" "$@" || status=$?
	if [ "$status" -ne 0 ]; then
		[ "$status" -ne 124 ] || echo "demo.sh: ended after $limit s" >&2
		printf 'demo.sh: this failed (exit %d): %s\n  look at: %s\n' "$status" "$*" "$hint" >&2
		exit 1
	fi
}

[ -f dist/terraformrc ] || {
	echo "demo.sh: dist/terraformrc is not there; run: make demo" >&2
	exit 1
}
terraform=$(./scripts/terraform.sh)
TF_CLI_CONFIG_FILE=$PWD/dist/terraformrc
TF_IN_AUTOMATION=1
TF_VAR_lab_dir=$PWD/$lab
export TF_CLI_CONFIG_FILE TF_IN_AUTOMATION TF_VAR_lab_dir

# State of an ensemble on hosts that are gone says nothing about new ones.
[ -f "$spec" ] || rm -rf "$work"
mkdir -p "$work"
cp examples/lab/*.tf "$work"
# The provider may have been built anew: its checksum is not what the last run recorded.
rm -rf "$work/.terraform" "$work/.terraform.lock.hcl"

tf() {
	limit=$1 hint=$2
	shift 2
	step "$limit" "$hint" "$terraform" "-chdir=$work" "$@"
}

step 600 "bin/zkboot lab list, and the last lines above; the first run makes a base tree of 400 MB with debootstrap" \
	$root bin/zkboot lab up --name demo --zookeeper 3 --apps 2 --dir "$lab"
tf 60 "dist/mirror must hold the provider: make mirror" init -input=false -no-color
tf 300 "bin/zkboot plan -f $spec" plan -input=false -no-color
tf 900 "bin/zkboot status -f $spec; on a host: bin/zkboot lab ssh zk1 --name demo -- sudo journalctl -u zookeeper-demo" \
	apply -input=false -no-color -auto-approve
step 120 "bin/zkboot lab ssh zk1 --name demo -- sudo journalctl -u zookeeper-demo" bin/zkboot status -f "$spec"
step 300 "the checks that fail above; each has a hint" bin/zkboot verify -f "$spec" --duration 5s

# on HOST COMMAND...: run a command on a host, as root.
on() {
	host=$1
	shift
	bin/zkboot lab ssh "$host" --name demo -- sudo "$@"
}

# during SECONDS WHAT COMMAND...: app1 asks 127.0.0.1:3000 for the service, 200 times a second on kept
# and on new connections, while a command does harm. Not one request may fail: one that hits a server
# that has just gone is sent to another (retries, redispatch).
during() {
	limit=$1 what=$2
	shift 2
	printf '\n== %s s of requests to 127.0.0.1:3000 on app1: %s\n' "$limit" "$what"
	$root bin/zkboot lab traffic app1 http://127.0.0.1:3000/ --name demo --for "${limit}s" --rate 200 >"$work/traffic" 2>&1 &
	traffic=$!
	"$@"
	status=0
	wait "$traffic" || status=$?
	cat "$work/traffic"
	if [ "$status" -ne 0 ]; then
		printf 'demo.sh: requests failed during: %s\n  look at: bin/zkboot lab ssh app1 --name demo -- sudo zkwatch explain inventory\n' "$what" >&2
		exit 1
	fi
}

leader() { bin/zkboot status -f "$spec" --output json 2>/dev/null | sed -n 's/^  "leader": "\(.*\)",$/\1/p'; }

kill_leader() {
	who=$(leader)
	[ -n "$who" ] || {
		echo "demo.sh: there is no leader to kill; look at: bin/zkboot status -f $spec" >&2
		exit 1
	}
	echo "killing the leader, $who"
	on "$who" systemctl kill -s KILL zookeeper-demo
}

outage() {
	for zk in zk1 zk2 zk3; do on "$zk" systemctl stop zookeeper-demo & halts="${halts-} $!"; done
	# shellcheck disable=SC2086 # a list of process ids
	wait $halts
	echo "no ZooKeeper anywhere; in 10 s it comes back"
	sleep 10
	for zk in zk1 zk2 zk3; do on "$zk" systemctl start zookeeper-demo; done
}

during 2 "nothing happens" true
during 10 "the service on app2 is stopped" on app2 systemctl stop nginx
on app2 systemctl start nginx
during 10 "the leader of ZooKeeper is killed with -9" kill_leader
during 30 "all of ZooKeeper is away, and comes back" outage
# Members that have just started take a moment to vote.
tries=30
until bin/zkboot status -f "$spec" >/dev/null 2>&1 || [ "$((tries -= 1))" -eq 0 ]; do sleep 1; done
step 60 "the notes in the tables above" bin/zkboot status -f "$spec"
tf 300 "what the plan above wants to change although nothing did" plan -input=false -no-color -detailed-exitcode

cat <<END

It stands: a ZooKeeper ensemble of three members, formed and proven, and two application hosts whose service is
reached at 127.0.0.1:3000 on each of them, whatever happens to the other.

  connect string     $("$terraform" "-chdir=$work" output -raw connect_string)
  how it is now      bin/zkboot status -f $spec
  prove it again     bin/zkboot verify -f $spec
  log in to a host   ${root:+$root }bin/zkboot lab ssh app1 --name demo
  a host's own view  ${root:+$root }bin/zkboot lab ssh app1 --name demo -- sudo zkwatch status
  send requests      ${root:+$root }bin/zkboot lab traffic app1 http://127.0.0.1:3000/ --name demo --for 10s
  Terraform          cd $work && TF_CLI_CONFIG_FILE=$TF_CLI_CONFIG_FILE TF_VAR_lab_dir=$TF_VAR_lab_dir $terraform plan
  take it all away   ./scripts/demo.sh down
END
