package lab

import (
	"slices"
	"testing"
)

func TestParseStatus(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		parent     int
		nspid      []int
		ok         bool
	}{
		{"host's PID 1", "Name:\tsystemd\nPPid:\t22705\nNSpid:\t22707\t16\t1\n", 22705, []int{22707, 16, 1}, true},
		{"kernel thread", "Name:\tkthreadd\nPPid:\t0\nNSpid:\t2\n", 0, []int{2}, false},
		{"before Linux 4.1", "Name:\tsh\nPPid:\t7\n", 7, nil, false},
		{"not a number", "PPid:\t7\nNSpid:\tx\n", 7, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st, ok := parseStatus(22707, tt.text)
			if ok != tt.ok || ok && (st.pid != 22707 || st.parent != tt.parent || !slices.Equal(st.nspid, tt.nspid)) {
				t.Errorf("got %+v, %v", st, ok)
			}
		})
	}
}
