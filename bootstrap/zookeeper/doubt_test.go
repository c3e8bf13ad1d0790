package zookeeper

import "testing"

func TestDoubt(t *testing.T) {
	for _, tt := range []struct {
		name, version                 string
		errors, elections, mismatches string
		want                          string
	}{
		{"nothing", "3.9.6", "0", "1", "0", ""},
		{"no figures", "3.9.6", "", "", "", ""},
		{"a mismatch", "3.9.6", "0", "1", "3", "zk_digest_mismatches_count=3"},
		{"an error since it began to follow", "3.9.6", "1", "1", "0", "zk_unrecoverable_error_count=1"},
		{"an error, and one leader was lost", "3.9.6", "1", "2", "0", ""},
		{"more errors than leaders were lost", "3.9.6", "3", "2", "0", "zk_unrecoverable_error_count=2"},
		{"how often it elected is not told", "3.9.6", "1", "", "0", "zk_unrecoverable_error_count=1"},
		{"an error and a lost leader in a release with faults", "3.8.0", "1", "2", "0", "zk_unrecoverable_error_count=1"},
		{"a release that nobody knows", "", "1", "2", "0", "zk_unrecoverable_error_count=1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := view{version: tt.version}
			v.z.Mntr = map[string]string{}
			for k, n := range map[string]string{"zk_unrecoverable_error_count": tt.errors, "zk_cnt_election_time": tt.elections, "zk_digest_mismatches_count": tt.mismatches} {
				if n != "" {
					v.z.Mntr[k] = n
				}
			}
			if got := v.doubt(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
