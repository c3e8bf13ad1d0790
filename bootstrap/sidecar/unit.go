package sidecar

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/sysctl"
)

// proxyContent is the unit of Debian's haproxy 2.6.12-1 with three changes: a second -f with
// zkwatch's file, a master socket that the group of zkwatch may use, and the limit of open
// files. It stands whole in /etc and hides the package's. EXTRAOPTS of /etc/default/haproxy
// goes on working.
func (n node) proxyContent(limits []sysctl.Limit) string {
	return fmt.Sprintf(`# Written by zkboot; the next apply overwrites changes made here. Put yours into a drop-in:
# systemctl edit haproxy.service
[Unit]
Description=HAProxy with the routes of zkwatch
Documentation=man:haproxy(1)
After=network-online.target rsyslog.service
Wants=network-online.target

[Service]
Type=notify
Environment=ZKBOOT_REV=%[1]s
Environment="CONFIG=/etc/haproxy/haproxy.cfg"
EnvironmentFile=-/etc/default/haproxy
BindReadOnlyPaths=-/dev/log:/var/lib/haproxy/dev/log
RuntimeDirectory=%[2]s
ExecStart=/usr/sbin/haproxy -Ws -f $CONFIG -f %[3]s -p /run/haproxy.pid \
    -S /run/%[2]s/master.sock,mode,660,group,%[4]s $EXTRAOPTS
ExecReload=/usr/sbin/haproxy -Ws -f $CONFIG -f %[3]s -c -q $EXTRAOPTS
ExecReload=/bin/kill -USR2 $MAINPID
KillMode=mixed
Restart=always
SuccessExitStatus=143
%[5]s
[Install]
WantedBy=multi-user.target
`, bootstrap.RevMarker, strings.TrimPrefix(proxyRun, "/run/"), proxyFile, account, unitLimits(limits))
}

// unitLimits are the limits as lines of the unit itself: a drop-in of its own would be one
// more file whose change must restart HAProxy.
func unitLimits(limits []sysctl.Limit) string {
	_, lines, _ := strings.Cut(string(sysctl.RenderUnitLimits(roleName, limits)), "[Service]\n")
	return lines
}

// What stops zkwatch waits for drains to end where SIGTERM drains, and a little longer.
const (
	usualDrain = 60 * time.Second // zkwatch's default of drain.timeout
	afterDrain = 15 * time.Second
)

// watchContent is the unit of zkwatch. It does not stop HAProxy when it stops, and HAProxy
// does not stop it: each bears the other's absence.
func (n node) watchContent() string {
	stop := afterDrain
	if n.is.Drain.OnTerm == "drain" {
		stop += cmp.Or(time.Duration(n.is.Drain.Timeout), usualDrain)
	}
	after := "network-online.target"
	if n.proxied() {
		after += " " + proxyUnit
	}
	return fmt.Sprintf(`# Written by zkboot; the next apply overwrites changes made here.
[Unit]
Description=zkwatch: registration, discovery and routes of this host
Documentation=https://github.com/zkboot/zkboot
Wants=network-online.target
After=%s
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
User=%s
Group=%s
Environment=ZKBOOT_REV=%s
ExecStart=%s run -c %s
ExecReload=/bin/kill -HUP $MAINPID
WatchdogSec=30
Restart=always
RestartSec=1
KillMode=mixed
TimeoutStopSec=%d
RuntimeDirectory=zkwatch
RuntimeDirectoryMode=0750
UMask=0027
OOMScoreAdjust=-500
%s`, after, account, account, bootstrap.RevMarker, program, confFile, int(stop.Seconds()),
		fmt.Sprintf(confinement, stateDir, n.spool()))
}

// confinement is the end of zkwatch's unit; the paths that it may write are filled in. There
// is no SystemCallFilter and no MemoryDenyWriteExecute: checks run programs of others. None
// of them gains rights by it, so a check that needs sudo or ping's capability fails.
const confinement = `
# What the daemon needs and no more.
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ReadWritePaths=%s -%s
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
`
