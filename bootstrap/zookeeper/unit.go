package zookeeper

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/sysctl"
)

// classpath names the jars. Debian's zookeeper.jar lists its own dependencies in its
// manifest, but for the servlet API that AdminServer needs and a binding for SLF4J.
func (m member) classpath() string {
	if m.spec.Ensemble.Source.Tarball != nil {
		return m.conf + ":" + m.home + "/lib/*:" + m.home + "/*" // expanded by the JVM
	}
	return strings.Join([]string{m.conf, "/usr/share/java/zookeeper.jar", "/usr/share/java/servlet-api.jar",
		"/usr/share/java/slf4j-simple.jar"}, ":")
}

// defaultHeap is the least that the administrator's guide calls sensible.
const defaultHeap = bootstrap.GiB

func (m member) heap() bootstrap.Size { return cmp.Or(m.spec.Ensemble.Heap, defaultHeap) }

// command is the argument vector of the server. No secret is in it: the super digest is
// read from zoo.cfg.
func (m member) command(p platform, arch string) []string {
	heap := fmt.Sprintf("%dm", m.heap()/bootstrap.MiB)
	argv := []string{
		p.java(arch), "-server", "-Xms" + heap, "-Xmx" + heap,
		"-XX:+UseG1GC", "-XX:MaxGCPauseMillis=50", "-XX:+AlwaysPreTouch",
		"-XX:+ExitOnOutOfMemoryError", // systemd starts it again; a member half alive is worse
		"-Xlog:gc*:file=" + m.logs + "/gc.log:time,uptime,level,tags:filecount=5,filesize=10m",
	}
	argv = append(argv, m.spec.Ensemble.JVMFlags...)
	return append(argv, "-cp", m.classpath(), "org.apache.zookeeper.server.quorum.QuorumPeerMain", m.zooCfg)
}

// unitContent is the unit of the server. RequiresMountsFor keeps it from starting on the
// empty directory below a mount that failed.
func (m member) unitContent(p platform, arch string, limits []sysctl.Limit) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Written by zkboot; the next apply overwrites changes made here.
[Unit]
Description=ZooKeeper member %d of ensemble %s
Documentation=https://zookeeper.apache.org/doc/current/zookeeperAdmin.html
Wants=network-online.target
After=network-online.target
%sRequiresMountsFor=%s %s
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
Type=simple
User=%s
Group=%s
Environment=ZKBOOT_REV=%s
ExecStart=%s
Restart=always
RestartSec=5
TimeoutStopSec=60
# The JVM ends with 128+SIGTERM when it is told to stop.
SuccessExitStatus=143
UMask=0027
OOMScoreAdjust=-800
IOSchedulingClass=best-effort
IOSchedulingPriority=0
`, m.id, m.spec.Name, m.conflicts(), m.data, m.dataLog, account, account, bootstrap.RevMarker,
		strings.Join(m.command(p, arch), " \\\n    "))
	b.WriteString(unitLimits(m.spec.Name, limits))
	fmt.Fprintf(&b, confinement, strings.Join(distinct(m.conf, m.data, m.dataLog, m.logs), " "))
	return b.String()
}

// confinement is the end of the unit; the paths that the server may write are filled in.
// There is no SystemCallFilter: a call that a later JVM needs would end it with SIGSYS.
const confinement = `
# What a server needs and no more. MemoryDenyWriteExecute would stop the JVM's compiler.
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ReadWritePaths=%s
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
`

// unitLimits are the limits as lines of the unit itself: a drop-in of its own would be one
// more file whose change must restart the member.
func unitLimits(owner string, limits []sysctl.Limit) string {
	_, lines, _ := strings.Cut(string(sysctl.RenderUnitLimits(owner, limits)), "[Service]\n")
	return lines
}

// distinct keeps the first of equal names: data and log may share one directory.
func distinct(names ...string) []string {
	var out []string
	seen := map[string]bool{}
	for _, n := range names {
		if !seen[n] {
			out = append(out, n)
		}
		seen[n] = true
	}
	return out
}

// logConfig is the configuration of the logging library: everything goes to standard
// output and so to the journal, which adds the time.
func (m member) logConfig() (name, content string) {
	if m.spec.Ensemble.Source.Tarball == nil {
		return "simplelogger.properties", `# Written by zkboot; https://www.slf4j.org/api/org/slf4j/simple/SimpleLogger.html
org.slf4j.simpleLogger.logFile=System.out
org.slf4j.simpleLogger.defaultLogLevel=info
org.slf4j.simpleLogger.levelInBrackets=true
org.slf4j.simpleLogger.showDateTime=false
org.slf4j.simpleLogger.showShortLogName=true
`
	}
	return "logback.xml", `<!-- Written by zkboot; https://logback.qos.ch/manual/configuration.html -->
<configuration>
  <appender name="JOURNAL" class="ch.qos.logback.core.ConsoleAppender">
    <encoder>
      <pattern>[%thread] [%level] %logger{0} - %msg%n</pattern>
    </encoder>
  </appender>
  <root level="INFO">
    <appender-ref ref="JOURNAL" />
  </root>
</configuration>
`
}

// needrestartConf keeps needrestart from restarting a member whenever apt replaces a
// library: it restarts in its turn. https://github.com/liske/needrestart
func (m member) needrestartConf() string {
	return fmt.Sprintf("# Written by zkboot: members restart one at a time, by zkboot alone.\n$nrconf{override_rc}{qr(^%s$)} = 0;\n",
		strings.ReplaceAll(m.unit, ".", `\.`))
}

// swapContent turns swap off again after a reboot; fstab stays as its owner wrote it.
func (m member) swapContent() string {
	return `# Written by zkboot; a member that swaps misses its deadlines.
[Unit]
Description=Turn swap off
After=swap.target

[Service]
Type=oneshot
ExecStart=/sbin/swapoff -a

[Install]
WantedBy=multi-user.target
`
}
