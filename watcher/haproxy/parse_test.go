package haproxy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// What 2.6.12-1+deb12u4 and 3.0.11-1+deb13u3 answered.
const realState = `1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port
3 zkwatch-a 1 s1 127.0.0.1 0 8 10 10 37 8 2 0 6 0 0 1 - 18001 - 0 0 - - 0
3 zkwatch-a 2 s2 127.0.0.1 0 0 0 0 40 8 2 0 6 0 0 1 - 18002 - 0 0 - - 0
3 zkwatch-a 3 s3 ::1 2 4 9 1 33 6 3 4 6 0 0 1 - 18003 - 0 0 - - 0
3 zkwatch-a 4 s4 127.0.0.1 0 5 1 1 40 1 0 0 14 0 0 1 - 1 - 0 0 - - 0
3 zkwatch-a 100001 x1 127.0.0.1 0 0 10 10 5 4 1 0 6 0 0 1 - 18002 - 0 0 - - 0
4 other 1 web1 - 2 0 1 1 40 1 0 0 14 0 0 1 web.example.net 80 - 0 0 - - 0

`

func TestServersStateIsReadAsHAProxyWritesIt(t *testing.T) {
	var got []row
	for r, err := range parseState(realState) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	ap := netip.MustParseAddrPort
	want := []row{
		{backend: "zkwatch-a", server: server{name: "s1", id: 1, addr: ap("127.0.0.1:18001"), admin: drain, weight: 10, down: true, since: 37}},
		{backend: "zkwatch-a", server: server{name: "s2", id: 2, addr: ap("127.0.0.1:18002"), admin: ready, weight: 0, down: true, since: 40}},
		// 0x04 alone says only that the file had it disabled.
		{backend: "zkwatch-a", server: server{name: "s3", id: 3, addr: ap("[::1]:18003"), admin: ready, weight: 9, since: 33}, checked: true},
		{backend: "zkwatch-a", server: server{name: "s4", id: 4, addr: ap("127.0.0.1:1"), admin: maint, weight: 1, since: 40}, checked: true},
		{backend: "zkwatch-a", server: server{name: "x1", id: 100001, addr: ap("127.0.0.1:18002"), admin: ready, weight: 10, down: true, since: 5}, checked: true, hana: true},
		{backend: "other", server: server{name: "web1", id: 1, admin: ready, weight: 1, since: 40}, checked: true},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(row{}, server{}), cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestStateThatIsNotUnderstoodIsAnError(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"another version", strings.Replace(realState, "1\n", "2\n", 1), "expected version 1"},
		{"other columns", strings.Replace(realState, "srv_admin_state ", "", 1), "expected version 1"},
		{"a short line", strings.Replace(realState, " 8 10 10 37 8 2 0 6 0 0 1 - 18001 - 0 0 - - 0", "", 1), "19 columns"},
		{"no number", strings.Replace(realState, " 8 10 10", " 8 ten 10", 1), "no number"},
		{"no backend", "Can't find backend.\n", "expected version 1"},
		{"nothing", "", "expected version 1"},
	}
	for _, test := range tests {
		var err error
		for _, e := range parseState(test.text) {
			err = e
			if e != nil {
				break
			}
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", test.name, err, test.want)
		}
	}
}

func TestConnectionsAreReadByColumn(t *testing.T) {
	got, err := parseConns("zkwatch-a", `# pxname,svname,qcur,qmax,scur,smax,addr,used_conn_cur,need_conn_est,
zkwatch-a:in,FRONTEND,,,7,0,,,,
zkwatch-a,s1,0,0,0,2,127.0.0.1:18003,4,2,
zkwatch-a,s2,0,0,3,1,[::1]:18002,0,0,
zkwatch-a,s3,0,0,0,1,127.0.0.1:1,0,0,

`)
	ap := netip.MustParseAddrPort
	want := []conns{{"s1", ap("127.0.0.1:18003"), 4}, {"s2", ap("[::1]:18002"), 3}, {"s3", ap("127.0.0.1:1"), 0}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "No such proxy.\n", "# pxname,svname,scur,addr,\nzkwatch-a,s1,0,127.0.0.1:1,\n",
		"# pxname,svname,scur,used_conn_cur,addr,\nzkwatch-a,s1,0\n", "# pxname,svname,scur,used_conn_cur,addr,\nzkwatch-a,s1,many,0,127.0.0.1:1,\n"} {
		if got, err := parseConns("zkwatch-a", bad); err == nil {
			t.Errorf("%q was read as %+v", bad, got)
		}
	}
}

