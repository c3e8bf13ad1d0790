package bootstrap

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// RevMarker stands in a Unit's content where Seal puts its revision. A unit that is to
// be restarted for what it depends on must carry it:
//
//	Environment=ZKBOOT_REV=@ZKBOOT_REV@
const RevMarker = "@ZKBOOT_REV@"

// Seal sorts the resources of d into the order of creation and gives every unit its
// revision: a hash over the unit and everything in its RestartOn. It returns an error
// when two resources share an ID or RestartOn names something that d does not have.
func (d Desired) Seal() (Desired, error) {
	byID := map[ID]Resource{}
	out := slices.Clone(d.Resources)
	for _, r := range out {
		if _, dup := byID[r.ID()]; dup {
			return d, fmt.Errorf("%s is wanted twice by one role", r.ID())
		}
		byID[r.ID()] = r
	}
	for i, r := range out {
		u, ok := r.(Unit)
		if !ok {
			continue
		}
		rev, err := revision(u, byID)
		if err != nil {
			return d, err
		}
		u.Rev = rev
		u.Content = strings.ReplaceAll(u.Content, RevMarker, rev)
		out[i] = u
	}
	sortResources(out)
	d.Resources = out
	return d, nil
}

func revision(u Unit, byID map[ID]Resource) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", u.Content)
	for _, id := range slices.Sorted(slices.Values(u.RestartOn)) {
		r, ok := byID[id]
		if !ok {
			return "", fmt.Errorf("unit %s restarts on %s, which its role does not want", u.Name, id)
		}
		fmt.Fprintf(h, "%s %s\n", id, Hash(r))
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

// sortResources puts kinds into their order of creation. Within a kind directories go
// parents first, everything else by name.
func sortResources(rs []Resource) {
	slices.SortFunc(rs, func(a, b Resource) int { return compareIDs(a.ID(), b.ID()) })
}

func compareIDs(a, b ID) int {
	if d := slices.Index(kinds, a.Kind()) - slices.Index(kinds, b.Kind()); d != 0 {
		return d
	}
	return strings.Compare(a.Name(), b.Name())
}

// ClusterID derives the id of a cluster from its name and what its members were first
// called. It is kept in manifests and in the data directories: once there, the stored
// one counts, so that changing members does not change the id.
func ClusterID(name string, members []string) string {
	sum := sha256.Sum256([]byte(name + "\n" + strings.Join(slices.Sorted(slices.Values(members)), "\n")))
	return hex.EncodeToString(sum[:8])
}
