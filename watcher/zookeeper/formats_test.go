package zookeeper

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

func TestDecode(t *testing.T) {
	many := map[string]string{}
	for i := range maxLabels + 1 {
		many[fmt.Sprint(i)] = ""
	}
	tooMany, err := json.Marshal(map[string]any{"labels": many})
	if err != nil {
		t.Fatal(err)
	}
	plain := func(id, host string, port int) watcher.Instance {
		return watcher.Instance{ID: id, Host: host, Port: port, Weight: 1}
	}
	tests := []struct {
		name, format, child, data string
		want                      watcher.Instance
		bad, absent               string // the beginning of why
	}{
		{name: "a name alone", child: "10.0.0.1:80", want: plain("10.0.0.1:80", "10.0.0.1", 80)},
		{name: "a host name", child: "Web1.Example.net:8080", want: plain("Web1.Example.net:8080", "web1.example.net", 8080)},
		{name: "IPv6", child: "[2001:DB8:0::1]:80", want: plain("[2001:DB8:0::1]:80", "2001:db8::1", 80)},
		{name: "IPv4 written as IPv6", child: "[::ffff:10.0.0.1]:80", want: plain("[::ffff:10.0.0.1]:80", "10.0.0.1", 80)},
		{name: "all of it", child: "10.0.0.1:80", data: `{"host":"10.0.0.1","port":80,"name":"web1","weight":7,"labels":{"v":"2"},"zone":"z1","state":"draining"}`,
			want: watcher.Instance{ID: "10.0.0.1:80", Host: "10.0.0.1", Port: 80, Name: "web1", Weight: 7, Labels: map[string]string{"v": "2"}, Zone: "z1", Draining: true}},
		{name: "a name that is no address", child: "i-1", data: `{"host":"10.0.0.1","port":80}`, want: plain("i-1", "10.0.0.1", 80)},
		{name: "weight 0", child: "10.0.0.1:80", data: `{"weight":0}`, want: watcher.Instance{ID: "10.0.0.1:80", Host: "10.0.0.1", Port: 80}},
		{name: "unknown words", child: "10.0.0.1:80", data: ` {"state":"up","owner":{"a":1}} `, want: plain("10.0.0.1:80", "10.0.0.1", 80)},
		{name: "nerve", format: config.Nerve, child: "i-1_0000000012", data: `{"host":"10.0.0.1","port":3000,"name":"i-1","weight":10,"haproxy_server_options":"cookie x","labels":{"az":"a"}}`,
			want: watcher.Instance{ID: "10.0.0.1:3000", Host: "10.0.0.1", Port: 3000, Name: "i-1", Weight: 10, Labels: map[string]string{"az": "a"}}},
		{name: "nerve with its path encoding", format: config.Nerve, child: "base64_30_eyJob3N0IjoiMTAuMC4wLjEiLCJwb3J0IjozMDAwfQ==_0000000012", data: `{"host":"10.0.0.1","port":3000}`,
			want: plain("10.0.0.1:3000", "10.0.0.1", 3000)},
		{name: "go-nerve", format: config.Nerve, child: "_c_0123456789abcdef0123456789abcdef-i-1_0000000012", data: `{"available":true,"host":"10.0.0.1","port":80,"weight":255}`,
			want: watcher.Instance{ID: "10.0.0.1:80", Host: "10.0.0.1", Port: 80, Weight: 255}},
		{name: "go-nerve, not available", format: config.Nerve, child: "x_0000000012", data: `{"available":false,"unavailable_reason":"503\n","host":"10.0.0.1","port":80}`,
			absent: "it says that it is not available: 503?"},
		{name: "no address", child: "web1", bad: "the name is not host:port and there is no data"},
		{name: "no address anywhere", child: "web1", data: `{}`, bad: "neither the name nor the data has host and port"},
		{name: "port 0", child: "10.0.0.1:0", bad: "the name is not host:port"},
		{name: "port 70000", child: "10.0.0.1:70000", bad: "the name is not host:port"},
		{name: "port 70000 in the data", child: "i", data: `{"host":"10.0.0.1","port":70000}`, bad: "port 70000 is not between 1 and 65535"},
		{name: "IPv6 without brackets", child: "2001:db8::1:80", bad: "the name is not host:port"},
		{name: "brackets around IPv4", child: "[10.0.0.1]:80", bad: "the name is not host:port"},
		{name: "every address", child: "0.0.0.0:80", bad: "the name is not host:port"},
		{name: "a zone of one host", child: "[fe80::1%eth0]:80", bad: "the name is not host:port"},
		{name: "a number for a name", child: "010.0.0.1:80", bad: "the name is not host:port"},
		{name: "a space in a host", child: "web 1:80", bad: "the name is not host:port"},
		{name: "HAProxy's syntax for a host", child: "unix@x:80", bad: "the name is not host:port"},
		{name: "a control character", child: "web1\n:80", bad: "the name has characters that cannot be printed"},
		{name: "name and data disagree", child: "10.0.0.1:80", data: `{"host":"10.0.0.2","port":80}`, bad: "the name says 10.0.0.1:80 and the data says 10.0.0.2:80"},
		{name: "host without port", child: "i", data: `{"host":"10.0.0.1"}`, bad: "the data has one of host and port, or none; both are needed"},
		{name: "half JSON", child: "10.0.0.1:80", data: `{"weight":5`, bad: "the data is no JSON of an instance: unexpected end"},
		{name: "no object", child: "10.0.0.1:80", data: `[1]`, bad: `the data is no JSON object: "[1]"`},
		{name: "blanks", child: "10.0.0.1:80", data: "  \n", bad: `the data is no JSON object: ""`},
		{name: "a binary value", child: "10.0.0.1:80", data: "\xff\x00", bad: "the data is not UTF-8"},
		{name: "a port that is text", child: "i", data: `{"host":"10.0.0.1","port":"80"}`, bad: "the data is no JSON of an instance"},
		{name: "a negative weight", child: "10.0.0.1:80", data: `{"weight":-1}`, bad: "weight -1 is not between 0 and 256"},
		{name: "a great weight", child: "10.0.0.1:80", data: `{"weight":257}`, bad: "weight 257 is not between 0 and 256"},
		{name: "half a weight", child: "10.0.0.1:80", data: `{"weight":1.5}`, bad: "the data is no JSON of an instance"},
		{name: "labels that are no texts", child: "10.0.0.1:80", data: `{"labels":{"a":1}}`, bad: "the data is no JSON of an instance"},
		{name: "too many labels", child: "10.0.0.1:80", data: string(tooMany), bad: "65 labels, more than 64"},
		{name: "a line end in a label", child: "10.0.0.1:80", data: `{"labels":{"a":"b\nserver evil"}}`, bad: "a label is longer than 256 bytes or has"},
		{name: "a line end in a zone", child: "10.0.0.1:80", data: `{"zone":"a\r\n"}`, bad: "the zone is longer than 256 bytes or has"},
		{name: "a long name", child: "10.0.0.1:80", data: `{"name":"` + strings.Repeat("x", 257) + `"}`, bad: "the name is longer than 256 bytes or has"},
		{name: "a megabyte", child: "10.0.0.1:80", data: strings.Repeat(" ", 1<<20), bad: "1048576 bytes of data, more than 65536"},
		{name: "nerve without data", format: config.Nerve, child: "x_0000000012", bad: "there is no data"},
		{name: "nerve without port", format: config.Nerve, child: "x_0000000012", data: `{"host":"10.0.0.1"}`, bad: "the data has one of host and port"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := decode(test.format, test.child, []byte(test.data))
			why := test.bad + test.absent
			if got.bad != (test.bad != "") || got.absent != (test.absent != "") || !strings.HasPrefix(got.why, why) || (got.why == "") != (why == "") {
				t.Fatalf("bad %t, absent %t, %q; want bad %q, absent %q", got.bad, got.absent, got.why, test.bad, test.absent)
			}
			if diff := cmp.Diff(test.want, got.instance); diff != "" && why == "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOptionsForAProxyAreSeenAndIgnored(t *testing.T) {
	for data, want := range map[string]bool{
		`{"host":"h","port":1,"haproxy_server_options":"check inter 1"}`: true, `{"host":"h","port":1,"haproxy_server_options":null}`: false, `{"host":"h","port":1}`: false,
	} {
		if e := decode(config.Nerve, "x_0000000001", []byte(data)); e.bad || e.options != want {
			t.Errorf("%s: %+v, want options %t", data, e, want)
		}
	}
}

// FuzzDecode: whatever a registry holds, what comes out of it is safe to hand on.
func FuzzDecode(f *testing.F) {
	f.Add("10.0.0.1:80", []byte(nil))
	f.Add("[::1]:80", []byte(`{"weight":3,"labels":{"a":"b"},"state":"draining"}`))
	f.Add("i_0000000001", []byte(`{"host":"a.b","port":1,"available":false,"unavailable_reason":"x"}`))
	f.Add("x", []byte(`{"host":"h\n","port":1e1,"zone":"\u0000","haproxy_server_options":{}}`))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		for _, format := range []string{config.Plain, config.Nerve} {
			e := decode(format, name, data)
			if strings.ContainsFunc(e.why, unicode.IsControl) || len(e.why) > 1000 {
				t.Errorf("the reason cannot be shown: %q", e.why)
			}
			if e.bad || e.absent {
				if e.why == "" {
					t.Error("left out without a reason")
				}
				continue
			}
			i := e.instance
			host, err := canonical(i.Host)
			if err != nil || host != i.Host || strings.ContainsAny(i.Host, " \t\"'\\#;@/") {
				t.Errorf("host %q: %v", i.Host, err)
			}
			if i.Port < 1 || i.Port > math.MaxUint16 || i.Weight < 0 || i.Weight > watcher.MaxWeight || i.ID == "" {
				t.Errorf("instance %+v", i)
			}
			texts := []string{i.ID, i.Name, i.Zone}
			for k, v := range i.Labels {
				texts = append(texts, k, v)
			}
			for _, s := range texts {
				if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\ufeff' }) {
					t.Errorf("text %q", s)
				}
			}
		}
	})
}

