#!/bin/sh
# demo-vm.sh [down]: four virtual machines by `terraform apply` of examples/kvm-libvirt, with the real libvirt
# provider and a real libvirtd, from nothing to a proven ensemble and back to nothing. Where a stock kernel does
# not run under /dev/kvm they are emulated, which takes minutes. After a failure all is left standing, to be
# looked at; `down` takes it away. Called by `make demo-vm`, which installs and builds what it needs.
set -eu
cd "$(dirname "$0")/.."
if [ "$(id -u)" -ne 0 ]; then
	exec ./scripts/as-root.sh "$0" "$@"
fi

lab=$PWD/.lab/demo-vm # vm.tfvars.json, the key, disks, what libvirtd keeps
work=$PWD/.lab/demo-vm-tf
example=$work/examples/kvm-libvirt # a copy of the example, with Terraform's state

if [ "${1-}" = down ]; then
	bin/zkboot lab vm down --dir "$lab"
	rm -rf "$lab" "$work"
	exit 0
fi

took=
begin=$(date +%s)

# part NAME HINT COMMAND...: run a part of the demo and keep its time; say where to look when it fails.
part() {
	name=$1 hint=$2
	shift 2
	printf '\n== %s\n' "$name"
	start=$(date +%s)
	set +e # in the place of a condition, a command that fails would not end a function
	(
		set -e
		"$@"
	)
	status=$?
	set -e
	took="$took$(printf '%6d s  %s' "$(($(date +%s) - start))" "$name")
"
	if [ "$status" -ne 0 ]; then
		printf '%sdemo-vm.sh: this failed (exit %d): %s\n  look at: %s\n  take it all away: ./scripts/demo-vm.sh down\n' \
			"$took" "$status" "$name" "$hint" >&2
		exit 1
	fi
}

# bounded SECONDS COMMAND...: exit with 124 when it takes longer.
bounded() {
	limit=$1
	shift
	echo "+ $*"
	timeout --foreground --kill-after=30 "$limit" "$@"
}

[ -f dist/terraformrc ] && [ -d dist/mirror/registry.terraform.io/dmacvicar/libvirt ] || {
	echo "demo-vm.sh: dist/mirror lacks a provider; run: make demo-vm" >&2
	exit 1
}
terraform=$(./scripts/terraform.sh)
TF_CLI_CONFIG_FILE=$PWD/dist/terraformrc
TF_IN_AUTOMATION=1
CHECKPOINT_DISABLE=1
export TF_CLI_CONFIG_FILE TF_IN_AUTOMATION CHECKPOINT_DISABLE

tf() {
	limit=$1
	shift
	bounded "$limit" "$terraform" "-chdir=$example" "$@"
}

# change SECONDS VERB OPTION...: plan, apply and destroy take the same variables.
change() {
	limit=$1
	shift
	tf "$limit" "$@" -input=false -no-color -var-file="$lab/vm.tfvars.json" -var=ssh_key_file="$lab/key"
}

address() { "$terraform" "-chdir=$example" output -no-color -json addresses | tr -d ' "{}' | tr ',' '\n' | sed -n "s/^$1://p"; }

# on HOST OPTION-OR-COMMAND...: ssh to a machine, whose key is the one that apply recorded.
on() {
	host=$1
	shift
	ssh -i "$lab/key" -o IdentitiesOnly=yes -o UserKnownHostsFile="$example/known_hosts" -o StrictHostKeyChecking=yes \
		-o ConnectTimeout=60 -l debian "$@" "$(address "$host")"
}

prepare() {
	"$0" down # what a failed run has left
	mkdir -p "$lab" "$work/examples"
	cp -R examples/kvm-libvirt "$work/examples/"
	cp -R modules "$work/"
	ssh-keygen -q -t ed25519 -N '' -C demo-vm -f "$lab/key"
	bounded 900 bin/zkboot lab vm up --dir "$lab"
	tf 60 init -input=false -no-color
}

# Each member keeps its data on a volume of its own, found by a name that does not depend on the order of disks.
data_disks() {
	for zk in zk1 zk2 zk3; do
		mounted=$(on "$zk" -T -o RemoteCommand='findmnt -no SOURCE /srv/zookeeper; readlink -f /dev/disk/by-id/wwn-0x5*; sudo ls /srv/zookeeper/demo')
		echo "$zk: $mounted" | tr '\n' ' '
		echo
		# shellcheck disable=SC2086 # three words
		set -- $mounted
		[ $# -ge 4 ] && [ "$1" = "$2" ] || return 1
	done
}

# app1 announces its service once its check passes, finds it in ZooKeeper, and reaches it through its own HAProxy.
traffic() {
	deadline=$(($(date +%s) + 180))
	until answer=$(printf 'GET / HTTP/1.0\r\nHost: inventory\r\n\r\n' | on app1 -W 127.0.0.1:3000 2>/dev/null | head -n 1) &&
		[ "${answer#HTTP/1.? 200}" != "$answer" ]; do
		if [ "$(date +%s)" -ge "$deadline" ]; then
			echo "127.0.0.1:3000 on app1 says \"$answer\"" >&2
			on app1 -T -o RemoteCommand='sudo zkwatch status; systemctl --no-pager status nginx haproxy' >&2 || true
			return 1
		fi
		sleep 1
	done
	echo "127.0.0.1:3000 on app1: $answer"
}

# Nothing of the demo runs, and its network is gone.
nothing_left() {
	network=$(sed -n 's/.*"network_cidr": "\(.*\)\.0\/24".*/\1/p' "$lab/vm.tfvars.json")
	for file in "$lab"/pool/*; do
		[ ! -e "$file" ] || {
			echo "left: $file" >&2
			return 1
		}
	done
	bin/zkboot lab vm down --dir "$lab"
	for pid in /proc/[0-9]*; do
		# One may end while it is looked at.
		if { tr '\0' ' ' <"$pid/cmdline"; } 2>/dev/null | grep -F -e "$lab/"; then
			echo "left: process ${pid#/proc/}" >&2
			return 1
		fi
	done
	if ip -4 -o address | grep -F " $network." || iptables -S 2>/dev/null | grep -F " $network."; then
		echo "left: the network above" >&2
		return 1
	fi
	rm -rf "$lab" "$work"
}

logs="$lab/libvirt/libvirtd.log; log in: ssh -i $lab/key debian@ADDRESS"
part "image, libvirtd, terraform init" "/var/cache/zkboot/vm/build.log, $logs" prepare
part "terraform apply" "$logs" change 1200 apply -auto-approve
part "the data disk of each member" "$logs" data_disks
part "a request through the sidecar of app1" "$logs" traffic
part "a second plan is empty" "what the plan wants to change although nothing did" change 300 plan -detailed-exitcode
part "terraform destroy" "$logs" change 300 destroy -auto-approve
part "nothing is left" "$logs" nothing_left

printf '\n%s%6d s  in all\n' "$took" "$(($(date +%s) - begin))"
