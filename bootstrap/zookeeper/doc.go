// Package zookeeper is the ensemble role: it says what a member of a ZooKeeper
// ensemble needs on its host, forms the ensemble once, decides whose turn it is
// when members restart, and proves that all of them hold the same data.
//
// Everything but [Role.Do] and [Role.Prove] is pure. What the servers write
// themselves (the dynamic configuration, the initialize markers) is never part of
// what a host must have: it is made once, when every member is reachable and
// empty, and afterwards it belongs to the ensemble. zoo.cfg is compared as
// properties, because the server rewrites it.
//
// The package refuses rather than guesses: unknown configuration keys, versions
// that lose data, data directories of somebody else, a member list that differs
// from the live one, and a restart that would cost the quorum.
package zookeeper
