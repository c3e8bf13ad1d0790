package main

import "testing"

func TestPulseOf(t *testing.T) {
	p, err := pulseOf(`{"type":"event","kind":"done","step":"connect"}
{"type":"pulse","writes":512,"longest_stall_ms":1240,"lost_acks":0}
{"type":"result","outcome":"restarted","code":0}
`)
	if err != nil || p.Writes != 512 || p.StallMS != 1240 || p.Lost != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	for _, bad := range []string{"", `{"type":"result"}` + "\n", "not JSON\n"} {
		if p, err := pulseOf(bad); err == nil {
			t.Errorf("%q: %+v", bad, p)
		}
	}
}
