// Package backup takes backups of ensembles and reads them again.
//
// A backup is a tar archive, compressed with zstd, that can be unpacked by hand: the latest
// valid snapshot of one member and the transaction logs that go with it, cut at their last
// whole transaction, the configuration that the member lives by, and at the end
// backup.json, the manifest with the sha256 of every file. The manifest comes last because
// only then everything in it is known: an archive without one was cut off. Nothing is held
// in memory as a whole, neither here nor on the host.
//
// [Take] writes one, [Verify] reads one whole and names the file that is damaged, [Prune]
// removes old ones. What is put back is decided and done by bootstrap/zookeeper, on the
// word of Verify.
//
// The package refuses to write to a host, to read other files than those in the data
// directories of a member, and to remove a file whose name it did not make. A backup holds
// whatever the znodes hold, their secrets too: it is written for its owner's eyes only. The
// secrets of zoo.cfg are not in it; the host never tells them.
package backup
