package bootstrap

import (
	"context"
	"io"
	"net"
	"slices"

	"github.com/zkboot/zkboot/verify"
)

// Host is one machine. There is one implementation on the machine itself
// (bootstrap/agent), one that speaks to it over SSH, and one in memory for tests. Its
// methods may be called from several goroutines.
type Host interface {
	// Look returns facts and the state of the given IDs and of everything that a
	// manifest on the host owns. It changes nothing and is one round trip. When every ID
	// asked for is of something that is only observed (see Observed), nothing else is
	// looked at, neither facts nor manifests: gates ask often, and members that start need
	// the processor.
	Look(ctx context.Context, ids ...ID) (Facts, State, error)
	// Change carries out steps in order and stops at the first that breaks, with a
	// *StepError. Before anything is changed the premises (Step.Was) of all steps are
	// checked; one that no longer holds refuses the whole call with ErrStale. The lock
	// must be held, or Change returns ErrLocked.
	Change(ctx context.Context, steps ...Step) error
	// Probe measures what Look cannot: fsync, jitter, steal, the way to other hosts.
	Probe(ctx context.Context, q verify.Query) (verify.Result, error)
	// DialContext connects from the host, so that the operator needs no route to
	// ports that listen on private addresses. The connection knows deadlines.
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
	// Lock takes the host's lock for as long as the Host is open; who is shown to
	// whoever finds it taken. It returns ErrLocked when another run holds it.
	Lock(ctx context.Context, who string) error
	// Reveal returns the content of a Secret on the host. It is never logged and never
	// leaves the process that asked.
	Reveal(ctx context.Context, path string) (string, error)
	// ListData lists the regular files in a directory of data, by name. Only a directory that
	// a manifest on the host owns as data (Dir.Data) is listed; for any other the error wraps
	// ErrRefused.
	ListData(ctx context.Context, dir string) ([]DataFile, error)
	// ReadData streams the first size bytes of a file that ListData lists, at the pace at
	// which they are read. A file that has become shorter is an error of the last Read.
	// Closing the reader early, or the end of ctx, ends the stream on the host too.
	ReadData(ctx context.Context, path string, size int64) (io.ReadCloser, error)
	// Close gives the lock back and ends the connection.
	Close() error
}

// DataFile is a regular file in a directory of data. Used is where its last byte that is not
// zero ends, at most Size: ZooKeeper makes its logs larger than what is in them.
type DataFile struct {
	Name string `json:"name"`
	Size int64  `json:"size"` // bytes
	Used int64  `json:"used"` // bytes
}

// Hosts are the open hosts of a site by name. A host that could not be reached is
// missing.
type Hosts map[string]Host

// Names returns the names in order.
func (h Hosts) Names() []string {
	names := make([]string, 0, len(h))
	for n := range h {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