// What is announced is read back as it was, in both layouts.
func TestEncodeAndDecodeAgree(t *testing.T) {
	text := rapid.StringMatching(`[a-zA-Z0-9 äß._-]{0,20}`)
	rapid.Check(t, func(t *rapid.T) {
		i := watcher.Instance{
			Host: rapid.SampledFrom([]string{"10.0.0.1", "2001:db8::1", "web1.example.net", "WEB_2"}).Draw(t, "host"), Port: rapid.IntRange(1, 65535).Draw(t, "port"),
			Name: text.Draw(t, "name"), Weight: rapid.IntRange(0, watcher.MaxWeight).Draw(t, "weight"), Zone: text.Draw(t, "zone"),
			Labels: rapid.MapOfN(text, text, 0, 4).Draw(t, "labels"), Draining: rapid.Bool().Draw(t, "draining"),
		}
		format := rapid.SampledFrom([]string{config.Plain, config.Nerve}).Draw(t, "format")
		name, data, err := encode(format, i)
		if err != nil {
			t.Fatalf("encode: %v", err)
		}
		child := name
		if format == config.Nerve {
			child += "_0000000007"
		}
		e := decode(format, child, data)
		if e.bad || e.absent {
			t.Fatalf("%s %q: %s", child, data, e.why)
		}
		want := i
		want.ID, want.Host = name, strings.ToLower(i.Host)
		if len(want.Labels) == 0 {
			want.Labels = nil
		}
		if format == config.Nerve && i.Draining {
			want.Weight = 0 // what readers of nerve know of draining
		}
		if diff := cmp.Diff(want, e.instance); diff != "" {
			t.Errorf("%s %q (-want +got):\n%s", child, data, diff)
		}
	})
}

func TestPlainDataIsEmptyWhenThereIsNothingToSay(t *testing.T) {
	name, data, err := encode(config.Plain, watcher.Instance{Host: "10.0.0.1", Port: 80, Weight: 1})
	if name != "10.0.0.1:80" || len(data) != 0 || err != nil {
		t.Errorf("%q %q %v", name, data, err)
	}
}
