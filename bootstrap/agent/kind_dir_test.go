package agent

import (
	"os"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
)

func ownDir(p string) bootstrap.Dir {
	return bootstrap.Dir{Path: p, Mode: 0o750, Owner: "me", Group: "us"}
}

func TestDirIsMadeWithItsParents(t *testing.T) {
	s := newSandbox(t)
	d := ownDir("/var/lib/zookeeper/data")
	s.settle(d)
	d.Mode = 0o2755
	s.settle(d)
	wantEqual(t, s.see("dir:/var/lib/zookeeper").(bootstrap.Dir).Mode, 0o755)
}

func TestDirRemembersWhatItsManifestSays(t *testing.T) {
	s := newSandbox(t)
	d := ownDir("/var/lib/zk")
	s.must(creates(d))
	got := s.see(d.ID(), bootstrap.Entry{ID: d.ID(), Data: true, Contents: true})
	d.Data, d.Contents = true, true
	wantEqual(t, got, bootstrap.Resource(d))
}

func TestDirInPlaceOfSomethingElseIsAnError(t *testing.T) {
	s := newSandbox(t)
	s.put("/srv/zk", "a file")
	wantEqual(t, s.unread("dir:/srv/zk"), "/srv/zk is a regular file, want a directory")
	wantError(t, s.do(creates(ownDir("/srv/zk"))), "/srv/zk is a regular file, want a directory")
	if err := os.Symlink("/etc", s.under("/srv/link")); err != nil {
		t.Fatal(err)
	}
	wantError(t, s.do(creates(ownDir("/srv/link"))), "/srv/link is a symbolic link, want a directory")
}

func TestDirDelete(t *testing.T) {
	const mounted = "36 35 98:0 / /srv/zk rw,noatime - ext4 /dev/vdb rw\n"
	const below = "36 35 98:0 / /srv/zk/log rw,noatime - ext4 /dev/vdb rw\n"
	file := map[string]string{"/srv/zk/log/x": "x", "/srv/zk/lost+found/y": "y"}
	tests := map[string]struct {
		files     map[string]string
		mountinfo string
		dir       bootstrap.Dir
		wipe      bool
		gone      []string
		kept      []string
		note, err string
	}{
		"empty":            {dir: ownDir("/srv/zk"), gone: []string{"/srv/zk"}},
		"not ours inside":  {dir: ownDir("/srv/zk"), files: file, kept: []string{"/srv/zk/log/x"}, note: "left /srv/zk: it is not empty"},
		"contents":         {dir: bootstrap.Dir{Path: "/srv/zk", Contents: true}, files: file, gone: []string{"/srv/zk"}},
		"data":             {dir: bootstrap.Dir{Path: "/srv/zk", Contents: true, Data: true}, files: file, kept: []string{"/srv/zk/log/x"}, note: "left /srv/zk: it is not empty"},
		"data, wiped":      {dir: bootstrap.Dir{Path: "/srv/zk", Data: true}, wipe: true, files: file, gone: []string{"/srv/zk"}},
		"mount point":      {dir: ownDir("/srv/zk"), mountinfo: mounted, kept: []string{"/srv/zk"}, note: "left /srv/zk: it is a mount point"},
		"mounted, wiped":   {dir: ownDir("/srv/zk"), wipe: true, mountinfo: mounted, files: file, gone: []string{"/srv/zk/log"}, kept: []string{"/srv/zk/lost+found/y"}},
		"mounted below":    {dir: ownDir("/srv/zk"), wipe: true, mountinfo: below, files: file, kept: []string{"/srv/zk/log/x"}, err: "/srv/zk/log is mounted below /srv/zk"},
		"system directory": {dir: ownDir("/etc"), wipe: true, kept: []string{"/etc/passwd"}, err: "/etc is a directory of the system and is never deleted"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			s.put("/proc/self/mountinfo", tt.mountinfo)
			if tt.dir.Path != "/etc" {
				s.must(creates(ownDir("/srv/zk")))
			}
			for p, content := range tt.files {
				s.put(p, content)
			}
			step := removes(tt.dir)
			step.Wipe = tt.wipe
			if err := s.do(step); tt.err != "" {
				wantError(t, err, tt.err)
			} else if err != nil {
				t.Fatal(err)
			}
			s.absent(tt.gone...)
			for _, p := range tt.kept {
				if _, err := os.Stat(s.under(p)); err != nil {
					t.Error(err)
				}
			}
			var notes []string
			if tt.note != "" {
				notes = []string{tt.note}
			}
			wantEqual(t, s.notes, notes)
		})
	}
}

func TestDirDeleteDoesNotFollowLinks(t *testing.T) {
	s := newSandbox(t)
	s.put("/etc/keep", "keep")
	s.must(creates(ownDir("/srv/zk")))
	if err := os.Symlink("/etc", s.under("/srv/zk/link")); err != nil {
		t.Fatal(err)
	}
	step := removes(ownDir("/srv/zk"))
	step.Wipe = true
	s.must(step)
	s.absent("/srv/zk")
	wantEqual(t, s.get("/etc/keep"), "keep")
}

func TestDirDeleteSeesMountsBehindLinks(t *testing.T) {
	s := newSandbox(t)
	s.put("/data/zk/log/x", "x")
	s.put("/proc/self/mountinfo", "36 35 98:0 / /data/zk/log rw - ext4 /dev/vdb rw\n")
	if err := os.Symlink("/data", s.under("/srv")); err != nil {
		t.Fatal(err)
	}
	step := removes(ownDir("/srv/zk"))
	step.Wipe = true
	wantError(t, s.do(step), "/data/zk/log is mounted below /srv/zk")
}
