package drill

import (
	"errors"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/bootstraptest"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

func find(t *testing.T, name string) Fault {
	t.Helper()
	f, err := Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestHandOfAnyHost(t *testing.T) {
	s := testSpec(3)
	unit := bootstrap.Unit{Name: zookeeper.UnitOf(s).Name(), Content: "x", Enabled: true, Running: true, Rev: "aa"}
	m := bootstraptest.New(bootstrap.Facts{})
	other := bootstraptest.New(bootstrap.Facts{}, unit)
	h := other.Open()
	if err := h.Lock(t.Context(), "me"); err != nil {
		t.Fatal(err)
	}
	hand := OnHosts(s)(bootstrap.Hosts{"zk1": m.Open(), "zk2": h})
	for _, tt := range []struct {
		fault, victim string
		is            error
		says          string
	}{
		{"kill-leader", "zk2", nil, ""},
		{"restart-leader", "zk2", nil, ""},
		{"kill-leader", "zk1", nil, "zk1: expected zookeeper-main.service to run, found that it does not"},
		{"kill-leader", "zk3", bootstrap.ErrUnreachable, "zk3"},
		{"pause-leader", "zk2", bootstrap.ErrRefused, "which only a lab allows"},
		{"power-cut-all", "zk2", bootstrap.ErrRefused, "which only a lab allows"},
	} {
		err := hand.Do(t.Context(), find(t, tt.fault), []string{tt.victim})
		if (err == nil) != (tt.says == "") || err != nil && (!strings.Contains(err.Error(), tt.says) || tt.is != nil && !errors.Is(err, tt.is)) {
			t.Errorf("%s on %s: %v", tt.fault, tt.victim, err)
		}
	}
	var did []bootstrap.Action
	for _, st := range other.Applied() {
		did = append(did, st.Action)
		if st.Owner != "main.zookeeper" {
			t.Errorf("%s by %q", st, st.Owner)
		}
	}
	if len(did) != 2 || did[0] != bootstrap.ActionKill || did[1] != bootstrap.ActionRestart {
		t.Errorf("did %v", did)
	}
}

func TestHandNeedsTheLock(t *testing.T) {
	s := testSpec(3)
	m := bootstraptest.New(bootstrap.Facts{}, bootstrap.Unit{Name: zookeeper.UnitOf(s).Name(), Content: "x", Running: true})
	err := OnHosts(s)(bootstrap.Hosts{"zk1": m.Open()}).Do(t.Context(), find(t, "kill-leader"), []string{"zk1"})
	if !errors.Is(err, bootstrap.ErrLocked) {
		t.Errorf("%v", err)
	}
}
