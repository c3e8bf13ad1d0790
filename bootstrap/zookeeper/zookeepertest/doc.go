// Package zookeepertest gives lab tests of any package a ZooKeeper release that has the fixes
// which Debian 12's 3.8.0 lacks, in the form in which Apache publishes one: an archive for
// `source: {tarball: {url: "file://...", sha512: ...}}`. No lab host has to be prepared for
// it: everything comes out of Debian's own packages, signed by Debian's archive keys, and is
// kept in a cache between runs.
//
// It refuses a release with a fault that zkboot refuses, takes nothing from the packages
// installed on this machine, and never lets this machine's apt hear of another release. What
// it cannot build fails the test. It is for tests alone and links into no program.
package zookeepertest
