// Package txnlog reads the files in which a ZooKeeper server keeps its data: transaction
// logs (log.<zxid>) and snapshots (snapshot.<zxid>). It tells whether a snapshot is whole,
// which transactions a log holds, and it copies a log that is still being written up to its
// last whole transaction, because a server does not start over a torn one whose checksum is
// wrong.
//
// The format is that of FileTxnLog, FileSnap and DataTree of ZooKeeper 3.4 to 3.9:
// https://github.com/apache/zookeeper/tree/release-3.9.3/zookeeper-server/src/main/java/org/apache/zookeeper/server/persistence
// Everything is read as a stream, in memory that does not grow with the file.
//
// The package refuses to interpret data: it knows no znode by name and replays nothing. A
// snapshot in snappy's own framing is refused, one in gzip is read.
package txnlog