func TestAnswersAreAcceptedWordByWord(t *testing.T) {
	addr := netip.MustParseAddrPort("10.0.0.1:18003")
	tests := []struct {
		want answer
		got  string
		ok   bool
	}{
		{answerNone, "", true},
		{answerNone, "No such server.\n", false},
		{answerNone, "Proxy is disabled.\n", false},
		{answerNone, " ", false},
		{answerAddr, "IP changed from '::1' to '10.0.0.1', no need to change the port by 'stats socket command'\n", true},
		{answerAddr, "no need to change the addr, port changed from '1' to '18003' by 'stats socket command'\n", true},
		{answerAddr, "no need to change the addr, no need to change the port by 'stats socket command'\n", true},
		{answerAddr, "IP changed from '127.0.0.1' to '10.0.0.1', port changed from '18003' to '18003' by 'stats socket command'\n", true},
		{answerAddr, "port changed from '1' to '18003' by 'stats socket command'\n", true}, // 3.0
		{answerAddr, "nothing changed\n", true}, // 3.0
		{answerAddr, "", false},
		{answerAddr, "IP changed from '::1' to '10.0.0.2', no need to change the port by 'stats socket command'\n", false},
		{answerAddr, "IP changed from '::1' to '10.0.0.1', port changed from '1' to '180031' by 'stats socket command'\n", false},
		{answerAddr, "IP changed from '::1' to '10.0.0.1', no need to change the port by 'somebody'\n", false},
		{answerAddr, "Invalid addr 'foo' by 'stats socket command'\n", false},
		{answerNew, "New server registered.\n", true},
		{answerNew, "Already exists a server with the same name in backend.\n", false},
		{answerNew, "", false},
		{answerAnyText, "anything at all\n", true},
		{answerAnyText, "Unknown command, but maybe one of the following ones is a better match:\n", false},
		{answerAnyText, "Permission denied\n", false},
	}
	for _, test := range tests {
		err := (command{text: "c", want: test.want, addr: addr}).check(test.got)
		if (err == nil) != test.ok {
			t.Errorf("kind %d, %q: error %v, want accepted %v", test.want, test.got, err, test.ok)
		}
	}
}

func TestProcessesAreReadAsTheMasterListsThem(t *testing.T) {
	got, err := parseProcs(`#<PID>          <type>          <reloads>       <uptime>        <version>      
12418           master          3 [failed: 2]   0d00h03m08s     2.6.12-1+deb12u4
# workers
12621           worker          1               0d00h02m29s     2.6.12-1+deb12u4
# old workers
12421           worker          2               0d00h00m40s     2.6.12-1+deb12u4
12419           worker          3               0d00h00m40s     2.6.12-1+deb12u4
# programs

`)
	want := procs{reloads: 3, failed: 2, worker: 12621, old: []oldWorker{{12421, 2}, {12419, 3}}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(procs{}, oldWorker{})); err != nil || diff != "" {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	for _, bad := range []string{"", "Unknown command\n", "1 master many\n"} {
		if got, err := parseProcs(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, got)
		}
	}
}

func TestVersions(t *testing.T) {
	tests := []struct {
		text   string
		want   version
		tooOld bool
	}{
		{"2.6.12-1+deb12u4", version{2, 6, 12}, false}, {"3.0.11-1+deb13u3", version{3, 0, 11}, false}, {"2.8.5-1ubuntu3.4", version{2, 8, 5}, false},
		{"3.1-dev2", version{3, 1, 0}, false}, {"2.4.22-f8e3218", version{2, 4, 22}, true}, {"1.8.30", version{1, 8, 30}, true},
	}
	for _, test := range tests {
		got, err := parseVersion(test.text)
		if err != nil || got != test.want || got.before(oldest) != test.tooOld {
			t.Errorf("%s is %v (too old: %v), %v; want %v (%v)", test.text, got, got.before(oldest), err, test.want, test.tooOld)
		}
	}
	for _, bad := range []string{"", "2", "2.x", "two.six", "2.6.12.1.3", "-1.2"} {
		if v, err := parseVersion(bad); err == nil {
			t.Errorf("%q was read as %v", bad, v)
		}
	}
}

func TestSessionsOfTheCLIAreLeftOut(t *testing.T) {
	got := parseSessions(`0x55f2a3bc1d40: proto=tcpv4 src=127.0.0.1:51580 fe=zkwatch-a be=zkwatch-a srv=s1 ts=00 epoch=0 age=1s calls=2
0x55f2a3cf7a80: proto=sockpair src=unix:2 fe=GLOBAL be=<NONE> srv=<none> ts=00 epoch=0 age=0s calls=1
0x7f95a0038110: proto=tcpv4 src=127.0.0.1:51582 fe=web be=web srv=w1 ts=00 epoch=0 age=1s calls=2

`)
	if want := []string{"0x55f2a3bc1d40", "0x7f95a0038110"}; !slices.Equal(got, want) {
		t.Errorf("sessions %q, want %q", got, want)
	}
}

func FuzzParsersNeverPanic(f *testing.F) {
	f.Add(realState)
	f.Add("# pxname,svname,scur,used_conn_cur,addr,\nzkwatch-a,s1,0,0,127.0.0.1:1,\n")
	f.Add("# pxname,svname,act,\nzkwatch-a,BACKEND,3,\n")
	f.Fuzz(func(t *testing.T, text string) {
		for r, err := range parseState(text) {
			if err == nil && r.server.weight < 0 && !strings.Contains(text, "-") {
				t.Errorf("a weight of %d from %q", r.server.weight, text)
			}
		}
		_, _ = parseConns("zkwatch-a", text)
		_, _ = parseActive(text)
		_, _ = parseInfo(text)
		_, _ = parseProcs(text)
		_ = parseSessions(text)
		if d, slots, ok := parseDocument([]byte(text)); ok && string(d.render(from(slots))) != text {
			t.Errorf("%q is taken for a file of ours, and is written as %q", text, d.render(from(slots)))
		}
	})
}
