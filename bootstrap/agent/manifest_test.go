package agent

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
)

const goodManifest = `{"format":1,"owner":"main.zookeeper","cluster":"c","entries":[` +
	`{"id":"dir:/a","hash":"","before":null,"data":true},` +
	`{"id":"package:x","hash":"h","before":{"kind":"package","is":{"name":"x","version":"1"}}}]}`

func TestManifestsThatAreRefused(t *testing.T) {
	if _, err := decodeManifest("main.zookeeper", []byte(goodManifest)); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, replace, with, want string }{
		{"newer format", `"format":1`, `"format":2`, "format 2 is unknown"},
		{"no format", `"format":1,`, ``, "format 0 is unknown"},
		{"unknown field", `"cluster":"c"`, `"cluster":"c","lease":1`, `unknown field "lease"`},
		{"unknown entry field", `"hash":"h"`, `"hash":"h","pinned":true`, `unknown field "pinned"`},
		{"unknown kind", `"kind":"package"`, `"kind":"vm"`, `unknown kind "vm"`},
		{"owner of another file", `"owner":"main.zookeeper"`, `"owner":"main.sidecar"`, `belongs to "main.sidecar"`},
		{"twice", `package:x`, `dir:/a`, "dir:/a is not in order or there twice"},
		{"before of another thing", `"name":"x"`, `"name":"y"`, "package:x was package:y before"},
		{"cut off", `"version":"1"}}}]}`, `"versi`, "unexpected"},
		{"two documents", `}}}]}`, `}}}]}{}`, "after top-level value"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := decodeManifest("main.zookeeper", []byte(strings.Replace(goodManifest, tc.replace, tc.with, 1)))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("want %q, got %v", tc.want, err)
			}
		})
	}
}

func FuzzDecodeManifest(f *testing.F) {
	f.Add([]byte(goodManifest))
	f.Add([]byte(`{"format":1}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := decodeManifest("main.zookeeper", in)
		if err != nil {
			return
		}
		out, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeManifest("main.zookeeper", out)
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Errorf("%s became %s (%v)", in, out, err)
		}
	})
}

func TestManifestsOnDisk(t *testing.T) {
	root := t.TempDir()
	s := newStore(root)
	m, err := decodeManifest("main.zookeeper", []byte(goodManifest))
	if err != nil {
		t.Fatal(err)
	}
	other := m
	other.Owner = "main.sidecar"
	for _, m := range []bootstrap.Manifest{m, other} {
		if err := s.save(m); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(root, "etc/zkboot/manifest.d/main.zookeeper.json")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("want mode 0600, got %v, %v", info, err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("want mode 0700, got %v, %v", info, err)
	}
	// What a write that was cut off leaves behind is not read, and goes with the rest.
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), ".main.zookeeper.json123"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := s.load()
	if want := (manifests{"main.zookeeper": m, "main.sidecar": other}); err != nil || !reflect.DeepEqual(all, want) {
		t.Errorf("want %+v, got %+v, %v", want, all, err)
	}
	m.Entries, other.Entries = nil, nil
	if err := s.save(m); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("a manifest without entries stays: %v", err)
	}
	if err := s.save(other); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(filepath.Join(root, "etc")); len(left) > 0 {
		t.Errorf("%s is left in /etc", left[0].Name())
	}
}

func TestAnUnreadableManifestStopsEverything(t *testing.T) {
	root := t.TempDir()
	h := newTestHost(t, root, newFakeThings())
	path := filepath.Join(root, "etc/zkboot/manifest.d/main.zookeeper.json")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(`{"format":9}`), 0o600); err != nil {
		t.Fatal(err)
	}
	locked(t, h)
	_, _, lookErr := h.Look(t.Context())
	changeErr := h.Change(t.Context(), createStep("/etc/a"))
	for _, err := range []error{lookErr, changeErr} {
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "format 9 is unknown") {
			t.Errorf("want an error that names %s and its format, got %v", path, err)
		}
	}
}

func TestManifestsAreReadable(t *testing.T) {
	root := t.TempDir()
	m, err := decodeManifest("main.zookeeper", []byte(goodManifest))
	if err != nil {
		t.Fatal(err)
	}
	if err := newStore(root).save(m); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, "etc/zkboot/manifest.d/main.zookeeper.json"))
	if err != nil || !bytes.Contains(b, []byte("\n      \"id\": \"package:x\",\n")) {
		t.Errorf("want indented JSON, got %s, %v", b, err)
	}
}
