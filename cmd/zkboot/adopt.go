package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// adoptOptions are the flags of adopt.
type adoptOptions struct {
	adopt      bootstrap.Adopt
	name       string // --name
	file       string // -o
	identity   string // --identity-file
	knownHosts string // --known-hosts
}

// recognized is an ensemble that was found: its hosts have their server ids for names, and as
// tells by which argument each was reached.
type recognized struct {
	spec *bootstrap.Spec
	as   map[string]string
}

func (a *app) adoptCommand() *cobra.Command {
	var o adoptOptions
	cmd := &cobra.Command{
		Use:   "adopt [USER@]HOST[:PORT]...",
		Short: "Write a spec that takes over an ensemble that somebody else set up",
		Long: `adopt looks at hosts that run ZooKeeper servers set up by hand, by the distribution's package
or by a playbook, and writes a spec with what it found: hosts, server ids, ports, directories,
the settings that zkboot knows. It changes nothing. Name every host of the ensemble: what it
finds out about the others it has from the server lines.

Read what it wrote, then run "zkboot plan": that shows every difference and every step.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.adopt(cmd.Context(), o, args) },
	}
	f := cmd.Flags()
	f.StringVar(&o.adopt.Config, "config", "", "zoo.cfg of the running server (default "+bootstrap.AdoptConfig+")")
	f.StringVar(&o.adopt.Unit, "unit", "", "systemd unit that runs it (default "+bootstrap.AdoptUnit+")")
	f.StringVar(&o.name, "name", "main", "name of the ensemble in the spec, and of what zkboot puts on the hosts")
	f.StringVarP(&o.file, "out", "o", "", "write the spec to this file, which must not be there yet (default: print it)")
	f.StringVar(&o.identity, "identity-file", "", "private key, put into the spec")
	f.StringVar(&o.knownHosts, "known-hosts", "", "known_hosts file, put into the spec")
	return cmd
}

func (a *app) adopt(ctx context.Context, o adoptOptions, args []string) error {
	look, err := lookSpec(o, args)
	if err != nil {
		return err
	}
	s, err := a.newSession(outputText)
	if err != nil {
		return err
	}
	defer s.close(ctx)
	s.engine.LookOnly = true
	now, _ := s.engine.Look(ctx, look)
	var found recognized
	var report bootstrap.Report
	found.spec, found.as, report = zookeeper.New().Recognize(o.name, o.adopt, now.Hosts)
	s.out.report(report)
	if found.spec == nil {
		return s.end("failed", codeFailed)
	}
	text := specText(o, look, found, now)
	if o.file == "" {
		return s.print(func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return err
		})
	}
	if err := writeNew(o.file, []byte(text)); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "wrote %s: read it, then run `zkboot plan -f %s`\n", o.file, o.file)
	return nil
}

// lookSpec is a spec that is good for looking alone: its hosts have the names that they were
// called by.
func lookSpec(o adoptOptions, args []string) (*bootstrap.Spec, error) {
	s := &bootstrap.Spec{Name: o.name, Hosts: map[string]bootstrap.HostSpec{}, SSH: bootstrap.SSH{KnownHostsFile: resolve(o.knownHosts, ".")},
		Ensemble: &bootstrap.Ensemble{Source: bootstrap.Source{Apt: &bootstrap.AptPackages{}}, Adopt: &o.adopt, Members: map[string]bootstrap.Member{}}}
	if o.identity != "" {
		s.SSH.IdentityFiles = []string{resolve(o.identity, ".")}
	}
	for i, arg := range args {
		h, err := parseLogin(arg)
		if err != nil {
			return nil, err
		}
		if _, twice := s.Hosts[h.Address]; twice {
			return nil, fmt.Errorf("%s is named twice", h.Address)
		}
		s.Hosts[h.Address], s.Ensemble.Members[h.Address] = h, bootstrap.Member{ID: i + 1}
	}
	return s, nil
}

// parseLogin reads [user@]host[:port]; an IPv6 address with a port stands in brackets.
func parseLogin(arg string) (bootstrap.HostSpec, error) {
	var h bootstrap.HostSpec
	rest := arg
	if user, host, named := strings.Cut(arg, "@"); named {
		h.SSH.User, rest = user, host
	}
	if host, port, err := net.SplitHostPort(rest); err == nil {
		if h.SSH.Port, err = strconv.Atoi(port); err != nil || h.SSH.Port < 1 || h.SSH.Port > 65535 {
			return h, fmt.Errorf("want [user@]host[:port], found %q", arg)
		}
		rest = host
	}
	h.Address = strings.Trim(rest, "[]")
	if h.Address == "" || strings.ContainsAny(h.Address, " /@") {
		return h, fmt.Errorf("want [user@]host[:port], found %q", arg)
	}
	return h, nil
}

// specText renders the spec: what was found, with a word on what is not in it.
func specText(o adoptOptions, look *bootstrap.Spec, found recognized, now bootstrap.Site) string {
	var b strings.Builder
	e := found.spec.Ensemble
	is := e.Adopt.WithDefaults()
	names := memberNames(found, now)
	fmt.Fprintf(&b, "# Written by `zkboot adopt` from what runs today (%s, %s). Nothing was changed.\n", is.Config, is.Unit)
	fmt.Fprintf(&b, "name: %s\n", found.spec.Name)
	users := sshUsers(look, found)
	fmt.Fprintf(&b, "ssh: %s\n", flow(
		pair("user", quotedIf(len(users) == 1, users...)), pair("identity_files", list(o.identity)), pair("known_hosts_file", quotedIf(o.knownHosts != "", o.knownHosts))))
	b.WriteString("hosts:\n")
	for _, id := range ids(found.spec) {
		fmt.Fprintf(&b, "  %s: %s\n", names[id], hostText(found.spec.Hosts[id], look.Hosts[found.as[id]], len(users) > 1))
	}
	b.WriteString("ensemble:\n  members:\n")
	for _, id := range ids(found.spec) {
		fmt.Fprintf(&b, "    %s: %s\n", names[id], flow(pair("id", id), pair("role", e.Members[id].Role)))
	}
	writeSource(&b, e.Source)
	writeList(&b, "accept_known_issues", e.AcceptKnownIssues)
	if e.Heap != 0 {
		fmt.Fprintf(&b, "  heap: %s\n", e.Heap)
	}
	writeList(&b, "jvm_flags", e.JVMFlags)
	if ports := flow(port("client", e.Ports.Client), port("quorum", e.Ports.Quorum), port("election", e.Ports.Election), port("admin", e.Ports.Admin)); ports != "{}" {
		fmt.Fprintf(&b, "  ports: %s\n", ports)
	}
	fmt.Fprintf(&b, "  data_dir: %q\n  data_log_dir: %q\n", e.DataDir, e.DataLogDir)
	if len(e.Config) > 0 {
		b.WriteString("  config:\n")
		for _, k := range slices.Sorted(maps.Keys(e.Config)) {
			fmt.Fprintf(&b, "    %s: %q\n", k, e.Config[k])
		}
	}
	fmt.Fprintf(&b, "  adopt: %s\n", flow(pair("config", is.Config), pair("unit", is.Unit)))
	return b.String()
}

// ids lists the server ids in their order.
func ids(s *bootstrap.Spec) []string {
	return slices.SortedFunc(maps.Keys(s.Hosts), func(a, b string) int { return s.Ensemble.Members[a].ID - s.Ensemble.Members[b].ID })
}

// memberNames calls hosts as they call themselves, where that is a name for a spec and
// nobody else's too, and otherwise zk and the server id.
func memberNames(found recognized, now bootstrap.Site) map[string]string {
	short := func(id string) string {
		name, _, _ := strings.Cut(now.Hosts[found.as[id]].Facts.Hostname, ".")
		return strings.ToLower(name)
	}
	count := map[string]int{}
	for id := range found.spec.Hosts {
		count[short(id)]++
	}
	out := map[string]string{}
	for id := range found.spec.Hosts {
		out[id] = short(id)
		if out[id] == "" || count[out[id]] > 1 || out[id] == "localhost" || strings.ContainsAny(out[id], "_ ") {
			out[id] = "zk" + id
		}
	}
	return out
}

// sshUsers lists the users of the hosts that were asked, each once.
func sshUsers(look *bootstrap.Spec, found recognized) []string {
	var out []string
	for _, host := range found.as {
		if user := look.Hosts[host].SSH.User; user != "" {
			out = append(out, user)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// hostText is the address of a host, and how it was reached where that differs.
func hostText(h, asked bootstrap.HostSpec, withUser bool) string {
	ssh := []string{}
	if asked.Address != "" && asked.Address != h.Address {
		ssh = append(ssh, pair("address", asked.Address))
	}
	if withUser {
		ssh = append(ssh, pair("user", asked.SSH.User))
	}
	if way := flow(append(ssh, port("port", asked.SSH.Port))...); way != "{}" {
		return flow(pair("address", strconv.Quote(h.Address)), pair("ssh", way))
	}
	return flow(pair("address", strconv.Quote(h.Address)))
}

func writeSource(b *strings.Builder, src bootstrap.Source) {
	if src.Tarball == nil {
		b.WriteString("  source: {apt: {}}\n")
		return
	}
	fmt.Fprintf(b, "  # The release that runs did not come from apt. Put the sum from the .sha512 file beside the archive here.\n"+
		"  source: {tarball: {url: %q, sha512: %q}}\n", src.Tarball.URL, src.Tarball.SHA512)
}

func writeList(b *strings.Builder, key string, values []string) {
	if len(values) > 0 {
		fmt.Fprintf(b, "  %s: %s\n", key, list(values...))
	}
}

// pair is one key of a flow mapping, "" where there is nothing to say.
func pair(key, value string) string {
	if value == "" {
		return ""
	}
	return key + ": " + value
}

func port(key string, n int) string {
	if n == 0 {
		return ""
	}
	return pair(key, strconv.Itoa(n))
}

func flow(pairs ...string) string {
	return "{" + strings.Join(slices.DeleteFunc(pairs, func(p string) bool { return p == "" }), ", ") + "}"
}

// list is a flow sequence of quoted texts, "" where there is none.
func list(values ...string) string {
	var quoted []string
	for _, v := range values {
		if v != "" {
			quoted = append(quoted, strconv.Quote(v))
		}
	}
	if len(quoted) == 0 {
		return ""
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// quotedIf quotes the first value when there is one to say.
func quotedIf(say bool, values ...string) string {
	if !say || len(values) == 0 || values[0] == "" {
		return ""
	}
	return strconv.Quote(values[0])
}
