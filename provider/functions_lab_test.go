//go:build lab

package provider

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The examples of the docs call every function in the installed Terraform, without a host.
func TestFunctionsInTerraform(t *testing.T) {
	w := newWorkspace(t, filepath.Join("functions", "connect_string"))
	for name, c := range map[string]struct {
		outputs map[string]string // whole, or the lines that it has where it ends in a line feed
		broken  map[string]string // what to replace, and by what
		says    string
	}{
		"connect_string": {
			outputs: map[string]string{"connect_string": "10.0.0.11:2181,10.0.0.12:2181,[2001:db8::13]:2181", "with_chroot": "10.0.0.11:2181,10.0.0.12:2181/services"},
			broken:  map[string]string{"2001:db8::13": "2001:db8::13:"},
			says:    `Invalid value for "hosts" parameter: hosts["zk3"]: want an IP address or a host name`,
		},
		"known_host": {
			outputs: map[string]string{"known_host": "[203.0.113.11]:2222 " + hostKey},
			broken:  map[string]string{"2222": "0"},
			says:    `Invalid value for "port" parameter: want a port from 1 to 65535, found 0`,
		},
		"sysctl_preset": {
			outputs: map[string]string{"sysctl_d": "net.ipv4.tcp_syncookies = 1\nvm.swappiness = 1\n"},
			broken:  map[string]string{`"zookeeper"`: `"zookeper"`},
			says:    `Invalid value for "name" parameter: unknown preset "zookeper"`,
		},
		"zoo_cfg": {
			outputs: map[string]string{"zoo_cfg": "tickTime=2000\ninitLimit=20\nmaxClientCnxns=200\ndataDir=/var/lib/zookeeper/main\n"},
			broken:  map[string]string{"maxClientCnxns": "maxClientCnxn"},
			says:    `Invalid value for "settings" parameter: settings["maxClientCnxn"]: unknown key "maxClientCnxn"; did you mean "maxClientCnxns"?`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.with(t, filepath.Join("functions", name))
			w.want(t, 0, nil, "init")
			w.want(t, 0, nil, "apply", "-auto-approve")
			for output, text := range c.outputs {
				w.outputs(t, output, text)
			}
			w.want(t, 0, []string{"No changes."}, "plan", "-detailed-exitcode")
			w.replace(t, "function.tf", c.broken)
			out, code := w.run(t, "plan")
			if said := unwrapped(out); code != 1 || !strings.Contains(said, c.says) {
				t.Errorf("with %v: exit code %d, want 1 and %q, found:\n%s", c.broken, code, c.says, out)
			}
		})
	}
}

// A part of an argument that is known after the apply makes a result that is as well.
func TestFunctionsWaitForWhatIsNotKnown(t *testing.T) {
	w := newWorkspace(t, filepath.Join("functions", "connect_string"))
	w.replace(t, "function.tf", map[string]string{`"10.0.0.12" }`: `terraform_data.made.output }`})
	made := filepath.Join(w.dir, "made.tf")
	if err := os.WriteFile(made, []byte("resource \"terraform_data\" \"made\" { input = \"10.0.0.12\" }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.want(t, 0, nil, "init")
	w.want(t, 0, []string{"+ connect_string = (known after apply)"}, "plan")
	w.want(t, 0, nil, "apply", "-auto-approve")
	w.outputs(t, "connect_string", "10.0.0.11:2181,10.0.0.12:2181,[2001:db8::13]:2181")
}

// The examples of the docs plan without a fault; no host is asked for what is not there yet.
func TestExamplesOfTheDocsPlan(t *testing.T) {
	w := newWorkspace(t, "provider")
	for example, args := range map[string][]string{
		"provider":                  nil,
		"resources/zkboot_ensemble": {"-var=zookeeper_sha512=" + strings.Repeat("0f", 64)},
		"resources/zkboot_sidecar":  nil,
	} {
		t.Run(example, func(t *testing.T) {
			w := w.with(t, example)
			w.want(t, 0, nil, "init")
			w.want(t, 0, nil, append([]string{"plan"}, args...)...)
		})
	}
}

// with is a workspace for another example with the same provider.
func (w workspace) with(t *testing.T, example string) workspace {
	t.Helper()
	w.dir = t.TempDir()
	if err := os.CopyFS(w.dir, os.DirFS(filepath.Join("..", "examples", filepath.FromSlash(example)))); err != nil {
		t.Fatal(err)
	}
	return w
}

// replace edits a file of the workspace.
func (w workspace) replace(t *testing.T, file string, by map[string]string) {
	t.Helper()
	file = filepath.Join(w.dir, file)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for was, is := range by {
		if !strings.Contains(text, was) {
			t.Fatalf("this proves nothing: %s has no %q:\n%s", file, was, text)
		}
		text = strings.ReplaceAll(text, was, is)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// outputs expects an output value, or, where want ends in a line feed, its lines in one.
func (w workspace) outputs(t *testing.T, name, want string) {
	t.Helper()
	var got string
	if out := w.want(t, 0, nil, "output", "-json", name); json.Unmarshal([]byte(out), &got) != nil {
		t.Fatalf("output %s is no text: %s", name, out)
	}
	lines, many := strings.CutSuffix(want, "\n")
	if !many && got != want {
		t.Errorf("output %s is %q, want %q", name, got, want)
	}
	for line := range strings.SplitSeq(lines, "\n") {
		if many && !strings.Contains("\n"+got, "\n"+line+"\n") {
			t.Errorf("output %s has no line %q:\n%s", name, line, got)
		}
	}
}

// unwrapped is what Terraform printed, without the frame and the line breaks of its errors.
func unwrapped(out string) string {
	return strings.Join(strings.Fields(strings.NewReplacer("│", " ", "╷", " ", "╵", " ").Replace(out)), " ")
}
