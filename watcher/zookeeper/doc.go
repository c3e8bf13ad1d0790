// Package zookeeper reads services from a ZooKeeper ensemble and announces instances in it,
// for watcher. It speaks two layouts: plain, where a znode's name is host:port, and nerve,
// the JSON of airbnb/nerve and blablacar/go-nerve.
//
// Every service, announcement and notice of a host shares one connection, because servers
// limit connections by address (maxClientCnxns, 60). What the client library leaves open is
// closed here: silent servers, lost sessions that nobody reports, watches that are gone.
//
// It refuses to take an error for an answer. A service is empty only after a sync and a
// second look; what cannot be read is unknown; a znode that does not parse is left out
// alone, with the reason; and options for a proxy that are found in znodes go nowhere.
package zookeeper
