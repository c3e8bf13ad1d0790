package sysctl

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseUnitLimits(t *testing.T) {
	tests := []struct {
		name, data string
		want       []Limit
		wantErr    string
	}{
		{"last assignment wins, other keys are skipped",
			"[Service]\nUser=zookeeper\nLimitNOFILE=1\nTasksMax = infinity\nLimitNOFILE=65536:524288\n#LimitCORE=5\n",
			[]Limit{{Name: LimitNoFile, Soft: 65536, Hard: 524288}, {Name: LimitTasks, Soft: Infinity, Hard: Infinity}}, ""},
		{"every fault with its line", "LimitMEMLOCK=8M\nTasksMax=1:2\nLimitNPROC=\nLimitCORE=0",
			nil, `line 1: limit "8M" is neither a whole number nor infinity` + "\nline 2: TasksMax takes one value\n" +
				`line 3: limit "" is neither a whole number nor infinity`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseUnitLimits([]byte(tt.data))
			if diff := cmp.Diff(tt.want, got); diff != "" || errText(err) != tt.wantErr {
				t.Errorf("error %v, want %s (-want +got):\n%s", err, tt.wantErr, diff)
			}
		})
	}
}

func TestParseLimitsD(t *testing.T) {
	data := "# c\n* - nofile 1\nzk soft nofile 10 # why\nzk hard nofile 20\nzk - core unlimited\n" +
		"zk hard memlock 8\nzk - priority 5\nzk - tasks 5\n@zk - nproc 7\n"
	want := []Limit{
		{Name: LimitCore, Soft: Infinity, Hard: Infinity},
		{Name: LimitMemLock, Soft: Infinity, Hard: 8192},
		{Name: LimitNoFile, Soft: 10, Hard: 20},
	}
	got, err := ParseLimitsD([]byte(data), "zk")
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	_, err = ParseLimitsD([]byte("zk - nofile many\nzk firm nproc 5\n"), "zk")
	if errText(err) != `line 1: limit "many" is neither a whole number nor infinity`+"\n"+`line 2: type "firm" is none of soft, hard and -` {
		t.Errorf("got %v", err)
	}
}

func TestParseProcLimits(t *testing.T) {
	data := `Limit                     Soft Limit           Hard Limit           Units
Max cpu time              unlimited            unlimited            seconds
Max core file size        0                    unlimited            bytes
Max processes             96365                96365                processes
Max open files            65536                524288               files
Max nice priority         0                    0
`
	want := []Limit{
		{Name: LimitCore, Soft: 0, Hard: Infinity},
		{Name: LimitNoFile, Soft: 65536, Hard: 524288},
		{Name: LimitNProc, Soft: 96365, Hard: 96365},
	}
	got, err := ParseProcLimits([]byte(data))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	_, err = ParseProcLimits([]byte("Max open files 5\nMax processes x y\n"))
	if errText(err) != `line 1: "Max open files 5" has no soft and hard value`+"\n"+`line 2: limit "x" is neither a whole number nor infinity` {
		t.Errorf("got %v", err)
	}
}

func FuzzParseUnitLimits(f *testing.F) {
	f.Add([]byte("[Service]\nLimitNOFILE=65536:524288\nTasksMax=8192\nLimitCORE=infinity"))
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := ParseUnitLimits(data)
		if err != nil && first != nil {
			t.Errorf("limits %v along with %v", first, err)
		}
		again, err := ParseUnitLimits(RenderUnitLimits("fuzz", first))
		if err != nil || !cmp.Equal(first, again) {
			t.Errorf("reads back otherwise: %v\n%s", err, cmp.Diff(first, again))
		}
	})
}

func FuzzParseLimitsD(f *testing.F) {
	f.Add([]byte("zk - nofile 65536\nzk soft core 0\nzk hard memlock unlimited\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := ParseLimitsD(data, "zk")
		if err != nil && first != nil {
			t.Errorf("limits %v along with %v", first, err)
		}
		again, err := ParseLimitsD(RenderLimitsD("fuzz", "zk", first), "zk")
		if err != nil || !cmp.Equal(first, again) {
			t.Errorf("reads back otherwise: %v\n%s", err, cmp.Diff(first, again))
		}
	})
}

func FuzzParseProcLimits(f *testing.F) {
	f.Add([]byte("Max open files            65536                524288               files\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		limits, err := ParseProcLimits(data)
		if err != nil && limits != nil {
			t.Errorf("limits %v along with %v", limits, err)
		}
		again, err := ParseUnitLimits(RenderUnitLimits("fuzz", limits))
		if err != nil || !cmp.Equal(limits, again) {
			t.Errorf("as a unit they read otherwise: %v\n%s", err, cmp.Diff(limits, again))
		}
	})
}
